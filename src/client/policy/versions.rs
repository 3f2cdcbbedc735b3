//! What is published, and which version of it is in force.

use clap::{Args, ValueEnum};
use http::Method;
use serde_json::{Value, json};

use super::paths::{below_org, policy, query};
use super::shadow::expected_flips;
use crate::client::connection::Session;
use crate::client::error::Error;
use crate::client::output::{Column, Output, printable};

/// No options.
#[derive(Debug, Args)]
pub(crate) struct List {}

/// A policy.
#[derive(Debug, Args)]
pub(crate) struct Name {
    /// Name of the policy
    name: String,
}

/// Options of `postern policy promote`.
#[derive(Debug, Args)]
pub(crate) struct Promote {
    /// Name of the policy
    name: String,
    /// Version to put in force
    version: String,
    /// Only if the version, watched as a shadow, changed nothing but this: a file that `shadow --report --json` wrote
    #[arg(long, value_name = "FILE")]
    only_flips: Option<std::path::PathBuf>,
    /// Only if the version was asked about at least so many decisions
    #[arg(long, value_name = "N")]
    evaluations_min: Option<u64>,
    #[command(flatten)]
    patience: Patience,
}

/// Options of `postern policy rollback`.
#[derive(Debug, Args)]
pub(crate) struct Rollback {
    /// Name of the policy
    name: String,
    #[command(flatten)]
    patience: Patience,
}

/// How long gateways are waited for before something hangs on a version.
#[derive(Debug, Args)]
pub(super) struct Patience {
    /// Wait so long for gateways that do not have the version yet; 0 does not wait, and they refuse what hangs on it until they
    /// have. 30 s if not given, 1 s for the version before
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=120))]
    wait: Option<u64>,
}

impl Patience {
    /// Says it to the API.
    pub(super) fn put_in(&self, change: &mut Value) {
        if let Some(seconds) = self.wait {
            change["wait_ms"] = Value::from(seconds * 1000);
        }
    }
}

/// Says what a change has waited for, on lines of its own; nothing when there was nothing to wait for.
pub(super) fn readiness(changed: &Value) -> String {
    let told = &changed["readiness"];
    let late: Vec<_> = told["late"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let seconds = told["waited_ms"].as_f64().unwrap_or_default() / 1000.0;
    let ready = told["ready"].as_u64().unwrap_or_default();
    if !late.is_empty() {
        let late = printable(&late.join(", "));
        return format!(
            "Waited {seconds:.1} s. Not there yet at {late}: what hangs on it is refused there until it is.\n"
        );
    }
    match ready {
        0 => String::new(),
        1 => format!("Waited {seconds:.1} s for 1 gateway to have it.\n"),
        ready => format!("Waited {seconds:.1} s for {ready} gateways to have it.\n"),
    }
}

/// Options of `postern policy remove`.
#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// Name of the policy
    name: String,
    /// What those who hold the role get: `remove` takes it from them, the name of another role puts that in its place
    #[arg(long, value_name = "remove|ROLE")]
    bindings: Option<String>,
}

/// Options of `postern policy fallback`.
#[derive(Debug, Args)]
pub(crate) struct Fallback {
    /// Name of the policy
    name: String,
    /// Whether the previous version stands in
    state: Switch,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    /// It does.
    On,
    /// It does not.
    Off,
}

/// Lists policies.
///
/// # Errors
/// What asking fails with.
pub(super) async fn list(session: &Session) -> Result<Output, Error> {
    let policies = session.api.get(&below_org(session, "policies").await?).await?;
    Ok(shown(session, &policies))
}

/// Shows a policy with all its versions.
///
/// # Errors
/// What asking fails with.
pub(super) async fn inspect(about: Name, session: &Session) -> Result<Output, Error> {
    let found = session.api.get(&policy(session, &about.name).await?).await?;
    if session.json {
        return Ok(Output::json(&found));
    }
    let versions: Value = found["versions"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|version| version_row(&found, version))
        .collect();
    let facts = json!([
        {"fact": "name", "value": found["name"]},
        {"fact": "type", "value": found["type"]},
        {"fact": "in force", "value": found["active"]["version"]},
        {"fact": "when it fails", "value": when_it_fails(&found)},
        {"fact": "shadow", "value": shadow_cell(&found)},
        {"fact": "holders", "value": found["holders"]},
        {"fact": "settings", "value": as_text(&found["settings"])},
        {"fact": "settings schema", "value": as_text(&found["active"]["manifest"]["settings_schema"])},
    ]);
    let facts: Value = facts
        .as_array()
        .into_iter()
        .flatten()
        .filter(|fact| !fact["value"].is_null())
        .cloned()
        .collect();
    let facts = Output::table(&[("FACT", "fact"), ("VALUE", "value")], &facts).out;
    let versions = Output::table(&VERSION_COLUMNS, &versions).out;
    Ok(Output::text(format!("{facts}\n{versions}")))
}

/// Puts a version in force.
///
/// # Errors
/// [`Error::File`], [`Error::Content`], and what asking fails with: `unexpected-flips` among it.
pub(super) async fn promote(about: Promote, session: &Session) -> Result<Output, Error> {
    let mut change = json!({"active": about.version});
    if let Some(file) = &about.only_flips {
        change["expected_flips"] = expected_flips(file)?;
    }
    if let Some(evaluations) = about.evaluations_min {
        change["evaluations_min"] = Value::from(evaluations);
    }
    about.patience.put_in(&mut change);
    let promoted = session
        .api
        .ask(Method::PATCH, &policy(session, &about.name).await?, Some(&change))
        .await?;
    let undo = format!("Undo it with:  postern policy rollback {}\n", printable(&about.name));
    let advice = format!("{}{undo}", readiness(&promoted));
    Ok(shown(session, &promoted).advise(advice))
}

/// Puts the version before in force again.
///
/// # Errors
/// What asking fails with.
pub(super) async fn rollback(about: Rollback, session: &Session) -> Result<Output, Error> {
    let mut change = json!({"active": "previous"});
    about.patience.put_in(&mut change);
    changed(session, &about.name, &change).await
}

/// Removes a policy.
///
/// # Errors
/// What asking fails with: `role-in-use` and `policy-attached` among it.
pub(super) async fn remove(about: Remove, session: &Session) -> Result<Output, Error> {
    let path = policy(session, &about.name).await?;
    let path = format!("{path}{}", query(&[("bindings", about.bindings)]));
    session.api.ask(Method::DELETE, &path, None).await?;
    Ok(Output::done(session, &format!("removed {}", printable(&about.name))))
}

/// Says what happens while the version in force keeps failing.
///
/// # Errors
/// What asking fails with.
pub(super) async fn fallback(about: Fallback, session: &Session) -> Result<Output, Error> {
    changed(session, &about.name, &json!({"fallback": about.state == Switch::On})).await
}

/// Changes a policy and shows it.
///
/// # Errors
/// What asking fails with.
pub(super) async fn changed(session: &Session, name: &str, change: &Value) -> Result<Output, Error> {
    let path = policy(session, name).await?;
    let policy = session.api.ask(Method::PATCH, &path, Some(change)).await?;
    Ok(shown(session, &policy).advise(readiness(&policy)))
}

/// Shows one policy or several, a row each.
pub(super) fn shown(session: &Session, policies: &Value) -> Output {
    if session.json {
        return Output::json(policies);
    }
    let rows = match policies.as_array() {
        Some(policies) => policies.iter().map(row).collect(),
        None => row(policies),
    };
    Output::table(&COLUMNS, &rows)
}

const COLUMNS: [Column; 7] = [
    ("NAME", "name"),
    ("TYPE", "type"),
    ("IN FORCE", "active"),
    ("VERSIONS", "versions"),
    ("SHADOW", "shadow"),
    ("WHEN IT FAILS", "fallback"),
    ("HOLDERS", "holders"),
];

const VERSION_COLUMNS: [Column; 10] = [
    ("VERSION", "version"),
    ("STATE", "state"),
    ("CLASS", "class"),
    ("OCTETS", "size_bytes"),
    ("PUBLISHED", "published_at"),
    ("BY", "published_by"),
    ("SIGNED BY", "signed_by"),
    ("ON", "scopes"),
    ("ASKS FOR", "inputs"),
    ("DIGEST", "digest"),
];

fn row(policy: &Value) -> Value {
    let builtin = policy["builtin"].as_bool() == Some(true);
    let versions = policy["versions"].as_array().map_or(0, Vec::len);
    json!({
        "name": policy["name"],
        "type": policy["type"],
        "active": if builtin { json!("built-in") } else { policy["active"]["version"].clone() },
        "versions": if builtin { Value::Null } else { json!(versions) },
        "shadow": shadow_cell(policy),
        "fallback": if builtin { Value::Null } else { when_it_fails(policy) },
        "holders": policy["holders"],
    })
}

fn version_row(policy: &Value, version: &Value) -> Value {
    let is = |field: &Value| field["version"] == version["version"] || *field == version["version"];
    let states = [("active", "in force"), ("previous", "previous"), ("shadow", "shadow")];
    let states = states.iter().filter(|(field, _)| is(&policy[*field]));
    let states: Vec<_> = states.map(|(_, word)| *word).collect();
    let mut row = version.clone();
    if let Some(fields) = row.as_object_mut() {
        fields.insert("state".to_owned(), Value::from(states.join(", ")));
        if version["signature_verified"] == false
            && let Some(key) = version["signed_by"].as_str()
        {
            fields.insert("signed_by".to_owned(), Value::from(format!("{key} (unverified)")));
        }
        for list in ["scopes", "inputs"] {
            fields.insert(list.to_owned(), Value::from(words(&version["manifest"][list])));
        }
    }
    row
}

fn shadow_cell(policy: &Value) -> Value {
    match (
        policy["shadow"]["version"].as_str(),
        policy["shadow"]["percent"].as_u64(),
    ) {
        (Some(version), Some(percent)) => Value::from(format!("{version} ({percent} %)")),
        (Some(version), None) => Value::from(version),
        (None, _) => Value::Null,
    }
}

fn when_it_fails(policy: &Value) -> Value {
    let previous = policy["previous"].as_str().or(policy["previous"]["version"].as_str());
    match (policy["fallback"].as_bool(), previous) {
        (Some(true), Some(previous)) => Value::from(format!("asks {previous}")),
        (Some(true), None) => Value::from("refuses: nothing before"),
        (Some(false) | None, _) => Value::from("refuses"),
    }
}

fn words(list: &Value) -> String {
    let items = list.as_array().into_iter().flatten();
    let words: Vec<_> = items
        .map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned))
        .collect();
    words.join(", ")
}

/// Writes JSON in one line; null stays null.
fn as_text(value: &Value) -> Value {
    match value {
        Value::Null | Value::String(_) => value.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => Value::from(value.to_string()),
    }
}
