//! The tools of policy authors: `postern policy new`, `build`, `check`, `test`, `bench`, `explain`, `replay`, `keygen`,
//! `sign`.
//!
//! All of them work offline, on files. They run a policy with the gateway's own engine and limits, so that what they say
//! holds there. None knows a running Postern.
//!
//! # Layout
//! - [`new`], [`template`]: a folder to begin with; [`project`]: what its `policy.toml` says.
//! - [`build`], [`componentize`]: from a source to a component.
//! - [`check`], [`hints`]: what publishing would refuse, and what looks wrong.
//! - [`mod@test`]: cases and their verdicts; [`table`], [`selector`]: how they are written; [`case`]: one of them;
//!   [`coverage`]: what they leave out. [`mod@bench`]: what they cost.
//! - [`explain`], [`replay`]: decisions on record, made again; [`decisions`]: their files; [`library`]: the components
//!   that they name.
//! - [`access`]: what whoever holds a role may do, by components in files.
//! - [`keys`]: keys and signatures.
//! - [`workbench`]: a policy, loaded and asked; [`report`]: how reports look.

mod access;
mod bench;
mod build;
mod case;
mod check;
mod componentize;
mod coverage;
mod decisions;
mod explain;
mod hints;
mod keys;
mod library;
mod new;
mod project;
mod replay;
mod report;
mod selector;
mod table;
mod template;
mod test;
mod workbench;

use clap::Subcommand;

pub(crate) use access::of_files as access_of_files;
pub(crate) use explain::explain_cases;

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
    /// Ask a policy everything in tests.toml, and everything on record in cases/
    ///
    /// Prints what came out otherwise, and which operations no test is about. Exit code 1 when anything fails.
    Test(test::TestArgs),
    /// Tell all that publishing a policy would refuse
    ///
    /// Imports, size, manifest, settings schema, time. Each has a stable id; exit code 1 when there is any.
    Check(check::CheckArgs),
    /// Measure what a decision costs: time, fuel, memory
    Bench(bench::BenchArgs),
    /// Make every decision of a decision log again, and tell those that come out otherwise
    ///
    /// Example: `postern policy replay /var/lib/postern/decisions.log --components policies/`
    Replay(replay::ReplayArgs),
    /// Make a key to sign policies with
    Keygen(keys::KeygenArgs),
    /// Sign a policy: vouch that these bytes are this version of it
    ///
    /// Example: `postern policy sign change-freeze --key ann.pem --org acme`
    Sign(keys::SignArgs),
}

/// Does it.
pub(crate) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::New(args) => new::run(&args),
        Command::Build(args) => build::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Keygen(args) => keys::keygen(&args),
        Command::Sign(args) => keys::sign(&args),
    }
}
