//! `postern policy components`: everything that decisions were made with, by digest.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use clap::Args;
use feed::PolicyDigest;
use serde_json::{Value, json};

use super::artifact::write;
use super::paths::{below_org, policy};
use crate::client::api::segment;
use crate::client::connection::Session;
use crate::client::error::Error;
use crate::client::output::Output;

/// Options of `postern policy components`.
#[derive(Debug, Args)]
pub(crate) struct Components {
    /// Folder to put them in, as DIGEST.wasm; made when only its last part is missing
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// Downloads every version of every policy; what is in the folder already is not asked for again.
///
/// # Errors
/// [`Error::Written`], and what asking fails with; [`Error::NotTheApi`] when a component has not its digest.
pub(super) async fn components(about: Components, session: &Session) -> Result<Output, Error> {
    let directory = about.directory;
    if !directory.is_dir() {
        fs::create_dir(&directory).map_err(|source| Error::Written {
            path: directory.clone(),
            source,
        })?;
    }
    let policies = session.api.get(&below_org(session, "policies").await?).await?;
    let (mut had, mut fetched) = (0, Vec::new());
    for (digest, (name, version)) in published(&policies) {
        let file = directory.join(format!("{digest}.wasm"));
        if fs::read(&file).is_ok_and(|octets| PolicyDigest::of(&octets) == digest) {
            had += 1;
            continue;
        }
        let path = format!(
            "{}/versions/{}/component",
            policy(session, &name).await?,
            segment(&version)
        );
        let component = session.api.octets(&path).await?;
        if PolicyDigest::of(&component) != digest {
            return Err(session.api.incomplete("it sent a component that has not its digest"));
        }
        write(&file, &component)?;
        fetched.push(json!({"name": name, "version": version, "digest": digest.to_string()}));
    }
    let advice = format!("{} downloaded, {had} were there\n", fetched.len());
    let fetched = Value::Array(fetched);
    Ok(if session.json {
        Output::json(&fetched)
    } else {
        Output::table(
            &[("POLICY", "name"), ("VERSION", "version"), ("DIGEST", "digest")],
            &fetched,
        )
    }
    .advise(advice))
}

/// Returns each component that was published once, with a policy and a version that it is.
fn published(policies: &Value) -> BTreeMap<PolicyDigest, (String, String)> {
    let mut published = BTreeMap::new();
    for policy in policies.as_array().into_iter().flatten() {
        for version in policy["versions"].as_array().into_iter().flatten() {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            // Built-in roles have a digest too, and every Postern has their components.
            let digest = text(&version["digest"]).parse();
            if let (Ok(digest), Some(false) | None) = (digest, policy["builtin"].as_bool()) {
                published.insert(digest, (text(&policy["name"]), text(&version["version"])));
            }
        }
    }
    published
}
