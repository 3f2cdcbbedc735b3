//! `/orgs/{org}/groups`: groups of members, which an identity provider knows.
//!
//! Who is in a group is told by the identity provider when a member signs in. Until members can, groups are empty.

use axum::extract::State;
use axum::response::Response;
use axum::{Extension, Json};
use feed::{Scope, SubjectKind};
use serde::Deserialize;

use super::answers::{GroupWithRole, UserProfile, changed};
use super::users::{described, target};
use super::{Api, fields, rules};
use crate::body::{JsonBody, PathParameters};
use crate::error::ApiError;
use crate::identity::Caller;
use crate::store::subjects::NewForm;
use crate::store::{AuditEntry, NewSubject};

#[derive(Deserialize)]
pub(super) struct NewGroup {
    group_id: Option<String>,
    idp_id: Option<String>,
    role: Option<String>,
}

/// `POST /orgs/{org}/groups`
pub(super) async fn create(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    PathParameters(org): PathParameters<String>,
    JsonBody(body): JsonBody<NewGroup>,
) -> Result<Response, ApiError> {
    let mut writing = api.write(&caller, &org).await?;
    let name = fields::required("group_id", body.group_id)?;
    let idp_id = fields::required("idp_id", body.idp_id)?;
    let role = fields::required("role", body.role)?;
    fields::check_name("group_id", &name)?;
    fields::check_idp_id(&idp_id)?;
    let scope = Scope::org(&org);
    rules::check_bindable(&mut writing.change.view, &api.roles, &role, &scope, SubjectKind::Group).await?;
    rules::check_may_give(&writing.caller, &role)?;
    if writing.change.view.group_exists(&org, &idp_id, &name).await? {
        return Err(ApiError::GroupTaken);
    }
    let id = format!("g-{}", api.random.uuid().map_err(ApiError::internal)?);
    let new = NewSubject {
        id: &id,
        org: &org,
        name: &name,
        email: None,
        form: NewForm::Group { idp_id: &idp_id },
    };
    writing.change.insert_subject(&new).await?;
    writing.change.bind(&id, SubjectKind::Group, &scope, &role).await?;
    let group = writing.subject(&id).await?;
    let entry = AuditEntry {
        operation: "createGroup",
        target: target(&group),
        org,
        before: None,
        after: Some(described(&group)),
    };
    let revision = writing.change.commit(entry).await?;
    let answer = GroupWithRole {
        id,
        group_id: name,
        idp_id,
        role,
        created_at: fields::timestamp(group.created_ms),
    };
    Ok(changed(revision, &answer))
}

/// `GET /orgs/{org}/groups/{group}/users`
pub(super) async fn users(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    PathParameters((org, group)): PathParameters<(String, String)>,
) -> Result<Json<Vec<UserProfile>>, ApiError> {
    let mut reading = api.read(&caller, &org).await?;
    let group = reading.subject(&group).await?;
    if group.kind != SubjectKind::Group {
        return Err(ApiError::NotFound);
    }
    Ok(Json(Vec::new()))
}

/// `GET /orgs/{org}/users/{user}/groups`
pub(super) async fn of_user(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    PathParameters((org, user)): PathParameters<(String, String)>,
) -> Result<Json<Vec<GroupWithRole>>, ApiError> {
    let mut reading = api.read(&caller, &org).await?;
    reading.subject(&user).await?;
    Ok(Json(Vec::new()))
}
