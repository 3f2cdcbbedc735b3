//! `postern role`: who holds which role on the organisation, on an app or on an env type.

use clap::{ArgGroup, Args, Subcommand};
use http::Method;
use serde_json::json;

use super::api::segment;
use super::connection::Session;
use super::error::Error;
use super::output::Output;
use super::user::shown;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List who holds a role on an app or an env type; on the organisation when neither is given
    #[command(after_help = "Example:\n  postern role list --app shop")]
    List {
        #[command(flatten)]
        object: Object,
    },
    /// Give a subject a role on an app or an env type, in place of the one it has there
    #[command(group(one_object()))]
    #[command(after_help = "Example:\n  postern role grant ci developer --app shop\n  \
                            postern role grant ci deployer --env-type production")]
    Grant {
        /// Id, or a name that one user only has
        subject: String,
        /// Role on that object
        role: String,
        #[command(flatten)]
        object: Object,
    },
    /// Take a subject's role on an app or an env type away, at once
    #[command(group(one_object()))]
    #[command(after_help = "Example:\n  postern role revoke ci --app shop")]
    Revoke {
        /// Id, or a name that one user only has
        subject: String,
        #[command(flatten)]
        object: Object,
    },
}

/// What a role is held on. The organisation, when nothing is given.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(super) struct Object {
    /// On this app
    #[arg(long, value_name = "APP")]
    app: Option<String>,
    /// On this env type
    #[arg(long, value_name = "ENV_TYPE")]
    env_type: Option<String>,
}

/// Carries out a command.
///
/// # Errors
/// What asking fails with.
pub(super) async fn answer(command: Command, session: &Session) -> Result<Output, Error> {
    match command {
        Command::List { object } => {
            let holders = session.api.get(&object.holders(session).await?).await?;
            Ok(shown(session, &holders))
        }
        Command::Grant { subject, role, object } => {
            let body = json!({"id": session.subject(&subject).await?, "role": role});
            let holders = object.holders(session).await?;
            let holder = session.api.ask(Method::POST, &holders, Some(&body)).await?;
            Ok(shown(session, &holder))
        }
        Command::Revoke { subject, object } => {
            let id = session.subject(&subject).await?;
            let path = format!("{}/{}", object.holders(session).await?, segment(&id));
            session.api.ask(Method::DELETE, &path, None).await?;
            Ok(Output::done(
                session,
                &format!("revoked the role of {subject} on {}", object.describe()),
            ))
        }
    }
}

impl Object {
    async fn holders(&self, session: &Session) -> Result<String, Error> {
        let org = segment(session.org().await?);
        Ok(match (&self.app, &self.env_type) {
            (Some(app), _) => format!("/orgs/{org}/apps/{}/users", segment(app)),
            (None, Some(env_type)) => format!("/orgs/{org}/env-types/{}/users", segment(env_type)),
            (None, None) => format!("/orgs/{org}/users"),
        })
    }

    fn describe(&self) -> String {
        match (&self.app, &self.env_type) {
            (Some(app), _) => format!("app {app}"),
            (None, Some(env_type)) => format!("env type {env_type}"),
            (None, None) => "the organisation".to_owned(),
        }
    }
}

fn one_object() -> ArgGroup {
    ArgGroup::new("object").required(true).args(["app", "env_type"])
}
