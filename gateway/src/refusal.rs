//! Refusals: every way a request ends before the orchestrator's answer, each with a stable reason id.
//!
//! A refusal has two texts: a fixed one for the caller, which never echoes input, and whatever its source says, for the
//! log. This file is the only place where a reason becomes a status code.

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{Response, StatusCode};

use crate::body::Body;
use crate::limit::Rate;

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The request can be read in two ways, or is malformed.
    RequestAmbiguous,
    /// Something that looks like a credential is in the query component, where logs would keep it.
    CredentialInQuery,
    /// Two credentials in one request.
    CredentialsTwice,
    /// A JSON body that must be read cannot be, or can be read in two ways.
    BodyUnreadable,
    /// The body names no environment, and the operation needs one.
    EnvironmentNotNamed,
    /// No credential.
    TokenMissing,
    /// A credential that is not a bearer token of the right shape.
    TokenMalformed,
    /// A token that is not known: never issued, or revoked.
    TokenUnknown,
    /// A token past its expiry.
    TokenExpired,
    /// A token that is bound to a client certificate, on a connection without it.
    CertificateMismatch,
    /// No role of the subject allows the operation.
    NotAllowed,
    /// A guard refuses what a role allows.
    GuardDenied,
    /// No operation has this path.
    OperationUnknown,
    /// The environment that the operation concerns does not exist.
    EnvironmentUnknown,
    /// Operations have this path, under other methods.
    MethodNotAllowed,
    /// A method that no operation has.
    MethodUnknown,
    /// The header section did not arrive in time.
    HeaderTimeout,
    /// The body did not arrive in time.
    BodyTimeout,
    /// A body that must be read is over its limit.
    BodyTooLarge,
    /// The request target is over its limit.
    TargetTooLong,
    /// The header section is over its limit.
    FieldsTooLarge,
    /// An expectation other than `100-continue`.
    ExpectationFailed,
    /// The request is for another host.
    HostUnknown,
    /// The subject, the token or the source sends more requests than its limit.
    TooManyRequests,
    /// The source presents more invalid credentials than its limit.
    TooManyInvalidCredentials,
    /// The upstream cannot be reached.
    UpstreamUnreachable,
    /// The upstream's answer broke off, or cannot be read where it must be.
    UpstreamFailed,
    /// The upstream did not answer in time.
    UpstreamTimeout,
    /// The admin service does not know this gateway yet, as just after its start.
    AdminUnavailable,
    /// No snapshot has arrived yet.
    NoData,
    /// The data is older than it may be.
    DataTooOld,
    /// The data is older than it may be for an operation that may change something.
    DataTooOldToWrite,
    /// A fact that the decision needs cannot be had.
    FactUnavailable,
    /// A policy that might have allowed the operation is broken.
    PolicyFault,
    /// As much is under way as may be.
    Overloaded,
}

/// A rate that was passed, for `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PassedRate {
    /// Whose rate it is.
    pub(crate) of: &'static str,
    pub(crate) rate: Rate,
    /// Seconds after which one more may come.
    pub(crate) wait_s: i64,
}

/// A refusal: its reason, and what only its place can tell.
#[derive(Debug, thiserror::Error)]
#[error("{}", .reason.id())]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// For the log only.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
    /// Methods that the path has, for `Allow`.
    allow: Option<String>,
    /// The rate that was passed.
    passed: Option<PassedRate>,
    /// The guard that refuses, and what it says.
    denied: Option<Box<Denied>>,
}

#[derive(Debug)]
struct Denied {
    guard: Box<str>,
    reason: String,
}

impl Reason {
    /// How many reasons there are.
    pub const COUNT: usize = TABLE.len();

    /// Returns all reasons, in the order of their indices.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|(reason, _, _, _)| *reason)
    }

    /// Returns the reason with an index below [`Reason::COUNT`].
    pub(crate) fn from_index(index: usize) -> Option<Self> {
        TABLE.get(index).map(|(reason, _, _, _)| *reason)
    }

    /// Returns the stable id, as logs and metrics have it.
    pub fn id(self) -> &'static str {
        self.row().1
    }

    /// Returns the status code.
    pub fn status(self) -> StatusCode {
        self.row().2
    }

    /// Returns the id that the caller is told. All reasons of 401 share one, so that a guess learns nothing.
    pub fn public_id(self) -> &'static str {
        if self.status() == StatusCode::UNAUTHORIZED {
            "unauthenticated"
        } else {
            self.id()
        }
    }

    /// Returns whether a connection of HTTP/1.1 ends with it: what follows could be read as the rest of this request, or as
    /// another, or comes from somebody who is best heard less.
    fn ends_connection(self) -> bool {
        matches!(
            self,
            Self::RequestAmbiguous
                | Self::FieldsTooLarge
                | Self::TargetTooLong
                | Self::HeaderTimeout
                | Self::TooManyInvalidCredentials
                | Self::Overloaded
        )
    }

    /// Returns the text for the caller: printable ASCII without `%`.
    pub(crate) fn message(self) -> &'static str {
        self.row().3
    }

    fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }
}

impl Refusal {
    /// Returns a refusal with what went wrong, for the log.
    pub(crate) fn caused_by(reason: Reason, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self {
            reason,
            source: Some(source.into()),
            ..Self::from(reason)
        }
    }

    /// Returns a refusal of a method, with those that the path has.
    pub(crate) fn method_not_allowed(allow: String) -> Self {
        Self {
            allow: Some(allow),
            ..Self::from(Reason::MethodNotAllowed)
        }
    }

    /// Returns the refusal of a guard, with what it says: what would break a line or hide text becomes a blank, and what is
    /// beyond [`GUARD_REASON_CHARS_MAX`] characters is cut off.
    pub(crate) fn denied(guard: &str, reason: &str) -> Self {
        let plain = |c: char| if is_hidden(c) { ' ' } else { c };
        let reason: String = reason.chars().take(GUARD_REASON_CHARS_MAX).map(plain).collect();
        let reason = match reason.trim() {
            "" => Reason::GuardDenied.message().to_owned(),
            said => said.to_owned(),
        };
        let guard = guard.into();
        Self {
            denied: Some(Box::new(Denied { guard, reason })),
            ..Self::from(Reason::GuardDenied)
        }
    }

    /// Returns the guard that refuses.
    pub(crate) fn guard(&self) -> Option<&str> {
        self.denied.as_ref().map(|denied| &*denied.guard)
    }

    /// Returns the text for the caller: the guard's, when one refuses; else that of the reason.
    pub(crate) fn message(&self) -> &str {
        match &self.denied {
            Some(denied) => &denied.reason,
            None => self.reason.message(),
        }
    }

    /// Returns a refusal of what comes too fast.
    pub(crate) fn too_fast(reason: Reason, passed: PassedRate) -> Self {
        Self {
            passed: Some(passed),
            ..Self::from(reason)
        }
    }

    /// Returns the answer to the caller.
    pub(crate) fn into_response(self, decision_id: &str) -> Response<Body> {
        let status = self.reason.status();
        // Text always makes JSON.
        let message = serde_json::to_string(self.message()).unwrap_or_default();
        let body = format!(
            r#"{{"error":"{}","message":{message},"details":{{"decision_id":"{decision_id}"}}}}"#,
            self.reason.public_id()
        );
        let mut response = Response::new(Body::full(Bytes::from(body)));
        *response.status_mut() = status;
        let fields = response.headers_mut();
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.reason.ends_connection() {
            fields.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if status == StatusCode::UNAUTHORIZED {
            fields.insert(WWW_AUTHENTICATE, challenge(self.reason));
        }
        if let Some(passed) = self.passed {
            passed.tell(fields);
        } else if status == StatusCode::SERVICE_UNAVAILABLE {
            fields.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if let Some(allow) = self.allow.and_then(|methods| HeaderValue::try_from(methods).ok()) {
            fields.insert(ALLOW, allow);
        }
        response
    }
}

impl PassedRate {
    fn tell(self, fields: &mut HeaderMap) {
        let Self { of, rate, wait_s } = self;
        let window_s = rate.burst.div_ceil(rate.per_second.max(1)).max(1);
        fields.insert(RETRY_AFTER, HeaderValue::from(wait_s));
        let texts = [
            (RATE_LIMIT_POLICY, format!("\"{of}\";q={};w={window_s}", rate.burst)),
            (RATE_LIMIT, format!("\"{of}\";r=0;t={wait_s}")),
        ];
        for (name, text) in texts {
            // Numbers and a name of ours.
            if let Ok(value) = HeaderValue::try_from(text) {
                fields.insert(name, value);
            }
        }
    }
}

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self {
            reason,
            source: None,
            allow: None,
            passed: None,
            denied: None,
        }
    }
}

/// A reason, its id, its status code and the text for the caller.
type Row = (Reason, &'static str, StatusCode, &'static str);

const UNAUTHENTICATED: &str = "a valid bearer token is required";

/// Characters that end a line, or that change how the text around them is shown.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Longest text of a guard that a caller is told, in characters.
const GUARD_REASON_CHARS_MAX: usize = 500;

/// The table of refusals, in the order of the reasons.
#[rustfmt::skip]
static TABLE: [Row; 35] = {
    use Reason as R;
    use StatusCode as S;
    [
        (R::RequestAmbiguous, "request-ambiguous", S::BAD_REQUEST, "the request is malformed or can be read in two ways"),
        (R::CredentialInQuery, "credential-in-query", S::BAD_REQUEST, "a credential must not be in the query; revoke it, it may have been logged"),
        (R::CredentialsTwice, "credentials-twice", S::BAD_REQUEST, "the request holds more than one credential"),
        (R::BodyUnreadable, "body-unreadable", S::BAD_REQUEST, "the body must be one JSON object whose members are named once"),
        (R::EnvironmentNotNamed, "environment-not-named", S::BAD_REQUEST, "the body must name an environment"),
        (R::TokenMissing, "token-missing", S::UNAUTHORIZED, UNAUTHENTICATED),
        (R::TokenMalformed, "token-malformed", S::UNAUTHORIZED, UNAUTHENTICATED),
        (R::TokenUnknown, "token-unknown", S::UNAUTHORIZED, UNAUTHENTICATED),
        (R::TokenExpired, "token-expired", S::UNAUTHORIZED, UNAUTHENTICATED),
        (R::CertificateMismatch, "certificate-mismatch", S::UNAUTHORIZED, UNAUTHENTICATED),
        (R::NotAllowed, "not-allowed", S::FORBIDDEN, "no role of this subject allows this operation here"),
        (R::GuardDenied, "guard-denied", S::FORBIDDEN, "a guard refuses this operation here"),
        (R::OperationUnknown, "operation-unknown", S::NOT_FOUND, "no operation has this path"),
        (R::EnvironmentUnknown, "environment-unknown", S::NOT_FOUND, "the environment does not exist"),
        (R::MethodNotAllowed, "method-not-allowed", S::METHOD_NOT_ALLOWED, "this path has no operation with this method"),
        (R::MethodUnknown, "method-unknown", S::NOT_IMPLEMENTED, "no operation has this method"),
        (R::HeaderTimeout, "header-timeout", S::REQUEST_TIMEOUT, "the header section did not arrive in time"),
        (R::BodyTimeout, "body-timeout", S::REQUEST_TIMEOUT, "the body did not arrive in time"),
        (R::BodyTooLarge, "body-too-large", S::PAYLOAD_TOO_LARGE, "the body of this operation is over its limit"),
        (R::TargetTooLong, "target-too-long", S::URI_TOO_LONG, "the request target is over its limit"),
        (R::FieldsTooLarge, "fields-too-large", S::REQUEST_HEADER_FIELDS_TOO_LARGE, "the header section is over its limit"),
        (R::ExpectationFailed, "expectation-failed", S::EXPECTATION_FAILED, "no expectation but 100-continue can be met"),
        (R::HostUnknown, "host-unknown", S::MISDIRECTED_REQUEST, "this server does not answer for this host"),
        (R::TooManyRequests, "too-many-requests", S::TOO_MANY_REQUESTS, "requests come faster than their limit"),
        (R::TooManyInvalidCredentials, "too-many-invalid-credentials", S::TOO_MANY_REQUESTS, "invalid credentials come from this source faster than their limit"),
        (R::UpstreamUnreachable, "upstream-unreachable", S::BAD_GATEWAY, "the upstream cannot be reached"),
        (R::UpstreamFailed, "upstream-failed", S::BAD_GATEWAY, "the upstream's answer cannot be used"),
        (R::UpstreamTimeout, "upstream-timeout", S::GATEWAY_TIMEOUT, "the upstream did not answer in time"),
        (R::AdminUnavailable, "admin-unavailable", S::SERVICE_UNAVAILABLE, "the admin service cannot answer now"),
        (R::NoData, "no-data", S::SERVICE_UNAVAILABLE, "the gateway has no data yet"),
        (R::DataTooOld, "data-too-old", S::SERVICE_UNAVAILABLE, "the gateway's data is too old to decide"),
        (R::DataTooOldToWrite, "data-too-old-to-write", S::SERVICE_UNAVAILABLE, "the gateway's data is too old to decide on anything but reads"),
        (R::FactUnavailable, "fact-unavailable", S::SERVICE_UNAVAILABLE, "a fact that the decision needs cannot be had now"),
        (R::PolicyFault, "policy-fault", S::SERVICE_UNAVAILABLE, "a policy that might allow this failed"),
        (R::Overloaded, "overloaded", S::SERVICE_UNAVAILABLE, "as much is under way as may be"),
    ]
};

/// RFC 6750 §3.1: no error code for a request without credentials.
fn challenge(reason: Reason) -> HeaderValue {
    HeaderValue::from_static(if reason == Reason::TokenMissing {
        r#"Bearer realm="postern""#
    } else {
        r#"Bearer realm="postern", error="invalid_token""#
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_an_id_and_a_place_of_its_own() {
        for (index, reason) in Reason::all().enumerate() {
            assert_eq!(reason as usize, index, "{}", reason.id());
            assert!(!Reason::all().take(index).any(|earlier| earlier.id() == reason.id()));
        }
    }

    #[test]
    fn every_message_can_stand_in_a_field_and_needs_no_encoding() {
        for reason in Reason::all() {
            let plain = |b: u8| (b' '..=b'~').contains(&b) && b != b'%';
            assert!(reason.message().bytes().all(plain), "{}", reason.id());
        }
    }

    #[test]
    fn what_a_guard_says_is_one_plain_line() {
        let refusal = Refusal::denied("freeze", &format!("  a\n\u{202e}b\"{}", "c".repeat(1000)));
        assert_eq!(refusal.guard(), Some("freeze"));
        assert!(refusal.message().starts_with("a  b\"c"), "{}", refusal.message());
        assert!(refusal.message().chars().count() <= GUARD_REASON_CHARS_MAX);
        assert_eq!(Refusal::denied("freeze", "\n").message(), Reason::GuardDenied.message());
    }

    #[test]
    fn all_refusals_of_a_credential_look_alike() {
        for reason in Reason::all().filter(|r| r.status() == StatusCode::UNAUTHORIZED) {
            assert_eq!(reason.public_id(), "unauthenticated");
            assert_eq!(reason.message(), Reason::TokenUnknown.message());
        }
    }
}
