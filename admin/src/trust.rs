//! Trust: the layers that every request to the control plane passes first.
//!
//! The gateway credential proves that a gateway sent the request; the identity proves for whom. The layers stand around
//! the routes, so that no handler can forget them.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use feed::token::Kind;
use feed::{Clock, Digest};
use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderName};

use crate::error::ApiError;
use crate::fleet::{Fleet, Peer};
use crate::gateways::Gateways;
use crate::identity;

/// What proofs are checked against.
#[derive(Debug)]
pub(crate) struct Trust {
    pub fleet: Arc<Fleet>,
    pub gateways: Arc<Gateways>,
    pub clock: Clock,
}

/// Lets requests pass that carry the credential of a gateway, and hands on which.
pub(crate) async fn require_gateway(
    State(trust): State<Arc<Trust>>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let credential = presented(request.headers(), Kind::GatewayCredential);
    let peer = credential.and_then(|credential| trust.fleet.peer(credential));
    let peer: Peer = peer.ok_or(ApiError::Unauthenticated)?;
    request.extensions_mut().insert(peer);
    Ok(next.run(request).await)
}

/// Lets requests pass that carry an identity, and hands on who is asking.
pub(crate) async fn require_identity(
    State(trust): State<Arc<Trust>>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let jwt = only_value(request.headers(), &HeaderName::from_static(feed::frame::IDENTITY_FIELD));
    let caller = jwt.and_then(|jwt| identity::verify(jwt, &trust.gateways, trust.clock.unix_ms()));
    let caller = caller.ok_or(ApiError::Unauthenticated)?;
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

/// Returns the digest of the secret of a kind that a request carries.
pub(crate) fn presented(headers: &HeaderMap, kind: Kind) -> Option<Digest> {
    let text = only_value(headers, &AUTHORIZATION).and_then(bearer)?;
    Digest::of_presented(kind, text.as_bytes()).ok()
}

/// Returns the value of a field that came exactly once.
fn only_value<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then(|| value.to_str().ok())?
}

/// RFC 9110 §11.1: the scheme's case does not matter.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, credentials) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(credentials)
}
