//! The tools of policy authors: `postern policy new`, `build`, `check`, `test`, `bench`, `explain`, `replay`, `keygen`,
//! `sign`.
//!
//! All of them work offline, on files. They run a policy with the gateway's own engine and limits, so that what they say
//! holds there. None knows a running Postern.
//!
//! # Layout
//! - [`new`], [`template`]: a folder to begin with; [`project`]: what its `policy.toml` says.
//! - [`build`], [`componentize`]: from a source to a component.
//! - [`test`]: cases and their verdicts; [`table`], [`selector`]: how they are written; [`case`]: one of them;
//!   [`coverage`]: what they leave out.
//! - [`report`]: how reports look.

mod build;
mod componentize;
mod new;
mod project;
mod report;
mod template;

use clap::Subcommand;

use crate::exit::Failure;

/// What to do with a policy.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a folder with a policy that works, in the language you know
    ///
    /// Example: `postern policy new --lang rust change-freeze --kind guard`
    New(new::NewArgs),
    /// Compile a policy's folder into NAME.wasm
    ///
    /// Runs the commands of policy.toml, and makes a component of what they leave. Example: `postern policy build`
    Build(build::BuildArgs),
}

/// Does it.
pub(crate) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::New(args) => new::run(&args),
        Command::Build(args) => build::run(&args),
    }
}
