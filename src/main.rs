//! Postern: an edge auth gateway for a platform orchestrator's API. This is the one binary.
//!
//! # Layout
//! - [`cli`]: the command line.
//! - [`config`]: keys of the configuration, from flags, variables and a file.
//! - [`run`]: the ways to run: everything in one process, the halves, the demo.
//! - [`client`]: the commands that ask a running Postern.
//! - [`policy`]: the tools of policy authors, on files.
//! - [`sandbox`]: an orchestrator to try things on.
//! - [`exit`]: exit codes; [`output`]: printing, where the reader may be gone.

#[macro_use]
mod output;

mod cli;
mod client;
mod config;
mod exit;
mod policy;
mod run;
mod sandbox;

use std::process::ExitCode;

use clap::Parser as _;

/// A request makes some thirty allocations. Measured with `gateway/benches/against-nginx.sh`, this allocator takes 1.3 µs
/// of 23.6 µs off it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let command = match cli::Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(error) => {
            let code = if error.use_stderr() { exit::USAGE } else { 0 };
            // Nothing is left to be done when even this cannot be printed.
            drop(error.print());
            return ExitCode::from(code);
        }
    };
    match run::run(command) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads no more wants no word about it either.
        Err(failure) if failure.code == exit::READER_GONE => ExitCode::from(failure.code),
        Err(failure) => {
            eprintln!("postern: {failure}");
            ExitCode::from(failure.code)
        }
    }
}
