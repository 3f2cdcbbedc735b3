//! What whoever holds a role may do, by components in files and the built-in roles. Nothing that runs is asked.

use std::path::PathBuf;
use std::sync::Arc;

use engine::matrix::{ANY, Matrix};
use engine::{GuardEntry, Inputs, Layout, Manifest, Policy, RoleEntry, ScopeKind};
use feed::decision::RecordedOutcome;
use feed::{Clock, GuardScope, PolicyKind, RoleBinding, Scope, Subject, SubjectKind};
use serde_json::{Value, json};

use super::workbench::{self, Engines};
use crate::exit::{Failure, INPUT_OUTPUT, USAGE};

/// Returns what somebody may do who holds a role on a kind of object and nothing else, in the form of the API's answer. The
/// role is a built-in one or that of a component; guards among the components judge in their order, as if each was attached
/// to the widest that it can be.
///
/// # Errors
/// When a file cannot be read or is no policy, and when the role cannot be held so.
pub(crate) fn of_files(
    (role, scope): (&str, Option<&str>),
    kind: SubjectKind,
    files: &[PathBuf],
) -> Result<Value, Failure> {
    let engines = Engines::new()?;
    let load = |file: &PathBuf| {
        let component = std::fs::read(file);
        let component =
            component.map_err(|error| Failure::said(INPUT_OUTPUT, format!("{}: {error}", file.display())))?;
        workbench::load(&engines, &component).map(Arc::new)
    };
    let policies: Vec<Arc<Policy>> = files.iter().map(load).collect::<Result<_, _>>()?;
    let set = engines.builtin()?.arranged(&layout(&policies));
    let is_it = |policy: &&Arc<Policy>| policy.kind() == PolicyKind::Role && policy.name() == role;
    let policy = policies.iter().find(is_it).or_else(|| set.get(role));
    let policy = policy.ok_or_else(|| {
        let message = format!("no role {role:?}: it is neither built in nor that of a component that was given");
        Failure::said(USAGE, message)
    })?;
    let scope = held_on(policy.manifest(), scope, kind)?;
    let subject = Subject {
        id: ANY.to_owned(),
        kind,
        org: ORG.to_owned(),
        roles: vec![RoleBinding {
            scope,
            role: role.to_owned(),
        }],
    };
    let catalogue = workbench::catalogue();
    let matrix = Matrix {
        set: &set,
        catalogue: &catalogue,
        subject: &subject,
        inputs: Inputs {
            time_ms: u64::try_from(Clock::system().unix_ms()).ok(),
            ..Inputs::default()
        },
    };
    Ok(json!({"subject": role, "rows": rows(&matrix)}))
}

/// Stands for the organisation.
const ORG: &str = ANY;

fn layout(policies: &[Arc<Policy>]) -> Layout {
    let of_kind = |kind| policies.iter().filter(move |policy| policy.kind() == kind);
    let roles = of_kind(PolicyKind::Role).map(|policy| RoleEntry {
        org: ORG.to_owned(),
        role: policy.name().to_owned(),
        policy: Some(Arc::clone(policy)),
        fallback: None,
        settings: None,
    });
    let guards = of_kind(PolicyKind::Guard).map(|policy| GuardEntry {
        id: policy.name().to_owned(),
        scope: if policy.manifest().scopes.contains(&ScopeKind::Org) {
            GuardScope::Installation
        } else {
            GuardScope::App {
                org: ORG.to_owned(),
                app: ANY.to_owned(),
            }
        },
        policy: Some(Arc::clone(policy)),
        fallback: None,
        settings: None,
    });
    Layout {
        roles: roles.collect(),
        guards: guards.collect(),
    }
}

/// Returns the object on which the role is held: of the kind that was asked for, else of the first that its manifest names.
fn held_on(manifest: &Manifest, wanted: Option<&str>, kind: SubjectKind) -> Result<Scope, Failure> {
    let scopes: Vec<&str> = manifest.scopes.iter().map(|scope| scope.name()).collect();
    let found = match wanted {
        Some(wanted) => manifest.scopes.iter().find(|scope| scope.name() == wanted),
        None => manifest.scopes.first(),
    };
    match found {
        Some(scope) if manifest.admits(kind, *scope) => Ok(match scope {
            ScopeKind::Org => Scope::org(ORG),
            ScopeKind::App => Scope::app(ORG, ANY),
            ScopeKind::EnvType => Scope::env_type(ORG, ANY),
        }),
        Some(_) | None => Err(Failure::said(
            USAGE,
            format!(
                "{} cannot be held so: its manifest has the scopes {}, and not every kind of subject",
                manifest.name,
                scopes.join(", ")
            ),
        )),
    }
}

fn rows(matrix: &Matrix<'_>) -> Vec<Value> {
    let own = Scope::org(&matrix.subject.org);
    let held = matrix.subject.roles.iter().map(|held| &held.scope);
    let scopes = std::iter::once(&own).chain(held.filter(|scope| **scope != own));
    let mut rows = Vec::new();
    for scope in scopes {
        rows.extend(matrix.on(scope).map(|(operation, outcome)| {
            let (outcome, by) = told(outcome);
            json!({
                "operation": operation.id,
                "permission": operation.permission,
                "method": operation.method,
                "path": operation.path,
                "object": scope.to_string(),
                "outcome": outcome,
                "by": by,
            })
        }));
    }
    rows
}

/// Returns the API's word for an outcome, and whose doing it is.
fn told(outcome: RecordedOutcome) -> (&'static str, Option<String>) {
    match outcome {
        RecordedOutcome::Allowed { role } => ("allowed", Some(role)),
        RecordedOutcome::NotAllowed => ("not-allowed", None),
        RecordedOutcome::Denied { guard, .. } => ("denied", Some(guard)),
        RecordedOutcome::Undecided { by, .. } => ("undecided", Some(by)),
    }
}
