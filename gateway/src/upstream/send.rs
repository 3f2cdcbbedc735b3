//! The way of a request over a worker's connections: to one endpoint, and once more where that is safe.
//!
//! A request that no upstream can have seen is sent to another endpoint, whatever it is. One that may have been seen is
//! sent again only when its method is idempotent, it has no body, not an octet of an answer has come, and the budget
//! allows it. A deadline that has passed is never begun anew.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::{InvalidUriParts, Parts as UriParts, Uri};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::TrySendError;
use tokio::time::{Instant, timeout, timeout_at};

use super::connection::{self, ConnectError, Opened};
use super::metrics::Retry;
use super::pool::{Held, Lease, Pool};
use super::url::Place;
use super::{Deadlines, Upstream};
use crate::body::{Progress, RequestBody};
use crate::refusal::{Reason, Refusal};

/// What there is to a request beside itself.
#[derive(Clone, Copy)]
pub(crate) struct Sending<'s> {
    /// How its upload goes on, if it is one.
    pub(crate) progress: Option<&'s Progress>,
    /// Makes the same request once more, without a body.
    pub(crate) again: &'s dyn Fn() -> Result<Request<RequestBody>, Refusal>,
}

/// The head of an answer, and the connection that its body comes on.
type Answered = (Response<Incoming>, Lease);

impl Pool {
    /// Sends a request and waits for the head of the answer. Which endpoint gets it, and with it `Host` or `:authority`,
    /// is decided here; the path and all other fields are the request's.
    ///
    /// # Errors
    /// A refusal with a status code of 502 or 504, or 408 when the caller's body stops coming.
    pub(crate) async fn send(
        self: &Rc<Self>,
        request: Request<RequestBody>,
        sending: Sending<'_>,
    ) -> Result<Answered, Refusal> {
        self.budget.count();
        let wait = Wait::new(&self.upstream, request.method(), sending.progress);
        let repeatable = request.method().is_idempotent() && request.body().is_end_stream();
        let endpoint = self.choose(0);
        match self.attempt(endpoint, request, wait, true).await {
            Ok(answered) => Ok(answered),
            // In a box of its own, as all that is rare: requests should not carry the room that it needs.
            Err(failure) => {
                Box::pin(self.send_again(endpoint, failure, wait, repeatable.then_some(sending.again))).await
            }
        }
    }

    /// Asks for something as ourselves. The path stands behind that of the URL.
    ///
    /// # Errors
    /// As [`Pool::send`].
    pub(crate) async fn ask(
        self: &Rc<Self>,
        method: Method,
        path: &str,
        body: RequestBody,
    ) -> Result<Answered, Refusal> {
        let request = |body| own_request(&self.upstream, &method, path, body);
        let sending = Sending {
            progress: None,
            again: &|| request(RequestBody::empty()),
        };
        self.send(request(body)?, sending).await
    }

    /// Asks for something as ourselves and reads the answer whole.
    ///
    /// # Errors
    /// As [`Pool::send`]; an answer longer than `bytes_max` octets is `upstream-failed`.
    pub(crate) async fn fetch(
        self: &Rc<Self>,
        method: Method,
        path: &str,
        body: RequestBody,
        bytes_max: usize,
    ) -> Result<(StatusCode, HeaderMap, Bytes), Refusal> {
        let (response, lease) = self.ask(method, path, body).await?;
        let (parts, incoming) = response.into_parts();
        let reading = timeout(lease.idle(), Limited::new(incoming, bytes_max).collect());
        let collected = reading
            .await
            .map_err(|elapsed| Refusal::caused_by(Reason::UpstreamTimeout, elapsed))?;
        let collected = collected.map_err(|error| Refusal::caused_by(Reason::UpstreamFailed, error))?;
        lease.hand_back();
        Ok((parts.status, parts.headers, collected.to_bytes()))
    }

    /// Opens a connection to an endpoint and asks it how it is. The credential is not sent.
    pub(super) async fn check(self: &Rc<Self>, endpoint: usize, path: &str) -> Result<bool, Refusal> {
        let lease = Box::pin(self.connect(endpoint, false)).await;
        let lease = lease.map_err(|error| Refusal::caused_by(Reason::UpstreamUnreachable, error))?;
        let mut request = own_request(&self.upstream, &Method::GET, path, RequestBody::empty())?;
        request.headers_mut().remove(header::AUTHORIZATION);
        let wait = Wait::new(&self.upstream, &Method::GET, None);
        let place = &self.upstream.0.endpoints[endpoint].place;
        match exchange(lease, request, place, wait).await {
            Ok((response, lease)) => {
                lease.retire();
                Ok(response.status().is_success())
            }
            Err(Failure::NotSent(_, refusal) | Failure::NoAnswer(refusal) | Failure::Final { refusal, .. }) => {
                Err(refusal)
            }
        }
    }

    /// Tries one endpoint: on kept connections until one takes the request, then on a new one.
    async fn attempt(
        self: &Rc<Self>,
        endpoint: usize,
        mut request: Request<RequestBody>,
        wait: Wait<'_>,
        kept_too: bool,
    ) -> Result<Answered, Failure> {
        let shared = &self.upstream.0;
        let place = &shared.endpoints[endpoint].place;
        let http1_only = self.upstream.may_speak_http2(place) && request.headers().contains_key(header::UPGRADE);
        let mut kept = if kept_too {
            self.take(endpoint, http1_only)
        } else {
            None
        };
        while let Some(lease) = kept {
            match exchange(lease, request, place, wait).await {
                Err(Failure::NotSent(returned, _)) => request = *returned,
                ended => return self.conclude(endpoint, ended),
            }
            kept = self.take(endpoint, http1_only);
        }
        match Box::pin(self.connect_for(endpoint, http1_only, kept_too)).await {
            Ok(lease) => self.conclude(endpoint, exchange(lease, request, place, wait).await),
            Err(error) => {
                let refusal = Refusal::caused_by(Reason::UpstreamUnreachable, error);
                self.conclude(endpoint, Err(Failure::NotSent(Box::new(request), refusal)))
            }
        }
    }

    /// Sends a request that has failed to other endpoints, or on another connection, while that is safe.
    async fn send_again(
        self: &Rc<Self>,
        first: usize,
        mut failure: Failure,
        wait: Wait<'_>,
        again: Option<&dyn Fn() -> Result<Request<RequestBody>, Refusal>>,
    ) -> Result<Answered, Refusal> {
        let shared = &self.upstream.0;
        let (mut tried, mut connects, mut retries) = (1_u64 << first, 1, 0);
        let count = |retries, result| {
            if retries > 0 {
                shared.counts.retry(result);
            }
        };
        loop {
            let others = (tried.count_ones() as usize) < shared.endpoints.len();
            let request = match (failure, again) {
                (Failure::NotSent(request, _), _) if others && connects < CONNECTS_MAX => {
                    connects += 1;
                    *request
                }
                (Failure::NoAnswer(refusal), Some(again)) if retries < shared.config.retries.max => {
                    if !self.budget.take(&shared.floor, Instant::now()) {
                        shared.counts.retry(Retry::OverBudget);
                        return Err(refusal);
                    }
                    retries += 1;
                    again()?
                }
                (Failure::NotSent(_, refusal) | Failure::NoAnswer(refusal) | Failure::Final { refusal, .. }, _) => {
                    count(retries, Retry::Failed);
                    return Err(refusal);
                }
            };
            let endpoint = self.choose(tried);
            let other = tried & (1 << endpoint) == 0;
            tried |= 1 << endpoint;
            // What one kept connection did to it, others to the same endpoint may do too.
            match self.attempt(endpoint, request, wait, other).await {
                Ok(answered) => {
                    count(retries, Retry::Succeeded);
                    return Ok(answered);
                }
                Err(next) => failure = next,
            }
        }
    }

    /// Connects for a request. Where HTTP/2 is spoken, requests that come meanwhile wait and share the connection.
    async fn connect_for(
        self: &Rc<Self>,
        endpoint: usize,
        http1_only: bool,
        kept_too: bool,
    ) -> Result<Lease, ConnectError> {
        let local = &self.locals[endpoint];
        if http1_only || !kept_too || !local.http2.get() {
            return self.connect(endpoint, http1_only).await;
        }
        let connect = self.upstream.deadlines().connect;
        let connecting = async {
            let _turn = local.connecting.lock().await;
            match self.take(endpoint, http1_only) {
                Some(lease) => Ok(lease),
                None => self.connect(endpoint, http1_only).await,
            }
        };
        timeout(connect, connecting)
            .await
            .map_err(|_elapsed| ConnectError::Timeout(connect))?
    }

    async fn connect(self: &Rc<Self>, endpoint: usize, http1_only: bool) -> Result<Lease, ConnectError> {
        let local = &self.locals[endpoint];
        let place = &self.upstream.0.endpoints[endpoint];
        match connection::open(&self.upstream, place, local, http1_only).await? {
            Opened::Http1(connection) => {
                local.http2.set(local.http2.get() && http1_only);
                Ok(self.lease(endpoint, Held::Http1(connection)))
            }
            Opened::Http2(connection) => {
                local.http2.set(true);
                local.share(&connection);
                Ok(self.lease(endpoint, Held::Http2(connection)))
            }
        }
    }

    /// Takes note of how an attempt ended.
    fn conclude(&self, endpoint: usize, ended: Result<Answered, Failure>) -> Result<Answered, Failure> {
        let shared = &self.upstream.0;
        let health = &shared.endpoints[endpoint].health;
        let failed = match &ended {
            Ok((response, _)) => match response.status() {
                StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => true,
                status => {
                    if status == StatusCode::UNAUTHORIZED {
                        shared.credential.was_refused();
                    }
                    health.succeeded();
                    false
                }
            },
            Err(Failure::NotSent(..) | Failure::NoAnswer(_)) => true,
            Err(Failure::Final { upstreams_fault, .. }) => *upstreams_fault,
        };
        if failed && let Some(time) = health.failed(&shared.config.health, Instant::now()) {
            let endpoint = shared.endpoints[endpoint].authority();
            tracing::warn!(
                endpoint,
                ?time,
                "an endpoint of the upstream fails and is left alone for a while"
            );
        }
        ended
    }
}

/// Endpoints that one request may fail to connect to.
const CONNECTS_MAX: u32 = 3;

/// How an attempt failed.
enum Failure {
    /// The upstream has seen nothing of it.
    NotSent(Box<Request<RequestBody>>, Refusal),
    /// It may have been seen; not an octet of an answer has come.
    NoAnswer(Refusal),
    /// Nothing helps: part of an answer has come, or the time is up.
    Final { refusal: Refusal, upstreams_fault: bool },
}

/// How long an answer is waited for.
#[derive(Clone, Copy)]
struct Wait<'s> {
    first_byte: Duration,
    body_idle: Duration,
    progress: Option<&'s Progress>,
}

impl<'s> Wait<'s> {
    fn new(upstream: &Upstream, method: &Method, progress: Option<&'s Progress>) -> Self {
        let Deadlines {
            first_byte,
            write_first_byte,
            body_idle,
            ..
        } = *upstream.deadlines();
        Self {
            first_byte: if method.is_safe() { first_byte } else { write_first_byte },
            body_idle,
            progress,
        }
    }

    /// Returns when the time is up, and for whom: the caller while a part of the body is wanted of it, else the upstream.
    /// Time runs from the last movement.
    fn ends(&self, started: Instant) -> (Instant, Reason) {
        match self.progress {
            Some(progress) if progress.awaits_caller() => (progress.moved() + self.body_idle, Reason::BodyTimeout),
            Some(progress) => (progress.moved().max(started) + self.first_byte, Reason::UpstreamTimeout),
            None => (started + self.first_byte, Reason::UpstreamTimeout),
        }
    }

    /// Waits for the head of an answer. It is given the wait, not the request: that would be copied into each step.
    async fn run(
        self,
        answer: impl Future<Output = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>>,
    ) -> Result<Response<Incoming>, Ended> {
        let mut answer = std::pin::pin!(answer);
        let started = Instant::now();
        let mut now = started;
        loop {
            let (end, reason) = self.ends(started);
            if end <= now && now > started {
                return Err(Ended::Late(reason));
            }
            // During an upload it may become the caller's turn at any time.
            let uploading = self.progress.is_some_and(|progress| !progress.is_complete());
            let look = if uploading { end.min(now + self.body_idle) } else { end };
            match timeout_at(look, &mut answer).await {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(error)) => return Err(Ended::Error(Box::new(error))),
                Err(_elapsed) => now = Instant::now(),
            }
        }
    }
}

enum Ended {
    Error(Box<TrySendError<Request<RequestBody>>>),
    Late(Reason),
}

/// Sends a request on a connection.
async fn exchange(
    lease: Lease,
    mut request: Request<RequestBody>,
    place: &Place,
    wait: Wait<'_>,
) -> Result<Answered, Failure> {
    let mut lease = lease;
    let http2 = matches!(lease.held, Some(Held::Http2(_)));
    address(&mut request, place, http2).map_err(|error| Failure::Final {
        refusal: Refusal::caused_by(Reason::UpstreamFailed, error),
        upstreams_fault: false,
    })?;
    let ended = match &mut lease.held {
        Some(Held::Http1(connection)) => {
            connection.listen();
            let answer = connection.sender.try_send_request(request);
            wait.run(answer).await
        }
        Some(Held::Http2(connection)) => {
            let answer = connection.sender.borrow_mut().try_send_request(request);
            wait.run(answer).await
        }
        None => Err(Ended::Late(Reason::UpstreamTimeout)),
    };
    match ended {
        Ok(response) => Ok((response, lease)),
        Err(Ended::Late(reason)) => Err(Failure::Final {
            refusal: Refusal::caused_by(reason, "the time was up"),
            upstreams_fault: reason == Reason::UpstreamTimeout,
        }),
        Err(Ended::Error(mut error)) => Err(match error.take_message() {
            Some(request) => {
                lease.retire();
                let refusal = Refusal::caused_by(Reason::UpstreamUnreachable, error.into_error());
                Failure::NotSent(Box::new(request), refusal)
            }
            None => broken(&lease, error.into_error()),
        }),
    }
}

fn broken(lease: &Lease, error: hyper::Error) -> Failure {
    // Of a body that ended too early, the caller made it so.
    let upstreams_fault = !error.is_user();
    let heard = match &lease.held {
        Some(Held::Http1(connection)) => connection.has_heard(),
        // Without its whole head there is no answer on a stream.
        Some(Held::Http2(_)) | None => false,
    };
    let refusal = Refusal::caused_by(Reason::UpstreamFailed, error);
    if upstreams_fault && !heard {
        Failure::NoAnswer(refusal)
    } else {
        Failure::Final {
            refusal,
            upstreams_fault,
        }
    }
}

/// Writes the endpoint into a request, as the version of HTTP wants it.
fn address(request: &mut Request<RequestBody>, place: &Place, http2: bool) -> Result<(), InvalidUriParts> {
    if !http2 {
        request.headers_mut().insert(header::HOST, place.host.clone());
        if request.uri().authority().is_none() {
            return Ok(());
        }
    }
    // From here on it is, or was, a request over HTTP/2.
    let mut parts = UriParts::default();
    parts.path_and_query = request.uri().path_and_query().cloned();
    let fields = request.headers_mut();
    if http2 {
        parts.scheme = Some(place.scheme.clone());
        parts.authority = Some(place.authority.clone());
        fields.remove(header::HOST);
        let kind = fields.get(header::CONTENT_TYPE);
        if kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc")) {
            fields.insert(header::TE, HeaderValue::from_static("trailers"));
        }
    } else {
        fields.remove(header::TE);
    }
    *request.uri_mut() = Uri::from_parts(parts)?;
    Ok(())
}

fn own_request(
    upstream: &Upstream,
    method: &Method,
    path: &str,
    body: RequestBody,
) -> Result<Request<RequestBody>, Refusal> {
    let malformed = |error: http::uri::InvalidUri| Refusal::caused_by(Reason::UpstreamFailed, error);
    let mut request = Request::new(body);
    *request.method_mut() = method.clone();
    *request.uri_mut() = format!("{}{path}", upstream.prefix()).parse().map_err(malformed)?;
    let fields = request.headers_mut();
    fields.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    fields.insert(
        header::USER_AGENT,
        HeaderValue::from_static(concat!("postern/", env!("CARGO_PKG_VERSION"))),
    );
    if let Some(authorization) = upstream.authorization() {
        fields.insert(header::AUTHORIZATION, authorization);
    }
    Ok(request)
}
