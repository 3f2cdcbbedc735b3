//! Enrolment: the first thing that a gateway asks an admin service, to be let in from then on.

use bytes::Bytes;
use feed::{Digest, Enrolled, Enrolment};
use http::{Method, StatusCode};
use tokio::task::LocalSet;

use crate::body::RequestBody;
use crate::refusal::Refusal;
use crate::upstream::{Pool, Upstream};

/// Why a gateway was not let in.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// No answer came.
    #[error("the admin service did not answer: {}", .0.source.as_ref().map_or_else(|| .0.to_string(), ToString::to_string))]
    NoAnswer(#[source] Refusal),
    /// The token is none, was used, or has ended.
    #[error("the enrolment token is not valid: it can be used once, within 15 minutes")]
    Token,
    /// Another answer.
    #[error("the admin service answered {0}")]
    Status(StatusCode),
    /// The answer cannot be read.
    #[error("the admin service's answer is not what was expected")]
    Answer(#[from] serde_json::Error),
}

/// Has a credential, known by its digest, let in by an admin service that is shown the enrolment token; returns the name
/// that the gateway has there. To be asked again with the same credential when the answer was lost.
///
/// # Errors
/// [`EnrolError`].
pub async fn enrol(admin: Upstream, credential: Digest) -> Result<String, EnrolError> {
    let asking = async {
        let body = serde_json::to_vec(&Enrolment { credential })?;
        let body = RequestBody::Full(Some(Bytes::from(body)));
        let pool = Pool::new(admin);
        let asked = pool.fetch(Method::POST, "/feed/enrol", body, ANSWER_BYTES_MAX).await;
        let (status, _, body) = asked.map_err(EnrolError::NoAnswer)?;
        match status {
            StatusCode::OK => Ok(serde_json::from_slice::<Enrolled>(&body)?.gateway),
            StatusCode::UNAUTHORIZED => Err(EnrolError::Token),
            other => Err(EnrolError::Status(other)),
        }
    };
    LocalSet::new().run_until(asking).await
}

const ANSWER_BYTES_MAX: usize = 64 * 1024;
