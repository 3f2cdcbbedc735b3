//! Answers about policies and guards: the objects that clients get back.

use feed::{Guard, PolicyKind};
use serde::Serialize;
use serde_json::Value;

use super::fields::timestamp;
use crate::error::ApiError;
use crate::evaluator::Evaluator;
use crate::manifest::Manifest;
use crate::store::policies::kind_name;
use crate::store::shadows::{ShadowCounts, StoredFlip};
use crate::store::{StoredPolicy, StoredVersion};

/// A policy with all its versions.
#[derive(Debug, Serialize)]
pub(super) struct PolicyView {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub builtin: bool,
    pub active: VersionView,
    /// The version that was in force before.
    pub previous: Option<String>,
    /// The newest first.
    pub versions: Vec<VersionView>,
    pub fallback: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow: Option<ShadowView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settings: Option<Value>,
    /// Role bindings that have the role, or guards that the policy is attached as.
    pub holders: u64,
}

/// One version of a policy.
#[derive(Debug, Clone, Serialize)]
pub(super) struct VersionView {
    pub version: String,
    pub digest: String,
    pub class: String,
    pub size_bytes: u64,
    /// Not of what is built in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published_by: Option<String>,
    /// Name of the key that it is said to be signed with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<String>,
    /// Whether a trusted key of that name has signed it; of what is signed only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature_verified: Option<bool>,
    pub manifest: Manifest,
}

/// The version that is watched.
#[derive(Debug, Serialize)]
pub(super) struct ShadowView {
    pub version: String,
    pub percent: u8,
}

/// What came of watching a version.
#[derive(Debug, Serialize)]
pub(super) struct ShadowReportView {
    pub policy: String,
    pub version: String,
    pub active: String,
    pub percent: u8,
    pub since: String,
    pub evaluations: u64,
    pub dropped: u64,
    pub flips: Vec<FlipView>,
}

/// Decisions that it would have made otherwise.
#[derive(Debug, Serialize)]
pub(super) struct FlipView {
    pub operation: String,
    pub subject: String,
    pub from: String,
    pub to: String,
    pub count: u64,
    pub first_at: String,
    pub last_at: String,
    pub decision_id: String,
}

/// A guard where it is attached.
#[derive(Debug, Serialize)]
pub(super) struct GuardView {
    pub id: String,
    pub policy: String,
    pub scope: String,
    pub position: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settings: Option<Value>,
}

impl PolicyView {
    /// Returns a published policy.
    pub(super) fn of(policy: &StoredPolicy, holders: u64, evaluator: &Evaluator) -> Result<Self, ApiError> {
        let view = |version: &StoredVersion| VersionView::of(version, evaluator.verified(policy, version));
        let versions = policy.versions.iter().map(view);
        Ok(Self {
            name: policy.name.clone(),
            kind: kind_name(policy.kind),
            builtin: false,
            active: view(policy.active()?)?,
            previous: policy.previous.clone(),
            versions: versions.collect::<Result<_, _>>()?,
            fallback: policy.fallback,
            shadow: policy.shadow.as_ref().map(|shadow| ShadowView {
                version: shadow.version.clone(),
                percent: shadow.percent,
            }),
            settings: settings(policy.settings.as_deref())?,
            holders,
        })
    }

    /// Returns a built-in role.
    pub(super) fn built_in(policy: &engine::Policy, component: &[u8], holders: u64) -> Self {
        let active = VersionView {
            version: policy.manifest().version.to_string(),
            digest: policy.digest().to_string(),
            class: "small".to_owned(),
            size_bytes: component.len() as u64,
            published_at: None,
            published_by: None,
            signed_by: None,
            signature_verified: None,
            manifest: Manifest::of(policy.manifest()),
        };
        Self {
            name: policy.name().to_owned(),
            kind: kind_name(PolicyKind::Role),
            builtin: true,
            versions: vec![active.clone()],
            active,
            previous: None,
            fallback: false,
            shadow: None,
            settings: None,
            holders,
        }
    }
}

impl VersionView {
    fn of(version: &StoredVersion, verified: Option<bool>) -> Result<Self, ApiError> {
        Ok(Self {
            version: version.version.to_string(),
            digest: version.digest.to_string(),
            class: version.class.clone(),
            size_bytes: version.size_bytes,
            published_at: Some(timestamp(version.published_ms)),
            published_by: Some(version.published_by.clone()),
            signed_by: version.signature.as_ref().map(|signature| signature.key.clone()),
            signature_verified: verified,
            manifest: Manifest::read(version)?,
        })
    }
}

impl ShadowReportView {
    /// Returns the report of a policy, if a version of it is watched.
    pub(super) fn of(policy: &StoredPolicy, counts: ShadowCounts) -> Option<Self> {
        let shadow = policy.shadow.as_ref()?;
        Some(Self {
            policy: policy.name.clone(),
            version: shadow.version.clone(),
            active: policy.active.clone(),
            percent: shadow.percent,
            since: timestamp(shadow.since_ms),
            evaluations: counts.evaluations,
            dropped: counts.dropped,
            flips: counts.flips.into_iter().map(FlipView::from).collect(),
        })
    }
}

impl From<StoredFlip> for FlipView {
    fn from(flip: StoredFlip) -> Self {
        Self {
            operation: flip.operation,
            subject: flip.subject,
            from: flip.was,
            to: flip.would_be,
            count: flip.count,
            first_at: timestamp(flip.first_ms),
            last_at: timestamp(flip.last_ms),
            decision_id: flip.decision,
        }
    }
}

impl GuardView {
    pub(super) fn of(guard: &Guard) -> Result<Self, ApiError> {
        Ok(Self {
            id: guard.id.clone(),
            policy: guard.policy.clone(),
            scope: guard.scope.to_string(),
            position: guard.position,
            settings: settings(guard.settings.as_deref())?,
        })
    }
}

fn settings(text: Option<&str>) -> Result<Option<Value>, ApiError> {
    text.map(serde_json::from_str).transpose().map_err(ApiError::internal)
}
