//! Manifests: what a policy says of itself, checked.

use feed::{PolicyKind, SubjectKind};

use crate::contract::postern::policy::types;
use crate::decision::Asked;

/// What a policy says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Name of the policy; of a role policy also that of the role.
    pub name: String,
    /// Version, as Semantic Versioning 2.0 has it.
    pub version: semver::Version,
    /// Whether it grants or refuses.
    pub kind: PolicyKind,
    /// Kinds of object at which the role may be bound, or the guard attached; at least one.
    pub scopes: Vec<ScopeKind>,
    /// Kinds of subject that the role may be bound to, or whose requests the guard judges; at least one.
    pub subject_kinds: Vec<SubjectKind>,
    /// What the policy asks for beyond the subject and the operation. Only a policy that asks for nothing is remembered.
    pub inputs: Vec<Input>,
    /// JSON Schema of its settings, if it takes any. Not checked here.
    pub settings_schema: Option<String>,
}

/// The kinds of object on which a role can be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ScopeKind {
    /// An organisation.
    Org,
    /// An app.
    App,
    /// An env type.
    EnvType,
}

/// Something a policy may ask for beyond the subject and the operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The time of the request.
    Time,
    /// The network address that the request came from.
    SourceAddress,
    /// A header field, by its name in lower case.
    Header(String),
    /// The query component of the request target.
    Query,
    /// The request's JSON body.
    JsonBody,
}

/// Why a manifest is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestProblem {
    /// The name breaks the contract's grammar.
    #[error("its name is not a letter followed by letters, digits and hyphens, {NAME_BYTES_MAX} at most")]
    Name,
    /// The version is not one of Semantic Versioning.
    #[error("its version does not have the form of Semantic Versioning 2.0")]
    Version,
    /// It says that it is a role and decides like a guard, or the other way round.
    #[error("it says that it is of one kind and decides like the other: role or guard")]
    Kind,
    /// It could be bound or attached nowhere. No guard can be attached to an env type.
    #[error("it names no kind of object at which it could be bound or attached")]
    NoScopes,
    /// It could be bound to nobody, or judges nobody.
    #[error("it names no kind of subject that it is for")]
    NoSubjectKinds,
    /// It asks for a header field by something that is not the name of one, or not in lower case.
    #[error("it asks for the header field {0:?}, which is not a name in lower case")]
    HeaderName(String),
    /// It asks for a header field that holds a secret.
    #[error("it asks for the header field {0:?}, which holds secrets that no policy is told")]
    HeaderSecret(String),
    /// It asks for more than a policy may.
    #[error("it asks for more than {INPUTS_MAX} inputs")]
    TooManyInputs,
}

impl Manifest {
    pub(crate) fn check(said: types::Manifest, kind: PolicyKind) -> Result<Self, ManifestProblem> {
        if !is_name(&said.name) {
            return Err(ManifestProblem::Name);
        }
        let Ok(version) = semver::Version::parse(&said.version) else {
            return Err(ManifestProblem::Version);
        };
        let said_kind = match said.kind {
            types::PolicyKind::Role => PolicyKind::Role,
            types::PolicyKind::Guard => PolicyKind::Guard,
        };
        if said_kind != kind {
            return Err(ManifestProblem::Kind);
        }
        let is_usable = |scope: &types::Scope| kind == PolicyKind::Role || *scope != types::Scope::EnvType;
        if !said.scopes.iter().any(is_usable) {
            return Err(ManifestProblem::NoScopes);
        }
        if said.subject_kinds.is_empty() {
            return Err(ManifestProblem::NoSubjectKinds);
        }
        check_inputs(&said.inputs)?;
        Ok(Self {
            name: said.name,
            version,
            kind,
            scopes: said.scopes.into_iter().map(ScopeKind::from).collect(),
            subject_kinds: said.subject_kinds.into_iter().map(subject_kind).collect(),
            inputs: said.inputs.into_iter().map(Input::from).collect(),
            settings_schema: said.settings_schema,
        })
    }

    /// Returns whether this policy may speak for a role that such a subject holds there, or for a guard on it.
    pub(crate) fn speaks_for(&self, asked: Asked<'_>, subject: SubjectKind) -> bool {
        match asked {
            Asked::Role { held_on, .. } => self.admits(subject, held_on),
            Asked::Guard { .. } => self.subject_kinds.contains(&subject),
        }
    }

    /// Returns whether the role may be bound to such a subject at such an object. A binding that it does not admit grants
    /// nothing.
    pub fn admits(&self, subject: SubjectKind, scope: ScopeKind) -> bool {
        self.subject_kinds.contains(&subject) && self.scopes.contains(&scope)
    }
}

impl ScopeKind {
    /// Returns the word for it in records: `org`, `app` or `env-type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Org => "org",
            Self::App => "app",
            Self::EnvType => "env-type",
        }
    }
}

impl From<types::Scope> for ScopeKind {
    fn from(scope: types::Scope) -> Self {
        match scope {
            types::Scope::Org => Self::Org,
            types::Scope::App => Self::App,
            types::Scope::EnvType => Self::EnvType,
        }
    }
}

impl From<types::Input> for Input {
    fn from(input: types::Input) -> Self {
        match input {
            types::Input::Time => Self::Time,
            types::Input::SourceAddress => Self::SourceAddress,
            types::Input::Header(name) => Self::Header(name),
            types::Input::Query => Self::Query,
            types::Input::JsonBody => Self::JsonBody,
        }
    }
}

fn subject_kind(kind: types::SubjectKind) -> SubjectKind {
    match kind {
        types::SubjectKind::ServiceUser => SubjectKind::ServiceUser,
        types::SubjectKind::Member => SubjectKind::Member,
        types::SubjectKind::Group => SubjectKind::Group,
    }
}

fn check_inputs(inputs: &[types::Input]) -> Result<(), ManifestProblem> {
    if inputs.len() > INPUTS_MAX {
        return Err(ManifestProblem::TooManyInputs);
    }
    for input in inputs {
        let types::Input::Header(name) = input else { continue };
        // RFC 9110 §5.6.2: a token.
        let is_token =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(ManifestProblem::HeaderName(name.clone()));
        }
        if SECRET_HEADERS.contains(&name.as_str()) {
            return Err(ManifestProblem::HeaderSecret(name.clone()));
        }
    }
    Ok(())
}

fn is_name(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    text.len() <= NAME_BYTES_MAX
        && text.bytes().next().is_some_and(|first| first.is_ascii_alphabetic())
        && text.bytes().all(inner)
}

/// Longest name, in bytes, which are characters here.
const NAME_BYTES_MAX: usize = 50;

/// Most inputs that a policy may ask for.
const INPUTS_MAX: usize = 32;

/// Header fields that hold credentials. What a policy is told is also written to decision logs.
const SECRET_HEADERS: [&str; 4] = ["authorization", "cookie", "proxy-authorization", "postern-identity"];

#[cfg(test)]
mod tests {
    use super::*;

    fn said() -> types::Manifest {
        types::Manifest {
            name: "auditor".to_owned(),
            version: "1.2.3-rc.1".to_owned(),
            kind: types::PolicyKind::Role,
            scopes: vec![types::Scope::Org],
            subject_kinds: vec![types::SubjectKind::Member],
            inputs: vec![types::Input::Header("x-request-id".to_owned())],
            settings_schema: None,
        }
    }

    fn check(said: types::Manifest) -> Result<Manifest, ManifestProblem> {
        Manifest::check(said, PolicyKind::Role)
    }

    #[test]
    fn a_manifest_that_keeps_the_contract_is_taken_over() {
        let manifest = check(said()).expect("it keeps the contract");
        assert_eq!(manifest.version.to_string(), "1.2.3-rc.1");
        assert_eq!(manifest.inputs, [Input::Header("x-request-id".to_owned())]);
        assert!(manifest.admits(SubjectKind::Member, ScopeKind::Org));
        assert!(!manifest.admits(SubjectKind::Member, ScopeKind::App));
        assert!(!manifest.admits(SubjectKind::ServiceUser, ScopeKind::Org));
    }

    #[test]
    fn a_name_outside_the_grammar_is_refused() {
        let longest = "n".repeat(NAME_BYTES_MAX);
        for name in ["a", "a-1", "orgViewer", &longest] {
            assert!(
                check(types::Manifest {
                    name: name.to_owned(),
                    ..said()
                })
                .is_ok(),
                "{name}"
            );
        }
        let too_long = "n".repeat(NAME_BYTES_MAX + 1);
        for name in ["", "1a", "-a", "a b", "a/b", "ä", &too_long] {
            let refused = check(types::Manifest {
                name: name.to_owned(),
                ..said()
            });
            assert_eq!(refused, Err(ManifestProblem::Name), "{name}");
        }
    }

    #[test]
    fn a_manifest_that_breaks_the_contract_is_refused_with_what_is_wrong() {
        let version = types::Manifest {
            version: "1.0".to_owned(),
            ..said()
        };
        assert_eq!(check(version), Err(ManifestProblem::Version));
        let kind = types::Manifest {
            kind: types::PolicyKind::Guard,
            ..said()
        };
        assert_eq!(check(kind), Err(ManifestProblem::Kind));
        let scopes = types::Manifest {
            scopes: Vec::new(),
            ..said()
        };
        assert_eq!(check(scopes), Err(ManifestProblem::NoScopes));
        let subject_kinds = types::Manifest {
            subject_kinds: Vec::new(),
            ..said()
        };
        assert_eq!(check(subject_kinds), Err(ManifestProblem::NoSubjectKinds));
    }
}
