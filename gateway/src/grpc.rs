//! gRPC over HTTP/2: how a call is told from other requests, and how its caller is told of a refusal.
//!
//! It knows no messages: they go on as octets, and their statuses as trailers.

use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};

/// Returns whether a request, by its fields, is a call.
pub(crate) fn is_call(fields: &HeaderMap) -> bool {
    fields
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// Adds to a refusal what a client of gRPC reads. Without a status some take the body for a message, and tell of a
/// broken one instead of the reason.
pub(crate) fn tell_status<B>(response: &mut Response<B>, message: &str) {
    let code = code_of(response.status());
    let fields = response.headers_mut();
    fields.insert(GRPC_STATUS, HeaderValue::from_static(code));
    // Printable ASCII.
    if let Ok(message) = HeaderValue::try_from(encoded(message)) {
        fields.insert(GRPC_MESSAGE, message);
    }
}

/// gRPC over HTTP/2, `Percent-Encoded`: what is not printable ASCII, and `%` itself.
fn encoded(message: &str) -> String {
    let mut encoded = String::with_capacity(message.len());
    for octet in message.bytes() {
        match octet {
            b' '..=b'~' if octet != b'%' => encoded.push(char::from(octet)),
            octet => encoded.push_str(&format!("%{octet:02X}")),
        }
    }
    encoded
}

/// Returns the code for a status of HTTP.
///
/// # Source
/// `doc/http-grpc-status-mapping.md` of the gRPC project.
fn code_of(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => "13",
        StatusCode::UNAUTHORIZED => "16",
        StatusCode::FORBIDDEN => "7",
        StatusCode::NOT_FOUND => "12",
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => "14",
        _ => "2",
    }
}

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
