//! Who speaks for a role or a guard: a policy with its settings, what it remembers, how it fares, and who stands in for it.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Instant;

use feed::{PolicyDigest, PolicyKind};

use crate::breaker::Breaker;
use crate::decision::{Answer, Answers, Asked, Said};
use crate::evaluation::Verdict;
use crate::verdicts::Verdicts;
use crate::{Fault, Input, Memory, Needs, Policy, Question};

/// The policy that is asked, and the one that is asked when it gives no verdict.
pub(crate) struct Speakers {
    active: Option<Speaker>,
    fallback: Option<Speaker>,
}

/// A policy with settings, and what is known of how it answers.
pub(crate) struct Speaker {
    policy: Arc<Policy>,
    settings: Option<Arc<str>>,
    /// `None` if verdicts of this policy may not be remembered.
    verdicts: Option<RefCell<Verdicts>>,
    breaker: RefCell<Breaker>,
}

/// A verdict, and where it is from.
pub(crate) struct Spoken {
    pub(crate) verdict: Verdict,
    pub(crate) policy: PolicyDigest,
    pub(crate) remembered: bool,
}

/// The question as it is recalled by: its canonical bytes, and a hash of them that nobody can foresee.
#[derive(Clone, Copy)]
pub(crate) struct Key<'k> {
    pub(crate) hash: u64,
    pub(crate) canonical: &'k [u8],
}

impl Speakers {
    /// Returns the policies of one kind among those given; another kind speaks for nobody here.
    pub(crate) fn new(
        kind: PolicyKind,
        (active, fallback): (Option<&Arc<Policy>>, Option<&Arc<Policy>>),
        speaker: impl Fn(&Arc<Policy>) -> Speaker,
    ) -> Self {
        let of_kind = |policy: Option<&Arc<Policy>>| policy.filter(|policy| policy.kind() == kind).map(&speaker);
        Self {
            active: of_kind(active),
            fallback: of_kind(fallback),
        }
    }

    /// Asks the active policy and, when it gives no verdict, the fallback. What each said goes to the answers.
    pub(crate) fn ask<'a>(
        &'a self,
        asked: Asked<'a>,
        asking: (&Question<'_>, Key<'_>),
        answers: &mut Answers<'a>,
    ) -> Result<Spoken, Fault> {
        let fault = match &self.active {
            Some(active) => match active.answer(asked, asking, answers) {
                Ok(spoken) => return Ok(spoken),
                Err(fault) => fault,
            },
            None => nobody(asked, answers),
        };
        let (question, _) = asking;
        match &self.fallback {
            Some(fallback) if fallback.policy.manifest().speaks_for(asked, question.subject.kind) => {
                fallback.answer(asked, asking, answers)
            }
            Some(_) | None => Err(fault),
        }
    }

    /// Returns the policy that is asked first.
    pub(crate) fn policy(&self) -> Option<&Arc<Policy>> {
        self.active.as_ref().map(|active| &active.policy)
    }

    pub(crate) fn asks_for_inputs(&self) -> bool {
        self.each().any(|speaker| !speaker.policy.is_pure())
    }

    pub(crate) fn add_needs<'a>(&'a self, needs: &mut Needs<'a>) {
        for input in self.each().flat_map(|speaker| &speaker.policy.manifest().inputs) {
            match input {
                Input::Time => needs.time = true,
                Input::SourceAddress => needs.source_address = true,
                Input::Query => needs.query = true,
                Input::JsonBody => needs.json_body = true,
                Input::Header(name) if needs.headers.contains(&name.as_str()) => {}
                Input::Header(name) => needs.headers.push(name),
            }
        }
    }

    /// Returns the digests of its policies that are put aside, for everybody or for some.
    pub(crate) fn put_aside(&self) -> impl Iterator<Item = PolicyDigest> {
        let aside = self
            .each()
            .filter(|speaker| speaker.breaker.borrow().is_open_for_some(Instant::now));
        aside.map(|speaker| speaker.policy.digest())
    }

    pub(crate) fn each(&self) -> impl Iterator<Item = &Speaker> {
        self.active.iter().chain(&self.fallback)
    }
}

impl Speaker {
    pub(crate) fn new(policy: Arc<Policy>, settings: Option<Arc<str>>, memory: Memory) -> Self {
        let verdicts = match memory {
            Memory::Bounded {
                entries_max,
                input_bytes_max,
            } if policy.is_pure() => Some(RefCell::new(Verdicts::new(entries_max, input_bytes_max))),
            Memory::Bounded { .. } | Memory::Off => None,
        };
        Self {
            policy,
            settings,
            verdicts,
            breaker: RefCell::default(),
        }
    }

    /// Takes over what another remembers and how it fares, when it is the same policy with the same settings.
    pub(crate) fn take_over(&self, other: &Self) -> bool {
        let same = self.policy.digest() == other.policy.digest() && self.settings == other.settings;
        if same {
            self.breaker.replace(other.breaker.borrow().clone());
            if let (Some(own), Some(others)) = (&self.verdicts, &other.verdicts) {
                own.borrow_mut().take_over(&mut others.borrow_mut());
            }
        }
        same
    }

    fn answer<'a>(
        &'a self,
        asked: Asked<'a>,
        (question, key): (&Question<'_>, Key<'_>),
        answers: &mut Answers<'a>,
    ) -> Result<Spoken, Fault> {
        let spoken = match self.recall(key) {
            Some(verdict) => Ok(self.spoken(verdict, true)),
            None => self.evaluate(question, key).map(|verdict| self.spoken(verdict, false)),
        };
        answers.push(Answer {
            asked,
            policy: Some(&self.policy),
            settings: self.settings.as_deref(),
            said: match &spoken {
                Ok(spoken) => spoken.verdict.said(),
                Err(fault) => Said::Nothing(*fault),
            },
            remembered: spoken.as_ref().is_ok_and(|spoken| spoken.remembered),
        });
        spoken
    }

    fn recall(&self, key: Key<'_>) -> Option<Verdict> {
        let granted = self.verdicts.as_ref()?.borrow_mut().recall(key.hash, key.canonical)?;
        Some(match (self.policy.kind(), granted) {
            (PolicyKind::Role, true) => Verdict::Allow,
            (PolicyKind::Role, false) => Verdict::Abstain,
            // Of a guard's verdicts only this one is remembered: a refusal has a reason with it, and is rare.
            (PolicyKind::Guard, _) => Verdict::Pass,
        })
    }

    fn evaluate(&self, question: &Question<'_>, key: Key<'_>) -> Result<Verdict, Fault> {
        let subject = question.subject.id;
        if self.breaker.borrow().is_open(subject, Instant::now) {
            return Err(Fault::PutAside);
        }
        let verdict = self.policy.ask(question, self.settings.as_deref());
        let mut breaker = self.breaker.borrow_mut();
        match &verdict {
            Ok(_) => breaker.succeeded(subject),
            Err(fault) => breaker.failed(subject, *fault, Instant::now),
        }
        drop(breaker);
        // A fault is not remembered: whether there was time or a slot is not the policy's to say.
        let verdict = verdict?;
        let granted = match &verdict {
            Verdict::Allow | Verdict::Pass => Some(true),
            Verdict::Abstain => Some(false),
            Verdict::Deny(_) => None,
        };
        if let (Some(own), Some(granted)) = (&self.verdicts, granted) {
            own.borrow_mut().remember(key.hash, key.canonical, granted);
        }
        Ok(verdict)
    }

    fn spoken(&self, verdict: Verdict, remembered: bool) -> Spoken {
        Spoken {
            verdict,
            policy: self.policy.digest(),
            remembered,
        }
    }
}

/// Notes that a role or guard has no policy to speak for it.
pub(crate) fn nobody<'a>(asked: Asked<'a>, answers: &mut Answers<'a>) -> Fault {
    answers.push(Answer {
        asked,
        policy: None,
        settings: None,
        said: Said::Nothing(Fault::NoPolicy),
        remembered: false,
    });
    Fault::NoPolicy
}
