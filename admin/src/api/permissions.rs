//! `/orgs/{org}/users/{user}/perms`: what the roles of a subject allow, on each object on which it holds one.
//!
//! Guards are left out: what they refuse depends on the request, and on the moment.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::State;
use axum::{Extension, Json};
use engine::Inputs;
use engine::matrix::Matrix;
use feed::{Scope, Subject};
use serde::Serialize;

use super::{Api, Reading};
use crate::body::PathParameters;
use crate::error::ApiError;
use crate::identity::Caller;

/// Permissions by object path.
#[derive(Debug, Serialize)]
pub(super) struct SubjectPermissions {
    objects: BTreeMap<String, ObjectPermissions>,
}

#[derive(Debug, Serialize)]
struct ObjectPermissions {
    permissions: BTreeSet<String>,
}

/// `GET /orgs/{org}/users/{user}/perms`
pub(super) async fn read(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    PathParameters((org, user)): PathParameters<(String, String)>,
) -> Result<Json<SubjectPermissions>, ApiError> {
    let mut reading = api.read(&caller, &org).await?;
    let subject = reading.subject_with_roles(&user).await?;
    let mut policies = reading.view.policies_now(&org).await?;
    policies.guards.clear();
    drop(reading);
    let time_ms = u64::try_from(api.clock.unix_ms()).ok();
    let answer = api.evaluator.ask(&api.store, policies, move |set, catalogue| {
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
        let on = |scope: &Scope| (scope.to_string(), permissions(&matrix, scope));
        SubjectPermissions {
            objects: objects(&subject).iter().map(on).collect(),
        }
    });
    answer.await.map(Json)
}

/// Returns the objects on which a subject may hold rights: its organisation, and those on which it holds a role.
pub(super) fn objects(subject: &Subject) -> BTreeSet<Scope> {
    let held = subject.roles.iter().map(|held| held.scope.clone());
    held.chain([Scope::org(&subject.org)]).collect()
}

impl Reading {
    /// Returns a subject of the caller's organisation, with all roles.
    pub(super) async fn subject_with_roles(&mut self, id: &str) -> Result<Subject, ApiError> {
        let found = self.subject(id).await?;
        Ok(Subject {
            roles: self.view.roles(id).await?,
            id: found.id,
            kind: found.kind,
            org: found.org,
        })
    }
}

/// Returns the permissions whose operations are all allowed on an object.
fn permissions(matrix: &Matrix<'_>, scope: &Scope) -> ObjectPermissions {
    let mut allowed = BTreeMap::new();
    for (operation, outcome) in matrix.on(scope) {
        *allowed.entry(&operation.permission).or_insert(true) &= outcome.is_allowed();
    }
    let held = allowed.into_iter().filter(|(_, all)| *all);
    ObjectPermissions {
        permissions: held.map(|(permission, _)| permission.clone()).collect(),
    }
}
