//! Accept: listeners and connections, and how they end.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use http::header::CONNECTION;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout, timeout_at};

use crate::cache::Cache;
use crate::connection::Connection;
use crate::fields::{FIELDS_BYTES_MAX, FIELDS_MAX};
use crate::operation::TARGET_BYTES_MAX;
use crate::request::serve;
use crate::start::Sharing;
use crate::worker::Current;

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
/// When the address cannot be bound, or is in use and not to be shared.
pub(crate) fn bind(address: SocketAddr, workers: usize, sharing: Sharing) -> io::Result<Vec<TcpListener>> {
    let address = match sharing {
        Sharing::Shared if address.port() != 0 => address,
        // SO_REUSEPORT would let us share the port with another gateway of the same user without a word, so the address
        // is first tried without it.
        Sharing::Alone | Sharing::Shared => {
            let alone = socket(address)?;
            alone.bind(&address.into())?;
            alone.local_addr()?.as_socket().unwrap_or(address)
        }
    };
    (0..workers.max(1)).map(|_| bind_one(address, sharing)).collect()
}

/// Waits until requests can be decided, so that who connects meanwhile need not be refused: their connections are in the
/// kernel's queue, or with the gateway that this one follows. Without data, a gateway that is alone begins to refuse after
/// [`FIRST_DATA_TIME_MAX`]; one that shares its address goes on waiting, as the other has data.
pub(crate) async fn await_data(listener: &TcpListener, sharing: Sharing, cache: &Cache) {
    match sharing {
        Sharing::Alone => drop(timeout(FIRST_DATA_TIME_MAX, first_data(cache)).await),
        Sharing::Shared => {
            first_data(cache).await;
            if let Err(error) = SockRef::from(listener).listen(BACKLOG) {
                tracing::error!(%error, "a listener cannot be used");
            }
        }
    }
}

/// Takes connections and serves them until told to drain, and then until they have ended or the time is up.
pub(crate) async fn accept(
    worker: Current,
    listener: TcpListener,
    mut phase: watch::Receiver<Phase>,
    connections_max: u32,
) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "a listener cannot be used"),
    };
    let places = Arc::new(Semaphore::new(connections_max as usize));
    let serving = async {
        loop {
            // The semaphore is never closed.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let worker = worker.clone();
                    tokio::task::spawn_local(connection(worker, (stream, peer), phase.clone(), place));
                }
                Err(error) => {
                    // Such as no more file descriptors: connections that end will free some.
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    let mut drained = phase.clone();
    tokio::select! {
        () = serving => {}
        _ = drained.wait_for(|phase| *phase != Phase::Serve) => {}
    }
    worker.drain();
    for (stream, peer) in waiting(listener) {
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            break;
        };
        tokio::task::spawn_local(connection(worker.clone(), (stream, peer), phase.clone(), place));
    }
    if let Phase::Drain(deadline) = *phase.borrow_and_update() {
        let all = places.acquire_many(connections_max);
        if timeout_at(deadline, all).await.is_err() {
            tracing::warn!("connections were cut: the time to finish was up");
        }
    }
}

async fn connection(
    current: Current,
    (stream, peer): (TcpStream, SocketAddr),
    mut phase: watch::Receiver<Phase>,
    place: OwnedSemaphorePermit,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection ended before it began");
        return;
    }
    let header_timeout = current.get().shared.settings.limits.header_timeout;
    let about = Rc::new(Connection {
        source: peer.ip(),
        secure: false,
        _place: place,
    });
    let service = service_fn(move |request| {
        let (worker, about) = (current.get(), Rc::clone(&about));
        let current = current.clone();
        async move {
            let mut response = serve(worker, about, request).await;
            if current.is_draining() {
                response
                    .headers_mut()
                    .insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response)
        }
    });
    let mut builder = http1::Builder::new();
    // Without a timer hyper has no header timeout at all.
    builder.timer(TokioTimer::new()).header_read_timeout(header_timeout);
    // One more than we allow, so that the refusal is ours, with a body that says why.
    builder
        .max_headers(FIELDS_MAX + 1)
        .max_buf_size(FIELDS_BYTES_MAX + TARGET_BYTES_MAX + BUFFER_MARGIN);
    let mut serving = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let end = tokio::select! {
        biased;
        end = serving.as_mut() => end,
        _ = phase.wait_for(|phase| *phase != Phase::Serve) => {
            // A request may be on its way: on an idle connection that is closed now it would be lost.
            tokio::select! {
                biased;
                end = serving.as_mut() => end,
                () = sleep(LAST_REQUEST) => {
                    serving.as_mut().graceful_shutdown();
                    serving.await
                }
            }
        }
    };
    if let Err(error) = end {
        tracing::debug!(%error, %peer, "a connection ended early");
    }
}

/// Waits for the first snapshot, and for its age, which is known a moment later.
async fn first_data(cache: &Cache) {
    cache.reached(1).await;
    while cache.age_ms(0).is_none() {
        sleep(AGE_PAUSE).await;
    }
}

/// Closes a listener. Returns the connections that the kernel had in its queue, which would be reset.
fn waiting(listener: tokio::net::TcpListener) -> Vec<(TcpStream, SocketAddr)> {
    let taken = listener.into_std().map(|listener| {
        std::iter::from_fn(|| listener.accept().ok())
            .take(BACKLOG as usize)
            .filter_map(|(stream, peer)| {
                stream.set_nonblocking(true).ok()?;
                Some((TcpStream::from_std(stream).ok()?, peer))
            })
            .collect()
    });
    taken.unwrap_or_default()
}

/// When told to stop: how long a connection without a request is kept for one that may be on its way. It is answered with
/// `Connection: close`.
const LAST_REQUEST: Duration = Duration::from_secs(1);

/// How long connections wait for the first data.
const FIRST_DATA_TIME_MAX: Duration = Duration::from_secs(2);

const AGE_PAUSE: Duration = Duration::from_millis(1);

const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Room for what is more than the limits, so that they are seen to be passed.
const BUFFER_MARGIN: usize = 8 * 1024;

/// Connections that the kernel keeps for us while we take others.
const BACKLOG: i32 = 1024;

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    Ok(socket)
}

/// Binds a socket of several on one address. One that is shared listens later: from then on the kernel gives it
/// connections.
fn bind_one(address: SocketAddr, sharing: Sharing) -> io::Result<TcpListener> {
    let socket = socket(address)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    match sharing {
        Sharing::Alone => socket.listen(BACKLOG)?,
        Sharing::Shared => {}
    }
    Ok(socket.into())
}
