//! Making decisions again from what is on record of them.

use std::sync::Arc;

use catalogue::{Catalogue, Matched, Operation};
use feed::decision::{
    RecordedAnswer, RecordedAsked, RecordedDecision, RecordedEnvType, RecordedInputs, RecordedOutcome,
    RecordedQuestion, RecordedSubject,
};
use feed::{PolicyDigest, PolicyKind};

use crate::evaluation::Verdict;
use crate::{EnvTypeRole, Fault, Inputs, Policy, Question, SubjectView};

/// A question that owns what it is made of.
#[derive(Debug, Clone)]
pub struct OwnedQuestion {
    subject: RecordedSubject,
    operation: Arc<Operation>,
    values: Vec<String>,
    inputs: RecordedInputs,
}

/// Why a question on record cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAQuestion {
    /// The catalogue does not have the operation.
    #[error("the catalogue has no operation {0:?}")]
    UnknownOperation(String),
    /// The parameters are not those of the operation, or do not fit it.
    #[error("the parameters do not fit operation {0:?}")]
    Parameters(String),
}

impl OwnedQuestion {
    /// Returns the question that is on record.
    ///
    /// # Errors
    /// When the catalogue does not have its operation with such parameters.
    pub fn of(question: &RecordedQuestion, catalogue: &Catalogue) -> Result<Self, NotAQuestion> {
        let id = &question.operation;
        let operation = catalogue
            .by_id(id)
            .ok_or_else(|| NotAQuestion::UnknownOperation(id.clone()))?;
        let given = operation
            .parameter_names()
            .map(|name| question.parameters.get(name).cloned());
        let values: Option<Vec<String>> = given.collect();
        let values = values.filter(|values| values.len() == question.parameters.len());
        let values = values.filter(|values| matched(operation, values).is_some());
        Ok(Self {
            subject: question.subject.clone(),
            operation: Arc::clone(operation),
            values: values.ok_or_else(|| NotAQuestion::Parameters(id.clone()))?,
            inputs: question.inputs.clone(),
        })
    }

    /// Hands over the question, and returns what is made of it.
    ///
    /// # Panics
    /// Never: the parameters were checked.
    pub fn with<R>(&self, ask: impl FnOnce(&Question<'_>) -> R) -> R {
        let operation = matched(&self.operation, &self.values).expect("the parameters were checked");
        let subject = &self.subject;
        let env_types: Vec<EnvTypeRole<'_>> = subject
            .env_types
            .iter()
            .map(|env_type| (env_type.id.as_str(), env_type.role.as_deref()))
            .collect();
        let inputs = &self.inputs;
        let headers: Vec<(&str, &str)> = inputs
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        ask(&Question {
            subject: SubjectView {
                id: &subject.id,
                kind: subject.kind,
                org: &subject.org,
                org_role: subject.org_role.as_deref(),
                app_role: subject.app_role.as_deref(),
                env_types: &env_types,
            },
            operation: &operation,
            inputs: Inputs {
                time_ms: inputs.time_ms,
                source_address: inputs.source_address.as_deref(),
                headers: &headers,
                query: inputs.query.as_deref(),
                json_body: inputs.json_body.as_deref(),
            },
        })
    }
}

/// Makes a decision again: asks exactly the components that the record names, with the settings that it names, in its
/// order. A component that cannot be had counts as a fault.
///
/// What did not come from a component is taken as it was: that there was none, no place or no time for it, or that it was
/// put aside.
///
/// # Errors
/// When the catalogue does not have the question's operation.
pub fn replay(
    decision: &RecordedDecision,
    catalogue: &Catalogue,
    policy: &dyn Fn(PolicyDigest) -> Option<Arc<Policy>>,
) -> Result<RecordedOutcome, NotAQuestion> {
    let question = OwnedQuestion::of(&decision.question, catalogue)?;
    Ok(question.with(|question| outcome(&decision.answers, |answer| ask(answer, question, policy))))
}

impl From<&Question<'_>> for RecordedQuestion {
    fn from(question: &Question<'_>) -> Self {
        let (subject, inputs) = (&question.subject, &question.inputs);
        let parameters = question.operation.raw_parameters();
        let env_types = subject.env_types.iter().map(|(id, role)| RecordedEnvType {
            id: (*id).to_owned(),
            role: role.map(str::to_owned),
        });
        let headers = inputs.headers.iter();
        Self {
            subject: RecordedSubject {
                id: subject.id.to_owned(),
                kind: subject.kind,
                org: subject.org.to_owned(),
                org_role: subject.org_role.map(str::to_owned),
                app_role: subject.app_role.map(str::to_owned),
                env_types: env_types.collect(),
            },
            operation: question.operation.operation.id.clone(),
            parameters: parameters
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            inputs: RecordedInputs {
                time_ms: inputs.time_ms,
                source_address: inputs.source_address.map(str::to_owned),
                headers: headers
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                    .collect(),
                query: inputs.query.map(str::to_owned),
                json_body: inputs.json_body.map(str::to_owned),
            },
        }
    }
}

/// Returns what answers add up to: as [`crate::PolicySet::decide`] does, over what is on record.
fn outcome(
    answers: &[RecordedAnswer],
    mut ask: impl FnMut(&RecordedAnswer) -> Result<Verdict, Fault>,
) -> RecordedOutcome {
    let mut grant: Option<&str> = None;
    let mut undecided = None;
    // Answers for the same role or guard in a row are a policy that gave no verdict and its fallback: the last counts.
    for spoken in answers.chunk_by(|one, next| one.asked == next.asked) {
        let mut verdict = Err(Fault::NoPolicy);
        for answer in spoken {
            verdict = ask(answer);
            if verdict.is_ok() {
                break;
            }
        }
        let faulted = |by: &str, fault: Fault| RecordedOutcome::Undecided {
            by: by.to_owned(),
            fault: fault.name().to_owned(),
        };
        match (&spoken[0].asked, verdict) {
            (RecordedAsked::Role { .. }, _) if grant.is_some() => {}
            (RecordedAsked::Role { role, .. }, Ok(Verdict::Allow)) => grant = Some(role),
            (RecordedAsked::Role { .. }, Ok(Verdict::Abstain | Verdict::Pass | Verdict::Deny(_))) => {}
            (RecordedAsked::Role { role, .. }, Err(fault)) => {
                undecided.get_or_insert_with(|| faulted(role, fault));
            }
            (RecordedAsked::Guard { .. }, _) if grant.is_none() => break,
            (RecordedAsked::Guard { .. }, Ok(Verdict::Pass)) => {}
            (RecordedAsked::Guard { guard, .. }, Ok(Verdict::Deny(reason))) => {
                let guard = guard.clone();
                return RecordedOutcome::Denied { guard, reason };
            }
            (RecordedAsked::Guard { guard, .. }, Ok(Verdict::Allow | Verdict::Abstain)) => {
                return faulted(guard, Fault::AnswerInvalid);
            }
            (RecordedAsked::Guard { guard, .. }, Err(fault)) => return faulted(guard, fault),
        }
    }
    match grant {
        Some(role) => RecordedOutcome::Allowed { role: role.to_owned() },
        None => undecided.unwrap_or(RecordedOutcome::NotAllowed),
    }
}

fn ask(
    answer: &RecordedAnswer,
    question: &Question<'_>,
    policy: &dyn Fn(PolicyDigest) -> Option<Arc<Policy>>,
) -> Result<Verdict, Fault> {
    if let Some(fault) = Fault::by_name(&answer.verdict)
        && !fault.is_repeatable()
    {
        return Err(fault);
    }
    let kind = match answer.asked {
        RecordedAsked::Role { .. } => PolicyKind::Role,
        RecordedAsked::Guard { .. } => PolicyKind::Guard,
    };
    let policy = answer.policy.and_then(policy).filter(|policy| policy.kind() == kind);
    policy.ok_or(Fault::NoPolicy)?.ask(question, answer.settings.as_deref())
}

fn matched<'v>(operation: &Arc<Operation>, values: &'v [String]) -> Option<Matched<'v>> {
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    Matched::from_values(operation, &values)
}
