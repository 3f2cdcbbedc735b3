//! `postern policy`, as far as it asks a running Postern or a registry: what is published, in force, watched, attached,
//! and why a decision was made.
//!
//! # Layout
//! - [`publish`]: into the store, from a file or a registry, [`sign`]ed; [`artifact`]: into a registry and out of one.
//! - [`versions`]: what is published and which of it is in force; [`shadow`]: what a version would change.
//! - [`guards`]: where guard policies are attached.
//! - [`access`]: what a subject may do, as a table, and how two such tables differ.
//! - [`decisions`]: decisions on record; [`explain`]: one of them, step by step.
//! - [`components`]: everything that it takes to make decisions again elsewhere.
//! - [`paths`]: the API's paths; [`refusals`]: what to do about what it refuses.

mod access;
mod artifact;
mod components;
mod decisions;
mod explain;
mod guards;
mod paths;
mod publish;
mod refusals;
mod shadow;
mod sign;
mod versions;

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use feed::Clock;

use super::connection::{Connection, Session, Variables};
use super::error::Error;
use super::output::Output;

/// What to ask for about policies.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Publish a policy; the first version of a name is in force at once, a later one when it is promoted
    #[command(
        after_help = "Example:\n  postern policy publish freeze.wasm --sign-key ci.pem --key-name ci\n  \
                            postern policy publish oci://registry.example.com/policies/freeze:1.2.0"
    )]
    Publish(Ask<publish::Publish>),
    /// Push a component to an OCI registry, and print the reference pinned by digest
    #[command(
        after_help = "Example:\n  postern policy push freeze.wasm oci://registry.example.com/policies/freeze:1.2.0"
    )]
    Push(artifact::Push),
    /// Pull a component from an OCI registry into a file
    #[command(
        after_help = "Example:\n  postern policy pull oci://registry.example.com/policies/freeze:1.2.0 -o freeze.wasm"
    )]
    Pull(artifact::Pull),
    /// List the policies of the organisation, and the built-in roles
    #[command(after_help = "Example:\n  postern policy list")]
    List(Ask<versions::List>),
    /// Show one policy: its versions, what they ask for, its settings
    #[command(after_help = "Example:\n  postern policy inspect freeze")]
    Inspect(Ask<versions::Name>),
    /// Watch a version beside the one in force: start, stop, or report what it would change
    #[command(after_help = "Example:\n  postern policy shadow freeze 1.3.0 --percent 20\n  \
                            postern policy shadow freeze --report\n  postern policy shadow freeze --off")]
    Shadow(Ask<shadow::ShadowOf>),
    /// Put a version in force
    #[command(after_help = "Example:\n  postern policy promote freeze 1.3.0\n  \
                            postern policy shadow freeze --report --json > expected.json\n  \
                            postern policy promote freeze 1.3.0 --only-flips expected.json --evaluations-min 1000")]
    Promote(Ask<versions::Promote>),
    /// Put the version that was in force before in force again, at once
    #[command(after_help = "Example:\n  postern policy rollback freeze")]
    Rollback(Ask<versions::Rollback>),
    /// Remove a policy with all its versions
    #[command(after_help = "Example:\n  postern policy remove deployer-plus --bindings remove\n  \
                            postern policy remove deployer-plus --bindings developer")]
    Remove(Ask<versions::Remove>),
    /// Attach a guard policy to the organisation, an app or the installation
    #[command(after_help = "Example:\n  postern policy attach freeze --settings december.json\n  \
                            postern policy attach office-only --app shop --id shop-office --position 10")]
    Attach(Ask<guards::Attach>),
    /// List the guards that are attached, in the order in which they are asked
    #[command(after_help = "Example:\n  postern policy guards")]
    Guards(Ask<guards::List>),
    /// Detach a guard, at once
    #[command(after_help = "Example:\n  postern policy detach freeze")]
    Detach(Ask<guards::Detach>),
    /// Change the settings of a role policy, or of a guard that is attached
    #[command(after_help = "Example:\n  postern policy settings deployer-plus settings.json\n  \
                            postern policy settings --guard shop-office office.json\n  \
                            postern policy settings deployer-plus --none")]
    Settings(Ask<guards::Settings>),
    /// Let the previous version stand in while the one in force keeps failing, or refuse meanwhile
    #[command(after_help = "Example:\n  postern policy fallback freeze on")]
    Fallback(Ask<versions::Fallback>),
    /// Show what a subject, or whoever holds a role, may do, as the policies decide it
    #[command(after_help = "Example:\n  postern policy access ci\n  \
                            postern policy access ci --policy deployer-plus --version 1.3.0\n  \
                            postern policy access --role developer@app\n  \
                            postern policy access --role deployer-plus --policies deployer-plus.wasm freeze.wasm")]
    Access(Ask<access::Access>),
    /// Show what a change gives a subject and takes away: a version not yet in force, or one revision against another
    #[command(
        after_help = "Example:\n  postern policy diff ci --policy deployer-plus --version 1.3.0\n  \
                            postern policy diff ci --from 41 --to 57\n  \
                            postern policy diff --role deployer-plus --policies old.wasm --with new.wasm"
    )]
    Diff(Ask<access::Diff>),
    /// Explain a decision step by step: one that was made, or one that would be
    #[command(
        after_help = "Example:\n  postern policy explain 4bf92f3577b34da6a3ce929d0e0e4736\n  \
                            postern policy explain --subject ci --operation deleteApplication --parameter appId=shop"
    )]
    Explain(Ask<explain::Explain>),
    /// List the latest decisions on record
    #[command(
        after_help = "Example:\n  postern policy decisions --subject ci --outcome denied\n  \
                            postern policy decisions --follow"
    )]
    Decisions(Ask<decisions::Decisions>),
    /// Print a decision on record as a case for `postern policy test`
    #[command(after_help = "Example:\n  postern policy record 4bf92f3577b34da6a3ce929d0e0e4736 >> cases.toml")]
    Record(Ask<decisions::Record>),
    /// Download every published component into a folder, for `postern policy replay` on another machine
    #[command(after_help = "Example:\n  postern policy components components/")]
    Components(Ask<components::Components>),
}

impl Command {
    /// Returns the file with decisions, and the folders with components, of a command that asks nobody.
    pub(crate) fn on_file(&self) -> Option<(&Path, &[PathBuf])> {
        if let Self::Explain(ask) = self {
            ask.about.on_file()
        } else {
            None
        }
    }
}

/// A command that asks the API, and where the API is.
#[derive(Debug, Args)]
pub(crate) struct Ask<A: Args> {
    #[command(flatten)]
    about: A,
    #[command(flatten)]
    connection: Connection,
}

/// Carries out a command. What comes bit by bit goes to `out` meanwhile; what is returned is to be printed behind it.
///
/// # Errors
/// [`Error`]; what it says holds no token.
pub(super) async fn answer(
    command: Command,
    variables: &Variables,
    clock: &Clock,
    out: &mut dyn Write,
) -> Result<Output, Error> {
    let answered = match command {
        Command::Publish(ask) => {
            let (about, session) = ask.open(variables)?;
            Box::pin(publish::publish(about, &session)).await
        }
        Command::Push(push) => artifact::push(push, clock).await,
        Command::Pull(pull) => artifact::pull(pull).await,
        Command::List(ask) => versions::list(&ask.open(variables)?.1).await,
        Command::Inspect(ask) => with(ask, variables, versions::inspect).await,
        Command::Shadow(ask) => with(ask, variables, shadow::shadow).await,
        Command::Promote(ask) => with(ask, variables, versions::promote).await,
        Command::Rollback(ask) => with(ask, variables, versions::rollback).await,
        Command::Remove(ask) => with(ask, variables, versions::remove).await,
        Command::Attach(ask) => with(ask, variables, guards::attach).await,
        Command::Guards(ask) => guards::list(&ask.open(variables)?.1).await,
        Command::Detach(ask) => with(ask, variables, guards::detach).await,
        Command::Settings(ask) => with(ask, variables, guards::settings).await,
        Command::Fallback(ask) => with(ask, variables, versions::fallback).await,
        Command::Access(ask) if ask.about.is_on_files() => ask.about.on_files(ask.connection.json()),
        Command::Diff(ask) if ask.about.is_on_files() => ask.about.on_files(ask.connection.json()),
        Command::Access(ask) => with(ask, variables, access::access).await,
        Command::Diff(ask) => with(ask, variables, access::diff).await,
        Command::Explain(ask) => with(ask, variables, explain::explain).await,
        Command::Decisions(ask) => {
            let (about, session) = ask.open(variables)?;
            decisions::decisions(about, &session, out).await
        }
        Command::Record(ask) => with(ask, variables, decisions::record).await,
        Command::Components(ask) => with(ask, variables, components::components).await,
    };
    answered.map_err(|error| error.advise(refusals::advice))
}

impl<A: Args> Ask<A> {
    fn open(self, variables: &Variables) -> Result<(A, Session), Error> {
        Ok((self.about, self.connection.open(variables)?))
    }
}

async fn with<A: Args>(
    ask: Ask<A>,
    variables: &Variables,
    carry_out: impl AsyncFnOnce(A, &Session) -> Result<Output, Error>,
) -> Result<Output, Error> {
    let (about, session) = ask.open(variables)?;
    carry_out(about, &session).await
}
