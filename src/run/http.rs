//! Serving routes on a listener that callers do not reach: HTTP/1.1 within limits of its own, so that it answers while
//! requests are more than the gateway can take.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout_at};

/// Routes that are being served.
pub(super) struct Serving {
    /// When the end was asked for: until when what runs may be finished.
    end: watch::Sender<Option<Instant>>,
    accepting: JoinHandle<()>,
}

/// Begins to serve routes.
pub(super) fn serve(listener: TcpListener, routes: Router) -> Serving {
    let (end, ending) = watch::channel(None);
    Serving {
        end,
        accepting: tokio::spawn(accept(listener, routes, ending)),
    }
}

impl Serving {
    /// Takes no more connections. Requests that run are finished until the deadline, and then cut.
    pub(super) fn end(&self, deadline: Instant) {
        self.end.send_replace(Some(deadline));
    }

    /// Waits for the end that was asked for.
    pub(super) async fn ended(self) {
        if self.accepting.await.is_err() {
            tracing::error!("the admin listener panicked");
        }
    }
}

/// Connections at once: all feeds that there may be, and those of health checks, metrics and workers.
const CONNECTIONS_MAX: u32 = 4096;

/// Longest time for a header section to arrive, or for a kept connection to be without a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

async fn accept(listener: TcpListener, routes: Router, ending: watch::Receiver<Option<Instant>>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX as usize));
    let accepting = async {
        // The semaphore is never closed.
        while let Ok(place) = Arc::clone(&places).acquire_owned().await {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    tokio::spawn(connection((stream, peer), routes.clone(), ending.clone(), place));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection to the admin listener could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    let mut asked = ending.clone();
    let deadline = tokio::select! {
        () = accepting => None,
        asked = asked.wait_for(Option::is_some) => asked.ok().and_then(|deadline| *deadline),
    };
    drop(listener);
    let Some(deadline) = deadline else { return };
    if timeout_at(deadline, places.acquire_many(CONNECTIONS_MAX))
        .await
        .is_err()
    {
        tracing::warn!("connections to the admin listener were cut: the time to finish was up");
    }
}

async fn connection(
    (stream, peer): (TcpStream, SocketAddr),
    routes: Router,
    mut ending: watch::Receiver<Option<Instant>>,
    place: OwnedSemaphorePermit,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection to the admin listener ended before it began");
        return;
    }
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    let routes = TowerToHyperService::new(routes);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        routes.call(request)
    });
    let mut serving = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let asked = async move { drop(ending.wait_for(Option::is_some).await) };
    let end = tokio::select! {
        biased;
        end = serving.as_mut() => end,
        () = asked => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = end {
        tracing::debug!(%error, "a connection to the admin listener ended early");
    }
    drop(place);
}
