//! A case: one question to a policy, and the answer it is to give. From a table, or from a decision on record.

use std::fmt;

use engine::Fault;
use feed::PolicyKind;
use feed::decision::{RecordedAnswer, RecordedAsked, RecordedDecision, RecordedOutcome, RecordedQuestion};

/// One question, and the answer it is to get.
#[derive(Debug)]
pub(super) struct Case {
    /// Where it is from, for people.
    pub(super) name: String,
    /// The question.
    pub(super) question: RecordedQuestion,
    /// The policy's settings, as JSON.
    pub(super) settings: Option<String>,
    /// What it is to answer.
    pub(super) expected: Expected,
}

/// What a policy is to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expected {
    /// The role grants.
    Allow,
    /// The role says nothing.
    Abstain,
    /// The guard has nothing against it.
    Pass,
    /// The guard refuses.
    Deny {
        /// With this reason, when it matters.
        reason: Option<String>,
    },
}

/// What a policy answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// The role grants.
    Allow,
    /// The role says nothing.
    Abstain,
    /// The subject does not hold the role where it counts, or the guard does not judge such subjects: a gateway would not
    /// ask.
    NotAsked,
    /// The guard has nothing against it.
    Pass,
    /// The guard refuses, for this reason.
    Deny(String),
    /// It gave no answer.
    Fault(Fault),
}

impl Expected {
    /// Reads a cell; none for `-`, which leaves the question out.
    ///
    /// # Errors
    /// When it is no verdict.
    pub(super) fn parse(word: &str, reason: Option<&str>) -> Result<Option<Self>, String> {
        Ok(Some(match word {
            "-" => return Ok(None),
            "allow" => Self::Allow,
            "abstain" => Self::Abstain,
            "pass" => Self::Pass,
            "deny" => Self::Deny {
                reason: reason.map(ToOwned::to_owned),
            },
            _ => {
                return Err(format!(
                    "{word:?} is no verdict: allow, abstain, pass, deny, or - for none"
                ));
            }
        }))
    }

    /// Returns whether a policy of this kind can answer so.
    pub(super) fn is_of(&self, kind: PolicyKind) -> bool {
        match self {
            Self::Allow | Self::Abstain => kind == PolicyKind::Role,
            Self::Pass | Self::Deny { .. } => kind == PolicyKind::Guard,
        }
    }

    /// Returns whether an answer is this one. Not to be asked is to abstain, or to pass.
    pub(super) fn is(&self, answer: &Answer) -> bool {
        match (self, answer) {
            (Self::Allow, Answer::Allow)
            | (Self::Abstain, Answer::Abstain | Answer::NotAsked)
            | (Self::Pass, Answer::Pass | Answer::NotAsked) => true,
            (Self::Deny { reason }, Answer::Deny(said)) => reason.as_ref().is_none_or(|reason| reason == said),
            (Self::Allow | Self::Abstain | Self::Pass | Self::Deny { .. }, _) => false,
        }
    }
}

impl Case {
    /// Returns what a decision on record says of the policy with this name and kind: a role, or a guard with such an id or
    /// the only one that was asked.
    ///
    /// # Errors
    /// When the policy was not asked, or gave no verdict.
    pub(super) fn of(decision: RecordedDecision, policy: &str, kind: PolicyKind) -> Result<Self, String> {
        let answer = answer_of(&decision.answers, policy, kind)
            .ok_or_else(|| format!("decision {}: {policy:?} was not asked for it", decision.id))?;
        let reason = match &decision.outcome {
            RecordedOutcome::Denied { reason, .. } => Some(reason.as_str()),
            RecordedOutcome::Allowed { .. } | RecordedOutcome::NotAllowed | RecordedOutcome::Undecided { .. } => None,
        };
        let expected = Expected::parse(&answer.verdict, reason);
        let expected = expected.ok().flatten().ok_or_else(|| {
            let verdict = &answer.verdict;
            format!(
                "decision {}: {policy:?} gave no verdict then, but the fault {verdict}",
                decision.id
            )
        })?;
        Ok(Self {
            name: format!("decision {}", decision.id),
            settings: answer.settings.clone(),
            expected,
            question: decision.question,
        })
    }
}

fn answer_of<'a>(answers: &'a [RecordedAnswer], policy: &str, kind: PolicyKind) -> Option<&'a RecordedAnswer> {
    let named = answers.iter().find(|answer| match &answer.asked {
        RecordedAsked::Role { role, .. } => kind == PolicyKind::Role && role == policy,
        RecordedAsked::Guard { guard, .. } => kind == PolicyKind::Guard && guard == policy,
    });
    let is_guard = |answer: &&RecordedAnswer| matches!(answer.asked, RecordedAsked::Guard { .. });
    let mut guards = answers.iter().filter(is_guard);
    let only = guards.next().filter(|_| guards.next().is_none());
    named.or(only.filter(|_| kind == PolicyKind::Guard))
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allow => f.write_str("allow"),
            Self::Abstain => f.write_str("abstain"),
            Self::Pass => f.write_str("pass"),
            Self::Deny { reason: None } => f.write_str("deny"),
            Self::Deny { reason: Some(reason) } => write!(f, "deny: {}", reason.escape_debug()),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allow => f.write_str("allow"),
            Self::Abstain => f.write_str("abstain"),
            Self::NotAsked => f.write_str("not asked"),
            Self::Pass => f.write_str("pass"),
            // The reason is the policy's text: it may not command a terminal.
            Self::Deny(reason) => write!(f, "deny: {}", reason.escape_debug()),
            Self::Fault(fault) => write!(f, "fault {}: {fault}", fault.name()),
        }
    }
}
