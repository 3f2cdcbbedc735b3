//! Accept: connections, and how they end.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout, timeout_at};

use crate::listeners::{SETTLE_TIME, Sharing, turn_away, waiting};
use crate::metrics::Unserved;
use crate::protocol::converse;
use crate::sources::Place;
use crate::worker::{Current, Worker};

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Take connections.
    Serve,
    /// Finish what runs, until then; take nothing new.
    Drain(tokio::time::Instant),
}

/// Takes connections and serves them until told to drain, and then until they have ended or the time is up.
pub(crate) async fn accept(
    current: Current,
    (listener, sharing): (TcpListener, Sharing),
    mut phase: watch::Receiver<Phase>,
) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "a listener cannot be used"),
    };
    // One permit for each connection that this worker could have, so that their end can be waited for.
    let ended = Arc::new(Semaphore::new(OWN_CONNECTIONS_MAX as usize));
    let mut drained = phase.clone();
    let phases = phase.clone();
    let take = |(stream, peer)| {
        let worker = current.get();
        let limits = &worker.shared.settings.limits;
        let place = worker.shared.sources.enter(limits.connections_max);
        match (place, Arc::clone(&ended).try_acquire_owned()) {
            (Ok(place), Ok(running)) => {
                let connection = connection(current.clone(), (stream, peer), phases.clone(), (place, running));
                tokio::task::spawn_local(connection);
            }
            (Ok(_) | Err(_), Ok(_) | Err(_)) => shed(&worker, &stream),
        }
    };
    let serve = async || {
        loop {
            match listener.accept().await {
                Ok(accepted) => take(accepted),
                Err(error) => {
                    // Such as no more file descriptors: connections that end will free some.
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        () = serve() => {}
        _ = drained.wait_for(|phase| *phase != Phase::Serve) => {}
    }
    if sharing == Sharing::Shared {
        turn_away(&listener);
        // What is cut off is the wait for one more.
        drop(timeout(SETTLE_TIME, serve()).await);
    }
    current.drain();
    waiting(listener).into_iter().for_each(take);
    if let Phase::Drain(deadline) = *phase.borrow_and_update()
        && timeout_at(deadline, ended.acquire_many(OWN_CONNECTIONS_MAX))
            .await
            .is_err()
    {
        tracing::warn!("connections were cut: the time to finish was up");
    }
}

async fn connection(
    current: Current,
    (stream, peer): (TcpStream, SocketAddr),
    phase: watch::Receiver<Phase>,
    places: (Place, OwnedSemaphorePermit),
) {
    if let Err(error) = converse(current, (stream, peer), phase, places).await {
        tracing::debug!(%error, %peer, "a connection ended early");
    }
}

/// Sends a caller away for whom there is no place, in words where words are understood. Nothing is waited for.
fn shed(worker: &Worker, stream: &TcpStream) {
    worker.counters.unserved(Unserved::AllFull);
    if worker.shared.tls.is_none() {
        drop(stream.try_write(SHED));
    }
}

/// The refusal `overloaded`, for callers who were not asked what they want.
const SHED: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\n\
    Content-Type: application/json\r\nContent-Length: 78\r\n\r\n\
    {\"error\":\"overloaded\",\"message\":\"as much is under way as may be\",\"details\":{}}";

/// More connections than one worker can have.
const OWN_CONNECTIONS_MAX: u32 = 1 << 24;

const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
