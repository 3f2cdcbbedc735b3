//! `postern fleet`: the gateways.

use clap::Subcommand;
use http::Method;
use serde_json::{Value, json};

use super::api::segment;
use super::connection::Session;
use super::error::Error;
use super::output::{Column, Output};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the gateways: how far each is, and when it was last heard from
    #[command(after_help = "Example:\n  postern fleet list --json | jq -r '.[] | select(.state != \"live\") | .name'")]
    List,
    /// Show one gateway
    #[command(after_help = "Example:\n  postern fleet show edge-1")]
    Show {
        /// Name of the gateway
        name: String,
    },
    /// Let a gateway enrol: prints the token for its --enrolment-token-file, which can be used once, within 15 minutes
    #[command(after_help = "Example:\n  postern fleet enrol edge-1 > enrolment-token")]
    Enrol {
        /// Name that the gateway is to be known by
        name: String,
    },
    /// Give a gateway another name
    #[command(after_help = "Example:\n  postern fleet rename edge-1 paris-1")]
    Rename {
        /// Name of the gateway
        name: String,
        /// Its new name
        new: String,
    },
    /// Let a gateway in no more: its feed ends at once, and what it has signed is not believed
    #[command(after_help = "Example:\n  postern fleet remove edge-1")]
    Remove {
        /// Name of the gateway
        name: String,
    },
}

/// Carries out a command.
///
/// # Errors
/// What asking fails with.
pub(super) async fn answer(command: Command, session: &Session) -> Result<Output, Error> {
    let gateways = format!("/orgs/{}/gateways", segment(session.org().await?));
    match command {
        Command::List => Ok(shown(session, session.api.get(&gateways).await?)),
        Command::Show { name } => {
            let gateway = session.api.get(&format!("{gateways}/{}", segment(&name))).await?;
            Ok(shown(session, gateway))
        }
        Command::Enrol { name } => {
            let body = json!({ "name": name });
            let answer = session.api.ask(Method::POST, &gateways, Some(&body)).await?;
            Ok(enrolment(session, &answer)?.advise(format!(
                "Start the gateway with --enrolment-token-file within 15 minutes; {name} then has a credential of its own.\n"
            )))
        }
        Command::Rename { name, new } => {
            let path = format!("{gateways}/{}", segment(&name));
            let body = json!({ "name": new });
            session.api.ask(Method::PATCH, &path, Some(&body)).await?;
            Ok(Output::done(session, &format!("{name} is {new} now")))
        }
        Command::Remove { name } => {
            let path = format!("{gateways}/{}", segment(&name));
            session.api.ask(Method::DELETE, &path, None).await?;
            Ok(Output::done(session, &format!("removed {name}")))
        }
    }
}

const COLUMNS: [Column; 9] = [
    ("NAME", "name"),
    ("STATE", "state"),
    ("VERSION", "version"),
    ("REVISION", "revision"),
    ("BEHIND", "lag_revisions"),
    ("SECONDS", "lag_seconds"),
    ("POLICIES", "policies"),
    ("ADDRESS", "address"),
    ("LAST CONTACT", "last_contact"),
];

fn enrolment(session: &Session, answer: &Value) -> Result<Output, Error> {
    if session.json {
        return Ok(Output::json(answer));
    }
    let token = answer["enrolment_token"].as_str();
    let token = token.ok_or_else(|| session.api.incomplete("the answer holds no enrolment token"))?;
    Ok(Output::text(format!("{token}\n")))
}

fn shown(session: &Session, mut gateways: Value) -> Output {
    if session.json {
        return Output::json(&gateways);
    }
    match gateways.as_array_mut() {
        Some(gateways) => gateways.iter_mut().for_each(in_seconds),
        None => in_seconds(&mut gateways),
    }
    Output::table(&COLUMNS, &gateways)
}

fn in_seconds(gateway: &mut Value) {
    let Some(milliseconds) = gateway["lag_ms"].as_u64() else {
        return;
    };
    gateway["lag_seconds"] = json!(format!("{}.{}", milliseconds / 1000, milliseconds % 1000 / 100));
}
