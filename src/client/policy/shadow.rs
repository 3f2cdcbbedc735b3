//! `postern policy shadow`: a version beside the one in force, and what it would change.

use std::path::Path;

use clap::Args;
use serde_json::{Value, json};

use super::paths::policy;
use super::versions::changed;
use crate::client::connection::{Session, read};
use crate::client::error::Error;
use crate::client::output::{Column, Output, printable};

/// Options of `postern policy shadow`.
#[derive(Debug, Args)]
pub(crate) struct ShadowOf {
    /// Name of the policy
    name: String,
    /// Version to watch
    #[arg(required_unless_present_any = ["off", "report"], conflicts_with_all = ["off", "report"])]
    version: Option<String>,
    /// Share of the decisions that it is asked about
    #[arg(
        long,
        value_name = "N",
        default_value_t = 100,
        value_parser = clap::value_parser!(u8).range(1..=100),
        conflicts_with_all = ["off", "report"]
    )]
    percent: u8,
    /// Stop watching
    #[arg(long, conflicts_with = "report")]
    off: bool,
    /// Report which decisions it would have made otherwise
    #[arg(long)]
    report: bool,
}

/// Starts, stops or reports.
///
/// # Errors
/// What asking fails with.
pub(super) async fn shadow(about: ShadowOf, session: &Session) -> Result<Output, Error> {
    if about.report {
        let path = format!("{}/shadow", policy(session, &about.name).await?);
        return Ok(reported(session, &session.api.get(&path).await?));
    }
    let Some(version) = about.version else {
        return changed(session, &about.name, &json!({"shadow": null})).await;
    };
    let change = json!({"shadow": {"version": version, "percent": about.percent}});
    let advice = format!(
        "See what it would change:  postern policy shadow {} --report\n",
        printable(&about.name)
    );
    Ok(changed(session, &about.name, &change).await?.advise(advice))
}

/// Reads the flips that are expected from a file: a report, or its list of flips.
///
/// # Errors
/// [`Error::File`] and [`Error::Content`].
pub(super) fn expected_flips(path: &Path) -> Result<Value, Error> {
    let unusable = |problem: &str| Error::Content {
        path: path.to_owned(),
        problem: problem.to_owned(),
    };
    let content: Value = serde_json::from_str(&read(path)?).map_err(|error| unusable(&format!("not JSON: {error}")))?;
    let list = content["flips"].as_array().or(content.as_array());
    let list = list.ok_or_else(|| unusable("neither a report of a shadow nor a list of flips"))?;
    let flip = |flip: &Value| {
        let mut kept = json!({});
        for field in FLIP {
            kept[field] = Value::from(flip[field].as_str()?);
        }
        Some(kept)
    };
    let flips: Option<Vec<_>> = list.iter().map(flip).collect();
    let lacks = || unusable("a flip lacks operation, subject, from or to");
    flips.map(Value::Array).ok_or_else(lacks)
}

/// Writes flips, a row each; nothing without any.
pub(super) fn flips_table(flips: &Value) -> String {
    if flips.as_array().is_none_or(Vec::is_empty) {
        return String::new();
    }
    Output::table(&FLIP_COLUMNS, flips).out
}

/// What tells one flip from another.
const FLIP: [&str; 4] = ["operation", "subject", "from", "to"];

const FLIP_COLUMNS: [Column; 7] = [
    ("OPERATION", "operation"),
    ("SUBJECT", "subject"),
    ("FROM", "from"),
    ("TO", "to"),
    ("TIMES", "count"),
    ("LAST", "last_at"),
    ("DECISION", "decision_id"),
];

fn reported(session: &Session, report: &Value) -> Output {
    if session.json {
        return Output::json(report);
    }
    let text = |field: &str| printable(report[field].as_str().unwrap_or_default());
    let number = |field: &str| report[field].as_u64().unwrap_or_default();
    let flips = &report["flips"];
    let kinds = flips.as_array().map_or(0, Vec::len);
    let summary = format!(
        "{} {} beside {}, since {}: {} decisions watched, {} left out, {kinds} kinds of flips\n",
        text("policy"),
        text("version"),
        text("active"),
        text("since"),
        number("evaluations"),
        number("dropped"),
    );
    let advice = if kinds == 0 {
        String::new()
    } else {
        "Look at one with:  postern policy explain DECISION\n".to_owned()
    };
    Output::text(format!("{summary}{}", flips_table(flips))).advise(advice)
}
