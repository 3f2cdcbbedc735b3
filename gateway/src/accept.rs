//! Accept: listeners and connections, and how they end.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout_at};

use crate::metrics::Unserved;
use crate::protocol::converse;
use crate::sources::Place;
use crate::worker::Worker;

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Take connections.
    Serve,
    /// Finish what runs, until then; take nothing new.
    Drain(tokio::time::Instant),
}

/// Binds one listener for each worker to one address, so that the kernel spreads connections over them.
///
/// # Errors
/// When the address is in use or cannot be bound.
pub(crate) fn bind(address: SocketAddr, workers: usize) -> io::Result<Vec<TcpListener>> {
    // SO_REUSEPORT would let us share the port with another gateway of the same user without a word, so the address is
    // first tried without it.
    let alone = socket(address)?;
    alone.bind(&address.into())?;
    let address = alone.local_addr()?.as_socket().unwrap_or(address);
    drop(alone);
    (0..workers.max(1)).map(|_| listen(address)).collect()
}

/// Takes connections and serves them until told to drain, and then until they have ended or the time is up.
pub(crate) async fn accept(worker: Rc<Worker>, listener: TcpListener, mut phase: watch::Receiver<Phase>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "a listener cannot be used"),
    };
    // One permit for each connection that this worker could have, so that their end can be waited for.
    let ended = Arc::new(Semaphore::new(OWN_CONNECTIONS_MAX as usize));
    let mut drained = phase.clone();
    let serving = async {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let limits = &worker.shared.settings.limits;
                    let place = worker.shared.sources.enter(limits.connections_max);
                    match (place, Arc::clone(&ended).try_acquire_owned()) {
                        (Ok(place), Ok(running)) => {
                            let connection =
                                connection(Rc::clone(&worker), (stream, peer), phase.clone(), (place, running));
                            tokio::task::spawn_local(connection);
                        }
                        (Ok(_) | Err(_), Ok(_) | Err(_)) => shed(&worker, &stream),
                    }
                }
                Err(error) => {
                    // Such as no more file descriptors: connections that end will free some.
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        () = serving => {}
        _ = drained.wait_for(|phase| *phase != Phase::Serve) => {}
    }
    drop(listener);
    if let Phase::Drain(deadline) = *phase.borrow_and_update()
        && timeout_at(deadline, ended.acquire_many(OWN_CONNECTIONS_MAX))
            .await
            .is_err()
    {
        tracing::warn!("connections were cut: the time to finish was up");
    }
}

async fn connection(
    worker: Rc<Worker>,
    (stream, peer): (TcpStream, SocketAddr),
    phase: watch::Receiver<Phase>,
    places: (Place, OwnedSemaphorePermit),
) {
    if let Err(error) = converse(worker, (stream, peer), phase, places).await {
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

/// Connections that the kernel keeps for us while we take others.
const BACKLOG: i32 = 1024;

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    Ok(socket)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(address)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
