//! Shadows: what came of watching a version beside the active one, as gateways report it.

use serde::{Deserialize, Serialize};

/// Body of `POST /shadow`: what a gateway has counted since its last report. The store adds it up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShadowReport {
    /// Name of the gateway.
    pub gateway: String,
    /// The organisation that the policy belongs to.
    pub org: String,
    /// Name of the policy.
    pub policy: String,
    /// The version that is watched.
    pub version: String,
    /// Decisions that it was asked about.
    pub evaluations: u64,
    /// Decisions that it should have been asked about, for which there was no time.
    pub dropped: u64,
    /// Decisions that it would have made otherwise.
    #[serde(default)]
    pub flips: Vec<ShadowFlip>,
}

/// Decisions on one operation and subject that the shadow would have made otherwise in the same way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShadowFlip {
    /// Id of the operation.
    pub operation: String,
    /// Id of the subject.
    pub subject: String,
    /// What the decision was: the word of a [`crate::decision::RecordedOutcome`].
    pub from: String,
    /// What it would have been.
    pub to: String,
    /// How many of them.
    pub count: u64,
    /// When the first of them was made, in milliseconds since the Unix epoch.
    pub first_ms: i64,
    /// When the last of them was made, in milliseconds since the Unix epoch.
    pub last_ms: i64,
    /// Id of the last of them.
    pub decision_id: String,
}
