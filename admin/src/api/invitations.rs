//! `/orgs/{org}/invitations`: members to be, known by their addresses until they sign in.

use axum::extract::State;
use axum::response::Response;
use axum::{Extension, Json};
use feed::{Scope, SubjectKind};
use serde::Deserialize;

use super::answers::{UserInvite, UserRole, changed};
use super::users::{described, target};
use super::{Api, fields, rules};
use crate::body::{JsonBody, PathParameters};
use crate::error::ApiError;
use crate::identity::Caller;
use crate::store::subjects::NewForm;
use crate::store::{AuditEntry, NewSubject};

#[derive(Deserialize)]
pub(super) struct NewInvitation {
    email: Option<String>,
    role: Option<String>,
}

/// `POST /orgs/{org}/invitations`
pub(super) async fn create(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    PathParameters(org): PathParameters<String>,
    JsonBody(body): JsonBody<NewInvitation>,
) -> Result<Response, ApiError> {
    let mut writing = api.write(&caller, &org).await?;
    let email = fields::required("email", fields::email(body.email)?)?;
    let role = fields::required("role", body.role)?;
    let scope = Scope::org(&org);
    rules::check_bindable(&mut writing.change.view, &api.roles, &role, &scope, SubjectKind::Member).await?;
    rules::check_may_give(&writing.caller, &role)?;
    let id = api.random.uuid().map_err(ApiError::internal)?.to_string();
    if writing.change.view.email_is_taken(&org, &email, &id).await? {
        return Err(ApiError::EmailTaken);
    }
    let new = NewSubject {
        id: &id,
        org: &org,
        name: &email,
        email: Some(&email),
        form: NewForm::Invited,
    };
    writing.change.insert_subject(&new).await?;
    writing.change.bind(&id, SubjectKind::Member, &scope, &role).await?;
    let member = writing.subject(&id).await?;
    let entry = AuditEntry {
        operation: "createInviteInOrg",
        target: target(&member),
        org,
        before: None,
        after: Some(described(&member)),
    };
    let revision = writing.change.commit(entry).await?;
    Ok(changed(revision, &[UserRole::of(member)]))
}

/// `GET /orgs/{org}/invitations`
pub(super) async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    PathParameters(org): PathParameters<String>,
) -> Result<Json<Vec<UserInvite>>, ApiError> {
    let mut reading = api.read(&caller, &org).await?;
    let invited = reading.view.invited(&org).await?;
    Ok(Json(invited.into_iter().map(UserInvite::of).collect()))
}
