//! `postern user`: service users, and the members and groups beside them.

use clap::Subcommand;
use http::Method;
use serde_json::{Value, json};

use super::api::segment;
use super::connection::Session;
use super::error::Error;
use super::output::{Column, Output};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the users of the organisation with their roles on it
    #[command(after_help = "Example:\n  postern user list --json | jq -r '.[] | select(.type == \"service\") | .name'")]
    List,
    /// Create a service user
    #[command(after_help = "Example:\n  postern user create ci --role artefactContributor")]
    Create {
        /// Name, for people; it need not be the only one
        name: String,
        /// Role on the organisation
        #[arg(long, value_name = "ROLE")]
        role: String,
        /// Where notices about the service user go
        #[arg(long, value_name = "ADDRESS")]
        email: Option<String>,
    },
    /// Show one user
    #[command(after_help = "Example:\n  postern user show ci")]
    Show {
        /// Id, or a name that one user only has
        user: String,
    },
    /// Give a user another role on the organisation
    #[command(after_help = "Example:\n  postern user set-role ci member")]
    SetRole {
        /// Id, or a name that one user only has
        user: String,
        /// Role on the organisation
        role: String,
    },
    /// Give a service user another name
    #[command(after_help = "Example:\n  postern user rename ci ci-shop")]
    Rename {
        /// Id, or a name that one user only has
        user: String,
        /// Name, for people; it need not be the only one
        name: String,
    },
    /// Disable a service user: its tokens are refused until it is enabled again
    #[command(after_help = "Example:\n  postern user disable ci")]
    Disable {
        /// Id, or a name that one user only has
        user: String,
    },
    /// Enable a service user that was disabled
    #[command(after_help = "Example:\n  postern user enable ci")]
    Enable {
        /// Id, or a name that one user only has
        user: String,
    },
    /// Delete a service user and all its tokens, at once
    #[command(after_help = "Example:\n  postern user delete ci")]
    Delete {
        /// Id, or a name that one user only has
        user: String,
    },
}

/// Columns of a list of subjects.
pub(super) const COLUMNS: [Column; 7] = [
    ("ID", "id"),
    ("NAME", "name"),
    ("TYPE", "type"),
    ("ROLE", "role"),
    ("EMAIL", "email"),
    ("DISABLED", "disabled"),
    ("CREATED", "created_at"),
];

/// Carries out a command.
///
/// # Errors
/// What asking fails with.
pub(super) async fn answer(command: Command, session: &Session) -> Result<Output, Error> {
    match command {
        Command::List => {
            let users = session.api.get(&users(session).await?).await?;
            Ok(shown(session, &users))
        }
        Command::Create { name, role, email } => create(session, name, role, email).await,
        Command::Show { user } => {
            let user = session.api.get(&path(session, &user).await?).await?;
            Ok(shown(session, &user))
        }
        Command::SetRole { user, role } => change(session, &user, &json!({"role": role})).await,
        Command::Rename { user, name } => change(session, &user, &json!({"name": name})).await,
        Command::Disable { user } => change(session, &user, &json!({"disabled": true})).await,
        Command::Enable { user } => change(session, &user, &json!({"disabled": false})).await,
        Command::Delete { user } => {
            let path = path(session, &user).await?;
            session.api.ask(Method::DELETE, &path, None).await?;
            Ok(Output::done(session, &format!("deleted {user}")))
        }
    }
}

async fn change(session: &Session, user: &str, change: &Value) -> Result<Output, Error> {
    let path = path(session, user).await?;
    let user = session.api.ask(Method::PATCH, &path, Some(change)).await?;
    Ok(shown(session, &user))
}

/// Shows subjects.
pub(super) fn shown(session: &Session, subjects: &Value) -> Output {
    if session.json {
        Output::json(subjects)
    } else {
        Output::table(&COLUMNS, subjects)
    }
}

async fn create(session: &Session, name: String, role: String, email: Option<String>) -> Result<Output, Error> {
    let mut body = json!({"name": name, "role": role});
    if let Some(email) = email {
        body["email"] = Value::from(email);
    }
    let mut user = session
        .api
        .ask(Method::POST, &users(session).await?, Some(&body))
        .await?;
    if session.json {
        return Ok(Output::json(&user));
    }
    let id = user["id"].as_str().unwrap_or_default().to_owned();
    if let Some(user) = user.as_object_mut() {
        // The answer has no role; it is the one that was asked for.
        user.insert("role".to_owned(), Value::from(role));
    }
    let advice = format!("Give it a token:  postern token create {id} TOKEN_ID\n");
    Ok(shown(session, &user).advise(advice))
}

async fn users(session: &Session) -> Result<String, Error> {
    Ok(format!("/orgs/{}/users", segment(session.org().await?)))
}

async fn path(session: &Session, user: &str) -> Result<String, Error> {
    let id = session.subject(user).await?;
    Ok(format!("{}/{}", users(session).await?, segment(&id)))
}
