//! Which operations a policy is asked about, which it never is, and which no test asks about.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use catalogue::{Catalogue, EnvTypes, Operation};
use engine::{Manifest, ScopeKind};
use feed::PolicyKind;

use super::report::wrapped;

/// Operations that a policy can be asked about, by whether a test does.
pub(super) struct Coverage<'a> {
    tested: usize,
    /// Ids by the first word of the permission that they need.
    untested: BTreeMap<&'a str, Vec<&'a str>>,
}

impl<'a> Coverage<'a> {
    /// Returns what of the operations that a policy can see is tested.
    pub(super) fn of(manifest: &Manifest, catalogue: &'a Catalogue, tested: &BTreeSet<String>) -> Self {
        let mut coverage = Self {
            tested: 0,
            untested: BTreeMap::new(),
        };
        for operation in catalogue.operations().iter().filter(|own| can_see(manifest, own)) {
            if tested.contains(&operation.id) {
                coverage.tested += 1;
            } else {
                coverage
                    .untested
                    .entry(group(operation))
                    .or_default()
                    .push(&operation.id);
            }
        }
        coverage
    }
}

impl fmt::Display for Coverage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let untested: usize = self.untested.values().map(Vec::len).sum();
        let all = self.tested + untested;
        writeln!(
            f,
            "coverage: {} of the {all} operations that it can be asked about",
            self.tested
        )?;
        if untested > 0 {
            writeln!(f, "these {untested} operations are never tested:")?;
            groups(f, &self.untested)?;
        }
        Ok(())
    }
}

/// Operations that a policy is never asked about.
pub(super) struct Unseen<'a>(BTreeMap<&'a str, Vec<&'a str>>);

impl<'a> Unseen<'a> {
    /// Returns what a policy with this manifest never sees.
    pub(super) fn of(manifest: &Manifest, catalogue: &'a Catalogue) -> Self {
        let mut unseen: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for operation in catalogue.operations().iter().filter(|own| !can_see(manifest, own)) {
            unseen.entry(group(operation)).or_default().push(&operation.id);
        }
        Self(unseen)
    }

    /// Returns how many there are.
    pub(super) fn count(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }
}

impl fmt::Display for Unseen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        groups(f, &self.0)
    }
}

/// A role on the organisation bears on every operation, one on an app or an env type where one is concerned. Guards
/// likewise, by what they can be attached to.
fn can_see(manifest: &Manifest, operation: &Operation) -> bool {
    manifest.scopes.iter().any(|scope| match scope {
        ScopeKind::Org => true,
        ScopeKind::App => operation.parameter_names().any(|name| name == "appId"),
        ScopeKind::EnvType => manifest.kind == PolicyKind::Role && operation.env_types != EnvTypes::None,
    })
}

fn group(operation: &Operation) -> &str {
    operation.permission.split('.').next().unwrap_or_default()
}

fn groups(f: &mut fmt::Formatter<'_>, groups: &BTreeMap<&str, Vec<&str>>) -> fmt::Result {
    let width = groups.keys().map(|name| name.len()).max().unwrap_or_default();
    for (name, ids) in groups {
        writeln!(f, "  {name:width$}  {}", wrapped(&ids.join(", "), width + 4))?;
    }
    Ok(())
}
