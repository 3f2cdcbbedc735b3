//! Authorize: the roles of the subject are asked through their policies, then the guards, and a permit is made when a role
//! allows and no guard refuses.
//!
//! Guards judge what a caller asks for, not what it sees: a list is cut by roles alone, as a guard has judged the request
//! for the list itself, and one that refuses reading at some hour must refuse it, not empty it.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use catalogue::Matched;
use engine::{
    Answers, Decision, EnvTypeRole, Fault, Grant, Input, Inputs, Needs, Outcome, Question, ScopeKind, SubjectView,
};
use feed::decision::RecordedInputs;
use http::HeaderMap;

use crate::cache::Caller;
use crate::decisions;
use crate::facts::Facts;
use crate::inputs::Told;
use crate::policies::Arranged;
use crate::refusal::{Reason, Refusal};
use crate::worker::Worker;

/// The proof that an operation may be forwarded. Only this file makes one, and forwarding needs one.
pub(crate) struct Permit<'p> {
    operation: Matched<'p>,
    granted: Option<Granted>,
}

/// To whom a permit was given, and how.
struct Granted {
    caller: Caller,
    role: Option<Arc<str>>,
    /// The policies that gave it.
    arranged: Rc<Arranged>,
    told: Option<Rc<Told>>,
    source: IpAddr,
}

/// What a decision is made on beside caller and operation.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) facts: &'a Facts,
    /// Id of the decision.
    pub(crate) decision_id: (u64, u64),
    /// When it is made, in milliseconds since the Unix epoch: when the request arrived or, of one that is decided again,
    /// now.
    pub(crate) at_ms: i64,
    /// Where the caller is.
    pub(crate) source: IpAddr,
    pub(crate) query: Option<&'a str>,
    /// What was read of the request for policies. `None`: nobody asked.
    pub(crate) told: Option<&'a Told>,
    /// Whether the request is known to have no body.
    pub(crate) bodiless: bool,
    /// The request's fields; `None` when it is decided again.
    pub(crate) fields: Option<&'a HeaderMap>,
}

/// Who asks for what, and what is known beside that.
pub(crate) type Asking<'a> = (&'a Caller, &'a Matched<'a>, &'a Asked<'a>);

impl<'p> Permit<'p> {
    pub(crate) fn operation(&self) -> &Matched<'p> {
        &self.operation
    }

    /// Who asks; nobody for an operation that the operator made public.
    pub(crate) fn caller(&self) -> Option<&Caller> {
        self.granted.as_ref().map(|granted| &granted.caller)
    }

    /// Number of the policies that gave it; none for an operation that the operator made public.
    pub(crate) fn policies(&self) -> Option<u64> {
        self.granted.as_ref().map(|granted| granted.arranged.number)
    }

    /// The role that allowed it.
    pub(crate) fn role(&self) -> Option<&Arc<str>> {
        self.granted.as_ref()?.role.as_ref()
    }

    /// Returns whether the caller's roles allow another operation, by the policies and at the revision of this permit.
    /// Guards are not asked.
    pub(crate) fn also_allows(&self, worker: &Worker, operation: &Matched<'_>) -> bool {
        let Some(granted) = &self.granted else { return false };
        let asked = Asked {
            facts: &Facts::default(),
            decision_id: (0, 0),
            at_ms: worker.shared.unix_ms(),
            source: granted.source,
            query: None,
            told: granted.told.as_deref(),
            bodiless: true,
            fields: None,
        };
        by_roles(
            worker,
            &granted.arranged,
            (&granted.caller, operation, &asked),
            |decision| decision.is_allowed(),
        )
    }
}

/// Returns a permit when a role of the caller allows the operation and no guard refuses it.
pub(crate) fn authorize<'p>(
    worker: &Worker,
    caller: Caller,
    operation: Matched<'p>,
    (asked, told): (&Asked<'_>, Option<Rc<Told>>),
) -> Result<Permit<'p>, Refusal> {
    let started = Instant::now();
    let arranged = worker.policies.at(caller.revision);
    let asking = (&caller, &operation, asked);
    let role = ask(worker, &arranged, asking, |question, own| {
        let decision = match own {
            true => decide(&arranged, question, asked),
            false => Decision::not_allowed(),
        };
        for (_, fault) in decision.faults() {
            worker.counters.fault(fault);
        }
        let remembered = matches!(&decision.outcome, Outcome::Allowed(grant) if grant.remembered);
        worker.counters.decision(started.elapsed(), remembered);
        decisions::note(worker, &arranged, (&caller, asked), (question, &decision));
        role_of(asking, decision)
    })?;
    Ok(Permit {
        granted: Some(Granted {
            source: asked.source,
            caller,
            role,
            arranged,
            told,
        }),
        operation,
    })
}

/// Returns a permit for an operation that the operator made public.
pub(crate) fn authorize_public(operation: Matched<'_>) -> Result<Permit<'_>, Refusal> {
    if operation.operation.public {
        Ok(Permit {
            operation,
            granted: None,
        })
    } else {
        Err(Reason::TokenMissing.into())
    }
}

/// Returns the refusal of what no policy had to be asked about, and takes it down.
pub(crate) fn not_allowed(worker: &Worker, asking: Asking<'_>) -> Refusal {
    let (caller, _, asked) = asking;
    let arranged = worker.policies.at(caller.revision);
    ask(worker, &arranged, asking, |question, _own| {
        decisions::note(worker, &arranged, (caller, asked), (question, &Decision::not_allowed()));
    });
    Reason::NotAllowed.into()
}

/// Returns whether facts about the operation could matter to the caller: who holds no role on its app, and may not do it
/// whatever the facts, cannot make us ask the orchestrator.
pub(crate) fn facts_matter(worker: &Worker, asking: Asking<'_>) -> bool {
    let (caller, operation, _) = asking;
    let subject = &caller.subject;
    let role_on_app = operation.app().is_some_and(|app| subject.app_role(app).is_some());
    let arranged = worker.policies.at(caller.revision);
    // What such a role allows is not known before it has been told what it asks for.
    let asks = |role: &Arc<str>| arranged.role_asks(&subject.org, role);
    let role_on_org = || subject.org_role.as_ref().is_some_and(asks);
    concerns_own_organisation(worker, caller, operation)
        && (role_on_app || role_on_org() || by_roles(worker, &arranged, asking, |decision| decision.is_allowed()))
}

/// Returns whether the caller's roles allow another operation, at the revision at which it was looked up just now. Guards
/// are not asked: they judge what a caller asks for, and it does not ask for this.
pub(crate) fn roles_allow(worker: &Worker, asking: Asking<'_>) -> bool {
    let (caller, _, _) = asking;
    let arranged = worker.policies.at(caller.revision);
    by_roles(worker, &arranged, asking, |decision| decision.is_allowed())
}

/// Returns whether it could matter what the body holds: not when no role allows the operation, and none asked for the body
/// to tell.
pub(crate) fn body_matters(worker: &Worker, arranged: &Arranged, asking: Asking<'_>) -> bool {
    by_roles(worker, arranged, asking, |decision| {
        decision.outcome != Outcome::NotAllowed || hangs_on_body(&decision)
    })
}

/// Hands over what the policies that bear on a question ask for.
pub(crate) fn with_needs<R>(
    worker: &Worker,
    arranged: &Arranged,
    asking: Asking<'_>,
    then: impl FnOnce(&Needs<'_>) -> R,
) -> R {
    ask(worker, arranged, asking, |question, own| match own {
        true => then(&arranged.set.needs(&question.subject, question.operation)),
        false => then(&Needs::default()),
    })
}

impl Asked<'_> {
    /// Returns whether it is known what the request's body holds, if anything.
    pub(crate) fn knows_body(&self) -> bool {
        self.bodiless || self.told.is_some_and(Told::knows_body)
    }

    /// Returns the inputs that the policies that bear on a question asked for, to be taken down.
    pub(crate) fn recorded_inputs(&self, arranged: &Arranged, question: &Question<'_>) -> RecordedInputs {
        if !arranged.asks_for_inputs {
            return RecordedInputs::default();
        }
        let needs = arranged.set.needs(&question.subject, question.operation);
        let given = question.inputs;
        let headers = given.headers.iter().filter(|(name, _)| needs.headers.contains(name));
        RecordedInputs {
            time_ms: given.time_ms.filter(|_| needs.time),
            source_address: given.source_address.filter(|_| needs.source_address).map(str::to_owned),
            headers: headers
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            query: given.query.filter(|_| needs.query).map(str::to_owned),
            json_body: given.json_body.filter(|_| needs.json_body).map(str::to_owned),
        }
    }

    fn lacks(&self, needs: &Needs<'_>) -> bool {
        let knows = |name: &&str| self.told.is_some_and(|told| told.knows_header(name));
        !needs.headers.iter().all(knows) || (needs.json_body && !self.knows_body())
    }
}

/// Asks roles and guards.
///
/// Of a request under way not everything is known any more that a new policy may ask for. What cannot be told without it is
/// undecided.
fn decide<'a>(arranged: &'a Arranged, question: &Question<'a>, asked: &Asked<'_>) -> Decision<'a> {
    let set = &arranged.set;
    if !arranged.asks_for_inputs || !asked.lacks(&set.needs(&question.subject, question.operation)) {
        return set.decide(question);
    }
    let decision = set.decide_by_roles(question);
    if decision.outcome == Outcome::NotAllowed && !hangs_on_body(&decision) {
        return decision;
    }
    Decision {
        outcome: Outcome::Undecided {
            by: "a policy that asks for what is no longer known of the request",
            fault: Fault::InputNotGiven,
        },
        answers: Answers::new(),
    }
}

fn hangs_on_body(decision: &Decision<'_>) -> bool {
    let mut asked = decision.answers.iter().filter_map(|answer| answer.policy);
    asked.any(|policy| policy.manifest().inputs.contains(&Input::JsonBody))
}

/// Makes of a decision the role that allowed, or a refusal.
fn role_of((caller, operation, asked): Asking<'_>, decision: Decision<'_>) -> Result<Option<Arc<str>>, Refusal> {
    match decision.outcome {
        Outcome::Allowed(grant) => Ok(role_at(caller, operation, asked.facts, &grant)),
        Outcome::NotAllowed => Err(Reason::NotAllowed.into()),
        Outcome::Denied { guard, reason } => Err(Refusal::denied(guard, &reason)),
        Outcome::Undecided { by, fault } => {
            let mut faults: Vec<String> = decision
                .answers
                .iter()
                .filter_map(|answer| match answer.said {
                    engine::Said::Nothing(fault) => Some(format!("{}: {fault}", answer.asked.name())),
                    engine::Said::Allow | engine::Said::Abstain | engine::Said::Pass | engine::Said::Deny => None,
                })
                .collect();
            if faults.is_empty() {
                faults.push(format!("{by}: {fault}"));
            }
            Err(Refusal::caused_by(Reason::PolicyFault, faults.join("; ")))
        }
    }
}

/// Asks the roles alone.
fn by_roles<R>(worker: &Worker, arranged: &Arranged, asking: Asking<'_>, then: impl FnOnce(Decision<'_>) -> R) -> R {
    ask(worker, arranged, asking, |question, own| {
        let decision = match own {
            true => arranged.set.decide_by_roles(question),
            false => Decision::not_allowed(),
        };
        for (_, fault) in decision.faults() {
            worker.counters.fault(fault);
        }
        then(decision)
    })
}

/// Makes the question that policies are asked, and says whether it is about the caller's own organisation: nobody has to be
/// asked about another.
fn ask<R>(
    worker: &Worker,
    arranged: &Arranged,
    (caller, operation, asked): Asking<'_>,
    then: impl FnOnce(&Question<'_>, bool) -> R,
) -> R {
    let subject = &caller.subject;
    let own = concerns_own_organisation(worker, caller, operation);
    let env_types: Vec<EnvTypeRole<'_>> = asked
        .facts
        .env_types
        .iter()
        .map(|env_type| (&**env_type, subject.env_type_role(env_type).map(|role| &**role)))
        .collect();
    let app_role = operation.app().and_then(|app| subject.app_role(app));
    let question = Question {
        subject: SubjectView {
            id: &subject.id,
            kind: subject.kind,
            org: &subject.org,
            org_role: subject.org_role.as_deref().filter(|_| own),
            app_role: app_role.map(|role| &**role).filter(|_| own),
            env_types: if own { &env_types } else { &[] },
        },
        operation,
        inputs: Inputs::default(),
    };
    if !arranged.asks_for_inputs && arranged.wishes.is_empty() {
        return then(&question, own);
    }
    let source_address = asked.source.to_string();
    let headers: Vec<(&str, &str)> = asked.told.iter().flat_map(|told| told.headers()).collect();
    let inputs = Inputs {
        time_ms: u64::try_from(asked.at_ms).ok(),
        source_address: Some(&source_address),
        headers: &headers,
        query: asked.query,
        json_body: asked.told.and_then(Told::json_body),
    };
    then(&Question { inputs, ..question }, own)
}

/// The role that a grant names, as the subject holds it: shared, not copied.
fn role_at(caller: &Caller, operation: &Matched<'_>, facts: &Facts, grant: &Grant<'_>) -> Option<Arc<str>> {
    let subject = &caller.subject;
    let held = match grant.scope {
        ScopeKind::Org => subject.org_role.as_ref(),
        ScopeKind::App => operation.app().and_then(|app| subject.app_role(app)),
        ScopeKind::EnvType => {
            let mut roles = facts
                .env_types
                .iter()
                .filter_map(|env_type| subject.env_type_role(env_type));
            roles.find(|role| ***role == *grant.role)
        }
    };
    held.cloned()
}

/// A subject holds roles in its own organisation only; the objects of another look absent.
fn concerns_own_organisation(worker: &Worker, caller: &Caller, operation: &Matched<'_>) -> bool {
    let own = &caller.subject.org;
    match (operation.org(), operation.raw("userId")) {
        (Some(org), _) => org == &**own,
        // Token operations name a user and no organisation.
        (None, Some(user)) => worker.shared.cache.organisation_of(user).is_some_and(|org| org == *own),
        (None, None) => true,
    }
}
