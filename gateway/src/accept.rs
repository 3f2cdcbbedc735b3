//! Accept: connections, and how they end.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::header::CONNECTION;
use http::{HeaderValue, StatusCode};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout_at};

use crate::connection::Connection;
use crate::fields::{FIELDS_BYTES_MAX, FIELDS_MAX};
use crate::listeners::waiting;
use crate::operation::TARGET_BYTES_MAX;
use crate::request::serve;
use crate::worker::Current;

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
            // Where protocols are switched the field says so.
            if current.is_draining() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
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

/// When told to stop: how long a connection without a request is kept for one that may be on its way. It is answered with
/// `Connection: close`.
const LAST_REQUEST: Duration = Duration::from_secs(1);

const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Room for what is more than the limits, so that they are seen to be passed.
const BUFFER_MARGIN: usize = 8 * 1024;
