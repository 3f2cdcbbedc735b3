//! `/current-user`: the caller themselves.

use axum::extract::State;
use axum::response::Response;
use axum::{Extension, Json};
use feed::SubjectKind;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::answers::{UserProfileExtended, changed};
use super::users::{described, target};
use super::{Api, fields};
use crate::body::JsonBody;
use crate::error::ApiError;
use crate::identity::Caller;
use crate::store::{AuditEntry, Subject, View};

/// What callers can change of themselves. Whatever else they send, roles above all, is not looked at.
#[derive(Deserialize)]
pub(super) struct ProfileChange {
    name: Option<String>,
    email: Option<String>,
    properties: Option<Map<String, Value>>,
}

/// `GET /current-user`
pub(super) async fn read(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<UserProfileExtended>, ApiError> {
    let mut reading = api.read_own(&caller).await?;
    extended(&mut reading.view, reading.caller).await.map(Json)
}

/// `PATCH /current-user`: each member that is there replaces what was; an empty email removes it.
pub(super) async fn update(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    JsonBody(body): JsonBody<ProfileChange>,
) -> Result<Response, ApiError> {
    let mut writing = api.write_own(&caller).await?;
    let before = writing.caller;
    let mut after = before.clone();
    if let Some(name) = body.name {
        fields::check_name("name", &name)?;
        after.name = name;
    }
    if body.email.is_some() {
        after.email = fields::email(body.email)?;
    }
    if let Some(properties) = body.properties {
        after.properties = to_raw(&properties)?;
    }
    check_email(&mut writing.change.view, &after).await?;
    writing.change.update_profile(&after).await?;
    let answer = extended(&mut writing.change.view, after.clone()).await?;
    let entry = AuditEntry {
        operation: "updateCurrentUser",
        org: after.org.clone(),
        target: target(&after),
        before: Some(described(&before)),
        after: Some(described(&after)),
    };
    let revision = writing.change.commit(entry).await?;
    Ok(changed(revision, &answer))
}

fn to_raw(properties: &Map<String, Value>) -> Result<Box<RawValue>, ApiError> {
    serde_json::value::to_raw_value(properties).map_err(ApiError::internal)
}

/// Members are found by their addresses, so no two share one.
async fn check_email(view: &mut View, subject: &Subject) -> Result<(), ApiError> {
    let Some(email) = subject.email.as_deref().filter(|_| subject.kind == SubjectKind::Member) else {
        return Ok(());
    };
    if view.email_is_taken(&subject.org, email, &subject.id).await? {
        return Err(ApiError::EmailTaken);
    }
    Ok(())
}

async fn extended(view: &mut View, subject: Subject) -> Result<UserProfileExtended, ApiError> {
    let roles = view.roles(&subject.id).await?;
    let roles = roles.into_iter().map(|held| (held.scope.to_string(), held.role));
    Ok(UserProfileExtended {
        roles: roles.collect(),
        properties: subject.properties.clone(),
        profile: subject.into(),
    })
}
