//! Decisions on record: all that a decision was made of, so that it can be explained, and made again elsewhere.
//!
//! One line of a decision log, one answer of the API, one case of a test: all have this form. It holds no token, no digest
//! of one, and of header fields only those that a policy asked for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{GuardScope, PolicyDigest, SubjectKind};

/// A decision, and what it was made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedDecision {
    /// Its id: 32 hexadecimal digits, as refusals and the access log tell it.
    pub id: String,
    /// When it was made, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// Name of the gateway that made it.
    pub gateway: String,
    /// The revision at which it was made.
    pub revision: u64,
    /// Id of the token that the request carried.
    pub token: String,
    /// What was asked.
    pub question: RecordedQuestion,
    /// What came of it.
    pub outcome: RecordedOutcome,
    /// Who was asked, in this order, and what they said.
    pub answers: Vec<RecordedAnswer>,
}

/// May this subject do this?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedQuestion {
    /// Who asks.
    pub subject: RecordedSubject,
    /// Id of the operation, as the catalogue has it.
    pub operation: String,
    /// Parameters of the path, as they stood in it, not decoded.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// What policies asked for beyond that.
    #[serde(default, skip_serializing_if = "RecordedInputs::is_empty")]
    pub inputs: RecordedInputs,
}

/// A subject, with the roles that bear on one operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedSubject {
    /// Its id.
    pub id: String,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: SubjectKind,
    /// The organisation it belongs to.
    pub org: String,
    /// Its role on the organisation that the operation is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org_role: Option<String>,
    /// Its role on the app that the operation is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_role: Option<String>,
    /// Each env type that the operation concerns, with the subject's role on it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env_types: Vec<RecordedEnvType>,
}

/// An env type, and the subject's role on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedEnvType {
    /// The env type.
    pub id: String,
    /// The role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
}

/// What policies may ask for beyond subject and operation. Absent: nobody asked, or the request does not have it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedInputs {
    /// The time of the request, in milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_ms: Option<u64>,
    /// The network address that the request came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_address: Option<String>,
    /// Header fields by lower-case name, in the order in which they came.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// The query component of the request target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// The JSON body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json_body: Option<String>,
}

/// What came of a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum RecordedOutcome {
    /// A role allows it, and no guard refuses it.
    Allowed {
        /// The role.
        role: String,
    },
    /// No role allows it.
    NotAllowed,
    /// A role allows it, and a guard refuses it.
    Denied {
        /// Id of the guard.
        guard: String,
        /// What the guard says.
        reason: String,
    },
    /// It cannot be told: a policy that had to be asked gave no verdict.
    Undecided {
        /// The role or guard whose policy gave none.
        by: String,
        /// Stable name of the fault.
        fault: String,
    },
}

/// A policy that was asked, and what it said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedAnswer {
    /// For whom it spoke.
    #[serde(flatten)]
    pub asked: RecordedAsked,
    /// The component that was asked; none when the role or guard has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyDigest>,
    /// Its settings, as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<String>,
    /// What it said: `allow`, `abstain`, `pass`, `deny`, or the name of a fault.
    pub verdict: String,
}

/// For whom a policy speaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "asked")]
pub enum RecordedAsked {
    /// A role that the subject holds.
    Role {
        /// Name of the role.
        role: String,
        /// The kind of object on which it is held: `org`, `app` or `env-type`.
        held_on: String,
    },
    /// A guard.
    Guard {
        /// Id of the guard.
        guard: String,
        /// What it is attached to.
        scope: GuardScope,
    },
}

impl RecordedInputs {
    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl RecordedOutcome {
    /// Returns whether the request may be forwarded.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_is_read_back_as_it_was_written() {
        let line = r#"{"id":"00","at_ms":1,"gateway":"edge-1","revision":7,"token":"ci","question":{"subject":{"id":"s-1","type":"service-user","org":"acme","app_role":"viewer"},"operation":"getApplication","parameters":{"appId":"shop","orgId":"acme"}},"outcome":{"outcome":"allowed","role":"viewer"},"answers":[{"asked":"role","role":"viewer","held_on":"app","verdict":"allow"}]}"#;
        let decision: RecordedDecision = serde_json::from_str(line).expect("a decision");
        assert!(decision.outcome.is_allowed());
        assert_eq!(serde_json::to_string(&decision).expect("JSON"), line);
    }
}
