//! `postern policy publish`: a component from a file or a registry, into the store.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use feed::PolicyDigest;
use serde_json::{Value, json};

use super::artifact::read_component;
use super::guards::json_in;
use super::paths::below_org;
use super::sign::Signing;
use super::versions::{Patience, readiness, shown};
use crate::client::connection::Session;
use crate::client::error::Error;
use crate::client::oci::{Options, Reference, Registry};
use crate::client::output::{Output, printable};

/// Options of `postern policy publish`.
#[derive(Debug, Args)]
pub(crate) struct Publish {
    /// Component: a file, or oci://… in a registry
    #[arg(value_name = "FILE|REFERENCE")]
    source: String,
    /// Put it in force at once, without promotion
    #[arg(long)]
    activate: bool,
    /// File (JSON) with the settings of a role policy, when it is put in force at once
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    #[command(flatten)]
    patience: Patience,
    #[command(flatten)]
    signing: Signing,
    #[command(flatten)]
    registry: Options,
}

/// Publishes a component.
///
/// # Errors
/// What [`Signing::signature`] fails with, [`Error::Registry`], and what asking fails with: what the component is refused
/// for among it.
pub(super) async fn publish(about: Publish, session: &Session) -> Result<Output, Error> {
    let component = component(&about.source, &about.registry).await?;
    let mut body = json!({"component": STANDARD.encode(&component)});
    let source = (about.source.as_str(), component.as_slice());
    if let Some(signature) = about.signing.signature(source, session.org().await?)? {
        body["signature"] = json!(signature);
    }
    if let Some(file) = &about.settings {
        body["settings"] = json_in(file)?;
    }
    if about.activate {
        body["activate"] = Value::from(true);
    }
    about.patience.put_in(&mut body);
    let policy = session
        .api
        .publish(&below_org(session, "policies").await?, &body)
        .await?;
    let digest = PolicyDigest::of(&component).to_string();
    let advice = format!("{}{}", readiness(&policy), next_step(&policy, &digest));
    Ok(shown(session, &policy).advise(advice))
}

async fn component(source: &str, options: &Options) -> Result<Vec<u8>, Error> {
    if Reference::is_meant(source) {
        let reference: Reference = source.parse()?;
        let pulled = Registry::open(&reference, options)?.pull(&reference).await?;
        return Ok(pulled.component);
    }
    read_component(&PathBuf::from(source))
}

/// Says what is done with the version that has a digest, and what may be done next.
fn next_step(policy: &Value, digest: &str) -> String {
    let mut versions = policy["versions"].as_array().into_iter().flatten();
    let version = versions.find(|version| version["digest"] == *digest);
    let version = version.and_then(|version| version["version"].as_str());
    let (Some(name), Some(version)) = (policy["name"].as_str().map(printable), version.map(printable)) else {
        return String::new();
    };
    let in_force = policy["active"]["digest"] == *digest;
    match (in_force, policy["type"] == "guard") {
        (true, true) if policy["holders"].as_u64() == Some(0) => {
            format!("{name} {version} is in force where it is attached:  postern policy attach {name}\n")
        }
        (true, true) => format!("{name} {version} is in force where it is attached\n"),
        (true, false) => format!("{name} {version} is in force:  postern role grant SUBJECT {name} --app APP\n"),
        (false, _) => format!(
            "{name} {version} is published and not in force. See what it would change, then promote it:\n  \
             postern policy shadow {name} {version}\n  postern policy promote {name} {version}\n"
        ),
    }
}
