//! The ways to run.

mod check;
mod console;
mod control;
mod demo;
mod edge;
mod enrol;
mod file_limit;
mod halves;
mod http;
mod ops;
mod reload;
mod sandbox;
mod serve;
mod signals;
mod store;
mod systemd;

use std::path::Path;

use feed::FeedKeys;
use systemd::Sockets;
use tracing_subscriber::EnvFilter;

use crate::cli::{Command, PolicyCommand};
use crate::client;
use crate::exit::{CANNOT_CREATE, DATA, Failure, INPUT_OUTPUT, SOFTWARE, USAGE};
use crate::policy;

/// Does what was asked, and returns when it is done or told to stop.
pub(crate) fn run(command: Command) -> Result<(), Failure> {
    if matches!(command, Command::PolicyCompiler) {
        // Before any thread: it limits the whole process.
        return engine::compile_as_child().map_err(|error| Failure::new(DATA, &error));
    }
    // One provider for all TLS; a second installation would only say that there is one.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let sockets = match &command {
        Command::Serve(_) | Command::Gateway(_) | Command::Admin(_) => Sockets::take()?,
        Command::Client(_)
        | Command::Config(_)
        | Command::Demo(_)
        | Command::Policy(_)
        | Command::PolicyCompiler
        | Command::Sandbox(_) => Sockets::default(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("postern-admin")
        .enable_all()
        .build()
        .map_err(|error| Failure::new(SOFTWARE, &error))?;
    match command {
        Command::Client(command) => {
            let asked = runtime.block_on(client::run(*command, &mut std::io::stdout(), &mut std::io::stderr()));
            asked.map_err(|error| Failure::new(error.exit_code(), &error))
        }
        Command::Config(command) => runtime.block_on(check::run(command)),
        Command::Policy(PolicyCommand::Offline(command)) => policy::run(*command),
        Command::Policy(PolicyCommand::Online(command)) => {
            if let Some((case, components)) = command.on_file() {
                return policy::explain_cases(case, components);
            }
            let (out, advice) = (&mut std::io::stdout(), &mut std::io::stderr());
            let asked = runtime.block_on(client::run_policy(*command, out, advice));
            asked.map_err(|error| Failure::new(error.exit_code(), &error))
        }
        Command::Demo(args) => runtime.block_on(demo::run(args)),
        Command::Serve(given) => runtime.block_on(serve::run(given, sockets)),
        Command::Gateway(given) => runtime.block_on(halves::gateway(given, sockets)),
        Command::Admin(args) => match args.on_store {
            Some(command) => runtime.block_on(store::run(command)),
            None => runtime.block_on(halves::admin(args.given, sockets)),
        },
        Command::PolicyCompiler => Ok(()),
        Command::Sandbox(args) => runtime.block_on(sandbox::run(args)),
    }
}

/// Threads of the admin side: its work must not take processors from requests.
const CONTROL_THREADS: usize = 2;

/// Starts the log of the process, on standard error.
fn start_log(default: &str) {
    let filter = EnvFilter::try_from_env("POSTERN_LOG").unwrap_or_else(|_unset| EnvFilter::new(default));
    let format = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // A second start, which only tests could make, keeps the first.
    drop(format.json().flatten_event(true).try_init());
}

/// Makes the data directory when only its last part is missing: a typo further up should not go unnoticed.
fn data_directory(path: &Path) -> Result<(), Failure> {
    if path.is_dir() {
        return Ok(());
    }
    std::fs::create_dir(path).map_err(|error| {
        Failure::said(
            CANNOT_CREATE,
            format!("the data directory {} cannot be made: {error}", path.display()),
        )
    })
}

/// Reads a file with public keys of the feed, one a line.
fn feed_keys(path: &Path) -> Result<FeedKeys, Failure> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| Failure::said(INPUT_OUTPUT, format!("{}: {error}", path.display())))?;
    FeedKeys::parse(&text).map_err(|error| Failure::said(DATA, format!("{}: {error}", path.display())))
}

/// Reads a file that holds one secret, on one line.
fn secret_file(path: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| Failure::said(INPUT_OUTPUT, format!("{}: {error}", path.display())))?;
    let secret = text.trim();
    if secret.is_empty() || secret.contains(char::is_whitespace) {
        return Err(Failure::said(
            USAGE,
            format!("{} must hold one secret on one line", path.display()),
        ));
    }
    Ok(secret.to_owned())
}
