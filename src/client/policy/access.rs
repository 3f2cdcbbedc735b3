//! `postern policy access` and `diff`: what a subject may do, and what a change makes of it.

use std::collections::{BTreeMap, BTreeSet};

use clap::{ArgGroup, Args};
use serde_json::{Value, json};

use super::paths::{below_org, query};
use crate::client::api::segment;
use crate::client::connection::Session;
use crate::client::error::Error;
use crate::client::output::{Column, Output, printable};

/// Options of `postern policy access`.
#[derive(Debug, Args)]
pub(crate) struct Access {
    /// Id, or a name that one user only has
    subject: String,
    #[command(flatten)]
    candidate: Candidate,
    /// As it was at this revision of the store; now, if not given
    #[arg(long, value_name = "R")]
    revision: Option<u64>,
    /// Also what it may not do
    #[arg(long)]
    all: bool,
}

/// A version in the place of the one in force.
#[derive(Debug, Args)]
struct Candidate {
    /// As it would be with another version of this policy
    #[arg(long, value_name = "NAME", requires = "version")]
    policy: Option<String>,
    /// That version
    #[arg(long, value_name = "VERSION", requires = "policy")]
    version: Option<String>,
}

/// Options of `postern policy diff`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("change").required(true).args(["policy", "from"])))]
pub(crate) struct Diff {
    /// Id, or a name that one user only has
    subject: String,
    #[command(flatten)]
    candidate: Candidate,
    /// Against how it was at this revision of the store
    #[arg(long, value_name = "R")]
    from: Option<u64>,
    /// How it was at this later revision; now, if not given
    #[arg(long, value_name = "R", requires = "from")]
    to: Option<u64>,
}

/// Shows what a subject may do.
///
/// # Errors
/// What asking fails with.
pub(super) async fn access(about: Access, session: &Session) -> Result<Output, Error> {
    let table = table(session, &about.subject, Some(&about.candidate), about.revision).await?;
    if session.json {
        return Ok(Output::json(&table));
    }
    let rows = rows(&table);
    let allowed = rows.iter().filter(|row| row["outcome"] == ALLOWED).count();
    let shown: Value = rows
        .iter()
        .filter(|row| about.all || row["outcome"] != NOT_ALLOWED)
        .map(|row| (*row).clone())
        .collect();
    let advice = format!(
        "{allowed} of {} allowed, at revision {}{}\n",
        rows.len(),
        table["revision"],
        if about.all { "" } else { "; --all shows the others too" },
    );
    let advice = match table["objects_left_out"].as_u64() {
        Some(number) => format!("{advice}{number} more objects are not told of\n"),
        None => advice,
    };
    Ok(Output::table(&COLUMNS, &shown).advise(advice))
}

/// Shows how two tables of a subject differ.
///
/// # Errors
/// What asking fails with.
pub(super) async fn diff(about: Diff, session: &Session) -> Result<Output, Error> {
    let subject = session.subject(&about.subject).await?;
    let (before, after) = match about.from {
        Some(from) => (
            table(session, &subject, None, Some(from)).await?,
            table(session, &subject, None, about.to).await?,
        ),
        None => {
            let before = table(session, &subject, None, None).await?;
            // At the same revision, so that nothing but the version differs.
            let revision = before["revision"].as_u64();
            let after = table(session, &subject, Some(&about.candidate), revision).await?;
            (before, after)
        }
    };
    let changes = changes(&before, &after);
    if session.json {
        return Ok(Output::json(&json!({
            "subject": subject,
            "from": before["revision"],
            "to": after["revision"],
            "changes": changes,
        })));
    }
    let summary = format!("{}\n", summary(&printable(&about.subject), &changes));
    if changes.is_empty() {
        return Ok(Output::text(summary));
    }
    let table = Output::table(&DIFF_COLUMNS, &Value::Array(changes)).out;
    Ok(Output::text(format!("{summary}{table}")))
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

async fn table(
    session: &Session,
    subject: &str,
    candidate: Option<&Candidate>,
    revision: Option<u64>,
) -> Result<Value, Error> {
    let id = session.subject(subject).await?;
    let (policy, version) = candidate.map_or((None, None), |candidate| {
        (candidate.policy.clone(), candidate.version.clone())
    });
    let parameters = [
        ("policy", policy),
        ("version", version),
        ("revision", revision.map(|revision| revision.to_string())),
    ];
    let path = format!("users/{}/access{}", segment(&id), query(&parameters));
    session.api.get(&below_org(session, &path).await?).await
}

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
