//! The way of a request over a worker's connections: to one endpoint, and once more where that is safe.
//!
//! A request that no upstream can have seen is sent to another endpoint, whatever it is. One that may have been seen is
//! sent again only when its method is idempotent, it has no body, not an octet of an answer has come, and the budget
//! allows it. A deadline that has passed is never begun anew.

use std::rc::Rc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Body as _;
use tokio::time::{Instant, timeout};

use super::Upstream;
use super::connection::{self, ConnectError, Opened};
use super::exchange::{Answered, Failure, Wait, exchange};
use super::metrics::Retry;
use super::pool::{Held, Lease, Pool};
use crate::body::{Progress, RequestBody};
use crate::refusal::{Reason, Refusal};

/// What there is to a request beside itself.
#[derive(Clone, Copy)]
pub(crate) struct Sending<'s> {
    /// How its upload goes on, if it is one.
    pub(crate) progress: Option<&'s Progress>,
    /// Makes the same request once more, without a body. `None`: it is never sent again once it may have been seen.
    pub(crate) again: Option<&'s dyn Fn() -> Result<Request<RequestBody>, Refusal>>,
}

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
        let method = request.method();
        let may_repeat = method.is_safe() || (self.upstream.0.config.retries.writes && method.is_idempotent());
        let repeatable = may_repeat && request.body().is_end_stream();
        let endpoint = self.choose(0);
        match self.attempt(endpoint, request, wait, true).await {
            Ok(answered) => Ok(answered),
            // In a box of its own, as all that is rare: requests should not carry the room that it needs.
            Err(failure) => {
                Box::pin(self.send_again(endpoint, failure, wait, sending.again.filter(|_| repeatable))).await
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
            again: Some(&|| request(RequestBody::empty())),
        };
        self.send(request(body)?, sending).await
    }

    /// Asks one endpoint as ourselves for something that is read as it comes, in any of the content codings accepted.
    ///
    /// # Errors
    /// As [`Pool::send`].
    pub(crate) async fn stream_from(
        self: &Rc<Self>,
        endpoint: usize,
        path: &str,
        accepted: HeaderValue,
    ) -> Result<Answered, Refusal> {
        let mut request = own_request(&self.upstream, &Method::GET, path, RequestBody::empty())?;
        request.headers_mut().insert(header::ACCEPT_ENCODING, accepted);
        self.ask_at(endpoint, request).await
    }

    /// Asks one endpoint, and no other.
    async fn ask_at(self: &Rc<Self>, endpoint: usize, request: Request<RequestBody>) -> Result<Answered, Refusal> {
        let wait = Wait::new(&self.upstream, request.method(), None);
        match self.attempt(endpoint, request, wait, true).await {
            Ok(answered) => Ok(answered),
            Err(Failure::NotSent(_, refusal) | Failure::NoAnswer(refusal) | Failure::Final { refusal, .. }) => {
                Err(refusal)
            }
        }
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
        read_whole(self.ask(method, path, body).await?, bytes_max).await
    }

    /// Tells one endpoint something as ourselves, and reads its answer whole.
    ///
    /// # Errors
    /// As [`Pool::fetch`].
    pub(crate) async fn post_at(
        self: &Rc<Self>,
        endpoint: usize,
        path: &str,
        (body, bytes_max): (Bytes, usize),
    ) -> Result<StatusCode, Refusal> {
        let body = RequestBody::Full(Some(body));
        let request = own_request(&self.upstream, &Method::POST, path, body)?;
        let answered = self.ask_at(endpoint, request).await?;
        let (status, _, _) = read_whole(answered, bytes_max).await?;
        Ok(status)
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

async fn read_whole((response, lease): Answered, bytes_max: usize) -> Result<(StatusCode, HeaderMap, Bytes), Refusal> {
    let (parts, incoming) = response.into_parts();
    let reading = timeout(lease.idle(), Limited::new(incoming, bytes_max).collect());
    let collected = reading
        .await
        .map_err(|elapsed| Refusal::caused_by(Reason::UpstreamTimeout, elapsed))?;
    let collected = collected.map_err(|error| Refusal::caused_by(Reason::UpstreamFailed, error))?;
    lease.hand_back();
    Ok((parts.status, parts.headers, collected.to_bytes()))
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
