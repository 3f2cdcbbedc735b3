//! Published roles where they are held, and what becomes of them.

use feed::{Frame, Record};
use serde_json::{Value, json};

use crate::components::{freeze, role};
use crate::consistency::assert_told_alike;
use crate::harness::{Answer, ORG, Plane};

#[tokio::test]
async fn built_in_roles_are_listed_and_stay_as_they_are() {
    let plane = Plane::start().await;
    assert_eq!(plane.publish(&role("viewer", "tester", "1.0.0")).await.status, 201);
    let list = plane.ask(&plane.root, "GET", &format!("/orgs/{ORG}/policies")).await;
    list.assert_ok();
    let list = list.body.as_array().expect("an array");
    let built_in = list.iter().filter(|policy| policy["builtin"] == true);
    assert_eq!((built_in.count(), list.len()), (9, 10));
    let administrator = list.iter().find(|policy| policy["name"] == "administrator");
    assert_eq!(administrator.expect("it is built in")["holders"], 1);
    assert_eq!(administrator, Some(&plane.policy("administrator").await));
    plane
        .change_policy("viewer", json!({"active": "1.0.0"}))
        .await
        .assert_refused(400, "policy-built-in");
    delete(&plane, "viewer").await.assert_refused(400, "policy-built-in");
}

#[tokio::test]
async fn a_published_role_is_bound_where_its_manifest_says_and_nowhere_else() {
    let plane = Plane::start().await;
    let robot = plane.service_user("member").await.subject;
    bind(&plane, "apps/web", &robot, "tester")
        .await
        .assert_refused(400, "unknown-role");
    assert_eq!(plane.publish(&role("viewer", "tester", "1.0.0")).await.status, 201);
    assert_eq!(plane.publish(&freeze("1.0.0")).await.status, 201);
    bind(&plane, "apps/web", &robot, "tester").await.assert_ok();
    assert_eq!(plane.policy("tester").await["holders"], 1);
    for (place, role) in [("env-types/production", "tester"), ("apps/web", "freeze")] {
        bind(&plane, place, &robot, role)
            .await
            .assert_refused(400, "unknown-role");
    }
    let user = format!("/orgs/{ORG}/users/{robot}");
    plane
        .send(&plane.root, "PATCH", &user, json!({"role": "tester"}))
        .await
        .assert_refused(400, "unknown-role");
    // To another organisation the role does not exist.
    let stranger = plane.foreign_administrator().await;
    let body = json!({"id": stranger.subject, "role": "tester"});
    plane
        .send(&stranger, "POST", "/orgs/their-org/apps/web/users", body)
        .await
        .assert_refused(400, "unknown-role");
}

#[tokio::test]
async fn a_role_that_is_held_goes_only_with_a_word_on_who_holds_it() {
    let plane = Plane::start().await;
    assert_eq!(plane.publish(&role("viewer", "tester", "1.0.0")).await.status, 201);
    let robots = [
        plane.service_user("member").await.subject,
        plane.service_user("member").await.subject,
    ];
    for robot in &robots {
        bind(&plane, "apps/web", robot, "tester").await.assert_ok();
    }
    let in_use = delete(&plane, "tester").await;
    in_use.assert_refused(409, "role-in-use");
    assert_eq!(in_use.body["details"], json!({"holders": 2}));
    let void = delete(&plane, "tester?bindings=manager").await;
    void.assert_refused(409, "bindings-not-admitted");
    let bindings = void.body["details"]["bindings"].as_array().expect("an array");
    assert_eq!(bindings.len(), 2);
    assert_eq!(bindings[0]["scope"], "/orgs/my-org/apps/web");
    for role in ["tester", "nothing"] {
        let refused = delete(&plane, &format!("tester?bindings={role}")).await;
        assert!(refused.status.is_client_error(), "{role}");
    }
    assert_eq!(plane.policy("tester").await["holders"], 2);

    let mut feed = plane
        .feed(&format!(
            "?after={}&store={}",
            plane.admin.revision(),
            plane.admin.store_name()
        ))
        .await;
    assert_eq!(delete(&plane, "tester?bindings=developer").await.status, 204);
    let Frame::Change { records, .. } = feed.news().await else {
        panic!("no change");
    };
    let [
        Record::Subject(one),
        Record::Subject(other),
        Record::PolicyRemoved { org, name },
    ] = &records[..]
    else {
        panic!("{records:?}");
    };
    assert_eq!((org.as_str(), name.as_str()), (ORG, "tester"));
    for subject in [one, other] {
        assert!(subject.roles.iter().any(|held| held.role == "developer"), "{subject:?}");
    }
    assert_told_alike(&plane).await;
}

#[tokio::test]
async fn a_role_that_is_removed_with_its_bindings_leaves_nothing() {
    let plane = Plane::start().await;
    assert_eq!(plane.publish(&role("viewer", "tester", "1.0.0")).await.status, 201);
    let robot = plane.service_user("member").await.subject;
    bind(&plane, "apps/web", &robot, "tester").await.assert_ok();
    let before = plane.admin.revision();
    assert_eq!(delete(&plane, "tester?bindings=remove").await.status, 204);
    assert_eq!(plane.admin.revision(), before + 1);
    delete(&plane, "tester").await.assert_refused(404, "not-found");
    for table in ["policies", "policy_versions", "components"] {
        assert_eq!(
            plane.number(&format!("SELECT count(*) FROM {table}")).await,
            0,
            "{table}"
        );
    }
    bind(&plane, "apps/web", &robot, "tester")
        .await
        .assert_refused(400, "unknown-role");
    let audited = plane
        .text("SELECT operation || ' ' || target || ' ' || before FROM audit_entries ORDER BY revision DESC LIMIT 1")
        .await;
    assert!(
        audited.starts_with("deletePolicy /orgs/my-org/policies/tester "),
        "{audited}"
    );
    assert!(audited.contains("\"removed\":1"), "{audited}");
    assert_told_alike(&plane).await;
    // The name is free again, for anything.
    assert_eq!(plane.publish(&role("member", "tester", "0.1.0")).await.status, 201);
}

#[tokio::test]
async fn a_role_is_not_removed_while_somebody_gets_it() {
    let plane = Plane::start().await;
    assert_eq!(plane.publish(&role("viewer", "tester", "1.0.0")).await.status, 201);
    let robot = plane.service_user("member").await.subject;
    let (bound, deleted) = tokio::join!(bind(&plane, "apps/web", &robot, "tester"), delete(&plane, "tester"));
    match bound.status.as_u16() {
        200 => deleted.assert_refused(409, "role-in-use"),
        _ => {
            bound.assert_refused(400, "unknown-role");
            assert_eq!(deleted.status, 204);
        }
    }
    assert_told_alike(&plane).await;
}

#[tokio::test]
async fn of_a_promotion_and_a_removal_at_once_the_second_finds_nothing() {
    let plane = Plane::start().await;
    for version in ["1.0.0", "1.0.1"] {
        assert_eq!(plane.publish(&role("viewer", "tester", version)).await.status, 201);
    }
    let promotion = json!({"active": "1.0.1"});
    let (promoted, deleted) = tokio::join!(plane.change_policy("tester", promotion), delete(&plane, "tester"));
    assert_eq!(deleted.status, 204, "{}", deleted.body);
    assert!(matches!(promoted.status.as_u16(), 200 | 404), "{}", promoted.body);
    let absent = plane
        .ask(&plane.root, "GET", &format!("/orgs/{ORG}/policies/tester"))
        .await;
    absent.assert_refused(404, "not-found");
    assert_told_alike(&plane).await;
}

async fn bind(plane: &Plane, place: &str, subject: &str, role: &str) -> Answer {
    let body: Value = json!({"id": subject, "role": role});
    plane
        .send(&plane.root, "POST", &format!("/orgs/{ORG}/{place}/users"), body)
        .await
}

async fn delete(plane: &Plane, policy: &str) -> Answer {
    plane
        .ask(&plane.root, "DELETE", &format!("/orgs/{ORG}/policies/{policy}"))
        .await
}
