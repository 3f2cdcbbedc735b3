//! `POST /orgs/{org}/policies`: a component becomes a version of a policy.
//!
//! It is vetted by the engine that will run it, in a process of its own and before the change begins; what the store
//! knows is checked afterwards, inside the change.

use axum::Extension;
use axum::extract::{FromRequest, Request, State};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use feed::PolicyDigest;
use feed::policy::PolicySignature;
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use tokio::task::spawn_blocking;

use super::answers::changed;
use super::policies::view_of;
use super::promote::{activate, check_admitted};
use super::{Api, Writing};
use crate::body::{JsonBody, PathParameters};
use crate::error::ApiError;
use crate::evaluator::Vetted;
use crate::identity::Caller;
use crate::manifest::Manifest;
use crate::store::{AuditEntry, StoredPolicy, StoredVersion};

#[derive(Deserialize)]
struct Publication {
    /// Base64.
    component: Option<String>,
    signature: Option<PolicySignature>,
    #[serde(default)]
    activate: bool,
}

/// A component that the engine has found to be a policy.
struct Candidate {
    component: Vec<u8>,
    vetted: Vetted,
    signature: Option<PolicySignature>,
    activate: bool,
}

/// `POST /orgs/{org}/policies`
pub(super) async fn publish(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    PathParameters(org): PathParameters<String>,
    request: Request,
) -> Result<Response, ApiError> {
    // Whoever has no business here does not make us read and compile; and no more is read than can be compiled.
    drop(api.read(&caller, &org).await?);
    let turn = api.evaluator.vetting_turn()?;
    let JsonBody(body) = JsonBody::<Publication, BODY_BYTES_MAX>::from_request(request, &()).await?;
    let component = body.component.ok_or(ApiError::Field {
        name: "component",
        rule: "must be given",
    })?;
    let decoded = spawn_blocking(move || STANDARD.decode(component)).await;
    let component = decoded.map_err(ApiError::internal)?;
    let component = component.map_err(|_malformed| ApiError::Field {
        name: "component",
        rule: "base64 with padding",
    })?;
    let (component, vetted) = api.evaluator.vet(component, turn).await?;
    api.evaluator.check_signature(&org, &vetted, body.signature.as_ref())?;
    let candidate = Candidate {
        component,
        vetted,
        signature: body.signature,
        activate: body.activate,
    };
    api.write(&caller, &org).await?.publish(candidate).await
}

impl Writing {
    async fn publish(mut self, candidate: Candidate) -> Result<Response, ApiError> {
        let org = self.caller.org.clone();
        let name = candidate.vetted.name.clone();
        let found = self.change.view.policy(&org, &name).await?;
        let before = found.as_ref().map(|policy| policy.active.clone());
        let version = candidate.vetted.version.to_string();
        let digest = PolicyDigest::of(&candidate.component);
        let (mut policy, new) = match found {
            Some(policy) => {
                if let Some(published) = policy.version(&version) {
                    if published.digest != digest {
                        return Err(ApiError::VersionTaken);
                    }
                    let view = view_of(&mut self.change.view, &policy).await?;
                    // Dropped, the change never was.
                    return Ok(axum::response::IntoResponse::into_response(axum::Json(view)));
                }
                check_follows(&policy, &candidate)?;
                (policy, false)
            }
            None if self.change.view.policies(&org).await?.len() >= POLICIES_MAX => {
                return Err(ApiError::TooManyPolicies);
            }
            None => (first(org.clone(), &candidate), true),
        };
        let stored = self.stored(&candidate, digest)?;
        self.change
            .insert_version(&policy, &stored, &candidate.component)
            .await?;
        policy.versions.insert(0, stored);
        if candidate.activate && !new {
            activate(&mut self.change, &mut policy, &version).await?;
            check_admitted(&mut self.change.view, &policy).await?;
        }
        self.change.write_policy(&policy).await?;
        self.prune(&mut policy).await?;
        let view = view_of(&mut self.change.view, &policy).await?;
        let entry = AuditEntry {
            operation: "publishPolicy",
            target: format!("/orgs/{org}/policies/{name}/versions/{version}"),
            org,
            before: before.map(|active| json!({ "active": active })),
            after: Some(json!({
                "digest": digest,
                "active": policy.active,
                "signed_by": candidate.signature.map(|signature| signature.key),
            })),
        };
        let revision = self.change.commit(entry).await?;
        let mut response = changed(revision, &view);
        *response.status_mut() = StatusCode::CREATED;
        Ok(response)
    }

    fn stored(&self, candidate: &Candidate, digest: PolicyDigest) -> Result<StoredVersion, ApiError> {
        let manifest: &Manifest = &candidate.vetted.manifest;
        Ok(StoredVersion {
            version: candidate.vetted.version.clone(),
            digest,
            class: candidate.vetted.class.to_owned(),
            size_bytes: candidate.component.len() as u64,
            manifest: serde_json::to_string(manifest).map_err(ApiError::internal)?,
            signature: candidate.signature.clone(),
            published_ms: self.change.now_ms(),
            published_by: self.caller.id.clone(),
        })
    }

    /// Forgets the oldest versions that nothing refers to.
    async fn prune(&mut self, policy: &mut StoredPolicy) -> Result<(), ApiError> {
        while policy.versions.len() > VERSIONS_KEPT {
            let in_use = |version: &StoredVersion| {
                let version = version.version.to_string();
                let shadow = policy.shadow.as_ref().map(|shadow| &shadow.version);
                version == policy.active || policy.previous.as_ref() == Some(&version) || shadow == Some(&version)
            };
            let Some(oldest) = policy.versions.iter().rposition(|version| !in_use(version)) else {
                return Ok(());
            };
            let oldest = policy.versions.remove(oldest).version.to_string();
            self.change.delete_version(policy, &oldest).await?;
        }
        Ok(())
    }
}

/// Versions only grow, so that "newer" means the same to everybody who reads them.
fn check_follows(policy: &StoredPolicy, candidate: &Candidate) -> Result<(), ApiError> {
    if policy.kind != candidate.vetted.kind {
        return Err(ApiError::PolicyKindDiffers);
    }
    let newest = policy.versions.iter().map(|version| &version.version).max();
    let Some(newest) = newest else { return Ok(()) };
    if candidate.vetted.version.cmp_precedence(newest).is_gt() {
        Ok(())
    } else {
        Err(ApiError::VersionNotNewer {
            newest: newest.to_string(),
        })
    }
}

fn first(org: String, candidate: &Candidate) -> StoredPolicy {
    StoredPolicy {
        org,
        name: candidate.vetted.name.clone(),
        kind: candidate.vetted.kind,
        active: candidate.vetted.version.to_string(),
        previous: None,
        shadow: None,
        fallback: false,
        settings: None,
        versions: Vec::new(),
    }
}

/// Longest body: a component of 32 MiB in base64, and some room.
const BODY_BYTES_MAX: usize = 48 << 20;

/// Most policies of one organisation: gateways hold all of them, compiled.
const POLICIES_MAX: usize = 200;

/// How many versions of a policy are kept, beside those that are in use.
const VERSIONS_KEPT: usize = 50;
