//! `/orgs/{org}/gateways`, where it changes: gateways get a credential of their own, another name, or none any more.

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use feed::token::Kind;
use http::HeaderValue;
use http::header::CACHE_CONTROL;
use serde::Deserialize;
use serde_json::json;

use super::answers::{changed, removed};
use super::fields::timestamp;
use super::{Api, Writing, fields, rules};
use crate::body::{JsonBody, PathParameters};
use crate::error::ApiError;
use crate::identity::Caller;
use crate::store::AuditEntry;

#[derive(Deserialize)]
pub(super) struct GatewayName {
    name: Option<String>,
}

/// `POST /orgs/{org}/gateways`: the answer holds the token with which the gateway enrols, this once.
pub(super) async fn create(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    PathParameters(org): PathParameters<String>,
    JsonBody(body): JsonBody<GatewayName>,
) -> Result<Response, ApiError> {
    let mut writing = api.write_installation(&caller, &org).await?;
    let name = body.checked()?;
    writing.make_room(&name).await?;
    let secret = api.random.secret(Kind::Enrolment).map_err(ApiError::internal)?;
    let ends_ms = writing.change.now_ms() + ENROLMENT_MS;
    writing.change.await_gateway(&name, secret.digest(), ends_ms).await?;
    let entry = AuditEntry {
        operation: "enrolGateway",
        target: target(&org, &name),
        org,
        before: None,
        after: Some(json!({"name": name, "enrolment_ends_at": timestamp(ends_ms)})),
    };
    let revision = writing.change.commit(entry).await?;
    // Whom the gateway asks and what it believes come from one hand.
    let token = format!("{}.{}", secret.reveal(), api.feed_public_key);
    let body = json!({"name": name, "enrolment_token": token, "expires_at": timestamp(ends_ms)});
    let mut response = changed(revision, &body);
    // RFC 9111 §5.2.2.5: no cache on the way keeps the secret.
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, no_store);
    Ok(response)
}

/// `PATCH /orgs/{org}/gateways/{gateway}`: another name.
pub(super) async fn rename(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    PathParameters((org, name)): PathParameters<(String, String)>,
    JsonBody(body): JsonBody<GatewayName>,
) -> Result<Response, ApiError> {
    let mut writing = api.write_installation(&caller, &org).await?;
    let new = body.checked()?;
    writing.change.view.gateway(&name).await?.ok_or(ApiError::NotFound)?;
    if new != name && writing.change.view.gateway(&new).await?.is_some() {
        return Err(ApiError::GatewayNameTaken);
    }
    writing.change.rename_gateway(&name, &new).await?;
    let entry = AuditEntry {
        operation: "renameGateway",
        target: target(&org, &new),
        org,
        before: Some(json!({ "name": name })),
        after: Some(json!({ "name": new })),
    };
    let revision = writing.change.commit(entry).await?;
    api.fleet.refresh().await?;
    Ok(changed(revision, &json!({ "name": new })))
}

/// `DELETE /orgs/{org}/gateways/{gateway}`: it is not let in any more, nor believed, and its feed ends at once.
pub(super) async fn remove(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    PathParameters((org, name)): PathParameters<(String, String)>,
) -> Result<Response, ApiError> {
    let mut writing = api.write_installation(&caller, &org).await?;
    writing.change.view.gateway(&name).await?.ok_or(ApiError::NotFound)?;
    writing.change.delete_gateway(&name).await?;
    let entry = AuditEntry {
        operation: "removeGateway",
        target: target(&org, &name),
        org,
        before: Some(json!({ "name": name })),
        after: None,
    };
    let revision = writing.change.commit(entry).await?;
    api.fleet.refresh().await?;
    Ok(removed(revision))
}

impl Api {
    /// Lets the caller change what concerns every organisation.
    async fn write_installation(&self, caller: &Caller, org: &str) -> Result<Writing, ApiError> {
        let mut writing = self.write(caller, org).await?;
        rules::check_administers_installation(&mut writing.change.view, &writing.caller).await?;
        Ok(writing)
    }
}

impl Writing {
    /// Sees to it that a gateway may be made known by a name. One that was awaited in vain makes way.
    async fn make_room(&mut self, name: &str) -> Result<(), ApiError> {
        let gateways = self.change.view.gateways().await?;
        match gateways.iter().find(|gateway| gateway.name == name) {
            Some(gateway) if gateway.enrolled_ms.is_some() => Err(ApiError::GatewayNameTaken),
            Some(_) => Ok(self.change.delete_gateway(name).await?),
            None if gateways.len() >= GATEWAYS_MAX => Err(ApiError::TooManyGateways),
            None => Ok(()),
        }
    }
}

impl GatewayName {
    fn checked(self) -> Result<String, ApiError> {
        let name = fields::required("name", self.name)?;
        fields::check_gateway_name(&name)?;
        Ok(name)
    }
}

/// How long a gateway may take to enrol: 15 minutes, since the token is carried to it by hand.
const ENROLMENT_MS: i64 = 15 * 60 * 1000;

/// Most gateways, which is also how many feeds may be open.
const GATEWAYS_MAX: usize = 1000;

fn target(org: &str, name: &str) -> String {
    format!("/orgs/{org}/gateways/{name}")
}
