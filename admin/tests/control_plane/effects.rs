//! Effects: what happens at the orchestrator takes role bindings along, once.

use serde_json::{Value, json};

use crate::harness::{Answer, ORG, Plane};

#[tokio::test]
async fn a_new_app_belongs_to_its_creator_and_to_nobody_else() {
    let plane = Plane::start().await;
    let (creator, other) = (
        plane.service_user("manager").await.subject,
        plane.service_user("member").await.subject,
    );
    let users = format!("/orgs/{ORG}/apps/web/users");
    plane
        .send(&plane.root, "POST", &users, json!({"id": other, "role": "owner"}))
        .await
        .assert_ok();
    let report = created("1", "/orgs/my-org/apps/web", &creator, "owner");
    let answer = apply(&plane, &report).await;
    answer.assert_ok();
    assert_eq!(answer.body, json!({"revision": plane.admin.revision()}));
    let list = plane.ask(&plane.root, "GET", &users).await;
    let holders: Vec<_> = list
        .body
        .as_array()
        .expect("an array")
        .iter()
        .map(|user| &user["id"])
        .collect();
    assert_eq!(holders, [&json!(creator)]);
    let records = plane
        .text("SELECT records FROM changes ORDER BY revision DESC LIMIT 1")
        .await;
    assert!(records.contains(&creator) && records.contains(&other));
    let audited = plane
        .text(
            "SELECT actor_kind || ' ' || actor_subject || ' ' || operation || ' ' || target
               FROM audit_entries ORDER BY revision DESC LIMIT 1",
        )
        .await;
    assert_eq!(
        audited,
        format!("gateway {creator} object-created /orgs/my-org/apps/web")
    );
}

#[tokio::test]
async fn a_report_that_arrives_twice_is_applied_once() {
    let plane = Plane::start().await;
    let robot = plane.service_user("member").await.subject;
    let users = format!("/orgs/{ORG}/apps/web/users");
    let deleted = json!({"id": "1", "effect": "deleted", "scope": "/orgs/my-org/apps/web"});
    let first = apply(&plane, &deleted).await;
    first.assert_ok();
    plane
        .send(&plane.root, "POST", &users, json!({"id": robot, "role": "owner"}))
        .await
        .assert_ok();
    let revision = plane.admin.revision();
    let second = apply(&plane, &deleted).await;
    second.assert_ok();
    assert_eq!(second.body, first.body);
    assert_eq!(plane.admin.revision(), revision);
    plane
        .ask(&plane.root, "GET", &format!("{users}/{robot}"))
        .await
        .assert_ok();
}

#[tokio::test]
async fn a_deleted_object_takes_its_roles_along_and_no_others() {
    let plane = Plane::start().await;
    let robot = plane.service_user("member").await.subject;
    for place in ["apps/web", "apps/web-2", "env-types/web"] {
        let role = if place.starts_with("apps") {
            "viewer"
        } else {
            "deployer"
        };
        let body = json!({"id": robot, "role": role});
        plane
            .send(&plane.root, "POST", &format!("/orgs/{ORG}/{place}/users"), body)
            .await
            .assert_ok();
    }
    let deleted = json!({"id": "1", "effect": "deleted", "scope": "/orgs/my-org/apps/web"});
    apply(&plane, &deleted).await.assert_ok();
    let scopes = plane
        .text(&format!(
            "SELECT string_agg(scope, ' ' ORDER BY scope) FROM role_bindings WHERE subject = '{robot}'"
        ))
        .await;
    assert_eq!(
        scopes,
        "/orgs/my-org /orgs/my-org/apps/web-2 /orgs/my-org/env-types/web"
    );
}

#[tokio::test]
async fn a_creator_who_is_gone_foreign_or_without_such_a_role_gets_nothing() {
    let plane = Plane::start().await;
    let foreign = plane.foreign_administrator().await.subject;
    let rows = [
        ("nobody", "owner"),
        (foreign.as_str(), "owner"),
        (plane.root.subject.as_str(), "deployer"),
    ];
    for (number, (creator, role)) in rows.into_iter().enumerate() {
        let report = created(&number.to_string(), "/orgs/my-org/apps/web", creator, role);
        apply(&plane, &report).await.assert_ok();
    }
    let report = json!({"id": "x", "effect": "created", "scope": "/orgs/my-org/env-types/production", "creator": null});
    apply(&plane, &report).await.assert_ok();
    let held = "SELECT count(*) FROM role_bindings WHERE scope LIKE '/orgs/my-org/%'";
    assert_eq!(plane.number(held).await, 0);
}

#[tokio::test]
async fn a_report_of_something_else_is_refused() {
    let plane = Plane::start().await;
    let revision = plane.admin.revision();
    let deleted = |id: &str, scope: &str| json!({"id": id, "effect": "deleted", "scope": scope});
    let refused = [
        deleted("1", "/orgs/my-org"),
        deleted("1", "/orgs/my-org/apps/Web"),
        deleted("1", "/orgs/my-org/apps/web/envs/dev"),
        deleted("", "/orgs/my-org/apps/web"),
        deleted(&"x".repeat(201), "/orgs/my-org/apps/web"),
        json!({"id": "1", "effect": "renamed", "scope": "/orgs/my-org/apps/web"}),
        json!({}),
    ];
    for report in refused {
        assert_eq!(apply(&plane, &report).await.status, 400, "{report}");
    }
    assert_eq!(plane.admin.revision(), revision);
}

fn created(id: &str, scope: &str, creator: &str, role: &str) -> Value {
    json!({"id": id, "effect": "created", "scope": scope, "creator": {"subject": creator, "role": role}})
}

async fn apply(plane: &Plane, report: &Value) -> Answer {
    plane.request("POST", "/effects", report.to_string(), &[]).await
}
