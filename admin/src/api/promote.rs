//! `PATCH /orgs/{org}/policies/{policy}`: which version is in force, which is watched, and what is asked when it fails.

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use feed::{PolicyKind, Scope};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::policies::view_of;
use super::policy_answers::{FlipView, PolicyView};
use super::readiness::policy_changed;
use super::{Api, Writing, fields};
use crate::body::{JsonBody, PathParameters};
use crate::error::ApiError;
use crate::evaluator::Evaluator;
use crate::identity::Caller;
use crate::manifest::Manifest;
use crate::store::shadows::StoredFlip;
use crate::store::{AuditEntry, Change, StoredPolicy, StoredShadow, View};

/// What is to change; what is absent stays.
#[derive(Deserialize)]
pub(super) struct PolicyChange {
    /// A version, or `previous`.
    active: Option<String>,
    /// The only flips that the shadow may have shown.
    expected_flips: Option<Vec<ExpectedFlip>>,
    /// On how many decisions it must have been watched.
    evaluations_min: Option<u64>,
    #[serde(default, deserialize_with = "fields::present")]
    shadow: Option<Option<ShadowDefinition>>,
    #[serde(default, deserialize_with = "fields::present")]
    settings: Option<Option<Box<RawValue>>>,
    fallback: Option<bool>,
    /// How long gateways are waited for that do not have the version yet.
    wait_ms: Option<u64>,
}

/// A flip that is expected; of any subject when it names none.
#[derive(Deserialize)]
struct ExpectedFlip {
    operation: String,
    subject: Option<String>,
    from: String,
    to: String,
}

#[derive(Deserialize)]
struct ShadowDefinition {
    version: String,
    percent: Option<u8>,
}

/// `PATCH /orgs/{org}/policies/{policy}`
pub(super) async fn update(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    PathParameters((org, name)): PathParameters<(String, String)>,
    JsonBody(body): JsonBody<PolicyChange>,
) -> Result<Response, ApiError> {
    if api.evaluator.built_in_role(&name).is_some() {
        drop(api.read(&caller, &org).await?);
        return Err(ApiError::PolicyBuiltIn);
    }
    let readiness = api
        .prepare(&caller, (&org, &name), body.active.as_deref(), body.wait_ms)
        .await?;
    let mut writing = api.write(&caller, &org).await?;
    let before = writing.change.view.policy(&org, &name).await?;
    let before = before.ok_or(ApiError::NotFound)?;
    if body.is_empty() {
        return Err(ApiError::Field {
            name: "active",
            rule: "this, shadow, settings or fallback must be given",
        });
    }
    let mut after = before.clone();
    writing.apply(body, &mut after).await?;
    if after == before {
        let view = view_of(&mut writing.change.view, &after, &api.evaluator).await?;
        return Ok(axum::Json(view).into_response());
    }
    if after.active != before.active || after.settings != before.settings {
        check_admitted(&mut writing.change.view, &after).await?;
    }
    let (revision, view) = writing.commit_policy((&before, &after), &api.evaluator).await?;
    Ok(policy_changed(revision, view, readiness))
}

impl Writing {
    /// Makes a policy what it is to be; returns the revision and what is told of the policy.
    pub(super) async fn commit_policy(
        mut self,
        (before, after): (&StoredPolicy, &StoredPolicy),
        evaluator: &Evaluator,
    ) -> Result<(u64, PolicyView), ApiError> {
        self.change.write_policy(after).await?;
        let view = view_of(&mut self.change.view, after, evaluator).await?;
        let entry = AuditEntry {
            operation: "updatePolicy",
            target: format!("/orgs/{}/policies/{}", after.org, after.name),
            org: after.org.clone(),
            before: Some(described(before)),
            after: Some(described(after)),
        };
        Ok((self.change.commit(entry).await?, view))
    }
}

/// Puts a version in force in the place of the one that is.
pub(super) async fn activate(change: &mut Change, policy: &mut StoredPolicy, version: &str) -> Result<(), ApiError> {
    if policy.active == version {
        return Ok(());
    }
    policy.previous = Some(std::mem::replace(&mut policy.active, version.to_owned()));
    if policy.shadow.as_ref().is_some_and(|shadow| shadow.version == version) {
        policy.shadow = None;
        change.forget_shadow(policy).await?;
    }
    Ok(())
}

/// Checks that the version in force admits the settings it gets, and every role binding or guard that there is.
pub(super) async fn check_admitted(view: &mut View, policy: &StoredPolicy) -> Result<(), ApiError> {
    let manifest = Manifest::read(policy.active()?)?;
    match policy.kind {
        PolicyKind::Role => {
            let checked = manifest.check_settings(policy.settings.as_deref());
            checked.map_err(|problem| ApiError::SettingsInvalid { problem })?;
            let holders = view.role_holders(&policy.org, &policy.name).await?;
            let void = holders
                .iter()
                .filter(|holder| !manifest.admits(&holder.scope, holder.kind));
            let void: Vec<Value> = void.map(|holder| binding(&holder.subject, &holder.scope)).collect();
            if !void.is_empty() {
                return Err(ApiError::bindings_not_admitted(void));
            }
        }
        PolicyKind::Guard => {
            let guards = view.guards_of(&policy.org, &policy.name).await?;
            let void = guards.into_iter().filter(|guard| {
                !manifest.admits_guard(&guard.scope) || manifest.check_settings(guard.settings.as_deref()).is_err()
            });
            let guards: Vec<String> = void.map(|guard| guard.id).collect();
            if !guards.is_empty() {
                return Err(ApiError::GuardsNotAdmitted { guards });
            }
        }
    }
    Ok(())
}

/// Returns a role binding, as refusals tell of it.
pub(super) fn binding(subject: &str, scope: &Scope) -> Value {
    json!({"subject": subject, "scope": scope})
}

impl PolicyChange {
    fn is_empty(&self) -> bool {
        self.active.is_none() && self.shadow.is_none() && self.settings.is_none() && self.fallback.is_none()
    }
}

impl ExpectedFlip {
    fn covers(&self, flip: &StoredFlip) -> bool {
        let subject = self.subject.as_ref().is_none_or(|subject| *subject == flip.subject);
        subject && self.operation == flip.operation && self.from == flip.was && self.to == flip.would_be
    }
}

impl Writing {
    async fn apply(&mut self, change: PolicyChange, policy: &mut StoredPolicy) -> Result<(), ApiError> {
        if let Some(settings) = change.settings {
            if policy.kind == PolicyKind::Guard && settings.is_some() {
                return Err(GUARD_SETTINGS);
            }
            policy.settings = settings.map(|settings| settings.get().to_owned());
        }
        if let Some(fallback) = change.fallback {
            policy.fallback = fallback;
        }
        if let Some(version) = change.active {
            let version = target(policy, version)?;
            let gated = change.expected_flips.is_some() || change.evaluations_min.is_some();
            if gated && version != policy.active {
                let expected = change.expected_flips.as_deref();
                let evaluations_min = change.evaluations_min.unwrap_or(1).max(1);
                self.check_flips(policy, &version, (expected, evaluations_min)).await?;
            }
            activate(&mut self.change, policy, &version).await?;
        }
        if let Some(shadow) = change.shadow {
            self.watch(policy, shadow).await?;
        }
        Ok(())
    }

    /// Lets a version be put in force only when it was watched for long enough, and only expected flips were seen.
    async fn check_flips(
        &mut self,
        policy: &StoredPolicy,
        version: &str,
        (expected, evaluations_min): (Option<&[ExpectedFlip]>, u64),
    ) -> Result<(), ApiError> {
        let watched = policy.shadow.as_ref().is_some_and(|shadow| shadow.version == version);
        let counts = match watched {
            true => self.change.view.shadow_counts(policy).await?,
            false => crate::store::shadows::ShadowCounts::default(),
        };
        let Some(expected) = expected else {
            return enough(counts.evaluations, evaluations_min);
        };
        let is_expected = |flip: &StoredFlip| expected.iter().any(|expected| expected.covers(flip));
        let unexpected = counts.flips.into_iter().filter(|flip| !is_expected(flip));
        let unexpected: Vec<FlipView> = unexpected.map(FlipView::from).collect();
        if !unexpected.is_empty() {
            let flips = serde_json::to_value(unexpected).map_err(ApiError::internal)?;
            return Err(ApiError::UnexpectedFlips { flips });
        }
        enough(counts.evaluations, evaluations_min)
    }

    /// Has a version watched, or none.
    async fn watch(&mut self, policy: &mut StoredPolicy, shadow: Option<ShadowDefinition>) -> Result<(), ApiError> {
        let watched = policy.shadow.as_ref().map(|shadow| shadow.version.clone());
        policy.shadow = match shadow {
            None => None,
            Some(shadow) => {
                let percent = shadow.percent.unwrap_or(100);
                let known = policy.version(&shadow.version).is_some() && shadow.version != policy.active;
                if !known || !(1..=100).contains(&percent) {
                    return Err(ApiError::Field {
                        name: "shadow",
                        rule: "a published version that is not in force, and a percentage from 1 to 100",
                    });
                }
                let same = policy.shadow.as_ref().filter(|own| own.version == shadow.version);
                Some(StoredShadow {
                    since_ms: same.map_or(self.change.now_ms(), |own| own.since_ms),
                    version: shadow.version,
                    percent,
                })
            }
        };
        if policy.shadow.as_ref().map(|shadow| &shadow.version) != watched.as_ref() {
            self.change.forget_shadow(policy).await?;
        }
        Ok(())
    }
}

/// Returns the version that is meant.
fn target(policy: &StoredPolicy, version: String) -> Result<String, ApiError> {
    if version == PREVIOUS {
        return policy.previous.clone().ok_or(ApiError::NoPreviousVersion);
    }
    if policy.version(&version).is_none() {
        return Err(ApiError::Field {
            name: "active",
            rule: "a published version, or previous",
        });
    }
    Ok(version)
}

impl ApiError {
    /// A refusal that tells some of the bindings.
    pub(super) fn bindings_not_admitted(mut bindings: Vec<Value>) -> Self {
        bindings.truncate(BINDINGS_TOLD_MAX);
        Self::BindingsNotAdmitted {
            bindings: bindings.into(),
        }
    }
}

/// Why a guard policy is given no settings.
pub(super) const GUARD_SETTINGS: ApiError = ApiError::Field {
    name: "settings",
    rule: "of a role policy only; a guard has settings where it is attached",
};

/// Stands for the version that was in force before.
pub(super) const PREVIOUS: &str = "previous";

/// Most role bindings that a refusal names.
const BINDINGS_TOLD_MAX: usize = 50;

fn enough(evaluations: u64, evaluations_min: u64) -> Result<(), ApiError> {
    if evaluations >= evaluations_min {
        return Ok(());
    }
    Err(ApiError::TooFewEvaluations {
        evaluations,
        evaluations_min,
    })
}

/// Returns what of a policy its audit entries tell.
pub(super) fn described(policy: &StoredPolicy) -> Value {
    json!({
        "active": policy.active,
        "previous": policy.previous,
        "shadow": policy.shadow.as_ref().map(|shadow| json!({"version": shadow.version, "percent": shadow.percent})),
        "fallback": policy.fallback,
        "settings": policy.settings,
    })
}
