//! What a subject may do, by object.

use serde_json::{Value, json};

use crate::harness::{ORG, Plane};

#[tokio::test]
async fn permissions_are_told_for_each_object_with_a_role() {
    let plane = Plane::start().await;
    let robot = plane.service_user("member").await.subject;
    let path = format!("/orgs/{ORG}/users/{robot}/perms");
    let role = json!({"id": robot, "role": "developer"});
    plane
        .send(&plane.root, "POST", &format!("/orgs/{ORG}/apps/web/users"), role)
        .await
        .assert_ok();
    let without = plane.ask(&plane.root, "GET", &path).await;
    without.assert_ok();
    let objects = &without.body["objects"];
    assert_eq!(objects.as_object().map(serde_json::Map::len), Some(2));
    let on_org = objects["/orgs/my-org"]["permissions"].as_array().expect("an array");
    assert!(on_org.contains(&json!("app.list")) && !on_org.contains(&json!("app.create")));
    let on_app = |answer: &Value, permission: &str| {
        let all = answer["objects"]["/orgs/my-org/apps/web"]["permissions"]
            .as_array()
            .expect("an array");
        all.contains(&json!(permission))
    };
    assert!(on_app(&without.body, "app.read") && !on_app(&without.body, "env.create"));

    let role = json!({"id": robot, "role": "deployer"});
    plane
        .send(
            &plane.root,
            "POST",
            &format!("/orgs/{ORG}/env-types/production/users"),
            role,
        )
        .await
        .assert_ok();
    let with = plane.ask(&plane.root, "GET", &path).await;
    assert!(on_app(&with.body, "env.create"));
    let on_env_type = &with.body["objects"]["/orgs/my-org/env-types/production"]["permissions"];
    let on_env_type = on_env_type.as_array().expect("an array");
    assert!(on_env_type.contains(&json!("env.create")) && !on_env_type.contains(&json!("app.read")));

    let nobody = plane
        .ask(&plane.root, "GET", &format!("/orgs/{ORG}/users/nobody/perms"))
        .await;
    nobody.assert_refused(404, "not-found");
}
