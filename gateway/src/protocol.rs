//! Protocol: from a connection to requests. PROXY header, TLS, then HTTP/1.1 or HTTP/2.

use std::convert::Infallible;
use std::error::Error as _;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, StatusCode, header};
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::accept::Phase;
use crate::connection::{Connection, Origin};
use crate::frames::{CountedFrames, Kind, PREFACE};
use crate::front::{self, BadHeader};
use crate::metrics::Unserved;
use crate::request::serve;
use crate::settings::Limits;
use crate::socket::Socket;
use crate::sources::{Full, Place, Source};
use crate::strict_stream::StrictStream;
use crate::tls::{Handshake, TlsError};
use crate::wire;
use crate::worker::{Current, Worker};

/// Why a connection ended without being served, or early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ended {
    #[error(transparent)]
    Header(#[from] BadHeader),
    #[error("there are as many connections of its source as there may be")]
    Full,
    #[error("it did not say what it wants within {0:?}")]
    Timeout(Duration),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("it took nothing of an answer for {0:?}")]
    Stalled(Duration),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Http(#[from] hyper::Error),
}

impl Ended {
    /// Whether HTTP/2 was ended because of too many frames of a kind: RFC 9113 §7.
    fn is_flood(&self) -> bool {
        let Self::Http(error) = self else { return false };
        let error = error.source().and_then(|source| source.downcast_ref::<h2::Error>());
        error.is_some_and(|error| error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM))
    }
}

/// Serves the requests of a connection until it ends.
pub(crate) async fn converse(
    current: Current,
    (stream, peer): (TcpStream, SocketAddr),
    phase: watch::Receiver<Phase>,
    places: (Place, OwnedSemaphorePermit),
) -> Result<(), Ended> {
    // The settings that a connection begins with are its own to its end; each request has those of its moment.
    let worker = current.get();
    let limits = worker.shared.settings.limits;
    stream.set_nodelay(true)?;
    let mut socket = Socket::new(stream, limits.send_timeout);
    let arriving = arrive(&worker, &mut socket, peer, places);
    let until = Instant::now() + limits.handshake_timeout;
    let arrived = match timeout_at(until, arriving).await {
        Ok(arrived) => arrived?,
        Err(_elapsed) => {
            worker.counters.unserved(Unserved::Timeout);
            return Err(Ended::Timeout(limits.handshake_timeout));
        }
    };
    let (tls, http2_cleartext) = (worker.shared.tls.clone(), worker.shared.settings.http2_cleartext);
    // A connection may outlive many configurations; it must not keep the one that it began with.
    drop(worker);
    // Each in a box of its own: a connection carries the room of what it speaks, not of what it might have.
    let Some(tls) = tls else {
        let http2 = http2_cleartext && begins_http2(&mut socket, limits.header_timeout).await?;
        let served = Served::new(current, arrived, None, phase);
        return if http2 {
            Box::pin(served.http2(socket)).await
        } else {
            Box::pin(served.http1(socket)).await
        };
    };
    let (stream, handshake) = Box::pin(tls.handshake(socket, until)).await?;
    let http2 = handshake.is_http2();
    let served = Served::new(current, arrived, Some(handshake), phase);
    if http2 {
        Box::pin(served.http2(stream)).await
    } else {
        Box::pin(served.http1(stream)).await
    }
}

/// Who is there.
struct Arrived {
    address: IpAddr,
    source: Arc<Source>,
    fronted: bool,
    places: (Place, OwnedSemaphorePermit),
}

/// Finds out who is there, and whether there is a place for them.
async fn arrive(
    worker: &Worker,
    socket: &mut Socket,
    peer: SocketAddr,
    mut places: (Place, OwnedSemaphorePermit),
) -> Result<Arrived, Ended> {
    let settings = &worker.shared.settings;
    let fronted = settings.front.trusts(peer.ip());
    let named = if fronted && settings.front.proxy_protocol {
        let read = front::read_proxy_header(socket).await;
        read.inspect_err(|_| worker.counters.unserved(Unserved::BadHeader))?
    } else {
        None
    };
    let address = named.unwrap_or(peer.ip()).to_canonical();
    let source = worker.shared.sources.of(address);
    if let Err(Full::All | Full::Source) = places.0.assign(&source, settings.limits.connections_per_source_max) {
        worker.counters.unserved(Unserved::SourceFull);
        return Err(Ended::Full);
    }
    Ok(Arrived {
        address,
        source,
        fronted,
        places,
    })
}

/// Looks whether a connection begins with the preface of HTTP/2, as far as what comes could be it.
async fn begins_http2(socket: &mut Socket, time_max: Duration) -> Result<bool, Ended> {
    let looking = async {
        while socket.ahead().len() < PREFACE.len() && PREFACE.starts_with(socket.ahead()) {
            if socket.read_ahead().await? == 0 {
                break;
            }
        }
        Ok::<_, std::io::Error>(socket.ahead().starts_with(PREFACE))
    };
    match timeout(time_max, looking).await {
        Ok(found) => Ok(found?),
        Err(_elapsed) => Err(Ended::Timeout(time_max)),
    }
}

/// A connection that is about to be served.
struct Served {
    current: Current,
    connection: Rc<Connection>,
    phase: watch::Receiver<Phase>,
    limits: Limits,
}

impl Served {
    fn new(current: Current, arrived: Arrived, tls: Option<Handshake>, phase: watch::Receiver<Phase>) -> Self {
        let origin = Origin {
            address: arrived.address,
            source: arrived.source,
            secure: tls.is_some(),
        };
        Self {
            limits: current.get().shared.settings.limits,
            current,
            connection: Connection::new(origin, (arrived.fronted, tls), phase.clone(), arrived.places),
            phase,
        }
    }

    async fn http1<S>(self, stream: S) -> Result<(), Ended>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let limits = self.limits;
        let wire_limits = wire::Limits {
            target_bytes_max: limits.target_bytes_max,
            fields_bytes_max: limits.fields_bytes_max,
            fields_max: limits.fields_max,
        };
        let (stream, notes) = StrictStream::new(stream, wire_limits, limits.header_timeout);
        let (current, connection) = (self.current.clone(), Rc::clone(&self.connection));
        let service = service_fn(move |request| {
            // Before anything is awaited: the stream counts on it.
            let refused = notes.begin();
            let (current, connection) = (current.clone(), Rc::clone(&connection));
            let notes = Arc::clone(&notes);
            async move {
                let mut response = serve(current.get(), connection, request, refused).await;
                let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
                if current.is_draining() && !switches {
                    let close = HeaderValue::from_static("close");
                    response.headers_mut().insert(header::CONNECTION, close);
                }
                notes.answer(switches);
                Ok::<_, Infallible>(response)
            }
        });
        let mut builder = http1::Builder::new();
        // Heads come whole and within our limits, and in our time: hyper's own never strike.
        builder
            .max_headers(limits.fields_max + 1)
            .max_buf_size(limits.fields_bytes_max + limits.target_bytes_max + BUFFER_MARGIN)
            .timer(TokioTimer::new())
            .header_read_timeout(None);
        let serving = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
        self.drive(serving, LAST_REQUEST, |serving| serving.graceful_shutdown())
            .await
    }

    async fn http2<S>(self, stream: S) -> Result<(), Ended>
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let limits = self.limits;
        let counters = Arc::clone(&self.current.get().counters);
        let source = Arc::clone(&self.connection.origin.source);
        let stream = CountedFrames::new(stream, source, Arc::clone(&counters));
        let (current, connection) = (self.current.clone(), Rc::clone(&self.connection));
        let service = service_fn(move |request| {
            let (worker, connection) = (current.get(), Rc::clone(&connection));
            async move { Ok::<_, Infallible>(serve(worker, connection, request, None).await) }
        });
        let fields_bytes_max = limits.fields_bytes_max + limits.target_bytes_max + limits.fields_max * FIELD_OVERHEAD;
        let mut builder = http2::Builder::new(OnThisThread);
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.streams_per_connection_max)
            // More than we allow, so that the refusal is ours, with a body that says why.
            .max_header_list_size(u32::try_from(fields_bytes_max + BUFFER_MARGIN).unwrap_or(u32::MAX))
            .max_send_buf_size(SEND_BYTES_MAX)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_pending_accept_reset_streams(RESETS_PENDING_MAX)
            .max_local_error_reset_streams(LOCAL_RESETS_MAX)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT);
        let serving = builder.serve_connection(TokioIo::new(stream), service);
        // A caller that hears GOAWAY knows which of its requests are answered.
        let ended = self
            .drive(serving, Duration::ZERO, |serving| serving.graceful_shutdown())
            .await;
        ended.inspect_err(|error| {
            if error.is_flood() {
                counters.flood(Kind::Other);
            }
        })
    }

    /// Serves until the end: the caller's, the process's, or that of our patience. When the process ends, the connection is
    /// kept for a moment longer, for a request that may be on its way.
    async fn drive<C>(mut self, serving: C, last_request: Duration, finish: impl Fn(Pin<&mut C>)) -> Result<(), Ended>
    where
        C: Future<Output = hyper::Result<()>>,
    {
        let mut serving = pin!(serving);
        let (idle_timeout, send_timeout) = (self.limits.idle_timeout, self.limits.send_timeout);
        let mut look_at = Instant::now() + idle_timeout.min(send_timeout);
        loop {
            tokio::select! {
                biased;
                end = serving.as_mut() => return Ok(end?),
                _ = self.phase.wait_for(|phase| *phase != Phase::Serve) => {
                    if let Ok(end) = timeout(last_request, serving.as_mut()).await {
                        return Ok(end?);
                    }
                    finish(serving.as_mut());
                    return Ok(serving.await?);
                }
                () = sleep_until(look_at) => {}
            }
            let now = Instant::now();
            if self
                .connection
                .stalled_at(send_timeout)
                .is_some_and(|stalled| stalled <= now)
            {
                return Err(Ended::Stalled(send_timeout));
            }
            let rested = self.connection.rested_at(idle_timeout);
            if rested.is_some_and(|rested| rested <= now) {
                break;
            }
            look_at = rested.unwrap_or(now + idle_timeout).min(now + send_timeout);
        }
        finish(serving.as_mut());
        // What the last answers left to be sent: a caller that takes none of it is not waited for.
        match timeout(send_timeout, serving).await {
            Ok(end) => Ok(end?),
            Err(_elapsed) => Ok(()),
        }
    }
}

/// Runs what hyper wants run, on this worker.
#[derive(Clone, Copy)]
struct OnThisThread;

impl<F: Future + 'static> Executor<F> for OnThisThread {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async move { drop(future.await) });
    }
}

/// When told to stop: how long an HTTP/1.1 connection without a request is kept. The next answer says that it is closed.
const LAST_REQUEST: Duration = Duration::from_secs(1);

/// Room for what is more than the limits, so that they are seen to be passed.
const BUFFER_MARGIN: usize = 8 * 1024;

/// RFC 9113 §6.5.2: what each field counts beside its name and value.
const FIELD_OVERHEAD: usize = 32;

/// Most octets of an answer that wait for a stream's window.
const SEND_BYTES_MAX: usize = 64 * 1024;

/// Octets that a caller may send ahead on one stream, and on all streams of its connection.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// Streams that a caller has reset and that were not looked at yet; one more ends the connection (CVE-2023-44487).
const RESETS_PENDING_MAX: usize = 20;

/// Streams that a caller has made us reset, in all; one more ends the connection (CVE-2025-8671).
const LOCAL_RESETS_MAX: usize = 64;

/// A connection is asked whether it lives, as NATs forget those that say nothing.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
