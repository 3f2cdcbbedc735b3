//! What a subject may do, by object.

use admin::PermissionQuestion;
use feed::Scope;
use serde_json::{Value, json};

use crate::harness::{ORG, Plane};

/// Stands for the role policies: administrators may do all, everybody may see apps, developers may write to theirs, and
/// what concerns env types needs a deployer.
pub(crate) fn decide(question: &PermissionQuestion<'_>) -> bool {
    let role = |scope: Scope| {
        let held = question.subject.roles.iter().find(|held| held.scope == scope);
        held.map(|held| held.role.as_str())
    };
    if role(Scope::org(ORG)) == Some("administrator") {
        return true;
    }
    let Some(app) = question.operation.app() else {
        return question.operation.operation.permission == "app.list";
    };
    let deploys = |env_type: &&str| role(Scope::env_type(ORG, env_type)) == Some("deployer");
    role(Scope::app(ORG, app)) == Some("developer") && question.env_types.iter().all(deploys)
}

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
    assert_eq!(objects["/orgs/my-org"], json!({"permissions": ["app.list"]}));
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
