//! `/orgs/{org}/audit`: who changed what in an organisation, the newest first.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Api;
use super::fields::timestamp;
use crate::body::PathParameters;
use crate::error::ApiError;
use crate::identity::Caller;
use crate::store::audit::{StoredEntry, WantedEntries};

#[derive(Debug, Deserialize)]
pub(super) struct AuditQuery {
    /// Id of whoever made the change.
    actor: Option<String>,
    operation: Option<String>,
    /// Path of what was changed, and all below it.
    target: Option<String>,
    /// Only entries before this revision.
    before: Option<u64>,
    limit: Option<u32>,
}

/// One change.
#[derive(Debug, Serialize)]
pub(super) struct Entry {
    revision: u64,
    at: String,
    /// `subject`, `gateway` or `bootstrap`.
    actor: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    /// The subject's name, unless it is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    subject_name: Option<String>,
    /// The token, or the session of the console, that it came with.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    operation: String,
    target: String,
    before: Option<Value>,
    after: Option<Value>,
}

/// `GET /orgs/{org}/audit`
pub(super) async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    PathParameters(org): PathParameters<String>,
    query: Result<Query<AuditQuery>, QueryRejection>,
) -> Result<Json<Vec<Entry>>, ApiError> {
    let limit = ApiError::Field {
        name: "limit",
        rule: "a number from 1 to 1000; before: a revision",
    };
    let Ok(Query(query)) = query else { return Err(limit) };
    let number = query.limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&number) {
        return Err(limit);
    }
    let wanted = WantedEntries {
        actor: query.actor,
        operation: query.operation,
        target: query.target,
        before: query.before,
        limit: number,
    };
    let mut reading = api.read(&caller, &org).await?;
    let entries = reading.view.audit_entries(&org, &wanted).await?;
    entries.into_iter().map(Entry::of).collect::<Result<_, _>>().map(Json)
}

impl Entry {
    fn of(stored: StoredEntry) -> Result<Self, ApiError> {
        let json = |text: Option<String>| text.as_deref().map(serde_json::from_str).transpose();
        Ok(Self {
            revision: stored.revision.unsigned_abs(),
            at: timestamp(stored.at_ms),
            actor: stored.actor_kind,
            subject: stored.actor_subject,
            subject_name: stored.actor_name,
            token: stored.actor_token,
            operation: stored.operation,
            target: stored.target,
            before: json(stored.before).map_err(ApiError::internal)?,
            after: json(stored.after).map_err(ApiError::internal)?,
        })
    }
}

/// How many entries are told when no number is asked for.
const LIMIT_DEFAULT: u32 = 100;

/// Most entries in one answer.
const LIMIT_MAX: u32 = 1000;
