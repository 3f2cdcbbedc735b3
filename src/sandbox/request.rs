//! What handlers take in: where in the tree a request points, who sends it and when, and its JSON body.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use chrono::DateTime;
use http::HeaderMap;
use http::header::FROM;
use http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Shared;
use super::problem::Problem;

/// The organisation a path names.
#[derive(Deserialize)]
pub(super) struct Org {
    pub(super) org: String,
}

/// The app a path names.
#[derive(Deserialize)]
pub(super) struct InApp {
    pub(super) app: String,
}

/// The environment a path names.
#[derive(Deserialize)]
pub(super) struct InEnv {
    pub(super) app: String,
    pub(super) env: String,
}

/// The one further object a path names, below an organisation.
#[derive(Deserialize)]
pub(super) struct Named {
    pub(super) id: String,
}

/// Who makes a change, and when: what `created_by` and `created_at` are taken from.
#[derive(Debug, Clone)]
pub(super) struct Stamp {
    /// The subject that the gateway names in `From`.
    pub(super) by: String,
    /// RFC 3339, UTC, milliseconds.
    pub(super) at: String,
}

/// A JSON body. Unknown fields are ignored, and the content type is not looked at, as by the real API.
pub(super) struct Payload<T>(pub(super) T);

impl Stamp {
    /// Returns the stamp of what the sandbox does by itself, at a time in milliseconds since the Unix epoch.
    pub(super) fn own(unix_ms: i64) -> Self {
        let at = DateTime::from_timestamp_millis(unix_ms).unwrap_or_default();
        Self {
            by: "sandbox".to_owned(),
            at: at.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        }
    }
}

impl FromRequestParts<Shared> for Stamp {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, sandbox: &Shared) -> Result<Self, Self::Rejection> {
        let mut stamp = Self::own(sandbox.settings.clock.unix_ms());
        stamp.by = sender(&parts.headers);
        Ok(stamp)
    }
}

impl<T: DeserializeOwned> FromRequest<Shared> for Payload<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, sandbox: &Shared) -> Result<Self, Problem> {
        let body = read(request, sandbox).await?;
        match serde_json::from_slice(&body) {
            Ok(payload) => Ok(Self(payload)),
            Err(error) => Err(Problem::Invalid(format!(
                "the body is not what is expected here: {error}"
            ))),
        }
    }
}

/// Reads a whole body.
///
/// # Errors
/// [`Problem::TooLong`], also when the connection breaks while the body is read: then nobody reads the answer.
pub(super) async fn read(request: Request, sandbox: &Shared) -> Result<Bytes, Problem> {
    Bytes::from_request(request, sandbox).await.or(Err(Problem::TooLong))
}

/// Checks the id of a new app, environment or env type.
///
/// # Errors
/// [`Problem::Invalid`].
pub(super) fn check_id(id: &str) -> Result<(), Problem> {
    if catalogue::segment::is_identifier(id) {
        Ok(())
    } else {
        Err(Problem::Invalid(format!("{id:?} is not a valid id")))
    }
}

/// Returns a new id in the form that ids of deltas and deployments have.
pub(super) fn new_id() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

fn sender(headers: &HeaderMap) -> String {
    let from = headers.get(FROM).and_then(|value| value.to_str().ok());
    from.unwrap_or("unknown").to_owned()
}
