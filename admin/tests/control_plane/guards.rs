//! Guards: where they are attached, by whom, with which settings.

use serde_json::{Value, json};

use crate::components::{freeze, replaced, role};
use crate::consistency::assert_told_alike;
use crate::harness::{Answer, ORG, Plane, Who};

#[tokio::test]
async fn a_guard_is_attached_changed_and_detached() {
    let plane = with_freeze().await;
    let settings = json!({"permission": "app.read"});
    let attached = attach(
        &plane,
        json!({"policy": "freeze", "scope": "/orgs/my-org", "settings": settings}),
    )
    .await;
    assert_eq!(attached.status, 201, "{}", attached.body);
    assert_eq!(attached.revision(), plane.admin.revision());
    let expected =
        json!({"id": "freeze", "policy": "freeze", "scope": "/orgs/my-org", "position": 100, "settings": settings});
    assert_eq!(attached.without_readiness(), expected);
    let body = json!({"policy": "freeze", "scope": "/orgs/my-org/apps/web", "position": 1, "settings": settings});
    let second = attach(&plane, body).await;
    assert_eq!(second.body["id"], "freeze-2");
    let body = json!({"policy": "freeze", "scope": "installation", "settings": settings});
    assert_eq!(attach(&plane, body).await.body["id"], "freeze-3");
    assert_eq!(ids(&plane).await, ["freeze-3", "freeze", "freeze-2"]);
    assert_eq!(plane.policy("freeze").await["holders"], 3);

    let other = json!({"permission": "env.read"});
    let body = json!({"scope": "/orgs/my-org", "settings": other});
    let moved = plane.send(&plane.root, "PATCH", &path("/freeze-2"), body).await;
    moved.assert_ok();
    assert_eq!(moved.body["settings"], other);
    assert_eq!(ids(&plane).await, ["freeze-3", "freeze-2", "freeze"]);
    assert_eq!(plane.ask(&plane.root, "GET", &path("/freeze-2")).await.body, moved.body);
    assert_told_alike(&plane).await;

    assert_eq!(plane.ask(&plane.root, "DELETE", &path("/freeze")).await.status, 204);
    plane
        .ask(&plane.root, "GET", &path("/freeze"))
        .await
        .assert_refused(404, "not-found");
    assert_told_alike(&plane).await;
    let audited = plane
        .text("SELECT string_agg(operation || ' ' || target, ', ' ORDER BY revision) FROM audit_entries WHERE revision > 2")
        .await;
    let target = |id: &str| format!("/orgs/my-org/guards/{id}");
    let expected = [
        format!("attachGuard {}", target("freeze")),
        format!("attachGuard {}", target("freeze-2")),
        format!("attachGuard {}", target("freeze-3")),
        format!("updateGuard {}", target("freeze-2")),
        format!("detachGuard {}", target("freeze")),
    ];
    assert_eq!(audited, expected.join(", "));
}

#[tokio::test]
async fn what_cannot_be_attached_is_refused() {
    let plane = with_freeze().await;
    assert_eq!(plane.publish(&role("viewer", "tester", "1.0.0")).await.status, 201);
    let settings = json!({"permission": "app.read"});
    for (policy, scope) in [
        ("tester", "/orgs/my-org"),
        ("viewer", "/orgs/my-org"),
        ("nothing", "/orgs/my-org"),
        ("freeze", "/orgs/their-org"),
        ("freeze", "/orgs/my-org/env-types/production"),
        ("freeze", "/orgs/my-org/apps/Web"),
        ("freeze", "everywhere"),
    ] {
        let answer = attach(&plane, json!({"policy": policy, "scope": scope, "settings": settings})).await;
        answer.assert_refused(400, "invalid-field");
    }
    for body in [json!({"policy": "freeze"}), json!({"scope": "/orgs/my-org"})] {
        attach(&plane, body).await.assert_refused(400, "invalid-field");
    }
    for settings in [json!(null), json!({}), json!({"permission": 1}), json!("app.read")] {
        let body = json!({"policy": "freeze", "scope": "/orgs/my-org", "settings": settings});
        let answer = attach(&plane, body).await;
        answer.assert_refused(400, "settings-invalid");
        assert!(answer.body["details"]["problem"].is_string(), "{}", answer.body);
    }
    for id in ["", "1st", "a/b", "..", &"a".repeat(61)] {
        let body = json!({"id": id, "policy": "freeze", "scope": "/orgs/my-org", "settings": {"permission": "x"}});
        attach(&plane, body).await.assert_refused(400, "invalid-field");
    }
    let absent = plane.send(&plane.root, "PATCH", &path("/freeze"), json!({})).await;
    absent.assert_refused(404, "not-found");
    plane
        .ask(&plane.root, "DELETE", &path("/freeze"))
        .await
        .assert_refused(404, "not-found");
    assert_eq!(ids(&plane).await, [""; 0]);
}

#[tokio::test]
async fn an_id_of_ones_own_is_given_once() {
    let plane = with_freeze().await;
    let body =
        json!({"id": "no-reads", "policy": "freeze", "scope": "/orgs/my-org", "settings": {"permission": "app.read"}});
    assert_eq!(attach(&plane, body.clone()).await.body["id"], "no-reads");
    attach(&plane, body).await.assert_refused(409, "guard-id-taken");
}

#[tokio::test]
async fn only_administrators_of_the_first_organisation_attach_to_the_installation() {
    let plane = with_freeze().await;
    let settings = json!({"permission": "app.read"});
    let body = json!({"policy": "freeze", "scope": "installation", "settings": settings});
    let manager = plane.service_user("manager").await;
    let answer = plane.send(&manager, "POST", &path(""), body.clone()).await;
    answer.assert_refused(403, "above-your-role");
    assert_eq!(attach(&plane, body.clone()).await.status, 201);
    for (method, change) in [("PATCH", json!({"position": 1})), ("DELETE", json!({}))] {
        let answer = plane.send(&manager, method, &path("/freeze"), change).await;
        answer.assert_refused(403, "above-your-role");
    }
    let stranger = plane.foreign_administrator().await;
    let theirs = "/orgs/their-org/guards";
    plane
        .send(&stranger, "POST", theirs, body)
        .await
        .assert_refused(403, "above-your-role");
    assert_eq!(plane.ask(&stranger, "GET", theirs).await.body, json!([]));
    for method in ["GET", "POST"] {
        let answer = send(&plane, &stranger, method).await;
        answer.assert_refused(404, "not-found");
    }
}

#[tokio::test]
async fn a_policy_that_is_attached_stays_and_its_next_version_must_admit_the_guards() {
    let plane = with_freeze().await;
    let settings = json!({"permission": "app.read"});
    let body = json!({"policy": "freeze", "scope": "/orgs/my-org", "settings": settings});
    assert_eq!(attach(&plane, body).await.status, 201);
    let policy = format!("/orgs/{ORG}/policies/freeze");
    let refused = plane.ask(&plane.root, "DELETE", &policy).await;
    refused.assert_refused(409, "policy-attached");
    assert_eq!(refused.body["details"], json!({"guards": ["freeze"]}));

    let stricter = replaced(
        &freeze("1.0.1"),
        r#""required":["permission"]"#,
        r#""required":["permissiom"]"#,
    );
    assert_eq!(plane.publish(&stricter.expect("its schema")).await.status, 201);
    let refused = plane.change_policy("freeze", json!({"active": "1.0.1"})).await;
    refused.assert_refused(409, "guards-not-admitted");
    assert_eq!(refused.body["details"], json!({"guards": ["freeze"]}));

    assert_eq!(plane.ask(&plane.root, "DELETE", &path("/freeze")).await.status, 204);
    let promoted = plane.change_policy("freeze", json!({"active": "1.0.1"})).await;
    promoted.assert_ok();
    assert_eq!(plane.ask(&plane.root, "DELETE", &policy).await.status, 204);
    assert_told_alike(&plane).await;
}

async fn with_freeze() -> Plane {
    let plane = Plane::start().await;
    let answer = plane.publish(&freeze("1.0.0")).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    assert_eq!(answer.body["type"], "guard");
    plane
}

async fn attach(plane: &Plane, body: Value) -> Answer {
    plane.send(&plane.root, "POST", &path(""), body).await
}

async fn send(plane: &Plane, who: &Who, method: &str) -> Answer {
    plane.send(who, method, &path(""), json!({})).await
}

/// Returns the ids of the guards, in the order in which they are told.
async fn ids(plane: &Plane) -> Vec<String> {
    let list = plane.ask(&plane.root, "GET", &path("")).await;
    list.assert_ok();
    let list = list.body.as_array().expect("an array").iter();
    list.map(|guard| guard["id"].as_str().expect("an id").to_owned())
        .collect()
}

fn path(rest: &str) -> String {
    format!("/orgs/{ORG}/guards{rest}")
}
