//! Manifests: what a policy says of itself, as it is kept and shown.

use engine::Input;
use feed::{GuardScope, Scope, SubjectKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::roles::ScopeKind;
use crate::store::{StoreError, StoredVersion};

/// What a policy says of itself, beside its name, version and kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// Kinds of object at which the role may be bound, or the guard attached.
    pub scopes: Vec<ScopeKind>,
    /// Kinds of subject that the role may be bound to, or whose requests the guard judges.
    pub subject_kinds: Vec<SubjectKind>,
    /// What it asks for: `time`, `source-address`, `header:name`, `query`, `json-body`.
    pub inputs: Vec<String>,
    /// JSON Schema of its settings, if it takes any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings_schema: Option<Value>,
}

impl Manifest {
    /// Returns what the engine has read.
    pub(crate) fn of(manifest: &engine::Manifest) -> Self {
        let schema = manifest.settings_schema.as_deref();
        Self {
            scopes: manifest.scopes.iter().map(|scope| ScopeKind::from(*scope)).collect(),
            subject_kinds: manifest.subject_kinds.clone(),
            inputs: manifest.inputs.iter().map(input_name).collect(),
            settings_schema: schema.and_then(|schema| serde_json::from_str(schema).ok()),
        }
    }

    /// Reads what was kept of a version.
    pub(crate) fn read(version: &StoredVersion) -> Result<Self, StoreError> {
        serde_json::from_str(&version.manifest).map_err(|error| StoreError::Damaged(error.to_string()))
    }

    /// Returns whether the role may be bound to such a subject on this scope.
    pub(crate) fn admits(&self, scope: &Scope, subject: SubjectKind) -> bool {
        self.scopes.contains(&ScopeKind::of(scope)) && self.subject_kinds.contains(&subject)
    }

    /// Returns whether the guard may be attached to this. The installation is taken for an organisation: the widest that
    /// manifests know.
    pub(crate) fn admits_guard(&self, scope: &GuardScope) -> bool {
        self.scopes.contains(match scope {
            GuardScope::Installation | GuardScope::Org { .. } => &ScopeKind::Org,
            GuardScope::App { .. } => &ScopeKind::App,
        })
    }

    /// Checks settings; the error says what is wrong with them.
    pub(crate) fn check_settings(&self, settings: Option<&str>) -> Result<(), String> {
        let schema = self.settings_schema.as_ref().map(Value::to_string);
        engine::check_settings(schema.as_deref(), settings)
    }
}

fn input_name(input: &Input) -> String {
    match input {
        Input::Time => "time".to_owned(),
        Input::SourceAddress => "source-address".to_owned(),
        Input::Header(name) => format!("header:{name}"),
        Input::Query => "query".to_owned(),
        Input::JsonBody => "json-body".to_owned(),
    }
}
