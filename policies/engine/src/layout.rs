//! Layouts: which policies are in force at a revision, for whom, with which settings.

use std::sync::Arc;

use feed::GuardScope;

use crate::Policy;

/// The policies that are in force beside the built-in roles.
#[derive(Debug, Clone, Default)]
pub struct Layout {
    /// Roles. One that has the name of a built-in role is overlooked: those are never replaced.
    pub roles: Vec<RoleEntry>,
    /// Guards, in the order in which they are to be asked.
    pub guards: Vec<GuardEntry>,
}

/// A role of an organisation, and the policy that speaks for it.
#[derive(Debug, Clone)]
pub struct RoleEntry {
    /// The organisation whose subjects may hold the role.
    pub org: String,
    /// Name of the role.
    pub role: String,
    /// The policy. `None`: not there yet, the role grants nothing and decisions that hang on it fail.
    pub policy: Option<Arc<Policy>>,
    /// The policy that is asked when that one gives no verdict.
    pub fallback: Option<Arc<Policy>>,
    /// Settings of both, as JSON.
    pub settings: Option<Arc<str>>,
}

/// A guard where it is attached, and the policy that speaks for it.
#[derive(Debug, Clone)]
pub struct GuardEntry {
    /// Id of the guard.
    pub id: String,
    /// What it is attached to.
    pub scope: GuardScope,
    /// The policy. `None`: not there yet, what the guard covers fails.
    pub policy: Option<Arc<Policy>>,
    /// The policy that is asked when that one gives no verdict.
    pub fallback: Option<Arc<Policy>>,
    /// Settings of both, as JSON.
    pub settings: Option<Arc<str>>,
}
