//! One request on one connection: written as its version of HTTP wants it, and waited for as long as its kind may take.

use std::time::Duration;

use http::uri::{InvalidUriParts, Parts as UriParts, Uri};
use http::{HeaderValue, Method, Request, Response, header};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::TrySendError;
use tokio::time::{Instant, timeout_at};

use super::pool::{Held, Lease};
use super::url::Place;
use super::{Deadlines, Upstream};
use crate::body::{Progress, RequestBody};
use crate::grpc;
use crate::refusal::{Reason, Refusal};

/// The head of an answer, and the connection that its body comes on.
pub(super) type Answered = (Response<Incoming>, Lease);

/// How an attempt failed.
pub(super) enum Failure {
    /// The upstream has seen nothing of it.
    NotSent(Box<Request<RequestBody>>, Refusal),
    /// It may have been seen; not an octet of an answer has come.
    NoAnswer(Refusal),
    /// Nothing helps: part of an answer has come, or the time is up.
    Final { refusal: Refusal, upstreams_fault: bool },
}

/// How long an answer is waited for.
#[derive(Clone, Copy)]
pub(super) struct Wait<'s> {
    first_byte: Duration,
    body_idle: Duration,
    progress: Option<&'s Progress>,
}

/// Sends a request on a connection.
pub(super) async fn exchange(
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

impl<'s> Wait<'s> {
    /// Returns how long an answer to a request with this method is waited for.
    pub(super) fn new(upstream: &Upstream, method: &Method, progress: Option<&'s Progress>) -> Self {
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

fn broken(lease: &Lease, error: hyper::Error) -> Failure {
    // A body that broke off, or was not framed as it must be, was the caller's.
    let upstreams_fault = !error.is_user();
    let heard = match &lease.held {
        Some(Held::Http1(connection)) => connection.has_heard(),
        // Without its whole head there is no answer on a stream.
        Some(Held::Http2(_)) | None => false,
    };
    let reason = if upstreams_fault {
        Reason::UpstreamFailed
    } else {
        Reason::RequestAmbiguous
    };
    let refusal = Refusal::caused_by(reason, error);
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
        // hyper leaves the body of a method away that rarely has one, unless its framing is given.
        if request.body().size_hint().exact().is_none() {
            request
                .headers_mut()
                .insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
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
        fields.remove(header::TRANSFER_ENCODING);
        if grpc::is_call(fields) {
            fields.insert(header::TE, HeaderValue::from_static("trailers"));
        }
    } else {
        fields.remove(header::TE);
    }
    *request.uri_mut() = Uri::from_parts(parts)?;
    Ok(())
}
