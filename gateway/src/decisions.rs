//! Decisions on record: what was asked, what came of it and who said what, taken down while the decision is at hand.
//!
//! Every refusal is; of what was allowed a share, and what shadows are to be asked about. Records go into a bounded queue,
//! and a request never waits: what does not fit is dropped and counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossbeam_queue::ArrayQueue;
use engine::{Decision, Inputs, Question};
use feed::RecordedDecision;
use feed::decision::{RecordedInputs, RecordedOutcome, RecordedQuestion};

use crate::access_log::{SECRET, holds_secret};
use crate::authorize::Asked;
use crate::cache::Caller;
use crate::policies::Arranged;
use crate::shadow::Watched;
use crate::worker::Worker;

/// Decisions on their way to the log, the admin service and the shadows.
pub(crate) struct DecisionQueue {
    records: ArrayQueue<Box<Noted>>,
    /// What they take, about, in octets.
    bytes: AtomicU64,
    dropped: AtomicU64,
    ended: AtomicBool,
}

/// A decision that was taken down.
pub(crate) struct Noted {
    pub(crate) decision: RecordedDecision,
    /// Whether it is for the log; else only for shadows.
    pub(crate) is_logged: bool,
    pub(crate) watched: Option<Watched>,
}

impl DecisionQueue {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            records: ArrayQueue::new(RECORDS_MAX),
            bytes: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        })
    }

    pub(crate) fn pop(&self) -> Option<Box<Noted>> {
        let noted = self.records.pop()?;
        self.bytes.fetch_sub(noted.bytes(), Ordering::Relaxed);
        Some(noted)
    }

    /// Counts the records that found no place.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Notes that no more will come.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    fn push(&self, noted: Box<Noted>) {
        let bytes = noted.bytes();
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes > BYTES_MAX || self.records.push(noted).is_err() {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Noted {
    fn bytes(&self) -> u64 {
        let own = &self.decision.question.inputs;
        let watched = self.watched.as_ref().map(|watched| &watched.inputs);
        let bodies = [Some(own), watched].into_iter().flatten();
        let bodies = bodies.filter_map(|inputs| inputs.json_body.as_ref());
        RECORD_BYTES + bodies.map(|body| body.len() as u64).sum::<u64>()
    }
}

/// Takes a decision down where that is wished. One that allows costs two comparisons when it is not.
pub(crate) fn note(
    worker: &Worker,
    arranged: &Arranged,
    (caller, asked): (&Caller, &Asked<'_>),
    (question, decision): (&Question<'_>, &Decision<'_>),
) {
    let percent = worker.shared.settings.decision_log.allowed_percent;
    let allowed = decision.is_allowed();
    // What is decided again and still allowed is no news.
    let again = asked.fields.is_none();
    if allowed && (again || (percent == 0 && arranged.wishes.is_empty())) {
        return;
    }
    let sample = sample(asked.decision_id);
    let is_logged = !allowed || sample < percent;
    let wished = arranged.wishes.iter();
    let wished = wished.filter(|wish| wish.is_for(question.subject.org, sample));
    let watched = watch(asked, question, sample, wished.map(|wish| wish.headers.as_slice()));
    if !is_logged && watched.is_none() {
        return;
    }
    let inputs = asked.recorded_inputs(arranged, question);
    let mut question = RecordedQuestion {
        inputs,
        ..RecordedQuestion::from(&Question {
            inputs: Inputs::default(),
            ..*question
        })
    };
    let mut outcome = RecordedOutcome::from(&decision.outcome);
    hide_secrets(&mut question, &mut outcome);
    let decision = RecordedDecision {
        id: id(asked.decision_id),
        at_ms: asked.at_ms,
        gateway: worker.shared.settings.name.clone(),
        revision: caller.revision,
        token: caller.token.id.to_string(),
        question,
        outcome,
        answers: decision.recorded_answers(),
    };
    worker.shared.decisions.push(Box::new(Noted {
        decision,
        is_logged,
        watched,
    }));
}

/// Returns a decision id as logs and refusals have it.
pub(crate) fn id((worker, count): (u64, u64)) -> String {
    format!("{worker:016x}{count:016x}")
}

/// Callers may put a token where none belongs. Records are read by others.
fn hide_secrets(question: &mut RecordedQuestion, outcome: &mut RecordedOutcome) {
    let inputs = &mut question.inputs;
    let headers = inputs.headers.iter_mut().map(|(_, value)| value);
    let parameters = question.parameters.values_mut();
    let reason = match outcome {
        RecordedOutcome::Denied { reason, .. } => Some(reason),
        RecordedOutcome::Allowed { .. } | RecordedOutcome::NotAllowed | RecordedOutcome::Undecided { .. } => None,
    };
    let texts = parameters
        .chain(headers)
        .chain(&mut inputs.query)
        .chain(&mut inputs.json_body);
    texts
        .chain(reason)
        .filter(|text| holds_secret(text))
        .for_each(|text| SECRET.clone_into(text));
}

/// Returns what the shadows that wish for a decision need to know; `None` when none does.
fn watch<'w>(
    asked: &Asked<'_>,
    question: &Question<'_>,
    sample: u8,
    wished: impl Iterator<Item = &'w [String]>,
) -> Option<Watched> {
    let mut wished = wished.peekable();
    wished.peek()?;
    let known = question.inputs;
    let mut headers: Vec<(String, String)> = known
        .headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    for name in wished.flatten() {
        if !headers.iter().any(|(own, _)| own == name) {
            let values = asked.fields.into_iter().flat_map(|fields| fields.get_all(name));
            // What cannot be told to a policy is left out: an answer must not change for a shadow.
            let values = values.filter_map(|value| value.to_str().ok());
            headers.extend(values.map(|value| (name.clone(), value.to_owned())));
        }
    }
    Some(Watched {
        sample,
        inputs: RecordedInputs {
            time_ms: u64::try_from(asked.at_ms).ok(),
            source_address: Some(asked.source.to_string()),
            headers,
            query: asked.query.map(str::to_owned),
            json_body: known.json_body.map(str::to_owned),
        },
        body_known: asked.knows_body(),
    })
}

/// Returns a number below 100 that is spread evenly over decisions: multiplication by the golden ratio scatters the counts.
fn sample((worker, count): (u64, u64)) -> u8 {
    let scattered = worker.wrapping_add(count).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    // Below 100 by its making.
    ((scattered * 100) >> 32) as u8
}

/// Records that may wait: a second of 4,000 refusals.
const RECORDS_MAX: usize = 4096;

/// What records that wait may take, in octets: they may hold bodies.
const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What a record takes without a body, about, in octets.
const RECORD_BYTES: u64 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_spread_evenly_over_decisions() {
        let worker = 0x1234_5678_9abc_def0;
        for percent in [1_u8, 10, 50, 99] {
            let taken = (0..10_000).filter(|count| sample((worker, *count)) < percent).count();
            let wanted = usize::from(percent) * 100;
            assert!(taken.abs_diff(wanted) < 60, "{percent}: {taken}");
        }
        assert!((0..1000).all(|count| sample((worker, count)) < 100));
    }
}
