//! `/orgs/{org}/apps/{app}/users` and `/orgs/{org}/env-types/{type}/users`: roles on apps and env types.
//!
//! The apps and env types themselves live at the orchestrator; one that it does not have has no roles.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use axum::routing::get;
use axum::{Extension, Json, Router};
use catalogue::segment::is_identifier;
use feed::Scope;
use serde::Deserialize;
use serde_json::json;

use super::answers::{UserRole, changed, removed};
use super::users::{KindQuery, NewRole, of_kind};
use super::{Api, Writing, fields, rules};
use crate::body::{JsonBody, PathParameters};
use crate::error::ApiError;
use crate::identity::Caller;
use crate::store::{AuditEntry, Subject};

/// Where the roles of a set of routes are held.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    App,
    EnvType,
}

#[derive(Deserialize)]
struct NewUserRole {
    id: Option<String>,
    role: Option<String>,
}

/// Returns the routes under a path, which has the parameters `org` and `object`.
pub(super) fn routes(path: &str, place: Place) -> Router<Api> {
    Router::new()
        .route(path, get(list).post(create))
        .route(&format!("{path}/{{user}}"), get(read).patch(update).delete(delete))
        .layer(Extension(place))
}

async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Extension(place): Extension<Place>,
    PathParameters((org, object)): PathParameters<(String, String)>,
    query: Result<Query<KindQuery>, QueryRejection>,
) -> Result<Json<Vec<UserRole>>, ApiError> {
    let mut reading = api.read(&caller, &org).await?;
    let scope = place.scope(&org, &object)?;
    let holders = reading.view.holders(&scope).await?;
    of_kind(holders, query).map(Json)
}

async fn create(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Extension(place): Extension<Place>,
    PathParameters((org, object)): PathParameters<(String, String)>,
    JsonBody(body): JsonBody<NewUserRole>,
) -> Result<Response, ApiError> {
    let mut writing = api.write(&caller, &org).await?;
    let scope = place.scope(&org, &object)?;
    let id = fields::required("id", body.id)?;
    let role = fields::required("role", body.role)?;
    let subject = writing
        .change
        .view
        .subject(&id, &scope)
        .await?
        .ok_or(ApiError::NotFound)?;
    rules::check_bindable(&mut writing.change.view, &api.roles, &role, &scope, subject.kind).await?;
    writing.give(place.operations().create, subject, &scope, role).await
}

async fn read(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Extension(place): Extension<Place>,
    PathParameters((org, object, user)): PathParameters<(String, String, String)>,
) -> Result<Json<UserRole>, ApiError> {
    let mut reading = api.read(&caller, &org).await?;
    let scope = place.scope(&org, &object)?;
    let subject = reading.view.subject(&user, &scope).await?;
    subject.and_then(UserRole::of).map(Json).ok_or(ApiError::NotFound)
}

async fn update(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Extension(place): Extension<Place>,
    PathParameters((org, object, user)): PathParameters<(String, String, String)>,
    JsonBody(body): JsonBody<NewRole>,
) -> Result<Response, ApiError> {
    let mut writing = api.write(&caller, &org).await?;
    let scope = place.scope(&org, &object)?;
    let subject = writing.holder(&user, &scope).await?;
    let role = body.required()?;
    rules::check_bindable(&mut writing.change.view, &api.roles, &role, &scope, subject.kind).await?;
    writing.give(place.operations().update, subject, &scope, role).await
}

async fn delete(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Extension(place): Extension<Place>,
    PathParameters((org, object, user)): PathParameters<(String, String, String)>,
) -> Result<Response, ApiError> {
    let mut writing = api.write(&caller, &org).await?;
    let scope = place.scope(&org, &object)?;
    let subject = writing.holder(&user, &scope).await?;
    writing.change.unbind(&user, &scope).await?;
    let entry = AuditEntry {
        operation: place.operations().delete,
        org,
        target: format!("{scope}/users/{user}"),
        before: Some(json!({"role": subject.role})),
        after: None,
    };
    let revision = writing.change.commit(entry).await?;
    Ok(removed(revision))
}

/// Ids of the operations that change roles somewhere.
struct Operations {
    create: &'static str,
    update: &'static str,
    delete: &'static str,
}

impl Place {
    fn scope(self, org: &str, object: &str) -> Result<Scope, ApiError> {
        if !is_identifier(object) {
            return Err(ApiError::NotFound);
        }
        Ok(match self {
            Self::App => Scope::app(org, object),
            Self::EnvType => Scope::env_type(org, object),
        })
    }

    fn operations(self) -> Operations {
        match self {
            Self::App => Operations {
                create: "createUserRoleInApp",
                update: "updateUserRoleInApp",
                delete: "deleteUserRoleInApp",
            },
            Self::EnvType => Operations {
                create: "createUserRoleInEnvType",
                update: "updateUserRoleInEnvType",
                delete: "deleteUserRoleInEnvType",
            },
        }
    }
}

impl Writing {
    /// Returns a subject that holds a role on the scope.
    async fn holder(&mut self, user: &str, scope: &Scope) -> Result<Subject, ApiError> {
        let subject = self.change.view.subject(user, scope).await?;
        subject
            .filter(|subject| subject.role.is_some())
            .ok_or(ApiError::NotFound)
    }

    async fn give(
        mut self,
        operation: &'static str,
        mut subject: Subject,
        scope: &Scope,
        role: String,
    ) -> Result<Response, ApiError> {
        self.change.bind(&subject.id, subject.kind, scope, &role).await?;
        let before = subject.role.replace(role);
        let entry = AuditEntry {
            operation,
            org: subject.org.clone(),
            target: format!("{scope}/users/{}", subject.id),
            before: before.map(|role| json!({ "role": role })),
            after: Some(json!({"role": subject.role})),
        };
        let revision = self.change.commit(entry).await?;
        Ok(changed(revision, &UserRole::of(subject)))
    }
}
