//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::client;
use crate::config::{ADMIN, GATEWAY, Given, SERVE};
use crate::policy;

/// An edge auth gateway for a platform orchestrator's API: service users, tokens, role policies in WebAssembly.
#[derive(Debug, Parser)]
#[command(name = "postern", version, max_term_width = 110)]
#[command(
    after_help = "Start here:  postern demo\nExit codes:  0 done, 1 refused by the API or by a check, 64 usage or configuration, 65 unusable data,\n             69 address in use or server unreachable, 70 internal, 73 cannot create, 74 input/output"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Try it: gateway, admin service and a sandbox orchestrator in one process, with lines to paste
    Demo(DemoArgs),
    /// Run gateway and admin service in one process, in front of an orchestrator
    ///
    /// The first start with an empty store makes the organisation and an administrator, and writes the administrator's
    /// token to DIR/bootstrap-token.
    ///
    /// Example: `postern serve --upstream https://api.example.com --upstream-token-file upstream-token --org my-org`
    Serve(Given<SERVE>),
    /// Run the data plane alone; it follows an admin service elsewhere
    ///
    /// Example: `postern gateway --upstream https://api.example.com --admin-url http://10.0.0.5:8081
    /// --enrolment-token-file enrolment-token` with a token of `postern fleet enrol edge-1`
    Gateway(Given<GATEWAY>),
    /// Run the control plane alone: store, API behind the gateways, feed
    ///
    /// Example: `postern admin --data /var/lib/postern --admin-listen 10.0.0.5:8081`
    Admin(AdminArgs),
    /// Show every key of the configuration, or check a file
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Run a sandbox orchestrator: an API to try Postern on, in memory
    Sandbox(SandboxArgs),
    /// Compile a policy: started by gateways and admin services for themselves, with limits of its own
    #[command(hide = true)]
    PolicyCompiler,
    #[command(flatten)]
    Client(Box<client::Command>),
    /// Policies: write, publish, watch, promote, explain
    #[command(subcommand)]
    Policy(PolicyCommand),
}

/// Options of `postern admin`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct AdminArgs {
    #[command(subcommand)]
    pub(crate) on_store: Option<StoreCommand>,
    #[command(flatten)]
    pub(crate) given: Given<ADMIN>,
}

/// What to do with the store, instead of running.
#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Bring a PostgreSQL database to the schema of this version; a new one gets its tables
    ///
    /// Example: `postern admin migrate --store-url postgres://postern@db.example.com/postern --store-password-file password`
    Migrate(Given<ADMIN>),
    /// Write all of a store that no admin service uses to a new file, to move it: SQLite to PostgreSQL, or back
    ///
    /// Example: `postern admin export store.jsonl --data /var/lib/postern`
    Export(FileArgs),
    /// Fill an empty store with an exported one; it goes on as if nothing had happened
    ///
    /// Example: `postern admin import store.jsonl --store-url postgres://postern@db.example.com/postern`
    Import(FileArgs),
    /// Write all of a store, also one in use, to a new file, to come back to it
    ///
    /// Example: `postern admin backup store-2026-11-30.jsonl --data /var/lib/postern`
    Backup(FileArgs),
    /// Fill an empty store with a backup; its tokens are held until somebody vouches for them
    ///
    /// A token is good at once only when the store that the backup takes the place of can be read, and has it, for a service
    /// user with no less roles. An administrator's token is written to DIR/bootstrap-token.
    ///
    /// Example: `postern admin restore store-2026-11-30.jsonl --data /var/lib/postern --replaces /var/lib/postern-old/postern.db`
    Restore(RestoreArgs),
    /// Detach a guard that refuses everybody, also those who would detach it through the API
    ///
    /// The admin service that uses the directory of data must not run. The guard is one of the organisation that --org names.
    ///
    /// Example: `postern admin detach freeze --org my-org --data /var/lib/postern`
    Detach(DetachArgs),
}

/// Options of the commands that read or write a file.
#[derive(Debug, Args)]
pub(crate) struct FileArgs {
    /// The file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) given: Given<ADMIN>,
}

/// Options of `postern admin restore`.
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The backup
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The store that it takes the place of, which nothing may use any more: a file, or a URL as store_url takes it
    #[arg(long, value_name = "STORE")]
    pub(crate) replaces: Option<String>,
    #[command(flatten)]
    pub(crate) given: Given<ADMIN>,
}

/// Options of `postern admin detach`.
#[derive(Debug, Args)]
pub(crate) struct DetachArgs {
    /// Id of the guard
    #[arg(value_name = "GUARD")]
    pub(crate) guard: String,
    #[command(flatten)]
    pub(crate) given: Given<ADMIN>,
}

/// What to do with policies.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    #[command(flatten)]
    Offline(Box<policy::Command>),
    #[command(flatten)]
    Online(Box<client::policy::Command>),
}

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print a file with every key, its unit and its default
    Example,
    /// Check a file, and the files that it names, as a start or SIGHUP would; all errors are told, exit code 64
    Check(CheckArgs),
}

/// Options of `postern config check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// File to check
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Command that would use it
    #[arg(long = "for", value_name = "COMMAND", default_value = "serve")]
    pub(crate) command: For,
}

/// Commands that have a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum For {
    /// `postern serve`
    Serve,
    /// `postern gateway`
    Gateway,
    /// `postern admin`
    Admin,
}

/// Options of `postern demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Address for requests; another port is taken when it is in use
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,
}

/// Options of `postern sandbox`.
#[derive(Debug, Args)]
pub(crate) struct SandboxArgs {
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9090")]
    pub(crate) listen: SocketAddr,
    /// Organisation that it holds
    #[arg(long, value_name = "ORG", default_value = "default")]
    pub(crate) org: String,
    /// File with the credential that it demands; it must hold one line
    #[arg(long, value_name = "FILE")]
    pub(crate) credential_file: PathBuf,
    /// Deletions of apps and environments answer 202, and the object is gone after this many further requests for it
    #[arg(long, value_name = "N")]
    pub(crate) slow_deletions: Option<u32>,
}
