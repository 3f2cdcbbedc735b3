//! Guards, what they are told, and roles of an organisation.

use std::sync::Arc;

use engine::{
    Asked, Decision, Engine, Fault, GuardEntry, Inputs, Layout, Limits, Memory, Outcome, PolicySet, Question,
    REASON_CHARS_MAX, RoleEntry, Said, SubjectView,
};
use feed::{GuardScope, SubjectKind};

use crate::support::{catalogue, decide, guard, hostile, load, on_org};

fn builtin() -> PolicySet {
    let engine = Engine::new(&Limits::small()).unwrap();
    PolicySet::builtin(&engine, Memory::default()).unwrap()
}

fn with_guards(guards: Vec<GuardEntry>) -> PolicySet {
    builtin().arranged(&Layout {
        roles: Vec::new(),
        guards,
    })
}

/// What an administrator of `my-org` may do: everything, but for guards.
fn decide_with<'a>(set: &'a PolicySet, operation: &'a catalogue::Matched<'a>, inputs: Inputs<'a>) -> Decision<'a> {
    set.decide(&Question {
        subject: on_org("administrator"),
        operation,
        inputs,
    })
}

#[test]
fn a_guard_refuses_what_a_role_allows_and_its_reason_is_told() {
    let set = with_guards(vec![guard("freeze", load("denies_all"))]);
    let catalogue = catalogue();
    let operation = catalogue.identify("GET", "/orgs/my-org/apps/web").unwrap();
    let decision = decide_with(&set, &operation, Inputs::default());
    assert!(
        matches!(&decision.outcome, Outcome::Denied { guard: "freeze", reason } if reason.contains("settings=None")),
        "{:?}",
        decision.outcome
    );
    assert!(!decision.is_allowed());
    let said: Vec<Said> = decision.answers.iter().map(|answer| answer.said).collect();
    assert_eq!(said, [Said::Allow, Said::Deny]);
}

#[test]
fn a_guard_is_not_asked_about_what_no_role_allows() {
    let set = with_guards(vec![guard("freeze", load("panics_as_guard"))]);
    let catalogue = catalogue();
    let operation = catalogue.identify("DELETE", "/orgs/my-org/apps/web").unwrap();
    assert_eq!(decide(&set, on_org("member"), &operation), Outcome::NotAllowed);
}

#[test]
fn guards_are_asked_in_their_order_until_one_refuses() {
    let passes = || guard("first", load("guard"));
    let denies = |id| guard(id, load("denies_all"));
    let set = with_guards(vec![passes(), denies("second"), denies("third")]);
    let catalogue = catalogue();
    let operation = catalogue.identify("GET", "/orgs/my-org/apps/web").unwrap();
    let decision = decide_with(&set, &operation, Inputs::default());
    let asked: Vec<&str> = decision.answers.iter().map(|answer| answer.asked.name()).collect();
    assert_eq!(asked, ["administrator", "first", "second"]);
    assert!(matches!(decision.outcome, Outcome::Denied { guard: "second", .. }));
}

#[test]
fn a_guard_judges_its_scope_and_its_kinds_of_subject_only() {
    let app = GuardEntry {
        scope: "/orgs/my-org/apps/web".parse().unwrap(),
        ..guard("freeze", load("denies_all"))
    };
    let set = with_guards(vec![app]);
    let catalogue = catalogue();
    let is_denied = |subject, path| {
        let operation = catalogue.identify("GET", path).unwrap();
        matches!(decide(&set, subject, &operation), Outcome::Denied { .. })
    };
    let somebody = on_org("administrator");
    assert!(is_denied(somebody, "/orgs/my-org/apps/web"));
    assert!(!is_denied(somebody, "/orgs/my-org/apps/shop"));
    assert!(!is_denied(somebody, "/orgs/my-org/apps"));
    let human = SubjectView {
        kind: SubjectKind::Member,
        ..somebody
    };
    assert!(!is_denied(human, "/orgs/my-org/apps/web"));
}

#[test]
fn a_guard_of_an_organisation_judges_what_its_subjects_do_outside_any() {
    let set = with_guards(vec![guard("freeze", load("denies_all"))]);
    let catalogue = catalogue();
    let operation = catalogue.identify("GET", "/current-user").unwrap();
    assert!(matches!(
        decide(&set, on_org("member"), &operation),
        Outcome::Denied { .. }
    ));
    let other = SubjectView {
        org: "other-org",
        ..on_org("member")
    };
    assert!(matches!(decide(&set, other, &operation), Outcome::Allowed(_)));
}

#[test]
fn a_guard_that_gives_no_verdict_or_is_not_there_yet_leaves_it_undecided() {
    let catalogue = catalogue();
    let operation = catalogue.identify("GET", "/orgs/my-org/apps/web").unwrap();
    let not_there = GuardEntry {
        policy: None,
        ..guard("freeze", load("guard"))
    };
    let cases = [
        (guard("freeze", load("panics_as_guard")), Fault::Trapped),
        (guard("freeze", load("huge_output")), Fault::AnswerInvalid),
        (guard("freeze", load("bad_utf8")), Fault::AnswerInvalid),
        (guard("freeze", load("denies_even_times")), Fault::InputNotGiven),
        (guard("freeze", load("keeps_state")), Fault::NoPolicy),
        (not_there, Fault::NoPolicy),
    ];
    for (entry, fault) in cases {
        let set = with_guards(vec![entry]);
        let decision = decide_with(&set, &operation, Inputs::default());
        assert_eq!(decision.outcome, Outcome::Undecided { by: "freeze", fault });
        assert_eq!(decision.faults().collect::<Vec<_>>(), [("freeze", fault)]);
    }
}

#[test]
fn a_policy_is_told_what_it_asks_for_and_nothing_else() {
    let catalogue = catalogue();
    let operation = catalogue.identify("GET", "/orgs/my-org/apps/web").unwrap();
    let inputs = Inputs {
        time_ms: Some(1_700_000_000_123),
        source_address: Some("192.0.2.7"),
        headers: &[("x-change", "one"), ("x-other", "secret"), ("x-change", "two")],
        query: Some("a=b"),
        json_body: Some("{}"),
    };
    let told = |policy| {
        let entry = GuardEntry {
            settings: Some(Arc::from(r#"{"to":1}"#)),
            ..guard("freeze", load(policy))
        };
        let set = with_guards(vec![entry]);
        match decide_with(&set, &operation, inputs).outcome {
            Outcome::Denied { reason, .. } => reason,
            other @ (Outcome::Allowed(_) | Outcome::NotAllowed | Outcome::Undecided { .. }) => panic!("{other:?}"),
        }
    };
    assert_eq!(
        told("denies_with_inputs"),
        r#"time=Some(1700000000123) address=Some("192.0.2.7") headers=[ x-change: one x-change: two ] query=Some("a=b") body=Some("{}") settings=Some("{\"to\":1}")"#
    );
    assert_eq!(
        told("denies_all"),
        r#"time=None address=None headers=[ ] query=None body=None settings=Some("{\"to\":1}")"#
    );
}

#[test]
fn a_set_knows_what_the_policies_that_bear_on_a_question_ask_for() {
    let catalogue = catalogue();
    let in_org = catalogue.identify("GET", "/orgs/my-org/apps/web").unwrap();
    let elsewhere = catalogue.identify("GET", "/orgs/other-org/apps/web").unwrap();
    let somebody = on_org("administrator");
    assert!(builtin().needs(&somebody, &in_org).is_nothing());
    assert!(
        with_guards(vec![guard("freeze", load("denies_all"))])
            .needs(&somebody, &in_org)
            .is_nothing()
    );

    let set = with_guards(vec![guard("freeze", load("denies_with_inputs"))]);
    let needs = set.needs(&somebody, &in_org);
    assert!(needs.time && needs.source_address && needs.query && needs.json_body);
    assert_eq!(needs.headers, ["x-change"]);
    assert!(set.needs(&somebody, &elsewhere).is_nothing());

    let set = builtin().arranged(&Layout {
        roles: vec![hostile(load("asks_for_time"))],
        guards: Vec::new(),
    });
    assert!(set.needs(&on_org("hostile"), &in_org).time);
    assert!(set.needs(&somebody, &in_org).is_nothing());
}

#[test]
fn a_guard_that_asks_for_the_time_is_asked_anew_each_time_and_its_reason_is_one_line() {
    let set = with_guards(vec![guard("freeze", load("denies_even_times"))]);
    let catalogue = catalogue();
    let operation = catalogue.identify("GET", "/orgs/my-org/apps/web").unwrap();
    let outcome_at = |time_ms| {
        let inputs = Inputs {
            time_ms: Some(time_ms),
            ..Inputs::default()
        };
        decide_with(&set, &operation, inputs).outcome
    };
    for _ in 0..2 {
        assert!(matches!(outcome_at(1), Outcome::Allowed(_)));
        let denied = Outcome::Denied {
            guard: "freeze",
            reason: "not now".to_owned(),
        };
        assert_eq!(outcome_at(2), denied);
    }
}

#[test]
fn a_reason_longer_than_any_may_be_is_cut_off() {
    let long = format!("\"{}\"", "ä".repeat(REASON_CHARS_MAX));
    let entry = GuardEntry {
        settings: Some(Arc::from(long)),
        ..guard("freeze", load("denies_all"))
    };
    let set = with_guards(vec![entry]);
    let catalogue = catalogue();
    let operation = catalogue.identify("GET", "/orgs/my-org/apps/web").unwrap();
    let decision = decide_with(&set, &operation, Inputs::default());
    assert!(
        matches!(&decision.outcome, Outcome::Denied { reason, .. } if reason.chars().count() == REASON_CHARS_MAX),
        "{:?}",
        decision.outcome
    );
}

#[test]
fn that_a_guard_lets_something_pass_is_remembered_and_kept_in_the_next_layout() {
    let layout = Layout {
        roles: Vec::new(),
        guards: vec![guard("freeze", load("guard"))],
    };
    let set = builtin().arranged(&layout);
    let catalogue = catalogue();
    let operation = catalogue.identify("GET", "/orgs/my-org/apps/web").unwrap();
    let remembered = |set: &PolicySet| -> Vec<bool> {
        let decision = decide_with(set, &operation, Inputs::default());
        decision.answers.iter().map(|answer| answer.remembered).collect()
    };
    assert_eq!(remembered(&set), [false, false]);
    assert_eq!(remembered(&set), [true, true]);
    let next = set.arranged(&layout);
    assert_eq!(remembered(&next), [true, true]);
    // The old one goes on, and remembers anew.
    assert_eq!(remembered(&set), [false, false]);
    let mut other_settings = layout.clone();
    other_settings.guards[0].settings = Some(Arc::from("{}"));
    assert_eq!(remembered(&next.arranged(&other_settings)), [true, false]);
}

#[test]
fn a_role_of_an_organisation_means_nothing_in_another() {
    let set = builtin().arranged(&Layout {
        roles: vec![hostile(load("allows_all"))],
        guards: Vec::new(),
    });
    let catalogue = catalogue();
    let operation = catalogue.identify("GET", "/orgs/my-org/apps/web").unwrap();
    assert!(matches!(
        decide(&set, on_org("hostile"), &operation),
        Outcome::Allowed(grant) if grant.role == "hostile"
    ));
    let other = SubjectView {
        org: "other-org",
        ..on_org("hostile")
    };
    let no_policy = Outcome::Undecided {
        by: "hostile",
        fault: Fault::NoPolicy,
    };
    assert_eq!(decide(&set, other, &operation), no_policy);
    assert_eq!(decide(&builtin(), on_org("hostile"), &operation), no_policy);
}

#[test]
fn a_built_in_role_is_never_replaced() {
    let member = RoleEntry {
        role: "member".to_owned(),
        ..hostile(load("allows_all"))
    };
    let set = builtin().arranged(&Layout {
        roles: vec![member],
        guards: Vec::new(),
    });
    let catalogue = catalogue();
    let operation = catalogue.identify("DELETE", "/orgs/my-org/apps/web").unwrap();
    assert_eq!(decide(&set, on_org("member"), &operation), Outcome::NotAllowed);
}

#[test]
fn a_guard_policy_speaks_for_no_role() {
    let set = builtin().arranged(&Layout {
        roles: vec![hostile(load("guard"))],
        guards: Vec::new(),
    });
    let catalogue = catalogue();
    let operation = catalogue.identify("GET", "/current-user").unwrap();
    assert!(matches!(
        decide(&set, on_org("hostile"), &operation),
        Outcome::Undecided {
            fault: Fault::NoPolicy,
            ..
        }
    ));
}

#[test]
fn a_fallback_is_asked_when_the_policy_gives_no_verdict_and_both_answers_are_told() {
    let catalogue = catalogue();
    let operation = catalogue.identify("GET", "/current-user").unwrap();
    let entry = RoleEntry {
        fallback: Some(Arc::new(load("allows_all"))),
        ..hostile(load("panic_in_decide"))
    };
    let not_there = RoleEntry {
        policy: None,
        ..entry.clone()
    };
    for (entry, fault) in [(entry, Fault::Trapped), (not_there, Fault::NoPolicy)] {
        let set = builtin().arranged(&Layout {
            roles: vec![entry],
            guards: Vec::new(),
        });
        let decision = set.decide(&Question {
            subject: on_org("hostile"),
            operation: &operation,
            inputs: Inputs::default(),
        });
        assert!(decision.is_allowed());
        let said: Vec<(Asked<'_>, Said)> = decision
            .answers
            .iter()
            .map(|answer| (answer.asked, answer.said))
            .collect();
        assert_eq!(said[0].0, said[1].0);
        assert_eq!([said[0].1, said[1].1], [Said::Nothing(fault), Said::Allow]);
    }
}

#[test]
fn a_policy_that_keeps_failing_is_put_aside_in_the_next_layout_too() {
    let layout = Layout {
        roles: vec![hostile(load("panic_in_decide"))],
        guards: vec![GuardEntry {
            scope: GuardScope::Installation,
            ..guard("broken", load("panics_as_guard"))
        }],
    };
    let set = builtin().arranged(&layout);
    let catalogue = catalogue();
    let operation = catalogue.identify("GET", "/current-user").unwrap();
    let fault_of = |set: &PolicySet, role| match decide(set, on_org(role), &operation) {
        Outcome::Undecided { fault, .. } => fault,
        other @ (Outcome::Allowed(_) | Outcome::NotAllowed | Outcome::Denied { .. }) => panic!("{other:?}"),
    };
    for role in ["hostile", "member"] {
        for _ in 0..engine::FAULTS_IN_A_ROW_MAX {
            assert_eq!(fault_of(&set, role), Fault::Trapped);
        }
        assert_eq!(fault_of(&set, role), Fault::PutAside);
    }
    let mut aside: Vec<&str> = set.put_aside().map(|(name, _)| name).collect();
    aside.sort_unstable();
    assert_eq!(aside, ["broken", "hostile"]);
    assert_eq!(fault_of(&set.arranged(&layout), "hostile"), Fault::PutAside);
    // The operator's way out: another version.
    let mut repaired = layout.clone();
    repaired.roles = vec![hostile(load("allows_all"))];
    repaired.guards.clear();
    assert!(matches!(
        decide(&set.arranged(&repaired), on_org("hostile"), &operation),
        Outcome::Allowed(_)
    ));
}
