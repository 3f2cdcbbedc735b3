//! `POST /orgs/{org}/policies`: a component becomes a version of a policy.
//!
//! It is vetted by the engine that will run it, in a process of its own and before the change begins; what the store
//! knows is checked afterwards, inside the change.

use axum::extract::{FromRequest, Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use feed::policy::PolicySignature;
use feed::{PolicyDigest, PolicyKind};
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::task::spawn_blocking;

use super::policies::view_of;
use super::policy_answers::PolicyView;
use super::promote::{GUARD_SETTINGS, activate, check_admitted};
use super::readiness::{Told, policy_changed, wait};
use super::{Api, Writing};
use crate::body::{JsonBody, PathParameters};
use crate::error::ApiError;
use crate::evaluator::{Evaluator, Vetted};
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
    /// Of a role policy, for when this version is put in force at once.
    settings: Option<Box<RawValue>>,
    /// How long gateways are waited for that do not have it yet.
    wait_ms: Option<u64>,
}

/// A component that the engine has found to be a policy.
struct Candidate {
    component: Vec<u8>,
    vetted: Vetted,
    signature: Option<PolicySignature>,
    activate: bool,
    settings: Option<String>,
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
        settings: body.settings.map(|settings| settings.get().to_owned()),
    };
    if candidate.settings.is_some() && candidate.vetted.kind == PolicyKind::Guard {
        return Err(GUARD_SETTINGS);
    }
    let (name, version) = (candidate.vetted.name.clone(), candidate.vetted.version.to_string());
    let digest = candidate.vetted.digest;
    let mut published = api
        .write(&caller, &org)
        .await?
        .publish(&candidate, &api.evaluator)
        .await?;
    let mut readiness = None;
    if candidate.activate && published.view.active.version != version {
        let wait_ms = body.wait_ms;
        readiness = api.prepare(&caller, (&org, &name), Some(&version), wait_ms).await?;
        let writing = api.write(&caller, &org).await?;
        let (revision, view) = writing
            .put_in_force((&name, &version), candidate.settings, &api.evaluator)
            .await?;
        published.revision = Some(revision);
        published.view = view;
    } else if let Some(revision) = published.revision.filter(|_| published.view.active.version == version) {
        // Nobody holds it yet; whoever is given it next is not to be refused.
        readiness = Some(api.until_ready(Told { digest, revision }, wait(body.wait_ms)).await);
    }
    let Some(revision) = published.revision else {
        return Ok(Json(published.view).into_response());
    };
    let mut response = policy_changed(revision, published.view, readiness);
    if published.new {
        *response.status_mut() = StatusCode::CREATED;
    }
    Ok(response)
}

/// What is published.
struct Published {
    /// `None` when all was there already.
    revision: Option<u64>,
    /// Whether the version is new.
    new: bool,
    view: PolicyView,
}

impl Writing {
    /// Adds a version. The first one of a name is in force at once; another one stays what gateways have at hand.
    async fn publish(mut self, candidate: &Candidate, evaluator: &Evaluator) -> Result<Published, ApiError> {
        let org = self.caller.org.clone();
        let name = candidate.vetted.name.clone();
        let found = self.change.view.policy(&org, &name).await?;
        let before = found.as_ref().map(|policy| policy.active.clone());
        let version = candidate.vetted.version.to_string();
        let digest = candidate.vetted.digest;
        let mut policy = match found {
            Some(policy) => {
                if let Some(published) = policy.version(&version) {
                    if published.digest != digest {
                        return Err(ApiError::VersionTaken);
                    }
                    // Dropped, the change never was.
                    return Ok(Published {
                        revision: None,
                        new: false,
                        view: view_of(&mut self.change.view, &policy, evaluator).await?,
                    });
                }
                check_follows(&policy, candidate)?;
                policy
            }
            None if self.change.view.policies(&org).await?.len() >= POLICIES_MAX => {
                return Err(ApiError::TooManyPolicies);
            }
            None => first(org.clone(), candidate),
        };
        let stored = self.stored(candidate, digest)?;
        self.change
            .insert_version(&policy, &stored, &candidate.component)
            .await?;
        policy.versions.insert(0, stored);
        self.check_can_be_in_force(&policy, candidate).await?;
        self.change.write_policy(&policy).await?;
        self.prune(&mut policy).await?;
        let view = view_of(&mut self.change.view, &policy, evaluator).await?;
        let entry = AuditEntry {
            operation: "publishPolicy",
            target: format!("/orgs/{org}/policies/{name}/versions/{version}"),
            org,
            before: before.map(|active| json!({ "active": active })),
            after: Some(json!({
                "digest": digest,
                "active": policy.active,
                "settings": policy.settings,
                "signed_by": candidate.signature.as_ref().map(|signature| &signature.key),
            })),
        };
        Ok(Published {
            revision: Some(self.change.commit(entry).await?),
            new: true,
            view,
        })
    }

    /// Checks, before anything is published, what putting the version in force would be refused for.
    async fn check_can_be_in_force(&mut self, policy: &StoredPolicy, candidate: &Candidate) -> Result<(), ApiError> {
        let version = candidate.vetted.version.to_string();
        if policy.active == version || candidate.activate {
            let then = StoredPolicy {
                active: version,
                settings: candidate.settings.clone().or_else(|| policy.settings.clone()),
                ..policy.clone()
            };
            return check_admitted(&mut self.change.view, &then).await;
        }
        if candidate.settings.is_some() {
            return Err(ApiError::Field {
                name: "settings",
                rule: "of a version that is put in force; give activate too",
            });
        }
        Ok(())
    }

    /// Puts a published version in force, with these settings if there are any.
    async fn put_in_force(
        mut self,
        (name, version): (&str, &str),
        settings: Option<String>,
        evaluator: &Evaluator,
    ) -> Result<(u64, PolicyView), ApiError> {
        let before = self.change.view.policy(&self.caller.org, name).await?;
        let before = before.ok_or(ApiError::NotFound)?;
        let mut after = before.clone();
        activate(&mut self.change, &mut after, version).await?;
        after.settings = settings.or(after.settings);
        check_admitted(&mut self.change.view, &after).await?;
        self.commit_policy((&before, &after), evaluator).await
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
        settings: candidate.settings.clone(),
        versions: Vec::new(),
    }
}

/// Longest body: a component of 32 MiB in base64, and some room.
const BODY_BYTES_MAX: usize = 48 << 20;

/// Most policies of one organisation: gateways hold all of them, compiled.
const POLICIES_MAX: usize = 200;

/// How many versions of a policy are kept, beside those that are in use.
const VERSIONS_KEPT: usize = 50;
