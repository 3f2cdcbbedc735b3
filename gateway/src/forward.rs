//! Forward: the request to the upstream, built from what was permitted, and the upstream's answer.

use std::rc::Rc;
use std::time::Duration;

use catalogue::{Matched, Server};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body as _, Incoming};

use crate::authorize::Permit;
use crate::body::{Progress, RequestBody};
use crate::connection::Origin;
use crate::facts::GatheredBody;
use crate::refusal::{Reason, Refusal};
use crate::request::Received;
use crate::streams::Registered;
use crate::upgrade::Upgrade;
use crate::upstream::{Lease, Pool, Sending};
use crate::worker::Worker;

/// An answer of an upstream whose body has yet to be read, and the connection that it comes from.
pub(crate) struct UpstreamAnswer {
    pub(crate) response: Response<Incoming>,
    pub(crate) connection: Lease,
}

/// Sends a permitted request to the upstream that answers its operation.
pub(crate) async fn forward(
    worker: &Worker,
    permit: &Permit<'_>,
    received: Received<'_>,
    (body, upgrade): (GatheredBody, Option<&Upgrade>),
    registered: Option<&Registered>,
) -> Result<UpstreamAnswer, Refusal> {
    let pool = match permit.operation().operation.server {
        Server::Orchestrator => &worker.orchestrator,
        Server::Admin => &worker.admin,
    };
    let (body, progress) = match body {
        GatheredBody::Read(bytes) => (RequestBody::Full(Some(bytes)), None),
        GatheredBody::Unread(incoming) if incoming.is_end_stream() => (RequestBody::empty(), None),
        GatheredBody::Unread(incoming) => {
            let progress = Progress::begin(registered.map(|own| Rc::clone(own.stream())));
            (RequestBody::Streamed(incoming, Rc::clone(&progress)), Some(progress))
        }
    };
    // What may have been done is waited for: its effects must reach the store.
    let safe = received.parts.method.is_safe();
    let may_end = || safe || progress.as_ref().is_some_and(|progress| !progress.is_complete());
    let again = || build((worker, pool), permit, received, (RequestBody::empty(), None));
    let sending = Sending {
        progress: progress.as_deref(),
        // A connection that was to speak another protocol may have begun to.
        again: if upgrade.is_some() { None } else { Some(&again) },
    };
    let request = build((worker, pool), permit, received, (body, upgrade))?;
    let sending = pool.send(request, sending);
    let (response, connection) = match registered {
        Some(registered) => registered.unless_cut(sending, may_end).await?,
        None => sending.await?,
    };
    Ok(UpstreamAnswer { response, connection })
}

impl UpstreamAnswer {
    /// Reads an answer whole, for the operations whose answer must be looked at.
    pub(crate) async fn read(self, bytes_max: usize) -> Result<(http::response::Parts, bytes::Bytes), Refusal> {
        let (parts, incoming) = self.response.into_parts();
        let reading = tokio::time::timeout(READ_TIME_MAX, Limited::new(incoming, bytes_max).collect());
        let collected = reading
            .await
            .map_err(|elapsed| Refusal::caused_by(Reason::UpstreamTimeout, elapsed))?;
        let collected = collected.map_err(|error| Refusal::caused_by(Reason::UpstreamFailed, error))?;
        self.connection.hand_back();
        Ok((parts, collected.to_bytes()))
    }
}

/// Longest time to read an answer that must be read whole.
const READ_TIME_MAX: Duration = Duration::from_secs(60);

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const IDENTITY: HeaderName = HeaderName::from_static(feed::frame::IDENTITY_FIELD);

/// The request, but for the endpoint that gets it.
fn build(
    (worker, pool): (&Worker, &Pool),
    permit: &Permit<'_>,
    Received { parts, origin, .. }: Received<'_>,
    (body, upgrade): (RequestBody, Option<&Upgrade>),
) -> Result<Request<RequestBody>, Refusal> {
    let mut request = Request::new(body);
    *request.method_mut() = parts.method.clone();
    *request.uri_mut() = target(pool.upstream.prefix(), permit.operation(), parts.uri.query())?;
    *request.headers_mut() = worker.shared.forwarded_fields.collect(&parts.headers);
    add_own_fields(worker, pool, permit, &mut request)?;
    add_forwarding_fields(parts, origin, request.headers_mut());
    if let Some(upgrade) = upgrade {
        upgrade.add_fields(&parts.headers, request.headers_mut());
    }
    Ok(request)
}

/// The target, from the operation's template and its parameters, not from the caller's text.
pub(crate) fn target(prefix: &str, operation: &Matched<'_>, query: Option<&str>) -> Result<Uri, Refusal> {
    let mut target = String::with_capacity(256);
    target.push_str(prefix);
    operation.push_path(&mut target);
    if let Some(query) = query {
        target.push('?');
        target.push_str(query);
    }
    Uri::try_from(target).map_err(|error| Refusal::caused_by(Reason::RequestAmbiguous, error))
}

/// Credentials and identity, put in last so that nothing of the caller's can stand in their place.
fn add_own_fields(
    worker: &Worker,
    pool: &Pool,
    permit: &Permit<'_>,
    request: &mut Request<RequestBody>,
) -> Result<(), Refusal> {
    let shared = &worker.shared;
    let fields = request.headers_mut();
    if permit.operation().operation.filter.is_some() {
        // The answer will be read and cut: it must come whole and uncompressed.
        for name in [
            header::ACCEPT_ENCODING,
            header::RANGE,
            header::IF_RANGE,
            header::IF_NONE_MATCH,
            header::IF_MODIFIED_SINCE,
        ] {
            fields.remove(name);
        }
    }
    let Some(caller) = permit.caller() else { return Ok(()) };
    if let Some(authorization) = pool.upstream.authorization() {
        fields.insert(header::AUTHORIZATION, authorization);
    }
    let identity = worker.identities.of(&shared.signer, caller, shared.unix_ms());
    let unsigned = || Refusal::caused_by(Reason::UpstreamFailed, "the identity could not be signed");
    fields.insert(IDENTITY, identity.ok_or_else(unsigned)?);
    let subject = HeaderValue::from_str(&caller.subject.id);
    fields.insert(
        header::FROM,
        subject.map_err(|error| Refusal::caused_by(Reason::UpstreamFailed, error))?,
    );
    Ok(())
}

/// What is told of the caller's connection and of the host that it asked.
pub(crate) fn add_forwarding_fields(parts: &Parts, origin: &Origin, fields: &mut HeaderMap) {
    // An address is printable ASCII.
    if let Ok(address) = HeaderValue::try_from(origin.address.to_string()) {
        fields.insert(FORWARDED_FOR, address);
    }
    fields.insert(
        FORWARDED_PROTO,
        HeaderValue::from_static(if origin.secure { "https" } else { "http" }),
    );
    if let Some(host) = one_host(parts) {
        fields.insert(FORWARDED_HOST, host);
    }
}

/// The host that was asked for, in its one spelling. HTTP/2 has an authority in its place; both have been found to be the
/// same.
pub(crate) fn one_host(parts: &Parts) -> Option<HeaderValue> {
    let named = parts.headers.get(header::HOST);
    let host = named.map_or_else(
        || Some(parts.uri.authority()?.as_str().as_bytes()),
        |host| Some(host.as_bytes()),
    )?;
    match named {
        Some(named) if !host.iter().any(u8::is_ascii_uppercase) => Some(named.clone()),
        Some(_) | None => HeaderValue::from_bytes(&host.to_ascii_lowercase()).ok(),
    }
}
