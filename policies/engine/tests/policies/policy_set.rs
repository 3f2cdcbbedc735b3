//! How roles add up to a decision.

use std::sync::Arc;

use catalogue::{Matched, Operation};
use engine::{
    Engine, EnvTypeRole, Fault, Inputs, Limits, Memory, Outcome, PolicySet, Question, ScopeKind, SubjectView,
};
use feed::SubjectKind;

use crate::support::{DEPLOYER, catalogue, decide, nobody, on_org, with_hostile};

fn builtin() -> PolicySet {
    let engine = Engine::new(&Limits::default()).unwrap();
    PolicySet::builtin(&engine, Memory::default()).unwrap()
}

#[test]
fn a_grant_names_the_role_that_allows_and_where_it_is_held() {
    let set = builtin();
    let catalogue = catalogue();
    let deploy = catalogue
        .identify("POST", "/orgs/my-org/apps/web/envs/dev/deploys")
        .unwrap();
    let build_user = SubjectView {
        org_role: Some("artefactContributor"),
        app_role: Some("developer"),
        env_types: DEPLOYER,
        ..nobody()
    };
    let granted_by = |operation| match decide(&set, build_user, operation) {
        Outcome::Allowed(grant) => {
            assert_eq!(set.get(grant.role).map(|policy| policy.digest()), Some(grant.policy));
            (grant.role.to_owned(), grant.scope)
        }
        other @ (Outcome::NotAllowed | Outcome::Denied { .. } | Outcome::Undecided { .. }) => panic!("{other:?}"),
    };
    assert_eq!(granted_by(&deploy), ("deployer".to_owned(), ScopeKind::EnvType));
    let values = catalogue.identify("POST", "/orgs/my-org/apps/web/values").unwrap();
    assert_eq!(granted_by(&values), ("developer".to_owned(), ScopeKind::App));
    let artefact = catalogue.identify("POST", "/orgs/my-org/artefact-versions").unwrap();
    assert_eq!(
        granted_by(&artefact),
        ("artefactContributor".to_owned(), ScopeKind::Org)
    );
}

#[test]
fn an_app_without_environments_is_deleted_by_its_owner_alone() {
    let set = builtin();
    let catalogue = catalogue();
    let delete = catalogue.identify("DELETE", "/orgs/my-org/apps/web").unwrap();
    let on_app = |role| SubjectView {
        app_role: Some(role),
        ..nobody()
    };
    assert!(matches!(decide(&set, on_app("owner"), &delete), Outcome::Allowed(_)));
    assert_eq!(decide(&set, on_app("developer"), &delete), Outcome::NotAllowed);
    let with_one = SubjectView {
        env_types: &[("development", None)],
        ..on_app("owner")
    };
    assert_eq!(decide(&set, with_one, &delete), Outcome::NotAllowed);
}

#[test]
fn a_permission_that_no_role_knows_is_granted_to_nobody() {
    let set = builtin();
    let unknown = Operation::new("GET", "/orgs/{orgId}/novelties", "listNovelties", "novelty.read").unwrap();
    let unknown = Matched::from_values(&Arc::new(unknown), &["my-org"]).unwrap();
    assert_eq!(decide(&set, on_org("administrator"), &unknown), Outcome::NotAllowed);
    // Permissions of apps mean nothing outside apps, and the other way round.
    let misplaced = Operation::new("GET", "/orgs/{orgId}/apps/{appId}/audit", "auditApp", "audit.read").unwrap();
    let misplaced = Matched::from_values(&Arc::new(misplaced), &["my-org", "web"]).unwrap();
    assert_eq!(decide(&set, on_org("administrator"), &misplaced), Outcome::NotAllowed);
}

#[test]
fn a_subject_without_roles_is_allowed_nothing() {
    let set = builtin();
    let catalogue = catalogue();
    let operation = catalogue.identify("GET", "/current-user").unwrap();
    assert_eq!(decide(&set, nobody(), &operation), Outcome::NotAllowed);
}

#[test]
fn a_role_without_policy_is_told_once_and_hides_no_other_role() {
    let set = builtin();
    let catalogue = catalogue();
    let operation = catalogue.identify("GET", "/orgs/my-org/apps/web").unwrap();
    let env_types: &[EnvTypeRole<'_>] = &[("development", Some("gone")), ("production", Some("gone"))];
    let inputs = Inputs::default();

    let viewer = SubjectView {
        org_role: Some("gone"),
        app_role: Some("viewer"),
        env_types,
        ..nobody()
    };
    let question = Question {
        subject: viewer,
        operation: &operation,
        inputs,
    };
    let decision = set.decide(&question);
    assert!(matches!(&decision.outcome, Outcome::Allowed(grant) if grant.role == "viewer"));
    assert_eq!(decision.faults().collect::<Vec<_>>(), [("gone", Fault::NoPolicy)]);
    let member = SubjectView {
        app_role: Some("gone"),
        env_types,
        ..on_org("member")
    };
    assert_eq!(
        decide(&set, member, &operation),
        Outcome::Undecided {
            by: "gone",
            fault: Fault::NoPolicy
        }
    );
}

#[test]
fn a_faulty_policy_is_told_apart_from_one_that_does_not_allow() {
    let set = with_hostile(&builtin(), "panic_in_decide");
    let catalogue = catalogue();
    let operation = catalogue.identify("GET", "/orgs/my-org/apps/web").unwrap();
    let trapped = Outcome::Undecided {
        by: "hostile",
        fault: Fault::Trapped,
    };
    // Asked twice: a fault is not remembered as a verdict.
    for _ in 0..2 {
        assert_eq!(decide(&set, on_org("hostile"), &operation), trapped);
    }
    assert_eq!(decide(&set, on_org("member"), &operation), Outcome::NotAllowed);
}

#[test]
fn a_role_held_where_its_policy_does_not_admit_it_grants_nothing() {
    let set = builtin();
    let catalogue = catalogue();
    let operation = catalogue.identify("GET", "/orgs/my-org/apps/web").unwrap();
    let on_app = |role| SubjectView {
        app_role: Some(role),
        ..nobody()
    };
    assert_eq!(decide(&set, on_app("administrator"), &operation), Outcome::NotAllowed);
    assert_eq!(decide(&set, on_org("owner"), &operation), Outcome::NotAllowed);
    let artefact = catalogue.identify("POST", "/orgs/my-org/artefact-versions").unwrap();
    let human = SubjectView {
        kind: SubjectKind::Member,
        ..on_org("artefactContributor")
    };
    assert_eq!(decide(&set, human, &artefact), Outcome::NotAllowed);
}

#[test]
fn a_role_that_counts_at_its_second_place_only_is_asked_there() {
    let set = builtin();
    let catalogue = catalogue();
    let operation = catalogue.identify("GET", "/orgs/my-org/apps/web").unwrap();
    let subject = SubjectView {
        app_role: Some("viewer"),
        ..on_org("viewer")
    };
    let decision = decide(&set, subject, &operation);
    assert!(
        matches!(&decision, Outcome::Allowed(grant) if grant.scope == ScopeKind::App),
        "{decision:?}"
    );
}

#[test]
fn a_policy_that_replaces_another_gives_its_own_verdicts_at_once() {
    let set = with_hostile(&builtin(), "panic_in_decide");
    let catalogue = catalogue();
    let operation = catalogue.identify("GET", "/current-user").unwrap();
    assert!(matches!(
        decide(&set, on_org("hostile"), &operation),
        Outcome::Undecided { .. }
    ));
    let set = with_hostile(&set, "keeps_state");
    assert_eq!(decide(&set, on_org("hostile"), &operation), Outcome::NotAllowed);
}

#[test]
fn a_set_can_be_moved_into_its_worker_thread() {
    let set = builtin();
    let allowed = std::thread::spawn(move || {
        let catalogue = catalogue();
        let operation = catalogue.identify("GET", "/current-user").unwrap();
        matches!(decide(&set, on_org("member"), &operation), Outcome::Allowed(_))
    });
    assert!(allowed.join().unwrap());
}
