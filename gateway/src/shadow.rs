//! Shadows: versions of policies that are asked beside the active ones and change no answer.
//!
//! They are asked about decisions that were made, by a thread that makes none, in an engine of its own, for a share of one
//! processor. What they would have decided otherwise is counted and reported. A shadow of a role policy is asked with that
//! policy replaced; one of a guard policy with it replaced in all its guards.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use catalogue::Catalogue;
use engine::replay::OwnedQuestion;
use engine::{Input, Layout, Memory, PolicySet};
use feed::decision::{RecordedInputs, RecordedOutcome, RecordedQuestion};
use feed::shadow::{ShadowFlip, ShadowReport};
use feed::{GuardScope, PolicyKind, RecordedDecision};

use crate::policies::Engines;

/// What a worker hands over of its decisions for one shadow.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    /// Whose subjects' decisions; `None`: everybody's.
    org: Option<String>,
    /// Share of the decisions, 1 to 100.
    pub(crate) percent: u8,
    /// Header fields that the shadow asks for.
    pub(crate) headers: Vec<String>,
}

/// A version that is watched, and the arrangement in which it takes the active one's place.
pub(crate) struct Candidate {
    pub(crate) org: String,
    pub(crate) policy: String,
    pub(crate) kind: PolicyKind,
    pub(crate) version: String,
    pub(crate) percent: u8,
    pub(crate) inputs: Vec<Input>,
    /// What guards of the policy are attached to.
    pub(crate) scopes: Vec<GuardScope>,
    pub(crate) layout: Layout,
}

/// All that is watched from a revision on.
pub(crate) struct ShadowPlan {
    pub(crate) since: u64,
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) engines: Arc<Engines>,
}

/// Where plans are handed over: the newest counts.
#[derive(Default)]
pub(crate) struct ShadowPlans(Mutex<Option<ShadowPlan>>);

/// What of a decision only shadows need.
pub(crate) struct Watched {
    /// 0 to 99; a shadow is asked when it is below its percentage.
    pub(crate) sample: u8,
    /// All that is known of the request, whether or not an active policy asked for it.
    pub(crate) inputs: RecordedInputs,
    /// Whether it is known what the request's body holds, if anything.
    pub(crate) body_known: bool,
}

/// The shadows that are asked, and what came of it.
#[derive(Default)]
pub(crate) struct Shadows {
    since: u64,
    watching: Vec<Watching>,
    /// The built-in policies in the engine for watching, once there was something to watch.
    builtin: Option<PolicySet>,
    budget: Budget,
}

struct Watching {
    candidate: Candidate,
    set: PolicySet,
    tally: Tally,
}

#[derive(Default)]
struct Tally {
    evaluations: u64,
    dropped: u64,
    flips: HashMap<FlipKey, ShadowFlip>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct FlipKey {
    operation: String,
    subject: String,
    from: &'static str,
    to: &'static str,
}

/// Time that may be spent: a share of what goes by.
struct Budget {
    left: Duration,
    refilled: Instant,
}

/// Numbers of all shadows together, for metrics.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ShadowCounts {
    pub(crate) evaluations: u64,
    pub(crate) dropped: u64,
    pub(crate) flips: u64,
}

impl From<&Candidate> for Wish {
    fn from(candidate: &Candidate) -> Self {
        let everybody = candidate.scopes.contains(&GuardScope::Installation);
        let headers = candidate.inputs.iter().filter_map(|input| match input {
            Input::Header(name) => Some(name.clone()),
            Input::Time | Input::SourceAddress | Input::Query | Input::JsonBody => None,
        });
        Self {
            org: (!everybody).then(|| candidate.org.clone()),
            percent: candidate.percent,
            headers: headers.collect(),
        }
    }
}

impl Wish {
    /// Returns whether a decision about a subject of an organisation is wished for.
    pub(crate) fn is_for(&self, org: &str, sample: u8) -> bool {
        sample < self.percent && self.org.as_deref().is_none_or(|own| own == org)
    }
}

impl ShadowPlans {
    /// Puts a plan in the place of the last.
    pub(crate) fn put(&self, plan: ShadowPlan) {
        // Held for a moment; a panic in between leaves what was there before.
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(plan);
    }

    fn take(&self) -> Option<ShadowPlan> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Shadows {
    /// Takes over the newest plan, if there is one. What was counted for a version goes on while it is watched.
    pub(crate) fn follow(&mut self, plans: &ShadowPlans) {
        let Some(plan) = plans.take() else { return };
        self.since = plan.since;
        if !plan.candidates.is_empty() && self.builtin.is_none() {
            self.builtin = builtin(&plan.engines);
        }
        let old = std::mem::take(&mut self.watching);
        let Some(builtin) = &self.builtin else { return };
        self.watching = plan
            .candidates
            .into_iter()
            .map(|candidate| Watching {
                set: builtin.arranged(&candidate.layout),
                candidate,
                tally: Tally::default(),
            })
            .collect();
        for was in old {
            let same = |own: &&mut Watching| {
                let (own, was) = (&own.candidate, &was.candidate);
                own.org == was.org && own.policy == was.policy && own.version == was.version
            };
            if let Some(own) = self.watching.iter_mut().find(same) {
                own.tally = was.tally;
            }
        }
    }

    /// Asks the shadows about a decision that was made, as far as there is time.
    pub(crate) fn watch(
        &mut self,
        decision: &RecordedDecision,
        watched: &Watched,
        catalogue: &Catalogue,
    ) -> ShadowCounts {
        let mut counts = ShadowCounts::default();
        let wanted = self
            .watching
            .iter_mut()
            .filter(|own| watched.sample < own.candidate.percent && own.candidate.bears_on(decision));
        let mut question = None;
        for own in wanted {
            let unknown_body = !watched.body_known && own.candidate.inputs.contains(&Input::JsonBody);
            // One of an older revision was made with other policies beside it.
            if decision.revision < self.since || unknown_body || !self.budget.may_spend() {
                own.tally.dropped += 1;
                counts.dropped += 1;
                continue;
            }
            let asked = question.get_or_insert_with(|| {
                let question = RecordedQuestion {
                    inputs: watched.inputs.clone(),
                    ..decision.question.clone()
                };
                OwnedQuestion::of(&question, catalogue).ok()
            });
            let Some(asked) = asked else { continue };
            let started = Instant::now();
            let outcome = asked.with(|question| RecordedOutcome::from(&own.set.decide(question).outcome));
            self.budget.spend(started.elapsed());
            own.tally.evaluations += 1;
            counts.evaluations += 1;
            if own.tally.compare(decision, &outcome) {
                counts.flips += 1;
            }
        }
        counts
    }

    /// Returns what has been counted since the last time.
    pub(crate) fn reports(&mut self, gateway: &str) -> Vec<ShadowReport> {
        let counted = self
            .watching
            .iter_mut()
            .filter(|own| own.tally.evaluations + own.tally.dropped > 0);
        let report = |own: &mut Watching| {
            let tally = std::mem::take(&mut own.tally);
            ShadowReport {
                gateway: gateway.to_owned(),
                org: own.candidate.org.clone(),
                policy: own.candidate.policy.clone(),
                version: own.candidate.version.clone(),
                evaluations: tally.evaluations,
                dropped: tally.dropped,
                flips: tally.flips.into_values().collect(),
            }
        };
        counted.map(report).collect()
    }
}

impl Candidate {
    /// Returns whether the policy could have a say in a decision.
    fn bears_on(&self, decision: &RecordedDecision) -> bool {
        let subject = &decision.question.subject;
        match self.kind {
            PolicyKind::Role => {
                let mut roles = subject.env_types.iter().filter_map(|env_type| env_type.role.as_ref());
                let named = |role: &String| *role == self.policy;
                subject.org == self.org
                    && (subject.org_role.as_ref().is_some_and(named)
                        || subject.app_role.as_ref().is_some_and(named)
                        || roles.any(named))
            }
            PolicyKind::Guard => {
                let parameters = &decision.question.parameters;
                let org = parameters.get("orgId").unwrap_or(&subject.org);
                let app = parameters.get("appId").map(String::as_str);
                // Guards are asked about what a role allows.
                decision.outcome != RecordedOutcome::NotAllowed
                    && self.scopes.iter().any(|scope| scope.covers(org, app))
            }
        }
    }
}

impl Tally {
    /// Notes what a shadow makes of a decision. Returns whether that is something else.
    fn compare(&mut self, decision: &RecordedDecision, outcome: &RecordedOutcome) -> bool {
        let (from, to) = (word(&decision.outcome), word(outcome));
        if from == to {
            return false;
        }
        let question = &decision.question;
        let key = FlipKey {
            operation: question.operation.clone(),
            subject: question.subject.id.clone(),
            from,
            to,
        };
        if self.flips.len() >= FLIPS_MAX && !self.flips.contains_key(&key) {
            self.dropped += 1;
            return true;
        }
        let flip = self.flips.entry(key).or_insert_with(|| ShadowFlip {
            operation: question.operation.clone(),
            subject: question.subject.id.clone(),
            from: from.to_owned(),
            to: to.to_owned(),
            count: 0,
            first_ms: decision.at_ms,
            last_ms: decision.at_ms,
            decision_id: String::new(),
        });
        flip.count += 1;
        flip.first_ms = flip.first_ms.min(decision.at_ms);
        if decision.at_ms >= flip.last_ms {
            flip.last_ms = decision.at_ms;
            flip.decision_id.clone_from(&decision.id);
        }
        true
    }
}

impl Budget {
    fn may_spend(&mut self) -> bool {
        let now = Instant::now();
        let earned = now.duration_since(self.refilled) * SHARE_PERCENT / 100;
        self.left = (self.left + earned).min(SAVED_MAX);
        self.refilled = now;
        self.left > Duration::ZERO
    }

    fn spend(&mut self, time: Duration) {
        self.left = self.left.saturating_sub(time);
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            left: SAVED_MAX,
            refilled: Instant::now(),
        }
    }
}

fn builtin(engines: &Engines) -> Option<PolicySet> {
    let built = engines
        .watching()
        .map_err(|error| error.to_string())
        .and_then(|engine| PolicySet::builtin(engine, Memory::default()).map_err(|error| error.to_string()));
    built
        .inspect_err(|error| tracing::error!(%error, "shadows cannot be asked"))
        .ok()
}

fn word(outcome: &RecordedOutcome) -> &'static str {
    match outcome {
        RecordedOutcome::Allowed { .. } => "allowed",
        RecordedOutcome::NotAllowed => "not-allowed",
        RecordedOutcome::Denied { .. } => "denied",
        RecordedOutcome::Undecided { .. } => "undecided",
    }
}

/// Share of one processor that may be spent on shadows.
const SHARE_PERCENT: u32 = 20;

/// Time that may be spent at once.
const SAVED_MAX: Duration = Duration::from_millis(100);

/// Different flips between two reports; more are counted as dropped.
const FLIPS_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn decision(subject: &str, at_ms: i64, outcome: RecordedOutcome) -> RecordedDecision {
        let line = format!(
            r#"{{"id":"{at_ms}","at_ms":{at_ms},"gateway":"g","revision":7,"token":"t","question":{{"subject":{{"id":"{subject}","type":"service-user","org":"acme","app_role":"viewer"}},"operation":"getApplication","parameters":{{"appId":"shop","orgId":"acme"}}}},"outcome":{{"outcome":"not-allowed"}},"answers":[]}}"#
        );
        let mut decision: RecordedDecision = serde_json::from_str(&line).expect("a decision");
        decision.outcome = outcome;
        decision
    }

    #[test]
    fn flips_of_one_kind_are_one_with_their_count_and_the_last_decision() {
        let mut tally = Tally::default();
        let allowed = || RecordedOutcome::Allowed {
            role: "viewer".to_owned(),
        };
        for at_ms in [3, 1, 2] {
            assert!(tally.compare(&decision("s-1", at_ms, allowed()), &RecordedOutcome::NotAllowed));
        }
        assert!(!tally.compare(&decision("s-1", 4, allowed()), &allowed()));
        let flips: Vec<&ShadowFlip> = tally.flips.values().collect();
        assert_eq!(flips.len(), 1);
        assert_eq!((flips[0].count, flips[0].first_ms, flips[0].last_ms), (3, 1, 3));
        assert_eq!(flips[0].decision_id, "3");
    }

    #[test]
    fn different_flips_are_bounded_and_the_rest_is_counted() {
        let mut tally = Tally::default();
        for subject in 0..FLIPS_MAX + 5 {
            let decision = decision(&subject.to_string(), 1, RecordedOutcome::NotAllowed);
            let allowed = RecordedOutcome::Allowed {
                role: "viewer".to_owned(),
            };
            assert!(tally.compare(&decision, &allowed));
        }
        assert_eq!((tally.flips.len(), tally.dropped), (FLIPS_MAX, 5));
    }
}
