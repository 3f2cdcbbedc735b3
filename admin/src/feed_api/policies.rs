//! What gateways ask and report of policies: components, decisions, and what came of watching a version.

use axum::extract::State;
use axum::response::Response;
use feed::{PolicyDigest, RecordedDecision, ShadowReport};
use http::StatusCode;

use super::FeedApi;
use crate::api::policies::component_of;
use crate::body::{JsonBody, PathParameters};
use crate::error::ApiError;

/// `GET /policies/{digest}`
pub(super) async fn component(
    State(api): State<FeedApi>,
    PathParameters(digest): PathParameters<String>,
) -> Result<Response, ApiError> {
    let digest: PolicyDigest = digest.parse().map_err(|_malformed| ApiError::NotFound)?;
    let mut view = api.store.view().await?;
    component_of(&mut view, digest).await
}

/// `POST /decisions`: each is taken down once, however often it is reported.
pub(super) async fn decisions(
    State(api): State<FeedApi>,
    JsonBody(decisions): JsonBody<Vec<RecordedDecision>, DECISIONS_BYTES_MAX>,
) -> Result<StatusCode, ApiError> {
    if decisions.len() > DECISIONS_MAX {
        return Err(ApiError::BodyTooLarge);
    }
    api.decisions.insert(&decisions).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /shadow`: counts are added to what is known. Those of a version that is watched no more are not.
pub(super) async fn shadow(
    State(api): State<FeedApi>,
    JsonBody(report): JsonBody<ShadowReport, SHADOW_BYTES_MAX>,
) -> Result<StatusCode, ApiError> {
    api.store.add_shadow_counts(&report).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Most decisions in one report.
const DECISIONS_MAX: usize = 1000;

/// Longest report of decisions: some of them hold a JSON body.
const DECISIONS_BYTES_MAX: usize = 8 << 20;

/// Longest report of a watched version.
const SHADOW_BYTES_MAX: usize = 1 << 20;
