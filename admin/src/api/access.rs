//! `/orgs/{org}/users/{user}/access` and `/orgs/{org}/roles/{role}/access`: every operation on every object of a subject, or
//! of whoever would hold a role and nothing else, and what would come of it; now, at an older revision, or with other
//! versions of policies in force.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::{Extension, Json};
use engine::Inputs;
use engine::matrix::{ANY, Matrix};
use feed::decision::RecordedOutcome;
use feed::{PolicyKind, RoleBinding, Subject, SubjectKind};
use serde::{Deserialize, Serialize};

use super::permissions::objects;
use super::{Api, Reading};
use crate::body::PathParameters;
use crate::error::ApiError;
use crate::identity::Caller;
use crate::manifest::Manifest;
use crate::roles::ScopeKind;
use crate::store::decisions::outcome_word;
use crate::store::history::PoliciesThen;

#[derive(Deserialize)]
pub(super) struct AccessQuery {
    /// Name of the policy whose version is looked at.
    policy: Option<String>,
    version: Option<String>,
    /// The same for several policies: `name:version`, separated by commas.
    versions: Option<String>,
    revision: Option<u64>,
}

#[derive(Deserialize)]
pub(super) struct RoleQuery {
    /// The kind of object that the role is held on; the first that its manifest names, if not given.
    scope: Option<ScopeKind>,
    /// What holds it; a service user, if not given.
    kind: Option<SubjectKind>,
    versions: Option<String>,
    revision: Option<u64>,
}

/// What a subject may do.
#[derive(Debug, Serialize)]
pub(super) struct Access {
    /// The subject's id, or the name of the role.
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
    let one = match (query.policy, query.version) {
        (None, None) => None,
        (Some(name), Some(version)) => Some((name, version)),
        (Some(_), None) | (None, Some(_)) => {
            return Err(ApiError::Field {
                name: "version",
                rule: "given together with policy",
            });
        }
    };
    for (name, version) in one.into_iter().chain(versions(query.versions.as_deref())?) {
        reading.substitute(&mut policies, name, &version).await?;
    }
    drop(reading);
    api.access(subject, policies, revision).await.map(Json)
}

/// `GET /orgs/{org}/roles/{role}/access`
pub(super) async fn read_role(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    PathParameters((org, role)): PathParameters<(String, String)>,
    query: Result<Query<RoleQuery>, QueryRejection>,
) -> Result<Json<Access>, ApiError> {
    let Query(query) = query.map_err(|_malformed| ApiError::Field {
        name: "scope",
        rule: "org, app or env-type; kind: service-user, member or group; revision: a revision",
    })?;
    let mut reading = api.read(&caller, &org).await?;
    let newest = reading.view.revision().await?;
    let revision = query.revision.unwrap_or(newest);
    let mut policies = reading.policies_at(revision, newest).await?;
    for (name, version) in versions(query.versions.as_deref())? {
        reading.substitute(&mut policies, name, &version).await?;
    }
    let manifest = match api.evaluator.built_in_role(&role) {
        Some((policy, _)) => Manifest::of(policy.manifest()),
        None => reading.manifest(&policies, &role).await?,
    };
    drop(reading);
    let scope = query.scope.or_else(|| manifest.scopes.first().copied());
    let kind = query.kind.unwrap_or(SubjectKind::ServiceUser);
    let scope = scope.map(|scope| scope.any(&org));
    let scope = scope
        .filter(|scope| manifest.admits(scope, kind))
        .ok_or(ApiError::Field {
            name: "scope",
            rule: "one that the role can be held on, by such a subject",
        })?;
    let subject = Subject {
        id: ANY.to_owned(),
        kind,
        org,
        roles: vec![RoleBinding {
            scope,
            role: role.clone(),
        }],
    };
    let mut access = api.access(subject, policies, revision).await?;
    access.subject = role;
    Ok(Json(access))
}

impl Api {
    async fn access(&self, subject: Subject, policies: PoliciesThen, revision: u64) -> Result<Access, ApiError> {
        let time_ms = u64::try_from(self.clock.unix_ms()).ok();
        let answer = self.evaluator.ask(&self.store, policies, move |set, catalogue| {
            let inputs = Inputs {
                time_ms,
                ..Inputs::default()
            };
            let matrix = Matrix {
                set,
                catalogue,
                subject: &subject,
                inputs,
            };
            Access::of(&matrix, revision)
        });
        answer.await
    }
}

impl Reading {
    /// Returns a subject and the policies as they were.
    async fn at(&mut self, user: &str, revision: u64, newest: u64) -> Result<(Subject, PoliciesThen), ApiError> {
        let policies = self.policies_at(revision, newest).await?;
        let subject = self.view.subject_at(user, revision).await?;
        let subject = subject.map_err(|_too_old| ApiError::RevisionTooOld)?;
        let own = subject.filter(|subject| subject.org == self.caller.org);
        Ok((own.ok_or(ApiError::NotFound)?, policies))
    }

    async fn policies_at(&mut self, revision: u64, newest: u64) -> Result<PoliciesThen, ApiError> {
        let org = self.caller.org.clone();
        if revision == newest {
            return Ok(self.view.policies_now(&org).await?);
        }
        if revision > newest {
            return Err(ApiError::Field {
                name: "revision",
                rule: "a revision that there is",
            });
        }
        let policies = self.view.policies_at(&org, revision).await?;
        policies.map_err(|_too_old| ApiError::RevisionTooOld)
    }

    /// Puts another version of a policy in force, in what is looked at.
    async fn substitute(&mut self, policies: &mut PoliciesThen, name: String, version: &str) -> Result<(), ApiError> {
        let org = self.caller.org.clone();
        let policy = self.view.policy(&org, &name).await?.ok_or(ApiError::NotFound)?;
        let version = policy.version(version).ok_or(ApiError::NotFound)?.record();
        let now = policy.record()?;
        policies.policies.entry((org, name)).or_insert(now).active = version;
        Ok(())
    }

    /// Returns what the policy of a role of the organisation says of itself, in the version that is looked at.
    async fn manifest(&mut self, policies: &PoliciesThen, role: &str) -> Result<Manifest, ApiError> {
        let org = self.caller.org.clone();
        let then = policies.policies.get(&(org.clone(), role.to_owned()));
        let then = then
            .filter(|policy| policy.kind == PolicyKind::Role)
            .ok_or(ApiError::NotFound)?;
        let stored = self.view.policy(&org, role).await?.ok_or(ApiError::RevisionTooOld)?;
        let version = stored.version(&then.active.version).ok_or(ApiError::RevisionTooOld)?;
        Ok(Manifest::read(version)?)
    }
}

/// Reads which versions are to be looked at: `name:version`, separated by commas.
fn versions(text: Option<&str>) -> Result<Vec<(String, String)>, ApiError> {
    let texts = text.into_iter().flat_map(|text| text.split(','));
    let pair = |text: &str| {
        let (name, version) = text.split_once(':')?;
        Some((name.to_owned(), version.to_owned()))
    };
    texts
        .map(|text| {
            pair(text).ok_or(ApiError::Field {
                name: "versions",
                rule: "name:version, separated by commas",
            })
        })
        .collect()
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
