//! A policy on the bench: loaded by the gateway's own engine, under the gateway's own limits, and asked one question.

use catalogue::Catalogue;
use engine::replay::OwnedQuestion;
use engine::{Class, Engine, Limits, LoadError, Memory, Policy, PolicySet, ScopeKind, Verdict};
use feed::PolicyKind;
use feed::decision::{RecordedQuestion, RecordedSubject};

use super::case::Answer;
use crate::exit::{DATA, Failure, SOFTWARE};

/// An engine for each class of policy.
pub(super) struct Engines {
    small: Engine,
    script: Engine,
}

impl Engines {
    /// Starts both.
    ///
    /// # Errors
    /// When the machine refuses their memory or threads.
    pub(super) fn new() -> Result<Self, Failure> {
        let start = |limits| Engine::new(&limits).map_err(|error| Failure::new(SOFTWARE, &error));
        Ok(Self {
            small: start(Limits::small())?,
            script: start(Limits::script())?,
        })
    }

    /// Returns the built-in roles.
    ///
    /// # Errors
    /// When they cannot be loaded: a fault of ours.
    pub(super) fn builtin(&self) -> Result<PolicySet, Failure> {
        PolicySet::builtin(&self.small, Memory::Off).map_err(|error| Failure::new(SOFTWARE, &error))
    }

    /// Loads a component into the engine of its class.
    ///
    /// # Errors
    /// When it is no policy.
    pub(super) fn load(&self, component: &[u8]) -> Result<Policy, LoadError> {
        match engine::classify(component)? {
            Class::Small => self.small.load(component),
            Class::Script => self.script.load(component),
        }
    }
}

/// Loads a component to work with.
///
/// # Errors
/// [`DATA`], when it is no policy; `check` says more.
pub(super) fn load(engines: &Engines, component: &[u8]) -> Result<Policy, Failure> {
    engines.load(component).map_err(|error| {
        let said = Failure::new(DATA, &error);
        Failure::said(DATA, format!("{said}; `postern policy check` tells all that is wrong"))
    })
}

/// Returns the catalogue that ships with Postern.
pub(super) fn catalogue() -> Catalogue {
    Catalogue::parse(catalogue::OPERATIONS).expect("the built-in catalogue is well formed")
}

/// Asks a policy, as a gateway would: not at all, where its manifest does not admit what the subject is or holds.
///
/// # Errors
/// When the question is none: an operation that the catalogue does not have, or parameters that do not fit it.
pub(super) fn ask(
    policy: &Policy,
    (question, settings): (&RecordedQuestion, Option<&str>),
    catalogue: &Catalogue,
) -> Result<Answer, String> {
    let owned = OwnedQuestion::of(question, catalogue).map_err(|error| error.to_string())?;
    if !bears(policy, &question.subject) {
        return Ok(Answer::NotAsked);
    }
    let judged = owned.with(|question| policy.judge(question, settings));
    Ok(match judged.map(|judged| judged.verdict) {
        Ok(Verdict::Allow) => Answer::Allow,
        Ok(Verdict::Abstain) => Answer::Abstain,
        Ok(Verdict::Pass) => Answer::Pass,
        Ok(Verdict::Deny(reason)) => Answer::Deny(reason),
        Err(fault) => Answer::Fault(fault),
    })
}

/// Returns whether a gateway would ask: of a role, whether the subject holds it where it may be held; of a guard, whether
/// it judges such subjects.
fn bears(policy: &Policy, subject: &RecordedSubject) -> bool {
    let manifest = policy.manifest();
    match manifest.kind {
        PolicyKind::Guard => manifest.subject_kinds.contains(&subject.kind),
        PolicyKind::Role => {
            let holds = |role: &Option<String>, scope| {
                role.as_deref() == Some(policy.name()) && manifest.admits(subject.kind, scope)
            };
            holds(&subject.org_role, ScopeKind::Org)
                || holds(&subject.app_role, ScopeKind::App)
                || (subject.env_types.iter()).any(|env_type| holds(&env_type.role, ScopeKind::EnvType))
        }
    }
}
