//! One connection to an endpoint: from its name to the first word of HTTP.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::client::TlsStream;

use super::address::Denied;
use super::metrics::Open;
use super::pool::{Local, Multiplexed};
use super::{Endpoint, Http2, Upstream};
use crate::body::RequestBody;

/// Why no connection could be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("no connection within {0:?}")]
    Timeout(Duration),
    #[error("the name cannot be looked up: {0}")]
    LookUp(#[source] io::Error),
    #[error("the name has no address")]
    NoAddress,
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Http(#[from] hyper::Error),
}

/// A connection that requests can be sent on.
pub(super) enum Opened {
    Http1(Http1),
    Http2(Rc<Multiplexed>),
}

/// An HTTP/1.1 connection: one request at a time.
pub(super) struct Http1 {
    pub(super) sender: http1::SendRequest<RequestBody>,
    heard: Arc<AtomicBool>,
}

/// Addresses of an endpoint, as they were found and checked.
pub(super) struct Resolved {
    at: Instant,
    addresses: Vec<SocketAddr>,
}

impl Http1 {
    /// Forgets what came before: from now on any octet is of the next answer.
    pub(super) fn listen(&self) {
        self.heard.store(false, Ordering::Relaxed);
    }

    /// Whether any octet has come since.
    pub(super) fn has_heard(&self) -> bool {
        self.heard.load(Ordering::Relaxed)
    }
}

/// Opens a connection. What moves its octets runs beside, until it ends.
pub(super) async fn open(
    upstream: &Upstream,
    endpoint: &Endpoint,
    local: &Local,
    http1_only: bool,
) -> Result<Opened, ConnectError> {
    let connect = upstream.deadlines().connect;
    let opening = async {
        let addresses = resolve(upstream, endpoint, local).await?;
        let socket = connect_tcp(&addresses, connect).await?;
        socket.set_nodelay(true)?;
        let (socket, http2) = secure(upstream, endpoint, socket, http1_only).await?;
        let heard = Arc::new(AtomicBool::new(false));
        let stream = Stream {
            socket,
            heard: Arc::clone(&heard),
            _open: local.count_open(),
        };
        if http2 {
            Ok(Opened::Http2(begin_http2(stream).await?))
        } else {
            let sender = begin_http1(stream).await?;
            Ok(Opened::Http1(Http1 { sender, heard }))
        }
    };
    timeout(connect, opening)
        .await
        .map_err(|_elapsed| ConnectError::Timeout(connect))?
}

/// How long the addresses of a name are believed.
const RESOLVED_TIME_MAX: Duration = Duration::from_secs(5);

/// Addresses that are tried of one name.
const ADDRESSES_MAX: usize = 8;

/// How often an HTTP/2 connection is asked whether it lives, and how long it may take to say so.
const PING_PAUSE: Duration = Duration::from_secs(20);

async fn resolve(upstream: &Upstream, endpoint: &Endpoint, local: &Local) -> Result<Vec<SocketAddr>, ConnectError> {
    if let Some(known) = local.resolved.borrow().as_ref()
        && known.at.elapsed() < RESOLVED_TIME_MAX
    {
        return Ok(known.addresses.clone());
    }
    let place = &endpoint.place;
    let found = tokio::net::lookup_host((place.name.as_str(), place.port)).await;
    let found: Vec<SocketAddr> = found.map_err(ConnectError::LookUp)?.take(ADDRESSES_MAX).collect();
    let permitted = upstream.0.config.addresses.permitted(place.named, &found);
    let addresses = permitted.map_err(|denied| denied.map_or(ConnectError::NoAddress, ConnectError::Denied))?;
    local.resolved.replace(Some(Resolved {
        at: Instant::now(),
        addresses: addresses.clone(),
    }));
    Ok(addresses)
}

/// Tries one address after the other; each has its share of the time.
async fn connect_tcp(addresses: &[SocketAddr], within: Duration) -> Result<TcpStream, ConnectError> {
    let share = within / u32::try_from(addresses.len()).unwrap_or(1).max(1);
    let mut last = ConnectError::NoAddress;
    for address in addresses {
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(socket)) => return Ok(socket),
            Ok(Err(error)) => last = error.into(),
            Err(_elapsed) => last = ConnectError::Timeout(share),
        }
    }
    Err(last)
}

/// Returns the socket, secured where it should be, and whether HTTP/2 is spoken on it.
async fn secure(
    upstream: &Upstream,
    endpoint: &Endpoint,
    socket: TcpStream,
    http1_only: bool,
) -> Result<(Socket, bool), ConnectError> {
    if !endpoint.place.secure {
        let http2 = upstream.0.config.http2 == Http2::PriorKnowledge && !http1_only;
        return Ok((Socket::Plain(socket), http2));
    }
    let connectors = &upstream.0.connectors;
    let connector = if http1_only { &connectors.http1 } else { &connectors.any };
    let stream = connector.connect(endpoint.place.server.clone(), socket).await?;
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    Ok((Socket::Tls(Box::new(stream)), http2))
}

async fn begin_http1(stream: Stream) -> hyper::Result<http1::SendRequest<RequestBody>> {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::task::spawn_local(async move {
        // How it ends is seen by the request on it.
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "upstream connection ended");
        }
    });
    Ok(sender)
}

async fn begin_http2(stream: Stream) -> hyper::Result<Rc<Multiplexed>> {
    let mut builder = http2::Builder::new(OnThisThread);
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_PAUSE)
        .keep_alive_timeout(PING_PAUSE)
        .keep_alive_while_idle(true)
        // None before the upstream has said how many: more than it allows would wait behind each other.
        .initial_max_send_streams(0);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
    // Nothing wakes us when that is known. The time to connect bounds this.
    while connection.current_max_send_streams() == 0 && !sender.is_closed() {
        sleep(SETTINGS_PAUSE).await;
    }
    let connection = Rc::new(RefCell::new(connection));
    let driven = Rc::clone(&connection);
    tokio::task::spawn_local(async move {
        let end = poll_fn(|context| Pin::new(&mut *driven.borrow_mut()).poll(context));
        if let Err(error) = end.await {
            tracing::debug!(%error, "upstream connection ended");
        }
    });
    Ok(Multiplexed::new(sender, connection))
}

/// How often a new HTTP/2 connection is asked whether the upstream has said how many streams it allows.
const SETTINGS_PAUSE: Duration = Duration::from_millis(1);

/// What moves the octets of an HTTP/2 connection, and knows how many streams the upstream allows.
pub(super) type Http2Connection = http2::Connection<TokioIo<Stream>, RequestBody, OnThisThread>;

/// Runs what belongs to an HTTP/2 connection on the thread that the connection is of.
#[derive(Clone)]
pub(super) struct OnThisThread;

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for OnThisThread {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// The octets of a connection. It knows whether any have come.
pub(super) struct Stream {
    socket: Socket,
    heard: Arc<AtomicBool>,
    _open: Open,
}

enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        let before = buffer.filled().len();
        let polled = match &mut stream.socket {
            Socket::Plain(socket) => Pin::new(socket).poll_read(context, buffer),
            Socket::Tls(socket) => Pin::new(socket).poll_read(context, buffer),
        };
        if buffer.filled().len() > before {
            stream.heard.store(true, Ordering::Relaxed);
        }
        polled
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().socket {
            Socket::Plain(socket) => Pin::new(socket).poll_write(context, octets),
            Socket::Tls(socket) => Pin::new(socket).poll_write(context, octets),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().socket {
            Socket::Plain(socket) => Pin::new(socket).poll_flush(context),
            Socket::Tls(socket) => Pin::new(socket).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().socket {
            Socket::Plain(socket) => Pin::new(socket).poll_shutdown(context),
            Socket::Tls(socket) => Pin::new(socket).poll_shutdown(context),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().socket {
            Socket::Plain(socket) => Pin::new(socket).poll_write_vectored(context, parts),
            Socket::Tls(socket) => Pin::new(socket).poll_write_vectored(context, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.socket {
            Socket::Plain(socket) => socket.is_write_vectored(),
            Socket::Tls(socket) => socket.is_write_vectored(),
        }
    }
}
