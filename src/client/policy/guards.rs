//! Guards: guard policies where they are attached, and settings.

use std::path::{Path, PathBuf};

use clap::Args;
use feed::GuardScope;
use http::Method;
use serde_json::{Value, json};

use super::paths::{below_org, guard};
use super::versions::{Patience, changed, readiness};
use crate::client::connection::{Session, read};
use crate::client::error::Error;
use crate::client::output::{Column, Output, printable};

/// Options of `postern policy attach`.
#[derive(Debug, Args)]
pub(crate) struct Attach {
    /// Name of the policy
    name: String,
    /// For requests about this app only, not for all about the organisation
    #[arg(long, value_name = "APP", conflicts_with = "installation")]
    app: Option<String>,
    /// For every request of every organisation
    #[arg(long)]
    installation: bool,
    /// Id of the guard; made from the name of the policy if not given
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Place among the guards of the same scope, lowest first; 100 if not given
    #[arg(long, value_name = "N")]
    position: Option<u32>,
    /// File (JSON) with its settings
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    #[command(flatten)]
    patience: Patience,
}

/// No options.
#[derive(Debug, Args)]
pub(crate) struct List {}

/// Options of `postern policy detach`.
#[derive(Debug, Args)]
pub(crate) struct Detach {
    /// Id of the guard
    id: String,
}

/// Options of `postern policy settings`.
#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// Name of the policy, or id of the guard with --guard
    name: String,
    /// File (JSON) with the settings
    #[arg(required_unless_present = "none", conflicts_with = "none")]
    file: Option<PathBuf>,
    /// Settings of the guard that has this id
    #[arg(long)]
    guard: bool,
    /// No settings any more
    #[arg(long)]
    none: bool,
}

/// Attaches a policy.
///
/// # Errors
/// [`Error::File`], [`Error::Content`], and what asking fails with.
pub(super) async fn attach(about: Attach, session: &Session) -> Result<Output, Error> {
    let org = session.org().await?.to_owned();
    let scope = match (about.app, about.installation) {
        (Some(app), _) => GuardScope::App { org, app },
        (None, true) => GuardScope::Installation,
        (None, false) => GuardScope::Org { org },
    };
    let mut body = json!({"policy": about.name, "scope": scope.to_string()});
    if let Some(id) = about.id {
        body["id"] = Value::from(id);
    }
    if let Some(position) = about.position {
        body["position"] = Value::from(position);
    }
    if let Some(file) = &about.settings {
        body["settings"] = json_in(file)?;
    }
    about.patience.put_in(&mut body);
    let path = below_org(session, "guards").await?;
    let attached = session.api.ask(Method::POST, &path, Some(&body)).await?;
    Ok(shown(session, &attached).advise(readiness(&attached)))
}

/// Lists guards.
///
/// # Errors
/// What asking fails with.
pub(super) async fn list(session: &Session) -> Result<Output, Error> {
    let guards = session.api.get(&below_org(session, "guards").await?).await?;
    Ok(shown(session, &guards))
}

/// Detaches a guard.
///
/// # Errors
/// What asking fails with.
pub(super) async fn detach(about: Detach, session: &Session) -> Result<Output, Error> {
    session
        .api
        .ask(Method::DELETE, &guard(session, &about.id).await?, None)
        .await?;
    Ok(Output::done(session, &format!("detached {}", printable(&about.id))))
}

/// Changes settings.
///
/// # Errors
/// [`Error::File`], [`Error::Content`], and what asking fails with.
pub(super) async fn settings(about: Settings, session: &Session) -> Result<Output, Error> {
    let settings = match &about.file {
        Some(file) => json_in(file)?,
        None => Value::Null,
    };
    let change = json!({"settings": settings});
    if !about.guard {
        return changed(session, &about.name, &change).await;
    }
    let path = guard(session, &about.name).await?;
    let changed = session.api.ask(Method::PATCH, &path, Some(&change)).await?;
    Ok(shown(session, &changed))
}

const COLUMNS: [Column; 5] = [
    ("ID", "id"),
    ("POLICY", "policy"),
    ("SCOPE", "scope"),
    ("POSITION", "position"),
    ("SETTINGS", "settings"),
];

/// Reads a file of JSON.
///
/// # Errors
/// [`Error::File`], [`Error::Content`].
pub(super) fn json_in(path: &Path) -> Result<Value, Error> {
    serde_json::from_str(&read(path)?).map_err(|error| Error::Content {
        path: path.to_owned(),
        problem: format!("not JSON: {error}"),
    })
}

fn shown(session: &Session, guards: &Value) -> Output {
    if session.json {
        return Output::json(guards);
    }
    let row = |guard: &Value| {
        let mut row = guard.clone();
        if row["settings"].is_object() {
            row["settings"] = Value::from(row["settings"].to_string());
        }
        row
    };
    let rows = match guards.as_array() {
        Some(guards) => guards.iter().map(row).collect(),
        None => row(guards),
    };
    Output::table(&COLUMNS, &rows)
}
