//! The commands that ask a running Postern: `postern user`, `postern role`, `postern token`, `postern fleet`, and much of `postern policy`.
//!
//! They are clients of the same API that everybody else uses, with a token of their own: no right comes from running
//! the binary, and nothing here knows the store. Each command is one request, or two when a name or the organisation
//! has to be looked up first, or two things are compared.
//!
//! # Layout
//! - [`user`], [`role`], [`token`], [`fleet`], [`console`]: the commands, one file each; [`policy`]: those about policies.
//! - [`connection`], [`tls`]: the options they share; [`api`]: one request and its answer.
//! - [`names`]: who is meant by a name, and which organisation; [`expiry`]: when a token ends.
//! - [`oci`]: components in OCI registries.
//! - [`output`]: tables and JSON; [`error`]: how a command fails.
//!
//! The caller's token comes from a file or a variable, never from an argument, which other users of the machine could
//! read. A new token is printed by `token create` and nowhere else.

mod api;
mod connection;
mod console;
mod error;
mod expiry;
mod fleet;
mod names;
mod oci;
mod output;
pub(crate) mod policy;
mod role;
#[cfg(test)]
mod tests;
mod tls;
mod token;
mod user;

use std::io::Write;

use clap::{Args, Subcommand};
use feed::Clock;

use connection::{Connection, Variables};
pub(crate) use error::Error;
use output::Output;

/// What to ask for.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Service users, and the members and groups beside them
    User(User),
    /// Roles on the organisation, on apps and on env types
    Role(Role),
    /// Tokens of service users
    Token(Token),
    /// Gateways: how far each is, and which may join
    Fleet(Fleet),
    /// The console: signing in to it from the server's terminal
    #[command(subcommand)]
    Console(console::Command),
}

/// `postern user`
#[derive(Debug, Args)]
pub(crate) struct User {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: user::Command,
}

/// `postern role`
#[derive(Debug, Args)]
pub(crate) struct Role {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: role::Command,
}

/// `postern token`
#[derive(Debug, Args)]
pub(crate) struct Token {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: token::Command,
}

/// `postern fleet`
#[derive(Debug, Args)]
pub(crate) struct Fleet {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: fleet::Command,
}

/// Asks, and prints the answer: what was asked for to `out`, advice to `advice`.
///
/// # Errors
/// [`Error`]; what it says holds no token.
pub(crate) async fn run(command: Command, out: &mut dyn Write, advice: &mut dyn Write) -> Result<(), Error> {
    let clock = Clock::system();
    let output = answer(command, &|name| std::env::var(name).ok(), &clock).await?;
    output.print(out, advice)
}

/// Asks about policies, as [`run`] does.
///
/// # Errors
/// As [`run`].
pub(crate) async fn run_policy(
    command: policy::Command,
    out: &mut dyn Write,
    advice: &mut dyn Write,
) -> Result<(), Error> {
    let clock = Clock::system();
    let output = policy::answer(command, &|name| std::env::var(name).ok(), &clock, out).await?;
    output.print(out, advice)
}

async fn answer(command: Command, variables: &Variables, clock: &Clock) -> Result<Output, Error> {
    match command {
        Command::User(user) => user::answer(user.command, &user.connection.open(variables)?).await,
        Command::Role(role) => role::answer(role.command, &role.connection.open(variables)?).await,
        Command::Fleet(fleet) => fleet::answer(fleet.command, &fleet.connection.open(variables)?).await,
        Command::Console(command) => console::answer(command).await,
        Command::Token(token) => token::answer(token.command, &token.connection.open(variables)?, clock).await,
    }
}
