//! Decisions on record, made again.

use std::collections::HashMap;
use std::sync::Arc;

use engine::replay::{NotAQuestion, OwnedQuestion, replay};
use engine::{Engine, GuardEntry, Inputs, Layout, Limits, Memory, Policy, PolicySet, Question, RoleEntry, SubjectView};
use feed::decision::{RecordedDecision, RecordedOutcome};
use feed::{PolicyDigest, RecordedDecision as Recorded};

use crate::support::{DEPLOYER, catalogue, guard, hostile, load, on_org};

/// Every policy by its digest, and the sets that ask them.
fn library() -> (HashMap<PolicyDigest, Arc<Policy>>, Vec<PolicySet>) {
    let engine = Engine::new(&Limits::small()).unwrap();
    let builtin = PolicySet::builtin(&engine, Memory::default()).unwrap();
    let role = RoleEntry {
        fallback: Some(Arc::new(load("allows_all"))),
        ..hostile(load("panic_in_decide"))
    };
    let denies = GuardEntry {
        settings: Some(Arc::from(r#"{"until":5}"#)),
        ..guard("freeze", load("denies_with_inputs"))
    };
    let guards = [
        guard("passes", load("guard")),
        guard("broken", load("panics_as_guard")),
        denies,
    ];
    let mut policies: Vec<Arc<Policy>> = builtin.policies().cloned().collect();
    policies.extend(role.policy.iter().chain(&role.fallback).cloned());
    policies.extend(guards.iter().filter_map(|guard| guard.policy.clone()));
    let by_digest = policies.into_iter().map(|policy| (policy.digest(), policy)).collect();
    let arranged = |guards: Vec<GuardEntry>| {
        let roles = vec![role.clone()];
        builtin.arranged(&Layout { roles, guards })
    };
    let [passes, broken, denies] = guards;
    let sets = vec![
        arranged(vec![]),
        arranged(vec![passes.clone()]),
        arranged(vec![passes.clone(), denies]),
        arranged(vec![passes, broken]),
    ];
    (by_digest, sets)
}

/// Decides every operation of the catalogue for a few subjects with each set, and puts it on record.
fn recorded(sets: &[PolicySet]) -> Vec<RecordedDecision> {
    let catalogue = catalogue();
    let subjects = ["administrator", "member", "hostile", "gone"].map(|role| SubjectView {
        app_role: Some("developer"),
        env_types: DEPLOYER,
        ..on_org(role)
    });
    let inputs = Inputs {
        time_ms: Some(2),
        source_address: Some("192.0.2.1"),
        headers: &[("x-change", "42")],
        query: None,
        json_body: None,
    };
    let mut decisions = Vec::new();
    for operation in catalogue.operations() {
        let values: Vec<&str> = operation.parameter_names().map(|_| "my-org").collect();
        let operation = &catalogue::Matched::from_values(operation, &values).unwrap();
        for set in sets {
            for subject in subjects {
                let question = Question {
                    subject,
                    operation,
                    inputs,
                };
                let decision = set.decide(&question);
                decisions.push(Recorded {
                    id: decisions.len().to_string(),
                    at_ms: 2,
                    gateway: "edge".to_owned(),
                    revision: 1,
                    token: "ci".to_owned(),
                    question: (&question).into(),
                    outcome: (&decision.outcome).into(),
                    answers: decision.recorded_answers(),
                });
            }
        }
    }
    decisions
}

#[test]
fn every_decision_on_record_is_made_again_by_the_components_that_it_names() {
    let (policies, sets) = library();
    let catalogue = catalogue();
    let decisions = recorded(&sets);
    for decision in &decisions {
        let line = serde_json::to_string(decision).unwrap();
        let decision: RecordedDecision = serde_json::from_str(&line).unwrap();
        let again = replay(&decision, &catalogue, &|digest| policies.get(&digest).cloned()).unwrap();
        assert_eq!(again, decision.outcome, "{line}");
    }
    let has = |wanted: fn(&RecordedOutcome) -> bool| decisions.iter().any(|decision| wanted(&decision.outcome));
    assert!(has(
        |outcome| matches!(outcome, RecordedOutcome::Allowed { role } if role == "hostile")
    ));
    assert!(has(|outcome| matches!(outcome, RecordedOutcome::NotAllowed)));
    assert!(has(|outcome| matches!(outcome, RecordedOutcome::Denied { .. })));
    assert!(has(
        |outcome| matches!(outcome, RecordedOutcome::Undecided { by, .. } if by == "gone")
    ));
    assert!(has(
        |outcome| matches!(outcome, RecordedOutcome::Undecided { by, .. } if by == "broken")
    ));
}

#[test]
fn a_question_on_record_gets_the_same_decision_from_the_same_set() {
    let (_, sets) = library();
    let catalogue = catalogue();
    for decision in recorded(&sets[2..3]) {
        let question = OwnedQuestion::of(&decision.question, &catalogue).unwrap();
        let again: RecordedOutcome = question.with(|question| (&sets[2].decide(question).outcome).into());
        // What was put aside meanwhile is asked no more; its fallback is.
        assert_eq!(again, decision.outcome);
    }
}

#[test]
fn another_component_in_the_place_of_the_recorded_one_shows_in_the_outcome() {
    let (policies, sets) = library();
    let catalogue = catalogue();
    let denies: Arc<Policy> = Arc::new(load("denies_all"));
    let passes = load("guard").digest();
    let by = |digest| match digest {
        digest if digest == passes => Some(Arc::clone(&denies)),
        digest => policies.get(&digest).cloned(),
    };
    let decisions = recorded(&sets[1..2]);
    let flips = decisions.iter().filter(|decision| {
        let again = replay(decision, &catalogue, &by).unwrap();
        again != decision.outcome
    });
    let allowed = decisions
        .iter()
        .filter(|decision| decision.outcome.is_allowed())
        .count();
    // The guard is of `my-org`, which every operation here is about, or the subject.
    assert_eq!(flips.count(), allowed);
}

#[test]
fn a_question_that_the_catalogue_does_not_have_is_refused() {
    let (_, sets) = library();
    let catalogue = catalogue();
    let decision = recorded(&sets[..1]).swap_remove(0);
    let mut unknown = decision.question.clone();
    unknown.operation = "doAnything".to_owned();
    assert!(matches!(
        OwnedQuestion::of(&unknown, &catalogue),
        Err(NotAQuestion::UnknownOperation(_))
    ));
    let mut more = decision.question.clone();
    more.parameters.insert("nothing".to_owned(), "x".to_owned());
    assert!(matches!(
        OwnedQuestion::of(&more, &catalogue),
        Err(NotAQuestion::Parameters(_))
    ));
}
