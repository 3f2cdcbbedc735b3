//! The sandbox orchestrator, by itself.

use std::time::Duration;

use feed::Clock;
use tokio::time::Instant;

use super::serve::listen;
use super::signals::Signals;
use super::{http, secret_file};
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
    let mut signals = Signals::listen()?;
    let listener = listen(args.listen, None).await?;
    let address = listener
        .local_addr()
        .map_err(|error| Failure::new(UNAVAILABLE, &error))?;
    let serving = http::serve(listener, sandbox::router(settings));
    tracing::info!(%address, "listening");
    signals.next().await;
    serving.end(Instant::now() + END_TIME_MAX);
    serving.ended().await;
    Ok(())
}

/// Longest time to finish what runs.
const END_TIME_MAX: Duration = Duration::from_secs(5);
