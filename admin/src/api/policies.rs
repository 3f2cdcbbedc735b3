//! `/orgs/{org}/policies`: what is published, and its components.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use feed::{PolicyDigest, PolicyKind};
use http::HeaderValue;
use http::header::CONTENT_TYPE;

use super::policy_answers::{PolicyView, ShadowReportView};
use super::{Api, Reading};
use crate::body::PathParameters;
use crate::error::ApiError;
use crate::evaluator::Evaluator;
use crate::identity::Caller;
use crate::store::{StoreError, StoredPolicy, View};

/// `GET /orgs/{org}/policies`: the built-in roles, and then what the organisation has published.
pub(super) async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    PathParameters(org): PathParameters<String>,
) -> Result<Json<Vec<PolicyView>>, ApiError> {
    let mut reading = api.read(&caller, &org).await?;
    let holders = reading.view.role_holders_count(&org).await?;
    let of_role = |role: &str| holders.get(role).copied().unwrap_or(0);
    let built_in = api.evaluator.built_in();
    let mut views: Vec<PolicyView> = built_in
        .map(|(policy, component)| PolicyView::built_in(policy, component, of_role(policy.name())))
        .collect();
    let guards = reading.view.guards(&org).await?;
    for policy in reading.view.policies(&org).await? {
        let holders = match policy.kind {
            PolicyKind::Role => of_role(&policy.name),
            PolicyKind::Guard => guards.iter().filter(|guard| guard.policy == policy.name).count() as u64,
        };
        views.push(PolicyView::of(&policy, holders, &api.evaluator)?);
    }
    Ok(Json(views))
}

/// `GET /orgs/{org}/policies/{policy}`
pub(super) async fn read(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    PathParameters((org, name)): PathParameters<(String, String)>,
) -> Result<Json<PolicyView>, ApiError> {
    let mut reading = api.read(&caller, &org).await?;
    if let Some((policy, component)) = api.evaluator.built_in_role(&name) {
        let holders = reading.view.role_holders_count(&org).await?;
        let holders = holders.get(&name).copied().unwrap_or(0);
        return Ok(Json(PolicyView::built_in(policy, component, holders)));
    }
    let policy = reading.policy(&name).await?;
    view_of(&mut reading.view, &policy, &api.evaluator).await.map(Json)
}

/// `GET /orgs/{org}/policies/{policy}/versions/{version}/component`
pub(super) async fn component(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    PathParameters((org, name, version)): PathParameters<(String, String, String)>,
) -> Result<Response, ApiError> {
    let mut reading = api.read(&caller, &org).await?;
    if let Some((policy, component)) = api.evaluator.built_in_role(&name) {
        let known = policy.manifest().version.to_string() == version;
        return known.then(|| wasm(component.to_vec())).ok_or(ApiError::NotFound);
    }
    let policy = reading.policy(&name).await?;
    let digest = policy.version(&version).ok_or(ApiError::NotFound)?.digest;
    component_of(&mut reading.view, digest).await
}

/// `GET /orgs/{org}/policies/{policy}/shadow`
pub(super) async fn shadow(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    PathParameters((org, name)): PathParameters<(String, String)>,
) -> Result<Json<ShadowReportView>, ApiError> {
    let mut reading = api.read(&caller, &org).await?;
    let policy = reading.policy(&name).await?;
    let counts = reading.view.shadow_counts(&policy).await?;
    ShadowReportView::of(&policy, counts)
        .map(Json)
        .ok_or(ApiError::NotFound)
}

/// Answers with a component.
pub(crate) async fn component_of(view: &mut View, digest: PolicyDigest) -> Result<Response, ApiError> {
    view.component(digest).await?.map(wasm).ok_or(ApiError::NotFound)
}

/// Returns a published policy, as clients are told.
pub(super) async fn view_of(
    view: &mut View,
    policy: &StoredPolicy,
    evaluator: &Evaluator,
) -> Result<PolicyView, ApiError> {
    PolicyView::of(policy, holders_of(view, policy).await?, evaluator)
}

/// Counts the role bindings that have the role, or the guards that the policy is attached as.
pub(super) async fn holders_of(view: &mut View, policy: &StoredPolicy) -> Result<u64, StoreError> {
    match policy.kind {
        PolicyKind::Role => Ok(view.role_holders(&policy.org, &policy.name).await?.len() as u64),
        PolicyKind::Guard => Ok(view.guards_of(&policy.org, &policy.name).await?.len() as u64),
    }
}

impl Reading {
    async fn policy(&mut self, name: &str) -> Result<StoredPolicy, ApiError> {
        let policy = self.view.policy(&self.caller.org, name).await?;
        policy.ok_or(ApiError::NotFound)
    }
}

fn wasm(component: Vec<u8>) -> Response {
    let mut response = component.into_response();
    let kind = HeaderValue::from_static("application/wasm");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
