//! The fence: what every request to the console must be, and what every answer tells the browser to refuse.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, HeaderName, ORIGIN, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::Console;
use super::ask::Refused;

/// Lets requests pass that are for this console, and those that change something only when they come from a page of it.
pub(super) async fn check_request(State(console): State<Arc<Console>>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    // A name that somebody else points here would make their pages ours.
    if only(headers, &HOST).map(str::to_ascii_lowercase).as_deref() != Some(&console.origin.authority) {
        let text = format!("The console is at {}\n", console.origin.text);
        return (StatusCode::MISDIRECTED_REQUEST, text).into_response();
    }
    let safe = matches!(*request.method(), Method::GET | Method::HEAD);
    if !safe && !comes_from(&console.origin.text, headers) {
        console.counts.refused();
        tracing::warn!(
            path = request.uri().path(),
            "a request to the console came from elsewhere"
        );
        return Refused::foreign().into_response();
    }
    next.run(request).await
}

/// Says of every answer what a browser must not do with it.
pub(super) async fn guard_answer(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in ALWAYS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

const ALWAYS: [(HeaderName, &str); 9] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; \
         base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    ),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-embedder-policy"), "require-corp"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    ),
    // Only over https do browsers heed it.
    (HeaderName::from_static("strict-transport-security"), "max-age=31536000"),
];

/// Every browser that the console is for sends both; none of them can be set by a page. From a page that tells no referrer,
/// as ours do, a form comes with the origin `null` (Fetch, "append a request Origin header"); so the other field must
/// say that it is ours. Behind a redirect of another site, or in a sandboxed frame, that says `cross-site`.
fn comes_from(origin: &str, headers: &HeaderMap) -> bool {
    let site = HeaderName::from_static("sec-fetch-site");
    let own = only(headers, &ORIGIN).is_some_and(|sent| sent == origin || sent == "null");
    own && only(headers, &site) == Some("same-origin")
}

/// Returns the value of a field that came exactly once.
pub(super) fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then(|| value.to_str().ok())?
}
