//! Decisions: what came of asking a subject's roles and the guards, and who said what.

use feed::decision::{RecordedAnswer, RecordedAsked, RecordedOutcome};
use feed::{GuardScope, PolicyDigest};
use smallvec::SmallVec;

use crate::{Fault, Policy, ScopeKind};

/// What the roles and guards that bear on an operation add up to.
#[derive(Debug)]
pub struct Decision<'a> {
    /// What came of it.
    pub outcome: Outcome<'a>,
    /// Who was asked, in this order, and what they said.
    pub answers: Answers<'a>,
}

/// Answers in the order in which they were given; a few take no memory of their own.
pub type Answers<'a> = SmallVec<[Answer<'a>; 4]>;

/// What came of a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// A role allows the operation, and no guard refuses it.
    Allowed(Grant<'a>),
    /// Every role gave its verdict, and none allows the operation.
    NotAllowed,
    /// A role allows it, and a guard refuses it.
    Denied {
        /// Id of the guard.
        guard: &'a str,
        /// What the guard says, for the caller to read: one line, at most [`REASON_CHARS_MAX`] characters.
        reason: String,
    },
    /// It cannot be told whether the subject may: no role allows it but one gave no verdict, or a guard gave none.
    Undecided {
        /// The first role, or the guard, that gave none.
        by: &'a str,
        /// Why.
        fault: Fault,
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

/// A policy that was asked, and what it said.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// For whom it spoke.
    pub asked: Asked<'a>,
    /// The policy; none when the role or guard has none, or none yet.
    pub policy: Option<&'a Policy>,
    /// The settings that it was asked with, as JSON.
    pub settings: Option<&'a str>,
    /// What it said.
    pub said: Said,
    /// Whether it was remembered.
    pub remembered: bool,
}

/// For whom a policy speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked<'a> {
    /// A role that the subject holds.
    Role {
        /// Name of the role.
        role: &'a str,
        /// The kind of object on which it is held.
        held_on: ScopeKind,
    },
    /// A guard.
    Guard {
        /// Id of the guard.
        guard: &'a str,
        /// What it is attached to.
        scope: &'a GuardScope,
    },
}

/// What a policy said, without a guard's reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// A role grants it.
    Allow,
    /// A role says nothing about it.
    Abstain,
    /// A guard has nothing against it.
    Pass,
    /// A guard refuses it.
    Deny,
    /// There was no verdict.
    Nothing(Fault),
}

/// Longest reason that a guard can give, in characters; the rest is cut off. What would break a line becomes a blank.
pub const REASON_CHARS_MAX: usize = 300;

impl<'a> Decision<'a> {
    /// Returns a decision that nobody had to be asked for: not allowed.
    pub fn not_allowed() -> Self {
        Self {
            outcome: Outcome::NotAllowed,
            answers: Answers::new(),
        }
    }

    /// Returns whether the operation may be done.
    pub fn is_allowed(&self) -> bool {
        matches!(self.outcome, Outcome::Allowed(_))
    }

    /// Returns every fault that was met, with the name of the role or guard, whether or not it changed the outcome.
    pub fn faults(&self) -> impl Iterator<Item = (&'a str, Fault)> {
        self.answers.iter().filter_map(|answer| match answer.said {
            Said::Nothing(fault) => Some((answer.asked.name(), fault)),
            Said::Allow | Said::Abstain | Said::Pass | Said::Deny => None,
        })
    }

    /// Returns the answers in the form in which decisions are kept.
    pub fn recorded_answers(&self) -> Vec<RecordedAnswer> {
        self.answers.iter().map(RecordedAnswer::from).collect()
    }
}

impl<'a> Asked<'a> {
    /// Returns the name of the role, or the id of the guard.
    pub fn name(&self) -> &'a str {
        match self {
            Self::Role { role, .. } => role,
            Self::Guard { guard, .. } => guard,
        }
    }
}

impl Said {
    /// Returns the word for it in records: the verdict's, or the name of the fault.
    pub fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Abstain => "abstain",
            Self::Pass => "pass",
            Self::Deny => "deny",
            Self::Nothing(fault) => fault.name(),
        }
    }
}

impl From<&Answer<'_>> for RecordedAnswer {
    fn from(answer: &Answer<'_>) -> Self {
        Self {
            asked: match answer.asked {
                Asked::Role { role, held_on } => RecordedAsked::Role {
                    role: role.to_owned(),
                    held_on: held_on.name().to_owned(),
                },
                Asked::Guard { guard, scope } => RecordedAsked::Guard {
                    guard: guard.to_owned(),
                    scope: scope.clone(),
                },
            },
            policy: answer.policy.map(Policy::digest),
            settings: answer.settings.map(str::to_owned),
            verdict: answer.said.name().to_owned(),
        }
    }
}

impl From<&Outcome<'_>> for RecordedOutcome {
    fn from(outcome: &Outcome<'_>) -> Self {
        match outcome {
            Outcome::Allowed(grant) => Self::Allowed {
                role: grant.role.to_owned(),
            },
            Outcome::NotAllowed => Self::NotAllowed,
            Outcome::Denied { guard, reason } => Self::Denied {
                guard: (*guard).to_owned(),
                reason: reason.clone(),
            },
            Outcome::Undecided { by, fault } => Self::Undecided {
                by: (*by).to_owned(),
                fault: fault.name().to_owned(),
            },
        }
    }
}
