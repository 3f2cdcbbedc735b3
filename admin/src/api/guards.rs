//! `/orgs/{org}/guards`: where guard policies are attached, in which order, with which settings.

use std::str::FromStr;

use axum::extract::State;
use axum::response::Response;
use axum::{Extension, Json};
use catalogue::segment::is_identifier;
use feed::{Guard, GuardScope, PolicyKind};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::answers::{changed, removed};
use super::policy_answers::GuardView;
use super::readiness::Readiness;
use super::{Api, Writing, fields, rules};
use crate::body::{JsonBody, PathParameters};
use crate::error::ApiError;
use crate::identity::Caller;
use crate::manifest::Manifest;
use crate::store::AuditEntry;

#[derive(Deserialize)]
pub(super) struct NewGuard {
    id: Option<String>,
    policy: Option<String>,
    scope: Option<String>,
    position: Option<u32>,
    settings: Option<Box<RawValue>>,
    /// How long gateways are waited for that do not have the policy yet.
    wait_ms: Option<u64>,
}

/// A guard, and what its attaching waited for: everybody whom it covers would be refused until gateways can ask it.
#[derive(Serialize)]
struct Attached {
    #[serde(flatten)]
    guard: GuardView,
    readiness: Option<Readiness>,
}

/// What is to change; what is absent stays.
#[derive(Deserialize)]
pub(super) struct GuardChange {
    scope: Option<String>,
    position: Option<u32>,
    #[serde(default, deserialize_with = "fields::present")]
    settings: Option<Option<Box<RawValue>>>,
}

/// `GET /orgs/{org}/guards`: in the order in which they are asked.
pub(super) async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    PathParameters(org): PathParameters<String>,
) -> Result<Json<Vec<GuardView>>, ApiError> {
    let mut reading = api.read(&caller, &org).await?;
    let mut guards = reading.view.guards(&org).await?;
    guards.sort_by(|a, b| (&a.scope, a.position, &a.id).cmp(&(&b.scope, b.position, &b.id)));
    guards.iter().map(GuardView::of).collect::<Result<_, _>>().map(Json)
}

/// `GET /orgs/{org}/guards/{guard}`
pub(super) async fn read(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    PathParameters((org, id)): PathParameters<(String, String)>,
) -> Result<Json<GuardView>, ApiError> {
    let mut reading = api.read(&caller, &org).await?;
    let guard = reading.view.guard(&org, &id).await?;
    GuardView::of(&guard.ok_or(ApiError::NotFound)?).map(Json)
}

/// `POST /orgs/{org}/guards`
pub(super) async fn attach(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    PathParameters(org): PathParameters<String>,
    JsonBody(body): JsonBody<NewGuard>,
) -> Result<Response, ApiError> {
    let readiness = match &body.policy {
        Some(policy) => api.wait_for_active(&caller, (&org, policy), body.wait_ms).await?,
        None => None,
    };
    let mut writing = api.write(&caller, &org).await?;
    let policy = fields::required("policy", body.policy)?;
    let scope = fields::required("scope", body.scope)?;
    if writing.change.view.guards_count(&org).await? >= GUARDS_MAX {
        return Err(ApiError::TooManyGuards);
    }
    let guard = Guard {
        id: writing.free_id(body.id, &policy).await?,
        org,
        policy,
        scope: writing.scope(&scope).await?,
        position: body.position.unwrap_or(POSITION),
        settings: body.settings.map(|settings| settings.get().to_owned()),
    };
    let (revision, guard) = writing.write("attachGuard", None, guard).await?;
    let mut response = changed(revision, &Attached { guard, readiness });
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

/// `PATCH /orgs/{org}/guards/{guard}`
pub(super) async fn update(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    PathParameters((org, id)): PathParameters<(String, String)>,
    JsonBody(body): JsonBody<GuardChange>,
) -> Result<Response, ApiError> {
    let mut writing = api.write(&caller, &org).await?;
    let before = writing.change.view.guard(&org, &id).await?;
    let before = before.ok_or(ApiError::NotFound)?;
    // Whoever may not attach it there may not change it there.
    writing.check_may_attach(&before.scope).await?;
    let mut after = before.clone();
    if let Some(scope) = body.scope {
        after.scope = writing.scope(&scope).await?;
    }
    after.position = body.position.unwrap_or(after.position);
    if let Some(settings) = body.settings {
        after.settings = settings.map(|settings| settings.get().to_owned());
    }
    let (revision, guard) = writing.write("updateGuard", Some(before), after).await?;
    Ok(changed(revision, &guard))
}

/// `DELETE /orgs/{org}/guards/{guard}`
pub(super) async fn detach(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    PathParameters((org, id)): PathParameters<(String, String)>,
) -> Result<Response, ApiError> {
    let mut writing = api.write(&caller, &org).await?;
    let guard = writing.change.view.guard(&org, &id).await?;
    let guard = guard.ok_or(ApiError::NotFound)?;
    writing.check_may_attach(&guard.scope).await?;
    writing.change.delete_guard(&guard).await?;
    let revision = writing.change.commit(detachment(&guard)).await?;
    Ok(removed(revision))
}

impl Writing {
    async fn write(
        mut self,
        operation: &'static str,
        before: Option<Guard>,
        guard: Guard,
    ) -> Result<(u64, GuardView), ApiError> {
        let policy = self.change.view.policy(&guard.org, &guard.policy).await?;
        let policy = policy.filter(|policy| policy.kind == PolicyKind::Guard);
        let policy = policy.ok_or(ApiError::Field {
            name: "policy",
            rule: "a guard policy of the organisation",
        })?;
        let manifest = Manifest::read(policy.active()?)?;
        if !manifest.admits_guard(&guard.scope) {
            return Err(ApiError::Field {
                name: "scope",
                rule: "one of a kind that the policy's manifest names",
            });
        }
        let checked = manifest.check_settings(guard.settings.as_deref());
        checked.map_err(|problem| ApiError::SettingsInvalid { problem })?;
        self.change.write_guard(&guard).await?;
        let entry = AuditEntry {
            operation,
            org: guard.org.clone(),
            target: target(&guard),
            before: before.as_ref().map(described).transpose()?,
            after: Some(described(&guard)?),
        };
        let revision = self.change.commit(entry).await?;
        Ok((revision, GuardView::of(&guard)?))
    }

    /// Reads what a guard is to be attached to: something of the organisation, or the installation.
    async fn scope(&mut self, text: &str) -> Result<GuardScope, ApiError> {
        let own = &self.caller.org;
        let is_own = |scope: &GuardScope| match scope {
            GuardScope::Installation => true,
            GuardScope::Org { org } => org == own,
            GuardScope::App { org, app } => org == own && is_identifier(app),
        };
        let scope = GuardScope::from_str(text).ok().filter(is_own);
        let scope = scope.ok_or(ApiError::Field {
            name: "scope",
            rule: "installation, or the path of the organisation or of an app of it",
        })?;
        self.check_may_attach(&scope).await?;
        Ok(scope)
    }

    /// What judges everybody's requests is for those who administer the installation.
    async fn check_may_attach(&mut self, scope: &GuardScope) -> Result<(), ApiError> {
        if *scope != GuardScope::Installation {
            return Ok(());
        }
        rules::check_administers_installation(&mut self.change.view, &self.caller).await
    }

    /// Returns the id that was asked for; else the policy's name, with a number from the second guard on.
    async fn free_id(&mut self, wanted: Option<String>, policy: &str) -> Result<String, ApiError> {
        let org = self.caller.org.clone();
        if let Some(id) = wanted {
            fields::check_guard_id(&id)?;
            let taken = self.change.view.guard(&org, &id).await?.is_some();
            return if taken { Err(ApiError::GuardIdTaken) } else { Ok(id) };
        }
        let mut id = policy.to_owned();
        let mut number = 1;
        while self.change.view.guard(&org, &id).await?.is_some() {
            number += 1;
            id = format!("{policy}-{number}");
        }
        Ok(id)
    }
}

/// Most guards of one organisation: each is asked about every request that it covers.
const GUARDS_MAX: u64 = 100;

/// Place of a guard that is given none: there is room before and behind it.
const POSITION: u32 = 100;

fn target(guard: &Guard) -> String {
    format!("/orgs/{}/guards/{}", guard.org, guard.id)
}

fn described(guard: &Guard) -> Result<Value, ApiError> {
    serde_json::to_value(GuardView::of(guard)?).map_err(ApiError::internal)
}

/// Returns what is written down of a guard that is detached.
pub(crate) fn detachment(guard: &Guard) -> AuditEntry {
    AuditEntry {
        operation: "detachGuard",
        target: target(guard),
        org: guard.org.clone(),
        // What cannot be told of it must not keep it in place.
        before: described(guard).ok(),
        after: None,
    }
}
