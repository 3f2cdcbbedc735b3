//! Upstreams: the orchestrator and the admin service, and the connections to them.
//!
//! Each worker keeps its own connections, so nothing here is shared between threads. A connection serves one request at a
//! time and goes back to its pool when the answer's body has ended.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use crate::body::{Progress, RequestBody};
use crate::refusal::{Reason, Refusal};

/// Where an upstream is and how long it may take.
#[derive(Clone)]
pub struct Upstream {
    /// Value of `Host`.
    pub(crate) host: HeaderValue,
    /// Path that stands before every path sent; empty, or `/…` without a slash at its end.
    pub(crate) prefix: String,
    authority: Authority,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    /// The `Authorization` sent: our credential, never the caller's.
    pub(crate) authorization: Option<HeaderValue>,
    pub(crate) deadlines: Deadlines,
}

/// How long an upstream may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// To accept a connection, TLS included.
    pub connect: Duration,
    /// From the end of the request to the head of the answer.
    pub first_byte: Duration,
    /// Between two parts of the answer's body.
    pub idle: Duration,
}

/// A URL that cannot be an upstream's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// Not `http://` or `https://` with a host.
    #[error("{0:?} is not an http:// or https:// URL")]
    Form(String),
    /// With a user, a query or a fragment.
    #[error("{0:?} must hold nothing but scheme, host, port and path")]
    Extra(String),
    /// A credential that cannot stand in a header field.
    #[error("the credential holds characters that a header field may not")]
    Credential,
}

/// Why no connection could be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("no connection within {0:?}")]
    Timeout(Duration),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Http(#[from] hyper::Error),
}

/// An upstream, with a worker's idle connections to it.
pub(crate) struct Pool {
    pub(crate) upstream: Upstream,
    idle: RefCell<VecDeque<Idle>>,
}

struct Idle {
    sender: SendRequest<RequestBody>,
    since: Instant,
}

impl Upstream {
    /// Returns the upstream at a URL such as `https://api.example.com/prefix`.
    ///
    /// # Errors
    /// [`BadUrl`].
    pub fn new(
        url: &str,
        credential: Option<&str>,
        tls: &Arc<rustls::ClientConfig>,
        deadlines: Deadlines,
    ) -> Result<Self, BadUrl> {
        let place = place(url)?;
        let authorization = credential
            .map(|credential| HeaderValue::try_from(format!("Bearer {credential}")))
            .transpose();
        let mut authorization =
            authorization.map_err(|_invalid: http::header::InvalidHeaderValue| BadUrl::Credential)?;
        if let Some(value) = &mut authorization {
            value.set_sensitive(true);
        }
        Ok(Self {
            host: place.host,
            prefix: place.prefix,
            port: place
                .authority
                .port_u16()
                .unwrap_or(if place.secure { 443 } else { 80 }),
            authority: place.authority,
            tls: place
                .secure
                .then(|| (TlsConnector::from(Arc::clone(tls)), place.server)),
            authorization,
            deadlines,
        })
    }

    /// Checks that a URL can be an upstream's.
    ///
    /// # Errors
    /// [`BadUrl`].
    pub fn check_url(url: &str) -> Result<(), BadUrl> {
        place(url).map(drop)
    }

    /// Opens a connection. The caller drives the second part.
    pub(crate) async fn connect(&self) -> Result<(SendRequest<RequestBody>, Driver), ConnectError> {
        let connecting = timeout(self.deadlines.connect, self.open());
        connecting
            .await
            .map_err(|_elapsed| ConnectError::Timeout(self.deadlines.connect))?
    }

    async fn open(&self) -> Result<(SendRequest<RequestBody>, Driver), ConnectError> {
        let host = self.authority.host().trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((host, self.port)).await?;
        stream.set_nodelay(true)?;
        match &self.tls {
            None => {
                let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
                Ok((sender, Driver::Plain(Box::new(connection))))
            }
            Some((connector, server)) => {
                let stream = connector.connect(server.clone(), stream).await?;
                let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
                Ok((sender, Driver::Tls(Box::new(connection))))
            }
        }
    }
}

/// The side of a connection that moves octets; ends with the connection.
pub(crate) enum Driver {
    Plain(Box<Connection<TokioIo<TcpStream>, RequestBody>>),
    Tls(Box<Connection<TokioIo<tokio_rustls::client::TlsStream<TcpStream>>, RequestBody>>),
}

impl Driver {
    /// Moves octets until the connection ends. How it ends is seen by the request on it.
    pub(crate) async fn run(self) {
        let end = match self {
            Self::Plain(connection) => connection.with_upgrades().await,
            Self::Tls(connection) => connection.with_upgrades().await,
        };
        if let Err(error) = end {
            tracing::debug!(%error, "upstream connection ended");
        }
    }
}

impl Pool {
    pub(crate) fn new(upstream: Upstream) -> Rc<Self> {
        Rc::new(Self {
            upstream,
            idle: RefCell::default(),
        })
    }

    /// Sends a request and waits for the head of the answer. The connection goes with it, to be handed back.
    ///
    /// A request that a kept connection did not take is sent again on a new one: the upstream has seen nothing of it.
    pub(crate) async fn send(
        &self,
        mut request: Request<RequestBody>,
        progress: Option<&Progress>,
    ) -> Result<(Response<Incoming>, SendRequest<RequestBody>), Refusal> {
        while let Some(mut sender) = self.take_idle() {
            match self.exchange(sender.try_send_request(request), progress).await {
                Ok(response) => return Ok((response, sender)),
                Err(Exchange::NotTaken(returned)) => request = *returned,
                Err(Exchange::Failed(refusal)) => return Err(refusal),
            }
        }
        // In a box of its own: requests on kept connections should not carry the room that this needs.
        let connected = Box::pin(self.upstream.connect()).await;
        let (mut sender, driver) = connected.map_err(|error| Refusal::caused_by(Reason::UpstreamUnreachable, error))?;
        tokio::task::spawn_local(driver.run());
        match self.exchange(sender.try_send_request(request), progress).await {
            Ok(response) => Ok((response, sender)),
            Err(Exchange::NotTaken(_)) => Err(Reason::UpstreamUnreachable.into()),
            Err(Exchange::Failed(refusal)) => Err(refusal),
        }
    }

    /// Asks for something as ourselves and reads the answer whole.
    pub(crate) async fn fetch(
        self: &Rc<Self>,
        method: Method,
        path: &str,
        body: RequestBody,
        bytes_max: usize,
    ) -> Result<(StatusCode, HeaderMap, Bytes), Refusal> {
        let malformed = |error: http::uri::InvalidUri| Refusal::caused_by(Reason::UpstreamFailed, error);
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = format!("{}{path}", self.upstream.prefix).parse().map_err(malformed)?;
        let fields = request.headers_mut();
        fields.insert(header::HOST, self.upstream.host.clone());
        fields.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        fields.insert(
            header::USER_AGENT,
            HeaderValue::from_static(concat!("postern/", env!("CARGO_PKG_VERSION"))),
        );
        if let Some(authorization) = &self.upstream.authorization {
            fields.insert(header::AUTHORIZATION, authorization.clone());
        }
        let (response, sender) = self.send(request, None).await?;
        let (parts, incoming) = response.into_parts();
        let reading = timeout(
            self.upstream.deadlines.idle,
            Limited::new(incoming, bytes_max).collect(),
        );
        let collected = reading
            .await
            .map_err(|elapsed| Refusal::caused_by(Reason::UpstreamTimeout, elapsed))?;
        let collected = collected.map_err(|error| Refusal::caused_by(Reason::UpstreamFailed, error))?;
        self.hand_back(sender);
        Ok((parts.status, parts.headers, collected.to_bytes()))
    }

    /// Takes back a connection whose answer has been read to its end.
    pub(crate) fn hand_back(self: &Rc<Self>, mut sender: SendRequest<RequestBody>) {
        if sender.is_ready() {
            self.keep(sender);
        } else if !sender.is_closed() {
            let pool = Rc::clone(self);
            tokio::task::spawn_local(async move {
                if let Ok(Ok(())) = timeout(READY_AGAIN, sender.ready()).await {
                    pool.keep(sender);
                }
            });
        }
    }

    /// Waits for the head of an answer. It is given the wait, not the request: that would be copied into each step.
    async fn exchange(
        &self,
        answer: impl Future<Output = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>>,
        progress: Option<&Progress>,
    ) -> Result<Response<Incoming>, Exchange> {
        let mut answer = std::pin::pin!(answer);
        let started = Instant::now();
        loop {
            // While a body is uploaded, the time runs from its last movement.
            let moved = progress.map_or(started, Progress::moved).max(started);
            match timeout_at(moved + self.upstream.deadlines.first_byte, &mut answer).await {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(mut error)) => {
                    return Err(match error.take_message() {
                        Some(request) => Exchange::NotTaken(Box::new(request)),
                        None => Exchange::Failed(Refusal::caused_by(Reason::UpstreamFailed, error.into_error())),
                    });
                }
                Err(_elapsed) if progress.is_some_and(|p| p.moved() > moved) => {}
                Err(_elapsed) if progress.is_some_and(|p| !p.is_complete()) => {
                    return Err(Exchange::Failed(Reason::BodyTimeout.into()));
                }
                Err(elapsed) => return Err(Exchange::Failed(Refusal::caused_by(Reason::UpstreamTimeout, elapsed))),
            }
        }
    }

    fn keep(&self, sender: SendRequest<RequestBody>) {
        let mut idle = self.idle.borrow_mut();
        let now = Instant::now();
        while idle
            .front()
            .is_some_and(|oldest| idle.len() >= IDLE_MAX || now - oldest.since > IDLE_TIME_MAX)
        {
            idle.pop_front();
        }
        idle.push_back(Idle { sender, since: now });
    }

    fn take_idle(&self) -> Option<SendRequest<RequestBody>> {
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { sender, .. }) = idle.pop_back() {
            if sender.is_ready() {
                return Some(sender);
            }
        }
        None
    }
}

/// What a URL says of an upstream.
struct Place {
    authority: Authority,
    host: HeaderValue,
    server: ServerName<'static>,
    secure: bool,
    /// Path before every path; without a slash at its end.
    prefix: String,
}

fn place(url: &str) -> Result<Place, BadUrl> {
    let form = || BadUrl::Form(url.to_owned());
    let uri: Uri = url.parse().map_err(|_invalid: http::uri::InvalidUri| form())?;
    let authority = uri.authority().ok_or_else(form)?.clone();
    if authority.as_str().contains('@') || uri.query().is_some() || url.contains('#') {
        return Err(BadUrl::Extra(url.to_owned()));
    }
    let secure = match uri.scheme() {
        Some(scheme) if *scheme == Scheme::HTTPS => true,
        Some(scheme) if *scheme == Scheme::HTTP => false,
        _ => return Err(form()),
    };
    let name = authority
        .host()
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    let server = ServerName::try_from(name).map_err(|_invalid: rustls::pki_types::InvalidDnsNameError| form())?;
    let host =
        HeaderValue::try_from(authority.as_str()).map_err(|_invalid: http::header::InvalidHeaderValue| form())?;
    let prefix = uri.path().trim_end_matches('/').to_owned();
    Ok(Place {
        authority,
        host,
        server,
        secure,
        prefix,
    })
}

enum Exchange {
    NotTaken(Box<Request<RequestBody>>),
    Failed(Refusal),
}

/// Most idle connections that a worker keeps to one upstream.
const IDLE_MAX: usize = 256;

/// Longest time that a connection is kept idle; below the 75 s after which nginx closes one.
const IDLE_TIME_MAX: Duration = Duration::from_secs(60);

/// How long a connection may take to be ready again after an answer.
const READY_AGAIN: Duration = Duration::from_secs(5);
