//! What the process is told by signals: to stop, or to read its configuration again.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::{Failure, SOFTWARE};

/// The signals that are listened to. Several of one kind that arrive before they are looked at are one.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// An orderly end: SIGTERM or SIGINT.
    Stop,
    /// Reading the configuration, and all files that it names, again: SIGHUP.
    Reload,
}

impl Signals {
    /// Begins to listen, so that no signal is missed from here on.
    pub(super) fn listen() -> Result<Self, Failure> {
        let on = |kind| signal(kind).map_err(|error| Failure::new(SOFTWARE, &error));
        Ok(Self {
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
            hang_up: on(SignalKind::hangup())?,
        })
    }

    /// Waits for the next signal; an end goes first.
    pub(super) async fn next(&mut self) -> Asked {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hang_up.recv() => Asked::Reload,
        }
    }
}
