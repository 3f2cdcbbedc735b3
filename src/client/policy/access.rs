//! `postern policy access` and `diff`: what a subject or a role may do, and what a change makes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueEnum};
use feed::SubjectKind;
use serde_json::{Value, json};

use super::paths::{below_org, query};
use crate::client::api::segment;
use crate::client::connection::Session;
use crate::client::error::Error;
use crate::client::output::{Column, Output, printable};
use crate::policy::access_of_files;

/// Options of `postern policy access`.
#[derive(Debug, Args)]
pub(crate) struct Access {
    #[command(flatten)]
    whose: Whose,
    #[command(flatten)]
    candidate: Candidate,
    /// As it was at this revision of the store; now, if not given
    #[arg(long, value_name = "R", conflicts_with = "policies")]
    revision: Option<u64>,
    /// By these components in files and the built-in roles alone, without asking a running Postern
    #[arg(long, value_name = "FILE", num_args = 1.., requires = "role", conflicts_with_all = ["policy", "versions"])]
    policies: Vec<PathBuf>,
    /// Also what it may not do
    #[arg(long)]
    all: bool,
}

/// Of whom it is told.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("whose").required(true).args(["subject", "role"])))]
struct Whose {
    /// Id, or a name that one user only has
    subject: Option<String>,
    /// Whoever holds this role and no other, on an org, an app or an env-type: the first that it can be held on, if not said
    #[arg(long, value_name = "ROLE[@SCOPE]")]
    role: Option<String>,
    /// What it is that holds the role
    #[arg(long, value_enum, default_value_t = Kind::ServiceUser, requires = "role")]
    kind: Kind,
}

/// What a subject is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// A user that cannot log in.
    ServiceUser,
    /// A human.
    Member,
    /// A group of members.
    Group,
}

/// Versions in the place of those in force.
#[derive(Debug, Args)]
struct Candidate {
    /// As it would be with another version of this policy
    #[arg(long, value_name = "NAME", requires = "version")]
    policy: Option<String>,
    /// That version
    #[arg(long, value_name = "VERSION", requires = "policy")]
    version: Option<String>,
    /// As it would be with other versions of several policies
    #[arg(long, value_name = "NAME:VERSION", value_delimiter = ',', conflicts_with = "policy")]
    versions: Vec<String>,
}

/// Options of `postern policy diff`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("change").required(true).args(["policy", "versions", "from", "with"])))]
pub(crate) struct Diff {
    #[command(flatten)]
    whose: Whose,
    #[command(flatten)]
    candidate: Candidate,
    /// Against how it was at this revision of the store
    #[arg(long, value_name = "R")]
    from: Option<u64>,
    /// How it was at this later revision; now, if not given
    #[arg(long, value_name = "R", requires = "from")]
    to: Option<u64>,
    /// How it is by these components in files, without asking a running Postern
    #[arg(long, value_name = "FILE", num_args = 1.., requires_all = ["role", "with"])]
    policies: Vec<PathBuf>,
    /// How it is by these, in their place
    #[arg(long, value_name = "FILE", num_args = 1.., requires = "role")]
    with: Vec<PathBuf>,
}

impl Access {
    /// Returns whether nobody is to be asked.
    pub(super) fn is_on_files(&self) -> bool {
        !self.policies.is_empty()
    }

    /// Shows what a role allows by components in files.
    ///
    /// # Errors
    /// [`Error::OnFiles`].
    pub(super) fn on_files(&self, json: bool) -> Result<Output, Error> {
        Ok(shown(&self.whose.on_files(&self.policies)?, json, self.all))
    }
}

impl Diff {
    /// Returns whether nobody is to be asked.
    pub(super) fn is_on_files(&self) -> bool {
        !self.with.is_empty()
    }

    /// Shows how what a role allows differs between components in files.
    ///
    /// # Errors
    /// [`Error::OnFiles`].
    pub(super) fn on_files(&self, json: bool) -> Result<Output, Error> {
        let (before, after) = (self.whose.on_files(&self.policies)?, self.whose.on_files(&self.with)?);
        Ok(difference(&self.whose, (&before, &after), json))
    }
}

/// Shows what a subject, or a role, may do.
///
/// # Errors
/// What asking fails with.
pub(super) async fn access(about: Access, session: &Session) -> Result<Output, Error> {
    let table = about
        .whose
        .table(session, Some(&about.candidate), about.revision)
        .await?;
    Ok(shown(&table, session.json, about.all))
}

/// Shows how two tables of a subject, or of a role, differ.
///
/// # Errors
/// What asking fails with.
pub(super) async fn diff(about: Diff, session: &Session) -> Result<Output, Error> {
    let whose = about.whose.resolved(session).await?;
    let (before, after) = match about.from {
        Some(from) => (
            whose.table(session, None, Some(from)).await?,
            whose.table(session, None, about.to).await?,
        ),
        None => {
            let before = whose.table(session, None, None).await?;
            // At the same revision, so that nothing but the versions differs.
            let revision = before["revision"].as_u64();
            let after = whose.table(session, Some(&about.candidate), revision).await?;
            (before, after)
        }
    };
    Ok(difference(&about.whose, (&before, &after), session.json))
}

fn shown(table: &Value, json: bool, all: bool) -> Output {
    if json {
        return Output::json(table);
    }
    let rows = rows(table);
    let allowed = rows.iter().filter(|row| row["outcome"] == ALLOWED).count();
    let shown: Value = rows
        .iter()
        .filter(|row| all || row["outcome"] != NOT_ALLOWED)
        .map(|row| (*row).clone())
        .collect();
    let revision = table["revision"].as_u64();
    let revision = revision.map_or_else(String::new, |revision| format!(", at revision {revision}"));
    let advice = format!(
        "{allowed} of {} allowed{revision}{}\n",
        rows.len(),
        if all { "" } else { "; --all shows the others too" },
    );
    let advice = match table["objects_left_out"].as_u64() {
        Some(number) => format!("{advice}{number} more objects are not told of\n"),
        None => advice,
    };
    Output::table(&COLUMNS, &shown).advise(advice)
}

fn difference(whose: &Whose, (before, after): (&Value, &Value), json: bool) -> Output {
    let changes = changes(before, after);
    if json {
        return Output::json(&json!({
            "subject": after["subject"],
            "from": before["revision"],
            "to": after["revision"],
            "changes": changes,
        }));
    }
    let summary = format!("{}\n", summary(&printable(whose.name()), &changes));
    if changes.is_empty() {
        return Output::text(summary);
    }
    let table = Output::table(&DIFF_COLUMNS, &Value::Array(changes)).out;
    Output::text(format!("{summary}{table}"))
}

impl Whose {
    fn name(&self) -> &str {
        let named = self.subject.as_deref().or(self.role.as_deref());
        named.unwrap_or_default()
    }

    /// Returns the role, and the kind of object that it is held on, if that was said.
    fn role(&self) -> Option<(&str, Option<&str>)> {
        let role = self.role.as_deref()?;
        Some(match role.split_once('@') {
            Some((role, scope)) => (role, Some(scope)),
            None => (role, None),
        })
    }

    fn on_files(&self, files: &[PathBuf]) -> Result<Value, Error> {
        // The command line demands a role with files.
        let role = self.role().unwrap_or_default();
        access_of_files(role, self.kind.into(), files).map_err(Error::OnFiles)
    }

    /// Returns the same by the subject's id, so that it is looked for once.
    async fn resolved(&self, session: &Session) -> Result<Self, Error> {
        let subject = match &self.subject {
            Some(subject) => Some(session.subject(subject).await?),
            None => None,
        };
        Ok(Self {
            subject,
            role: self.role.clone(),
            kind: self.kind,
        })
    }

    async fn table(
        &self,
        session: &Session,
        candidate: Option<&Candidate>,
        revision: Option<u64>,
    ) -> Result<Value, Error> {
        let versions = candidate.map(|candidate| candidate.versions.join(","));
        let versions = ("versions", versions.filter(|text| !text.is_empty()));
        let revision = ("revision", revision.map(|revision| revision.to_string()));
        let one = candidate.and_then(|candidate| candidate.policy.clone().zip(candidate.version.clone()));
        let path = match (&self.subject, self.role()) {
            (Some(subject), _) => {
                let id = session.subject(subject).await?;
                let (policy, version) = one.unzip();
                let parameters = [("policy", policy), ("version", version), versions, revision];
                format!("users/{}/access{}", segment(&id), query(&parameters))
            }
            (None, role) => {
                let (role, scope) = role.unwrap_or_default();
                let one = one.map(|(policy, version)| format!("{policy}:{version}"));
                let versions = ("versions", one.or(versions.1));
                let scope = ("scope", scope.map(str::to_owned));
                let kind = ("kind", Some(self.kind.name().to_owned()));
                let parameters = [scope, kind, versions, revision];
                format!("roles/{}/access{}", segment(role), query(&parameters))
            }
        };
        session.api.get(&below_org(session, &path).await?).await
    }
}

impl Kind {
    /// Returns the API's word, which is that of records.
    fn name(self) -> &'static str {
        match self {
            Self::ServiceUser => "service-user",
            Self::Member => "member",
            Self::Group => "group",
        }
    }
}

impl From<Kind> for SubjectKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::ServiceUser => Self::ServiceUser,
            Kind::Member => Self::Member,
            Kind::Group => Self::Group,
        }
    }
}

const ALLOWED: &str = "allowed";
const NOT_ALLOWED: &str = "not-allowed";

const COLUMNS: [Column; 6] = [
    ("OPERATION", "operation"),
    ("METHOD", "method"),
    ("PATH", "path"),
    ("OBJECT", "object"),
    ("OUTCOME", "outcome"),
    ("BY", "by"),
];

const DIFF_COLUMNS: [Column; 7] = [
    ("", "change"),
    ("OPERATION", "operation"),
    ("METHOD", "method"),
    ("PATH", "path"),
    ("OBJECT", "object"),
    ("BEFORE", "from"),
    ("AFTER", "to"),
];

fn rows(table: &Value) -> Vec<&Value> {
    table["rows"].as_array().into_iter().flatten().collect()
}

/// Returns the rows whose outcome differs. An object that one table lacks is one on which nothing is allowed there.
fn changes(before: &Value, after: &Value) -> Vec<Value> {
    let by_key = |table| -> BTreeMap<(String, String), Value> {
        let key = |row: &Value| (row["operation"].to_string(), row["object"].to_string());
        rows(table).into_iter().map(|row| (key(row), row.clone())).collect()
    };
    let (before, after) = (by_key(before), by_key(after));
    let keys: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let outcome = |row: Option<&Value>| {
        row.and_then(|row| row["outcome"].as_str())
            .unwrap_or(NOT_ALLOWED)
            .to_owned()
    };
    let mut changes = Vec::new();
    for key in keys {
        let (from, to) = (outcome(before.get(key)), outcome(after.get(key)));
        let Some(row) = after.get(key).or(before.get(key)).filter(|_| from != to) else {
            continue;
        };
        let change = match (from == ALLOWED, to == ALLOWED) {
            (false, true) => "+",
            (true, false) => "-",
            (false, false) | (true, true) => "~",
        };
        changes.push(json!({
            "change": change,
            "operation": row["operation"],
            "method": row["method"],
            "path": row["path"],
            "object": row["object"],
            "from": from,
            "to": to,
        }));
    }
    changes
}

fn summary(subject: &str, changes: &[Value]) -> String {
    let operations = |sign: &str| {
        let changed = changes.iter().filter(|change| change["change"] == *sign);
        changed
            .map(|change| change["operation"].to_string())
            .collect::<BTreeSet<_>>()
            .len()
    };
    let count = |number: usize, what: &str| {
        let s = if number == 1 { "" } else { "s" };
        (number > 0).then(|| what.replace("{}", &format!("{number}")).replace("{s}", s))
    };
    let parts = [
        count(operations("+"), &format!("gives {subject} {{}} more operation{{s}}")),
        count(operations("-"), &format!("takes {{}} operation{{s}} from {subject}")),
        count(operations("~"), "refuses {} operation{s} for another reason"),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    if parts.is_empty() {
        format!("this change makes no difference to {subject}")
    } else {
        format!("this change {}", parts.join(", and "))
    }
}
