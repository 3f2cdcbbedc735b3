//! `/orgs/{org}/decisions`: what gateways have decided on requests of the organisation's subjects, and why.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::{Extension, Json};
use feed::RecordedDecision;
use serde::Deserialize;

use super::Api;
use crate::body::PathParameters;
use crate::error::ApiError;
use crate::identity::Caller;
use crate::store::decisions::Wanted;

#[derive(Deserialize)]
pub(super) struct DecisionsQuery {
    subject: Option<String>,
    operation: Option<String>,
    outcome: Option<String>,
    limit: Option<u32>,
}

/// `GET /orgs/{org}/decisions`: the newest first.
pub(super) async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    PathParameters(org): PathParameters<String>,
    query: Result<Query<DecisionsQuery>, QueryRejection>,
) -> Result<Json<Vec<RecordedDecision>>, ApiError> {
    drop(api.read(&caller, &org).await?);
    let limit = || ApiError::Field {
        name: "limit",
        rule: "a number from 1 to 1000",
    };
    let Query(query) = query.map_err(|_malformed| limit())?;
    let wanted_max = query.limit.unwrap_or(LIMIT);
    if !(1..=LIMIT_MAX).contains(&wanted_max) {
        return Err(limit());
    }
    let known = query.outcome.as_deref().is_none_or(|word| OUTCOMES.contains(&word));
    if !known {
        return Err(ApiError::Field {
            name: "outcome",
            rule: "allowed, not-allowed, denied or undecided",
        });
    }
    let wanted = Wanted {
        subject: query.subject,
        operation: query.operation,
        outcome: query.outcome,
    };
    Ok(Json(api.decisions.decisions(&org, &wanted, wanted_max).await?))
}

/// `GET /orgs/{org}/decisions/{decision}`
pub(super) async fn read(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    PathParameters((org, id)): PathParameters<(String, String)>,
) -> Result<Json<RecordedDecision>, ApiError> {
    drop(api.read(&caller, &org).await?);
    api.decisions
        .decision(&org, &id)
        .await?
        .map(Json)
        .ok_or(ApiError::NotFound)
}

const OUTCOMES: [&str; 4] = ["allowed", "not-allowed", "denied", "undecided"];

/// How many decisions are told when no number is asked for.
const LIMIT: u32 = 100;

/// Most decisions in one answer.
const LIMIT_MAX: u32 = 1000;
