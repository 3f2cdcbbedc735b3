//! `/orgs/{org}/users`: the subjects of an organisation and their roles on it.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use axum::{Extension, Json};
use feed::{Scope, SubjectKind};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answers::{UserProfile, UserRole, changed};
use super::receipt::{WaitQuery, wait_of};
use super::{Api, Writing, fields, rules};
use crate::body::{JsonBody, PathParameters};
use crate::error::ApiError;
use crate::identity::Caller;
use crate::store::subjects::NewForm;
use crate::store::{AuditEntry, NewSubject, Subject};

#[derive(Deserialize)]
pub(super) struct NewServiceUser {
    name: Option<String>,
    role: Option<String>,
    email: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct NewRole {
    role: Option<String>,
}

/// What can be changed of a subject; at least one of them.
#[derive(Deserialize)]
pub(super) struct UserChange {
    role: Option<String>,
    /// Of service users only: members and groups have theirs from elsewhere.
    name: Option<String>,
    /// Of service users only.
    disabled: Option<bool>,
}

/// Which subjects are asked for.
#[derive(Deserialize)]
pub(super) struct KindQuery {
    #[serde(rename = "type")]
    kind: Option<String>,
}

/// `POST /orgs/{org}/users`
pub(super) async fn create(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    PathParameters(org): PathParameters<String>,
    JsonBody(body): JsonBody<NewServiceUser>,
) -> Result<Response, ApiError> {
    let mut writing = api.write(&caller, &org).await?;
    let name = fields::required("name", body.name)?;
    let role = fields::required("role", body.role)?;
    fields::check_name("name", &name)?;
    let email = fields::email(body.email)?;
    let scope = Scope::org(&org);
    rules::check_bindable(
        &mut writing.change.view,
        &api.roles,
        &role,
        &scope,
        SubjectKind::ServiceUser,
    )
    .await?;
    rules::check_may_give(&writing.caller, &role)?;
    let id = format!("s-{}", api.random.uuid().map_err(ApiError::internal)?);
    let new = NewSubject {
        id: &id,
        org: &org,
        name: &name,
        email: email.as_deref(),
        form: NewForm::ServiceUser,
    };
    writing.change.insert_subject(&new).await?;
    writing
        .change
        .bind(&id, SubjectKind::ServiceUser, &scope, &role)
        .await?;
    let subject = writing.subject(&id).await?;
    let entry = AuditEntry {
        operation: "createServiceUserInOrg",
        target: target(&subject),
        org,
        before: None,
        after: Some(described(&subject)),
    };
    let revision = writing.change.commit(entry).await?;
    Ok(changed(revision, &UserProfile::from(subject)))
}

/// `GET /orgs/{org}/users`
pub(super) async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    PathParameters(org): PathParameters<String>,
    query: Result<Query<KindQuery>, QueryRejection>,
) -> Result<Json<Vec<UserRole>>, ApiError> {
    let mut reading = api.read(&caller, &org).await?;
    let holders = reading.view.holders(&Scope::org(&org)).await?;
    of_kind(holders, query).map(Json)
}

/// `GET /orgs/{org}/users/{user}`
pub(super) async fn read(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    PathParameters((org, user)): PathParameters<(String, String)>,
) -> Result<Json<UserRole>, ApiError> {
    let mut reading = api.read(&caller, &org).await?;
    let subject = reading.subject(&user).await?;
    UserRole::of(subject).map(Json).ok_or(ApiError::NotFound)
}

/// `PATCH /orgs/{org}/users/{user}`: another role, and of service users another name, and whether they are disabled.
pub(super) async fn update(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    PathParameters((org, user)): PathParameters<(String, String)>,
    JsonBody(body): JsonBody<UserChange>,
) -> Result<Response, ApiError> {
    let mut writing = api.write(&caller, &org).await?;
    let before = writing.subject(&user).await?;
    if body.name.is_none() && body.disabled.is_none() {
        fields::required("role", body.role.clone())?;
    }
    if let Some(role) = &body.role {
        rules::check_bindable(
            &mut writing.change.view,
            &api.roles,
            role,
            &Scope::org(&org),
            before.kind,
        )
        .await?;
    }
    rules::check_not_above(&writing.caller, &before)?;
    if let Some(role) = &body.role {
        writing.give_role(&before, role).await?;
    }
    if let Some(name) = body.name {
        writing.rename(&before, name).await?;
    }
    if let Some(disabled) = body.disabled {
        writing.disable(&before, disabled).await?;
    }
    let after = writing.subject(&user).await?;
    let entry = AuditEntry {
        operation: "updateUserRoleInOrg",
        target: target(&after),
        org,
        before: Some(described(&before)),
        after: Some(described(&after)),
    };
    let revision = writing.change.commit(entry).await?;
    Ok(changed(revision, &UserRole::of(after)))
}

/// `DELETE /orgs/{org}/users/{user}`: the subject goes, and with it its tokens and all its roles. With
/// `?wait=2s` the answer is a receipt.
pub(super) async fn delete(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    PathParameters((org, user)): PathParameters<(String, String)>,
    query: Result<Query<WaitQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let wait = wait_of(query)?;
    let mut writing = api.write(&caller, &org).await?;
    let subject = writing.subject(&user).await?;
    rules::check_not_above(&writing.caller, &subject)?;
    writing.check_administrator_stays(&subject).await?;
    writing.change.delete_subject(&subject).await?;
    let entry = AuditEntry {
        operation: "deleteUserRoleInOrg",
        target: target(&subject),
        org,
        before: Some(described(&subject)),
        after: None,
    };
    let revision = writing.change.commit(entry).await?;
    api.revoked(revision, wait).await
}

impl Writing {
    async fn give_role(&mut self, subject: &Subject, role: &str) -> Result<(), ApiError> {
        rules::check_may_give(&self.caller, role)?;
        if subject.role.as_deref() != Some(role) {
            self.check_administrator_stays(subject).await?;
        }
        let scope = Scope::org(&subject.org);
        self.change.bind(&subject.id, subject.kind, &scope, role).await?;
        Ok(())
    }

    async fn rename(&mut self, subject: &Subject, name: String) -> Result<(), ApiError> {
        if subject.name == name {
            // Some clients send all that they know.
            return Ok(());
        }
        check_service_user(subject, "name")?;
        fields::check_name("name", &name)?;
        let renamed = Subject {
            name,
            ..subject.clone()
        };
        Ok(self.change.update_profile(&renamed).await?)
    }

    async fn disable(&mut self, subject: &Subject, disabled: bool) -> Result<(), ApiError> {
        if subject.disabled == disabled {
            return Ok(());
        }
        check_service_user(subject, "disabled")?;
        if disabled {
            self.check_administrator_stays(subject).await?;
        }
        Ok(self.change.set_disabled(subject, disabled).await?)
    }
}

fn check_service_user(subject: &Subject, name: &'static str) -> Result<(), ApiError> {
    match subject.kind {
        SubjectKind::ServiceUser => Ok(()),
        SubjectKind::Member | SubjectKind::Group => Err(ApiError::Field {
            name,
            rule: "of a service user",
        }),
    }
}

impl NewRole {
    pub(super) fn required(self) -> Result<String, ApiError> {
        fields::required("role", self.role)
    }
}

/// Returns the holders of roles that a list request asks for: `user` means everybody but groups.
pub(super) fn of_kind(
    holders: Vec<Subject>,
    query: Result<Query<KindQuery>, QueryRejection>,
) -> Result<Vec<UserRole>, ApiError> {
    let invalid = || ApiError::Field {
        name: "type",
        rule: "user or group",
    };
    let Query(query) = query.map_err(|_malformed| invalid())?;
    let groups = match query.kind.as_deref() {
        None => None,
        Some("user") => Some(false),
        Some("group") => Some(true),
        Some(_) => return Err(invalid()),
    };
    let wanted = |subject: &Subject| groups.is_none_or(|groups| groups == (subject.kind == SubjectKind::Group));
    Ok(holders.into_iter().filter(wanted).filter_map(UserRole::of).collect())
}

/// Returns the path that the audit log names a subject by.
pub(super) fn target(subject: &Subject) -> String {
    format!("/orgs/{}/users/{}", subject.org, subject.id)
}

/// Returns what the audit log tells of a subject.
pub(super) fn described(subject: &Subject) -> Value {
    let mut described = json!({
        "type": subject.kind.api_name(),
        "name": subject.name,
        "email": subject.email,
        "role": subject.role,
    });
    if subject.disabled {
        described["disabled"] = json!(true);
    }
    described
}
