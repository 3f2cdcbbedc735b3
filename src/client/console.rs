//! `postern console`: signing in to the console of this machine.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use http::{HeaderMap, Method};
use serde_json::json;

use super::api::Api;
use super::connection::{Bearer, base};
use super::error::Error;
use super::output::{Output, printable};
use super::tls::TlsFiles;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print a link that signs one person in to the console, once, within ten minutes
    #[command(
        after_help = "Example:\n  postern console open --data /var/lib/postern\n  postern console open jo@example.com --data /var/lib/postern"
    )]
    Open(Open),
}

/// Options of `postern console open`.
#[derive(Debug, Args)]
pub(crate) struct Open {
    /// Address of the member who is to sign in; without it, the administrator on the spot, who is made if need be
    #[arg(value_name = "EMAIL")]
    email: Option<String>,
    /// Directory of a running Postern, whose key proves that you may do this
    #[arg(long, value_name = "DIR", env = "POSTERN_DATA", default_value = "postern-data")]
    data: PathBuf,
    /// Where the console listens
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8083")]
    url: String,
    #[command(flatten)]
    tls: TlsFiles,
}

/// Carries out a command.
///
/// # Errors
/// What asking fails with.
pub(super) async fn answer(command: Command) -> Result<Output, Error> {
    let Command::Open(open) = command;
    let base = base(&open.url).ok_or(Error::Url(open.url))?;
    let key = Bearer::of_file(&open.data.join(admin::CONSOLE_KEY_FILE))?;
    let tls = open.tls.config(&base)?;
    let api = Api::new(base, key, HeaderMap::new(), tls);
    let body = match open.email {
        Some(email) => json!({ "email": email }),
        None => json!({}),
    };
    let made = api.ask(Method::POST, "/sign-in-links", Some(&body)).await?;
    let text = |name: &str| made[name].as_str().map(printable);
    let link = text("link").ok_or_else(|| api.incomplete("it has no link"))?;
    let name = text("name").unwrap_or_default();
    let minutes = made["ends_in_minutes"].as_u64().unwrap_or_default();
    let advice = format!("Open it in a browser on this machine: it signs in {name}, once, within {minutes} minutes.");
    Ok(Output {
        out: format!("{link}\n"),
        advice: format!("{advice}\n"),
    })
}
