//! The sandbox orchestrator, by itself.

use feed::Clock;
use tokio::sync::watch;

use super::serve::listen;
use super::stop::Stop;
use super::{ops, secret_file};
use crate::cli::SandboxArgs;
use crate::exit::{Failure, UNAVAILABLE};
use crate::sandbox;

/// Runs until told to stop.
pub(super) async fn run(args: SandboxArgs) -> Result<(), Failure> {
    super::start_log("info");
    let settings = sandbox::Settings {
        org: args.org,
        credential: secret_file(&args.credential_file)?,
        deletion_looks: args.slow_deletions,
        clock: Clock::system(),
    };
    let mut stop = Stop::listen()?;
    let listener = listen(args.listen).await?;
    let address = listener
        .local_addr()
        .map_err(|error| Failure::new(UNAVAILABLE, &error))?;
    let (stopping, stopped) = watch::channel(false);
    let listening = tokio::spawn(ops::serve(listener, sandbox::router(settings), stopped));
    tracing::info!(%address, "listening");
    stop.asked().await;
    stopping.send_replace(true);
    drop(listening.await);
    Ok(())
}
