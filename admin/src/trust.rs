//! Trust: the layers that every request to the control plane passes first.
//!
//! The gateway credential proves that a gateway sent the request; the identity proves for whom. The layers stand around
//! the routes, so that no handler can forget them.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use feed::token::Kind;
use feed::{Clock, Digest};
use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderName};

use crate::error::ApiError;
use crate::gateways::Gateways;
use crate::identity;

/// What proofs are checked against.
#[derive(Debug)]
pub(crate) struct Trust {
    pub credential: Digest,
    pub gateways: Arc<Gateways>,
    pub clock: Clock,
}

/// Lets requests pass that carry the gateway credential.
pub(crate) async fn require_gateway(
    State(trust): State<Arc<Trust>>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if !trust.is_gateway(request.headers()) {
        return Err(ApiError::Unauthenticated);
    }
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

impl Trust {
    fn is_gateway(&self, headers: &HeaderMap) -> bool {
        let presented = only_value(headers, &AUTHORIZATION).and_then(bearer);
        let digest = presented.and_then(|text| Digest::of_presented(Kind::GatewayCredential, text.as_bytes()).ok());
        digest.is_some_and(|digest| verify_slices_are_equal(digest.as_bytes(), self.credential.as_bytes()).is_ok())
    }
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
