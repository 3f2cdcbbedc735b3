//! Decisions: what came of asking a subject's roles.

use crate::{Fault, PolicyDigest, ScopeKind};

/// What the roles that bear on an operation add up to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision<'a> {
    /// A role allows the operation.
    Allowed {
        /// The role that does.
        grant: Grant<'a>,
        /// Roles asked before it that gave no verdict. They change nothing, but somebody should know.
        faults: Vec<RoleFault<'a>>,
    },
    /// Every role gave its verdict, and none allows the operation.
    NotAllowed,
    /// No role allows the operation, but some gave no verdict: it cannot be told whether the subject may.
    Undecided {
        /// The roles that gave none; at least one.
        faults: Vec<RoleFault<'a>>,
    },
}

/// The role that allowed an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant<'a> {
    /// Name of the role.
    pub role: &'a str,
    /// The kind of object on which the subject holds it.
    pub scope: ScopeKind,
    /// The policy that spoke for the role.
    pub policy: PolicyDigest,
    /// Whether its verdict was remembered.
    pub remembered: bool,
}

/// A role that gave no verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoleFault<'a> {
    /// Name of the role.
    pub role: &'a str,
    /// Why.
    pub fault: Fault,
}
