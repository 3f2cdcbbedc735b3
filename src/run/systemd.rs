//! What a service manager such as systemd hands over and is told: sockets that listen already, and how the start goes.
//!
//! A socket that is handed over outlives the process: while Postern is replaced, connections wait in its queue.

use std::collections::BTreeMap;
use std::net::TcpListener;

use listenfd::ListenFd;
use sd_notify::NotifyState;

use crate::exit::{Failure, USAGE};

/// Sockets that were handed over, by name, as `sd_listen_fds(3)` describes it: `LISTEN_PID`, `LISTEN_FDS` and
/// `LISTEN_FDNAMES`.
#[derive(Debug, Default)]
pub(super) struct Sockets(BTreeMap<String, TcpListener>);

impl Sockets {
    /// Takes what was handed over. To be called before there are threads, as it changes the environment.
    pub(super) fn take() -> Result<Self, Failure> {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let names: Vec<&str> = names.split(':').collect();
        // Empty when they are meant for another process.
        let mut handed_over = ListenFd::from_env();
        let mut sockets = BTreeMap::new();
        for at in 0..handed_over.len() {
            let name = names.get(at).copied().unwrap_or_default();
            let refused = |why: &str| Failure::said(USAGE, format!("the socket {name:?} that was handed over {why}"));
            let socket = handed_over
                .take_tcp_listener(at)
                .map_err(|error| refused(&format!("cannot be used: {error}")))?
                .ok_or_else(|| refused("is not there"))?;
            // A copy is closed when a program is run; the original would be handed on to it.
            let socket = socket
                .try_clone()
                .map_err(|error| refused(&format!("cannot be used: {error}")))?;
            if sockets.insert(name.to_owned(), socket).is_some() {
                return Err(refused("has the name of another"));
            }
        }
        Ok(Self(sockets))
    }

    /// Checks that all names are among these: a socket that nobody accepts on would keep its callers waiting.
    pub(super) fn only(self, names: &[&str]) -> Result<Self, Failure> {
        match self.0.keys().find(|name| !names.contains(&name.as_str())) {
            None => Ok(self),
            Some(name) => Err(Failure::said(
                USAGE,
                format!(
                    "a socket named {name:?} was handed over; LISTEN_FDNAMES may name {}",
                    names.join(", ")
                ),
            )),
        }
    }

    /// Takes a socket out.
    pub(super) fn named(&mut self, name: &str) -> Option<TcpListener> {
        self.0.remove(name)
    }
}

/// Tells the service manager that requests are taken.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// Tells the service manager that the configuration is being read; [`ready`] ends it.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "the service manager cannot be told"),
    }
}

/// Tells the service manager that the end has begun.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(state: &[NotifyState<'_>]) {
    // Without a service manager nothing is sent.
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}
