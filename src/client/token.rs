//! `postern token`: tokens of service users.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use feed::{Clock, Thumbprint};
use http::Method;
use serde_json::{Value, json};

use super::api::segment;
use super::connection::Session;
use super::error::Error;
use super::expiry;
use super::output::{Column, Output, printable};
use super::tls::certificates;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the tokens of a service user
    #[command(after_help = "Example:\n  postern token list ci")]
    List {
        /// Id, or a name that one user only has
        user: String,
    },
    /// Create a token and print it: now, and never again
    #[command(after_help = "Example:\n  TOKEN=$(postern token create ci github-actions --expires-in 90d)")]
    Create {
        /// Id, or a name that one user only has
        user: String,
        /// Name of the token, the only one of this service user; free again when the token is revoked
        token_id: String,
        /// What the token is for
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        /// When the token ends, such as 2030-12-31T00:00:00Z; never, when neither this nor --expires-in is given
        #[arg(long, value_name = "TIME", conflicts_with = "expires_in")]
        expires_at: Option<String>,
        /// How long the token lasts, such as 90d, 12h or 30m
        #[arg(long, value_name = "DURATION")]
        expires_in: Option<String>,
        /// File (PEM) with the client certificate without which the token will be good for nothing
        #[arg(long, value_name = "FILE")]
        certificate: Option<PathBuf>,
    },
    /// Show one token, without its secret
    #[command(after_help = "Example:\n  postern token show ci github-actions")]
    Show {
        /// Id, or a name that one user only has
        user: String,
        /// Name of the token
        token_id: String,
    },
    /// Let a token go that is held since a backup was restored: it is believed again
    #[command(after_help = "Example:\n  postern token release ci github-actions")]
    Release {
        /// Id, or a name that one user only has
        user: String,
        /// Name of the token
        token_id: String,
    },
    /// End a token, at once
    #[command(after_help = "Example:\n  postern token revoke ci github-actions --wait 2s")]
    Revoke {
        /// Id, or a name that one user only has
        user: String,
        /// Name of the token
        token_id: String,
        /// Wait so long, such as 2s, for all gateways to refuse it, and tell which do; 20s at most
        #[arg(long, value_name = "TIME")]
        wait: Option<String>,
    },
}

/// Carries out a command.
///
/// # Errors
/// [`Error::Expiry`], [`Error::Certificates`], [`Error::File`], and what asking fails with.
pub(super) async fn answer(command: Command, session: &Session, clock: &Clock) -> Result<Output, Error> {
    match command {
        Command::List { user } => {
            let tokens = session.api.get(&tokens(session, &user).await?).await?;
            Ok(shown(session, tokens))
        }
        Command::Create {
            user,
            token_id,
            description,
            expires_at,
            expires_in,
            certificate,
        } => {
            let expires_at = match (expires_at, expires_in) {
                (Some(time), _) => Some(expiry::at(&time, clock)?),
                (None, Some(duration)) => Some(expiry::after(&duration, clock)?),
                (None, None) => None,
            };
            let mut body = json!({"id": token_id, "type": "static"});
            for (field, value) in [("description", description), ("expires_at", expires_at)] {
                if let Some(value) = value {
                    body[field] = Value::from(value);
                }
            }
            if let Some(file) = certificate {
                body["cnf"] = json!({CERTIFICATE: thumbprint(&file)?});
            }
            create(session, &user, &body).await
        }
        Command::Show { user, token_id } => {
            let token = session.api.get(&path(session, &user, &token_id).await?).await?;
            Ok(shown(session, token))
        }
        Command::Release { user, token_id } => {
            let path = format!("{}/release", path(session, &user, &token_id).await?);
            session.api.ask(Method::POST, &path, None).await?;
            Ok(Output::done(session, &format!("released {token_id} of {user}")))
        }
        Command::Revoke { user, token_id, wait } => {
            let mut path = path(session, &user, &token_id).await?;
            if let Some(wait) = &wait {
                path.push_str(&format!("?wait={}", segment(wait)));
            }
            let receipt = session.api.ask(Method::DELETE, &path, None).await?;
            let done = format!("revoked {token_id} of {user}");
            Ok(match wait {
                None => Output::done(session, &done),
                Some(_) => receipt_shown(session, &done, &receipt),
            })
        }
    }
}

/// The member of `cnf` for the thumbprint of a certificate, RFC 8705 §3.1.
const CERTIFICATE: &str = "x5t#S256";

const COLUMNS: [Column; 6] = [
    ("ID", "id"),
    ("DESCRIPTION", "description"),
    ("CREATED", "created_at"),
    ("CREATED BY", "created_by"),
    ("CERTIFICATE", "certificate"),
    ("EXPIRES", "expires_at"),
];

/// What the API may send for a token without expiry, besides nothing at all.
const NEVER: &str = "0001-01-01T00:00:00Z";

async fn create(session: &Session, user: &str, body: &Value) -> Result<Output, Error> {
    let answer = session
        .api
        .ask(Method::POST, &tokens(session, user).await?, Some(body))
        .await?;
    let output = if session.json {
        Output::json(&answer)
    } else {
        let token = answer["token"].as_str();
        let token = token.ok_or_else(|| session.api.incomplete("the answer holds no token"))?;
        Output::text(format!("{token}\n"))
    };
    let advice =
        "This is the only time the token is shown: keep it where the machine that uses it finds its secrets.\n";
    Ok(output.advise(advice.to_owned()))
}

/// Tells which gateways refuse the token, and until when the others may not.
fn receipt_shown(session: &Session, done: &str, receipt: &Value) -> Output {
    if session.json {
        return Output::json(receipt);
    }
    let mut text = format!("{done}\n");
    let of = |value: &Value| value.as_str().map(printable).unwrap_or_default();
    for gateway in receipt["refused_by"].as_array().into_iter().flatten() {
        let (name, after_ms) = (of(&gateway["gateway"]), &gateway["after_ms"]);
        text.push_str(&format!("{name} refuses it: said so after {after_ms} ms\n"));
    }
    for gateway in receipt["not_heard_from"].as_array().into_iter().flatten() {
        let name = of(&gateway["gateway"]);
        text.push_str(&if gateway["last_contact"].is_null() {
            format!("{name} has not said so, nor anything since the admin service began\n")
        } else {
            let (last, by) = (of(&gateway["last_contact"]), of(&gateway["refuses_by"]));
            format!("{name} has not said so; last heard from {last}. If it lives it refuses everything from {by} on\n")
        });
    }
    Output::text(text)
}

fn shown(session: &Session, mut tokens: Value) -> Output {
    if session.json {
        return Output::json(&tokens);
    }
    match tokens.as_array_mut() {
        Some(tokens) => tokens.iter_mut().for_each(flatten),
        None => flatten(&mut tokens),
    }
    Output::table(&COLUMNS, &tokens)
}

/// Puts what the columns show where they look for it.
fn flatten(token: &mut Value) {
    let Some(token) = token.as_object_mut() else {
        return;
    };
    let expires_at = token.get("expires_at").and_then(Value::as_str);
    if expires_at.is_none_or(|time| time == NEVER) {
        token.insert("expires_at".to_owned(), Value::from("never"));
    }
    if let Some(certificate) = token.get("cnf").and_then(|cnf| cnf.get(CERTIFICATE)).cloned() {
        token.insert("certificate".to_owned(), certificate);
    }
}

/// Returns the thumbprint of the first certificate in a file.
fn thumbprint(file: &Path) -> Result<Thumbprint, Error> {
    Ok(Thumbprint::of_certificate(&certificates(file)?[0]))
}

async fn tokens(session: &Session, user: &str) -> Result<String, Error> {
    Ok(format!("/users/{}/tokens", segment(&session.subject(user).await?)))
}

async fn path(session: &Session, user: &str, token_id: &str) -> Result<String, Error> {
    Ok(format!("{}/{}", tokens(session, user).await?, segment(token_id)))
}
