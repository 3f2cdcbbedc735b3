//! Components that were built for version 1.0.0 of the contract, and are kept as they were: every later 1.x must load them
//! and decide as they did. Unlike those in `policies/builtin` they are never built anew.

use std::sync::Arc;

use catalogue::Matched;
use engine::{Engine, Inputs, Layout, Limits, Memory, Outcome, Policy, PolicySet, Question, SubjectView};

use crate::support::{self, catalogue, nobody, on_org};

const ROLE: &[u8] = include_bytes!("../frozen/role-1.0.0.wasm");
const GUARD: &[u8] = include_bytes!("../frozen/guard-1.0.0.wasm");

/// Operations that the role allows, by its source as it was.
const ALLOWED: &str = include_str!("../frozen/role-1.0.0.allowed.txt");

#[test]
fn a_role_that_was_built_for_the_first_contract_allows_what_it_did() {
    let set = PolicySet::new([Arc::new(load(ROLE))], Memory::Off);
    let catalogue = catalogue();
    let owner = SubjectView {
        app_role: Some("owner"),
        ..nobody()
    };
    let allowed = catalogue.operations().iter().filter(|operation| {
        let values: Vec<&str> = operation.parameter_names().map(|_| "sample").collect();
        let matched = Matched::from_values(operation, &values).expect("an identifier fits every parameter");
        matches!(support::decide(&set, owner, &matched), Outcome::Allowed(_))
    });
    let allowed: Vec<&str> = allowed.map(|operation| operation.id.as_str()).collect();
    let at_first: Vec<&str> = ALLOWED.lines().collect();
    // Operations may have been added since that such a role allows by their permission.
    let lost: Vec<&&str> = at_first.iter().filter(|id| !allowed.contains(id)).collect();
    assert!(lost.is_empty(), "no longer allowed: {lost:?}");
    assert!(!at_first.is_empty());
}

#[test]
fn a_guard_that_was_built_for_the_first_contract_is_told_what_it_was() {
    let set = PolicySet::builtin(&Engine::new(&Limits::default()).unwrap(), Memory::Off).unwrap();
    let mut guard = support::guard("frozen", load(GUARD));
    guard.settings = Some(r#"{"a": 1}"#.into());
    let set = set.arranged(&Layout {
        roles: Vec::new(),
        guards: vec![guard],
    });
    let catalogue = catalogue();
    let operation = catalogue.identify("GET", "/orgs/my-org/apps/web").unwrap();
    let inputs = Inputs {
        time_ms: Some(1_700_000_000_000),
        source_address: Some("192.0.2.1"),
        headers: &[("x-change", "42"), ("x-other", "unseen")],
        query: Some("a=b"),
        json_body: Some("{}"),
    };
    let question = Question {
        subject: on_org("administrator"),
        operation: &operation,
        inputs,
    };
    let Outcome::Denied { reason, .. } = set.decide(&question).outcome else {
        panic!("it refuses everything");
    };
    assert_eq!(
        reason,
        r#"time=Some(1700000000000) address=Some("192.0.2.1") headers=[ x-change: 42 ] query=Some("a=b") body=Some("{}") settings=Some("{\"a\": 1}")"#
    );
}

fn load(component: &[u8]) -> Policy {
    let engine = Engine::new(&Limits::small()).unwrap();
    engine
        .load(component)
        .expect("a component of 1.0.0 loads under every 1.x")
}
