//! The traits that a policy implements, and how they answer the contract's two functions.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use crate::bindings::{guard, role};
use crate::{GuardVerdict, Input, Manifest, PolicyKind, Request, RoleVerdict, Scope, SubjectKind};

/// A policy that grants. [`role!`](crate::role!) makes it a component.
pub trait Role {
    /// Name of the policy and of the role: `^[a-zA-Z][a-zA-Z0-9-]*$`, at most 50 characters.
    const NAME: &str;
    /// Version, as Semantic Versioning 2.0 has it; `env!("CARGO_PKG_VERSION")` is the crate's.
    const VERSION: &str;
    /// Kinds of object at which the role may be bound.
    const SCOPES: &[Scope];
    /// Kinds of subject that the role may be bound to.
    const SUBJECT_KINDS: &[SubjectKind] = &[SubjectKind::ServiceUser, SubjectKind::Member, SubjectKind::Group];
    /// JSON Schema of the policy's settings, if it takes any.
    const SETTINGS_SCHEMA: Option<&str> = None;

    /// Returns what the policy asks for beyond the subject and the operation. A policy that asks for anything is asked
    /// anew for each request.
    fn inputs() -> Vec<Input> {
        Vec::new()
    }

    /// Returns whether the role grants what is asked for.
    fn decide(request: &Request) -> RoleVerdict;
}

/// A policy that refuses. [`guard!`](crate::guard!) makes it a component.
pub trait Guard {
    /// Name of the policy: `^[a-zA-Z][a-zA-Z0-9-]*$`, at most 50 characters.
    const NAME: &str;
    /// Version, as Semantic Versioning 2.0 has it; `env!("CARGO_PKG_VERSION")` is the crate's.
    const VERSION: &str;
    /// Kinds of object that the guard may be attached to.
    const SCOPES: &[Scope];
    /// Kinds of subject whose requests it judges.
    const SUBJECT_KINDS: &[SubjectKind] = &[SubjectKind::ServiceUser, SubjectKind::Member, SubjectKind::Group];
    /// JSON Schema of the policy's settings, if it takes any.
    const SETTINGS_SCHEMA: Option<&str> = None;

    /// Returns what the policy asks for beyond the subject and the operation.
    fn inputs() -> Vec<Input> {
        Vec::new()
    }

    /// Returns whether the guard refuses what is asked for.
    fn decide(request: &Request) -> GuardVerdict;
}

impl RoleVerdict {
    /// Returns `Allow` if the role grants, else `Abstain`.
    pub fn allow_if(granted: bool) -> Self {
        if granted { Self::Allow } else { Self::Abstain }
    }
}

impl GuardVerdict {
    /// Returns a refusal, with the reason that the caller is told.
    pub fn deny(reason: impl Into<String>) -> Self {
        Self::Deny(reason.into())
    }
}

impl Input {
    /// Returns the input of a header field, by its name in lower case.
    pub fn header(name: impl Into<String>) -> Self {
        Self::Header(name.into())
    }
}

impl Request {
    /// Returns the decoded value of a parameter of the operation's path.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.operation.parameters.iter().find(|own| own.name == name);
        found.map(|own| own.value.as_str())
    }

    /// Returns the value of a header field that the policy asked for, by its name in lower case; of one that came more
    /// than once, the first.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.inputs.headers.iter().find(|own| own.name == name);
        found.map(|own| own.value.as_str())
    }
}

impl<R: Role> role::Guest for R {
    fn describe() -> Manifest {
        Manifest {
            name: R::NAME.to_owned(),
            version: R::VERSION.to_owned(),
            kind: PolicyKind::Role,
            scopes: R::SCOPES.to_owned(),
            subject_kinds: R::SUBJECT_KINDS.to_owned(),
            inputs: R::inputs(),
            settings_schema: R::SETTINGS_SCHEMA.map(ToOwned::to_owned),
        }
    }

    fn decide(request: Request) -> RoleVerdict {
        R::decide(&request)
    }
}

impl<G: Guard> guard::Guest for G {
    fn describe() -> Manifest {
        Manifest {
            name: G::NAME.to_owned(),
            version: G::VERSION.to_owned(),
            kind: PolicyKind::Guard,
            scopes: G::SCOPES.to_owned(),
            subject_kinds: G::SUBJECT_KINDS.to_owned(),
            inputs: G::inputs(),
            settings_schema: G::SETTINGS_SCHEMA.map(ToOwned::to_owned),
        }
    }

    fn decide(request: Request) -> GuardVerdict {
        G::decide(&request)
    }
}
