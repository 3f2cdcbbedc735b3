//! `/orgs/{org}/users/{user}/access`: every operation on every object of a subject, and what would come of it; now, at an
//! older revision, or with another version of a policy in force.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::{Extension, Json};
use engine::Inputs;
use feed::Subject;
use feed::decision::RecordedOutcome;
use serde::{Deserialize, Serialize};

use super::matrix::Matrix;
use super::permissions::objects;
use super::{Api, Reading};
use crate::body::PathParameters;
use crate::error::ApiError;
use crate::identity::Caller;
use crate::store::decisions::outcome_word;
use crate::store::history::PoliciesThen;

#[derive(Deserialize)]
pub(super) struct AccessQuery {
    /// Name of the policy whose version is looked at.
    policy: Option<String>,
    version: Option<String>,
    revision: Option<u64>,
}

/// What a subject may do.
#[derive(Debug, Serialize)]
pub(super) struct Access {
    subject: String,
    revision: u64,
    rows: Vec<Row>,
    /// How many objects there was no room for.
    #[serde(skip_serializing_if = "Option::is_none")]
    objects_left_out: Option<usize>,
}

#[derive(Debug, Serialize)]
struct Row {
    operation: String,
    permission: String,
    method: String,
    path: String,
    object: String,
    outcome: &'static str,
    /// The role that allows, the guard that refuses, or whoever gave no verdict.
    by: Option<String>,
}

/// `GET /orgs/{org}/users/{user}/access`
pub(super) async fn read(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    PathParameters((org, user)): PathParameters<(String, String)>,
    query: Result<Query<AccessQuery>, QueryRejection>,
) -> Result<Json<Access>, ApiError> {
    let Query(query) = query.map_err(|_malformed| ApiError::Field {
        name: "revision",
        rule: "a revision",
    })?;
    let mut reading = api.read(&caller, &org).await?;
    let newest = reading.view.revision().await?;
    let revision = query.revision.unwrap_or(newest);
    let (subject, mut policies) = if revision == newest {
        let subject = reading.subject_with_roles(&user).await?;
        (subject, reading.view.policies_now(&org).await?)
    } else {
        reading.at(&user, revision, newest).await?
    };
    reading.substitute(&mut policies, query).await?;
    drop(reading);
    let time_ms = u64::try_from(api.clock.unix_ms()).ok();
    let answer = api.evaluator.ask(&api.store, policies, move |set, catalogue| {
        let inputs = Inputs {
            time_ms,
            ..Inputs::default()
        };
        Access::of(
            &Matrix {
                set,
                catalogue,
                subject: &subject,
                inputs,
            },
            revision,
        )
    });
    answer.await.map(Json)
}

impl Reading {
    /// Returns a subject and the policies as they were.
    async fn at(&mut self, user: &str, revision: u64, newest: u64) -> Result<(Subject, PoliciesThen), ApiError> {
        if revision > newest {
            return Err(ApiError::Field {
                name: "revision",
                rule: "a revision that there is",
            });
        }
        let org = self.caller.org.clone();
        let subject = self.view.subject_at(user, revision).await?;
        let subject = subject.map_err(|_too_old| ApiError::RevisionTooOld)?;
        let subject = subject.filter(|subject| subject.org == org).ok_or(ApiError::NotFound)?;
        let policies = self.view.policies_at(&org, revision).await?;
        Ok((subject, policies.map_err(|_too_old| ApiError::RevisionTooOld)?))
    }

    /// Puts another version of a policy in force, in what is looked at.
    async fn substitute(&mut self, policies: &mut PoliciesThen, query: AccessQuery) -> Result<(), ApiError> {
        let (name, version) = match (query.policy, query.version) {
            (None, None) => return Ok(()),
            (Some(name), Some(version)) => (name, version),
            (Some(_), None) | (None, Some(_)) => {
                return Err(ApiError::Field {
                    name: "version",
                    rule: "given together with policy",
                });
            }
        };
        let org = self.caller.org.clone();
        let policy = self.view.policy(&org, &name).await?.ok_or(ApiError::NotFound)?;
        let version = policy.version(&version).ok_or(ApiError::NotFound)?.record();
        let now = policy.record()?;
        policies.policies.entry((org, name)).or_insert(now).active = version;
        Ok(())
    }
}

impl Access {
    fn of(matrix: &Matrix<'_>, revision: u64) -> Self {
        let objects = objects(matrix.subject);
        let left_out = objects.len().saturating_sub(OBJECTS_MAX);
        let mut rows = Vec::new();
        for scope in objects.iter().take(OBJECTS_MAX) {
            rows.extend(matrix.on(scope).map(|(operation, outcome)| Row {
                operation: operation.id.clone(),
                permission: operation.permission.clone(),
                method: operation.method.clone(),
                path: operation.path.clone(),
                object: scope.to_string(),
                outcome: outcome_word(&outcome),
                by: by(outcome),
            }));
        }
        Self {
            subject: matrix.subject.id.clone(),
            revision,
            rows,
            objects_left_out: (left_out > 0).then_some(left_out),
        }
    }
}

/// Most objects that are told of, which bounds an answer to some 10 MiB.
const OBJECTS_MAX: usize = 200;

fn by(outcome: RecordedOutcome) -> Option<String> {
    match outcome {
        RecordedOutcome::Allowed { role } => Some(role),
        RecordedOutcome::NotAllowed => None,
        RecordedOutcome::Denied { guard, .. } => Some(guard),
        RecordedOutcome::Undecided { by, .. } => Some(by),
    }
}
