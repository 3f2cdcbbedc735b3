//! Request bodies and path parameters: read under limits, refused with our own answers.

use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use http::request::Parts;
use serde::de::DeserializeOwned;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::error::ApiError;

/// A JSON body, whatever its `Content-Type` says: real clients do not always set it. Members that are not asked for are
/// ignored; a member that comes twice is refused.
#[derive(Debug)]
pub(crate) struct JsonBody<T, const BYTES_MAX: usize = BODY_BYTES_MAX>(pub T);

/// The path's parameters, percent-decoded.
#[derive(Debug)]
pub(crate) struct PathParameters<T>(pub T);

impl<S, T, const BYTES_MAX: usize> FromRequest<S> for JsonBody<T, BYTES_MAX>
where
    S: Send + Sync,
    T: DeserializeOwned + Send + 'static,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, ApiError> {
        let reading = to_bytes(request.into_body(), BYTES_MAX);
        let read = timeout(time_max(BYTES_MAX), reading)
            .await
            .map_err(|_elapsed| ApiError::BodyTooSlow)?;
        let bytes = read.map_err(|error| read_error(&error))?;
        let parse = move || serde_json::from_slice(&bytes).map_err(|_malformed| ApiError::MalformedBody);
        // What is long takes milliseconds, which other requests should not wait for.
        let value = match BYTES_MAX {
            ..=BODY_BYTES_MAX => parse(),
            _ => spawn_blocking(parse).await.map_err(ApiError::internal)?,
        };
        value.map(Self)
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for PathParameters<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let parameters = Path::from_request_parts(parts, state).await;
        // A parameter that cannot be decoded names nothing.
        parameters
            .map(|Path(parameters)| Self(parameters))
            .map_err(|_undecodable| ApiError::NotFound)
    }
}

/// Longest body of a request that does not say otherwise, in octets.
const BODY_BYTES_MAX: usize = 64 << 10;

/// Returns the longest wait for a body: 10 s, and one more for each mebibyte that it may have.
const fn time_max(bytes_max: usize) -> Duration {
    Duration::from_secs(10 + (bytes_max >> 20) as u64)
}

/// A body over the limit is told apart from one whose sender has gone.
fn read_error(error: &axum::Error) -> ApiError {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        if error.is::<http_body_util::LengthLimitError>() {
            return ApiError::BodyTooLarge;
        }
        source = error.source();
    }
    ApiError::MalformedBody
}
