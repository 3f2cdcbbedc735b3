//! Roles on apps and env types.

use serde_json::json;

use crate::harness::{ORG, Plane};

#[tokio::test]
async fn a_role_that_is_given_again_takes_the_place_of_the_first() {
    let plane = Plane::start().await;
    let robot = plane.service_user("member").await.subject;
    let path = format!("/orgs/{ORG}/apps/web/users");
    for role in ["viewer", "owner", "owner"] {
        let answer = plane
            .send(&plane.root, "POST", &path, json!({"id": robot, "role": role}))
            .await;
        answer.assert_ok();
        let user = &answer.body;
        assert_eq!(
            (&user["id"], &user["role"], &user["type"]),
            (&json!(robot), &json!(role), &json!("service"))
        );
        assert!(user["name"].is_string() && user["created_at"].is_string());
    }
    let list = plane.ask(&plane.root, "GET", &path).await;
    assert_eq!(list.body.as_array().map(Vec::len), Some(1));
    assert_eq!(
        plane.ask(&plane.root, "GET", &format!("{path}?type=group")).await.body,
        json!([])
    );
}

#[tokio::test]
async fn a_role_of_nobody_is_absent() {
    let plane = Plane::start().await;
    let robot = plane.service_user("member").await.subject;
    for place in ["apps/web", "env-types/production"] {
        let users = format!("/orgs/{ORG}/{place}/users");
        let one = format!("{users}/{robot}");
        plane
            .ask(&plane.root, "GET", &one)
            .await
            .assert_refused(404, "not-found");
        plane
            .ask(&plane.root, "DELETE", &one)
            .await
            .assert_refused(404, "not-found");
        let role = json!({"role": "viewer"});
        plane
            .send(&plane.root, "PATCH", &one, role)
            .await
            .assert_refused(404, "not-found");
        let nobody = json!({"id": "s-00000000-0000-4000-8000-00000000ffff", "role": "viewer"});
        plane
            .send(&plane.root, "POST", &users, nobody)
            .await
            .assert_refused(404, "not-found");
        assert_eq!(plane.ask(&plane.root, "GET", &users).await.body, json!([]));
    }
    let odd = plane
        .ask(&plane.root, "GET", &format!("/orgs/{ORG}/apps/Web%2Fx/users"))
        .await;
    odd.assert_refused(404, "not-found");
}

#[tokio::test]
async fn a_role_is_given_only_where_it_can_be_held() {
    let plane = Plane::start().await;
    let robot = plane.service_user("member").await.subject;
    let rows = [
        ("apps/web", "deployer"),
        ("apps/web", "administrator"),
        ("apps/web", "Owner"),
        ("env-types/production", "owner"),
        ("env-types/production", "manager"),
    ];
    for (place, role) in rows {
        let path = format!("/orgs/{ORG}/{place}/users");
        let answer = plane
            .send(&plane.root, "POST", &path, json!({"id": robot, "role": role}))
            .await;
        answer.assert_refused(400, "unknown-role");
    }
    let path = format!("/orgs/{ORG}/apps/web/users");
    for body in [json!({"id": robot}), json!({"role": "viewer"})] {
        plane
            .send(&plane.root, "POST", &path, body)
            .await
            .assert_refused(400, "invalid-field");
    }
}

#[tokio::test]
async fn one_service_user_holds_roles_on_org_app_and_env_type_at_once() {
    let plane = Plane::start().await;
    let robot = plane.service_user("artefactContributor").await;
    for (place, role) in [("apps/web", "developer"), ("env-types/production", "deployer")] {
        let body = json!({"id": robot.subject, "role": role});
        plane
            .send(&plane.root, "POST", &format!("/orgs/{ORG}/{place}/users"), body)
            .await
            .assert_ok();
    }
    let own = plane.ask(&robot, "GET", "/current-user").await;
    let expected = json!({
        "/orgs/my-org": "artefactContributor",
        "/orgs/my-org/apps/web": "developer",
        "/orgs/my-org/env-types/production": "deployer",
    });
    assert_eq!(own.body["roles"], expected);
}
