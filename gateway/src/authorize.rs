//! Authorize: the roles of the subject are asked through their policies, and a permit is made when one allows.

use std::sync::Arc;
use std::time::Instant;

use catalogue::Matched;
use engine::{Decision, EnvTypeRole, Grant, Inputs, Outcome, Question, ScopeKind, SubjectView};

use crate::cache::Caller;
use crate::facts::Facts;
use crate::refusal::{Reason, Refusal};
use crate::worker::Worker;

/// The proof that an operation may be forwarded. Only this file makes one, and forwarding needs one.
pub(crate) struct Permit<'p> {
    operation: Matched<'p>,
    caller: Option<Caller>,
    role: Option<Arc<str>>,
}

impl<'p> Permit<'p> {
    pub(crate) fn operation(&self) -> &Matched<'p> {
        &self.operation
    }

    /// Who asks; nobody for an operation that the operator made public.
    pub(crate) fn caller(&self) -> Option<&Caller> {
        self.caller.as_ref()
    }

    /// The role that allowed it.
    pub(crate) fn role(&self) -> Option<&Arc<str>> {
        self.role.as_ref()
    }
}

/// Returns a permit when a role of the caller allows the operation.
pub(crate) fn authorize<'p>(
    worker: &Worker,
    caller: Caller,
    operation: Matched<'p>,
    facts: &Facts,
) -> Result<Permit<'p>, Refusal> {
    let started = Instant::now();
    let role = decide(worker, &caller, (&operation, facts), |decision| {
        match &decision.outcome {
            Outcome::Allowed(grant) => {
                worker.counters.decision(started.elapsed(), grant.remembered);
                Ok(role_at(&caller, &operation, facts, grant))
            }
            Outcome::NotAllowed | Outcome::Denied { .. } => {
                worker.counters.decision(started.elapsed(), false);
                Err(Refusal::from(Reason::NotAllowed))
            }
            Outcome::Undecided { .. } => {
                let faults: Vec<String> = decision
                    .faults()
                    .map(|(name, fault)| format!("{name}: {fault}"))
                    .collect();
                Err(Refusal::caused_by(Reason::PolicyFault, faults.join("; ")))
            }
        }
    })?;
    Ok(Permit {
        operation,
        caller: Some(caller),
        role,
    })
}

/// Returns a permit for an operation that the operator made public.
pub(crate) fn authorize_public(operation: Matched<'_>) -> Result<Permit<'_>, Refusal> {
    if operation.operation.public {
        Ok(Permit {
            operation,
            caller: None,
            role: None,
        })
    } else {
        Err(Reason::TokenMissing.into())
    }
}

/// Returns whether facts about the operation could matter to the caller: who holds no role on its app, and may not do it
/// whatever the facts, cannot make us ask the orchestrator.
pub(crate) fn facts_matter(worker: &Worker, caller: &Caller, operation: &Matched<'_>) -> bool {
    let role_on_app = operation
        .app()
        .is_some_and(|app| caller.subject.app_role(app).is_some());
    concerns_own_organisation(worker, caller, operation) && (role_on_app || may(worker, caller, operation))
}

/// Returns whether the caller may do another operation, about the same revision of the caller.
pub(crate) fn may(worker: &Worker, caller: &Caller, operation: &Matched<'_>) -> bool {
    decide(worker, caller, (operation, &Facts::default()), |decision| {
        decision.is_allowed()
    })
}

/// Asks the policies and hands on what they decided; the decision borrows from what was asked.
fn decide<R>(
    worker: &Worker,
    caller: &Caller,
    (operation, facts): (&Matched<'_>, &Facts),
    then: impl FnOnce(Decision<'_>) -> R,
) -> R {
    if !concerns_own_organisation(worker, caller, operation) {
        return then(Decision::not_allowed());
    }
    let subject = &caller.subject;
    let env_types: Vec<EnvTypeRole<'_>> = facts
        .env_types
        .iter()
        .map(|env_type| (&**env_type, subject.env_type_role(env_type).map(|role| &**role)))
        .collect();
    let question = Question {
        subject: SubjectView {
            id: &subject.id,
            kind: subject.kind,
            org: &subject.org,
            org_role: subject.org_role.as_deref(),
            app_role: operation
                .app()
                .and_then(|app| subject.app_role(app))
                .map(|role| &**role),
            env_types: &env_types,
        },
        operation,
        inputs: Inputs::default(),
    };
    let decision = worker.policies.decide(&question);
    for (_, fault) in decision.faults() {
        worker.counters.fault(fault);
    }
    then(decision)
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
