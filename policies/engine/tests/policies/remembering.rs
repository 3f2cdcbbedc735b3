//! Remembering verdicts changes no decision.

use std::cell::Cell;

use catalogue::operation::PARAMETERS_MAX;
use catalogue::{Catalogue, Matched};
use engine::{Decision, Engine, Inputs, Limits, Memory, Outcome, PolicySet, Question, SubjectView};
use feed::SubjectKind;
use proptest::prelude::{Strategy, prop_oneof};
use proptest::test_runner::{Config, TestRunner};
use proptest::{collection, option, sample};

use crate::support::{catalogue, decide, on_org};

#[test]
fn a_verdict_is_remembered_for_the_very_same_question_only() {
    let engine = Engine::new(&Limits::default()).unwrap();
    let set = PolicySet::builtin(&engine, Memory::default()).unwrap();
    let catalogue = catalogue();
    let is_remembered = |subject, path| {
        let operation = catalogue.identify("GET", path).unwrap();
        match decide(&set, subject, &operation) {
            Outcome::Allowed(grant) => grant.remembered,
            other @ (Outcome::NotAllowed | Outcome::Denied { .. } | Outcome::Undecided { .. }) => panic!("{other:?}"),
        }
    };
    let viewer = on_org("orgViewer");
    assert!(!is_remembered(viewer, "/orgs/my-org/apps/web"));
    assert!(is_remembered(viewer, "/orgs/my-org/apps/web"));
    assert!(!is_remembered(viewer, "/orgs/my-org/apps/shop"));
    assert!(!is_remembered(
        SubjectView {
            id: "s-other",
            ..viewer
        },
        "/orgs/my-org/apps/web"
    ));
    assert!(!is_remembered(
        SubjectView {
            app_role: Some("viewer"),
            ..viewer
        },
        "/orgs/my-org/apps/web"
    ));
}

#[test]
fn nothing_is_remembered_when_memory_is_off() {
    let engine = Engine::new(&Limits::default()).unwrap();
    let set = PolicySet::builtin(&engine, Memory::Off).unwrap();
    let catalogue = catalogue();
    let operation = catalogue.identify("GET", "/current-user").unwrap();
    for _ in 0..2 {
        let decision = decide(&set, on_org("member"), &operation);
        assert!(
            matches!(&decision, Outcome::Allowed(grant) if !grant.remembered),
            "{decision:?}"
        );
    }
}

#[test]
fn remembered_and_fresh_decisions_never_differ() {
    let engine = Engine::new(&Limits::default()).unwrap();
    let fresh = PolicySet::builtin(&engine, Memory::Off).unwrap();
    // Few enough that generations turn over all the time.
    let few = Memory::Bounded {
        entries_max: 40,
        input_bytes_max: 8_000,
    };
    let remembering = PolicySet::builtin(&engine, few).unwrap();
    let catalogue = catalogue();
    let mut runner = TestRunner::new(Config {
        cases: 4_000,
        failure_persistence: None,
        ..Config::default()
    });
    let hits = Cell::new(0);
    runner
        .run(&asked(&catalogue), |asked| {
            let env_types: Vec<_> = asked.env_types.iter().map(|(name, role)| (*name, *role)).collect();
            let values: Vec<&str> = asked
                .values
                .iter()
                .copied()
                .take(asked.parameter_count(&catalogue))
                .collect();
            let operation = &catalogue.operations()[asked.operation];
            let operation = &Matched::from_values(operation, &values).expect("the values fit each parameter");
            let subject = SubjectView {
                id: asked.id,
                kind: asked.kind,
                org: "my-org",
                org_role: asked.org_role,
                app_role: asked.app_role,
                env_types: &env_types,
            };
            let question = Question {
                subject,
                operation,
                inputs: Inputs::default(),
            };
            let expected = outcome(&fresh.decide(&question)).0;
            for _ in 0..2 {
                let (role, remembered) = outcome(&remembering.decide(&question));
                assert_eq!(role, expected);
                hits.set(hits.get() + u32::from(remembered));
            }
            Ok(())
        })
        .unwrap();
    assert!(hits.get() > 500, "{} remembered verdicts prove little", hits.get());
}

/// A random question, in owned parts.
#[derive(Debug, Clone)]
struct Asked {
    operation: usize,
    values: Vec<&'static str>,
    id: &'static str,
    kind: SubjectKind,
    org_role: Option<&'static str>,
    app_role: Option<&'static str>,
    env_types: Vec<(&'static str, Option<&'static str>)>,
}

impl Asked {
    fn parameter_count(&self, catalogue: &Catalogue) -> usize {
        catalogue.operations()[self.operation].parameter_names().count()
    }
}

fn asked(catalogue: &Catalogue) -> impl Strategy<Value = Asked> + use<> {
    let env_type_role = (sample::select(ENV_TYPES), option::of(sample::select(ENV_TYPE_ROLES)));
    (
        // Some operations come often, so that their verdicts are found again in both generations.
        prop_oneof![0..catalogue.operations().len(), 0..3_usize],
        // Pairs that would run together if lengths were left out of the canonical input.
        collection::vec(sample::select(&["aa", "a1", "aaa"]), PARAMETERS_MAX),
        sample::select(&["aa", "s-one"]),
        sample::select(KINDS),
        option::of(sample::select(ORG_ROLES)),
        option::of(sample::select(APP_ROLES)),
        collection::vec(env_type_role, 0..3),
    )
        .prop_map(|(operation, values, id, kind, org_role, app_role, env_types)| Asked {
            operation,
            values,
            id,
            kind,
            org_role,
            app_role,
            env_types,
        })
}

/// Returns the role that allows, or how none does, and whether its verdict was remembered.
fn outcome(decision: &Decision<'_>) -> (String, bool) {
    let faults: Vec<_> = decision.faults().collect();
    match &decision.outcome {
        Outcome::Allowed(grant) => (format!("{} {:?} {faults:?}", grant.role, grant.scope), grant.remembered),
        other @ (Outcome::NotAllowed | Outcome::Denied { .. } | Outcome::Undecided { .. }) => {
            (format!("{other:?} {faults:?}"), false)
        }
    }
}

const KINDS: &[SubjectKind] = &[SubjectKind::ServiceUser, SubjectKind::Member];
const ORG_ROLES: &[&str] = &[
    "administrator",
    "artefactContributor",
    "member",
    "orgViewer",
    "owner",
    "gone",
];
const APP_ROLES: &[&str] = &["viewer", "developer", "owner", "administrator"];
const ENV_TYPES: &[&str] = &["development", "production"];
const ENV_TYPE_ROLES: &[&str] = &["deployer", "gone"];
