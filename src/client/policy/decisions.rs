//! `postern policy decisions` and `record`: decisions on record.

use std::collections::HashSet;
use std::io::Write;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::paths::{below_org, query};
use crate::client::api::segment;
use crate::client::connection::Session;
use crate::client::error::Error;
use crate::client::output::{Column, Output};

/// Options of `postern policy decisions`.
#[derive(Debug, Args)]
pub(crate) struct Decisions {
    /// Of this subject: id, or a name that one user only has
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,
    /// About this operation
    #[arg(long, value_name = "OPERATION")]
    operation: Option<String>,
    /// That ended so
    #[arg(long, value_name = "OUTCOME")]
    outcome: Option<Outcome>,
    /// So many, at most
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Go on with those that come, until interrupted
    #[arg(long)]
    follow: bool,
}

/// What comes of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Outcome {
    /// A role allows it, and no guard refuses it
    Allowed,
    /// No role allows it
    NotAllowed,
    /// A guard refuses it
    Denied,
    /// A policy gave no verdict
    Undecided,
}

/// Options of `postern policy record`.
#[derive(Debug, Args)]
pub(crate) struct Record {
    /// Id of the decision, as the refusal and the access log tell it
    decision_id: String,
}

/// Lists decisions, the latest last, and follows them if that was asked for.
///
/// # Errors
/// [`Error::Output`], and what asking fails with.
pub(super) async fn decisions(about: Decisions, session: &Session, out: &mut dyn Write) -> Result<Output, Error> {
    let subject = match &about.subject {
        Some(subject) => Some(session.subject(subject).await?),
        None => None,
    };
    let outcome = about.outcome.and_then(|outcome| outcome.to_possible_value());
    let query = query(&[
        ("subject", subject),
        ("operation", about.operation),
        ("outcome", outcome.map(|outcome| outcome.get_name().to_owned())),
        ("limit", Some(about.limit.to_string())),
    ]);
    let path = below_org(session, &format!("decisions{query}")).await?;
    let listed = oldest_first(session.api.get(&path).await?);
    if about.follow {
        follow(session, &path, listed, out).await?;
        return Ok(Output::text(String::new()));
    }
    Ok(if session.json {
        Output::json(&Value::Array(listed))
    } else {
        Output::table(&COLUMNS, &listed.iter().map(row).collect())
    })
}

/// Prints a decision in the form of a case.
///
/// # Errors
/// What asking fails with.
pub(super) async fn record(about: Record, session: &Session) -> Result<Output, Error> {
    let decision = decision(session, &about.decision_id).await?;
    Ok(Output::text(format!("{decision}\n")))
}

/// Returns a decision on record.
///
/// # Errors
/// What asking fails with.
pub(super) async fn decision(session: &Session, id: &str) -> Result<Value, Error> {
    let path = below_org(session, &format!("decisions/{}", segment(id))).await?;
    session.api.get(&path).await
}

/// Writes a time in milliseconds since the Unix epoch for people.
pub(super) fn time(ms: &Value) -> Option<String> {
    let time = DateTime::from_timestamp_millis(ms.as_i64()?)?;
    Some(time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

const COLUMNS: [Column; 6] = [
    ("TIME", "at"),
    ("DECISION", "id"),
    ("SUBJECT", "subject"),
    ("OPERATION", "operation"),
    ("OUTCOME", "outcome"),
    ("BY", "by"),
];

/// Time between two looks at what has come.
const PAUSE: Duration = Duration::from_secs(1);

/// Prints what is there and what comes. It ends only with an error.
async fn follow(session: &Session, path: &str, mut listed: Vec<Value>, out: &mut dyn Write) -> Result<(), Error> {
    let mut told = HashSet::new();
    loop {
        let new: Vec<_> = listed.iter().filter(|one| !told.contains(&one["id"])).collect();
        for decision in &new {
            let line = if session.json {
                format!("{decision}\n")
            } else {
                line(&row(decision))
            };
            out.write_all(line.as_bytes()).map_err(Error::Output)?;
        }
        out.flush().map_err(Error::Output)?;
        // Those of the latest answer are all that the next can repeat.
        told = listed.iter().map(|one| one["id"].clone()).collect();
        tokio::time::sleep(PAUSE).await;
        listed = oldest_first(session.api.get(path).await?);
    }
}

fn oldest_first(listed: Value) -> Vec<Value> {
    let mut listed = match listed {
        Value::Array(listed) => listed,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => Vec::new(),
    };
    listed.sort_by_key(|decision| decision["at_ms"].as_i64());
    listed
}

fn row(decision: &Value) -> Value {
    let outcome = &decision["outcome"];
    let by = ["role", "guard", "by"]
        .iter()
        .find_map(|field| outcome[*field].as_str());
    json!({
        "at": time(&decision["at_ms"]),
        "id": decision["id"],
        "subject": decision["question"]["subject"]["id"],
        "operation": decision["question"]["operation"],
        "outcome": outcome["outcome"],
        "by": by,
    })
}

/// Returns a row without its header.
fn line(row: &Value) -> String {
    let table = Output::table(&COLUMNS, row).out;
    table.lines().skip(1).map(|line| format!("{line}\n")).collect()
}
