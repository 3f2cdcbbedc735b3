//! What a subject may do, and why: by the components themselves, now, earlier, or with another version in force.

use feed::PolicyDigest;
use serde_json::{Value, json};

use crate::components::{freeze, role};
use crate::harness::{Answer, ORG, Plane};

#[tokio::test]
async fn the_matrix_tells_each_operation_on_each_object_and_who_made_it_so() {
    let (plane, robot) = with_tester().await;
    let access = access(&plane, &robot, "").await;
    access.assert_ok();
    assert_eq!(access.body["subject"], robot.as_str());
    assert_eq!(access.body["revision"], plane.admin.revision());
    let expected = json!({
        "operation": "getApplication", "permission": "app.read", "method": "GET", "path": "/orgs/{orgId}/apps/{appId}",
        "object": "/orgs/my-org/apps/web", "outcome": "allowed", "by": "tester",
    });
    assert_eq!(row(&access, "getApplication"), &expected);
    let refused = row(&access, "deleteApplication");
    assert_eq!(
        (&refused["outcome"], &refused["by"]),
        (&json!("not-allowed"), &json!(null))
    );
    assert_eq!(row(&access, "listApplications")["by"], "member");
    assert_eq!(row(&access, "listApplications")["object"], "/orgs/my-org");
}

#[tokio::test]
async fn the_matrix_shows_what_a_guard_refuses() {
    let (plane, robot) = with_tester().await;
    attach_freeze(&plane, "app.read").await;
    let access = access(&plane, &robot, "").await;
    let refused = row(&access, "getApplication");
    assert_eq!(
        (&refused["outcome"], &refused["by"]),
        (&json!("denied"), &json!("freeze"))
    );
    assert_eq!(row(&access, "listEnvironments")["outcome"], "allowed");
    // What roles allow does not depend on it.
    let perms = plane
        .ask(&plane.root, "GET", &format!("/orgs/{ORG}/users/{robot}/perms"))
        .await;
    let on_app = &perms.body["objects"]["/orgs/my-org/apps/web"]["permissions"];
    assert!(
        on_app.as_array().expect("an array").contains(&json!("app.read")),
        "{on_app}"
    );
}

#[tokio::test]
async fn the_matrix_is_told_for_a_version_that_is_not_in_force() {
    let (plane, robot) = with_tester().await;
    assert_eq!(plane.publish(&role("member", "tester", "1.1.0")).await.status, 201);
    let other = access(&plane, &robot, "?policy=tester&version=1.1.0").await;
    other.assert_ok();
    // The other version admits no role on an app.
    assert_eq!(row(&other, "getApplication")["outcome"], "not-allowed");
    assert_eq!(
        row(&access(&plane, &robot, "").await, "getApplication")["outcome"],
        "allowed"
    );
    for query in ["?policy=tester&version=2.0.0", "?policy=nothing&version=1.1.0"] {
        access(&plane, &robot, query).await.assert_refused(404, "not-found");
    }
    for query in ["?policy=tester", "?version=1.1.0", "?revision=x", "?revision=1000000"] {
        access(&plane, &robot, query).await.assert_refused(400, "invalid-field");
    }
}

#[tokio::test]
async fn the_matrix_is_told_as_it_was_at_an_older_revision() {
    let (plane, robot) = with_tester().await;
    let bound = plane.admin.revision();
    let before = access(&plane, &robot, &format!("?revision={}", bound - 1)).await;
    before.assert_ok();
    assert_eq!(before.body["revision"], bound - 1);
    let rows = before.body["rows"].as_array().expect("an array");
    assert!(
        rows.iter().all(|row| row["object"] == "/orgs/my-org"),
        "no role on an app yet"
    );
    attach_freeze(&plane, "app.read").await;
    assert_eq!(plane.publish(&role("member", "tester", "1.1.0")).await.status, 201);
    let then = access(&plane, &robot, &format!("?revision={bound}")).await;
    assert_eq!(row(&then, "getApplication")["by"], "tester");
    let path = format!("/orgs/{ORG}/apps/web/users/{robot}");
    assert_eq!(plane.ask(&plane.root, "DELETE", &path).await.status, 204);
    let then = access(&plane, &robot, &format!("?revision={bound}")).await;
    assert_eq!(row(&then, "getApplication")["by"], "tester");
    // At the first revision there was no such subject.
    access(&plane, &robot, "?revision=1")
        .await
        .assert_refused(404, "not-found");
}

#[tokio::test]
async fn what_the_change_log_no_longer_tells_is_not_guessed() {
    let (plane, robot) = with_tester().await;
    let bound = plane.admin.revision();
    attach_freeze(&plane, "app.read").await;
    // As pruning does.
    let pruned = format!("DELETE FROM changes WHERE revision <= {bound}");
    plane.sql(&pruned).await.expect("they are deleted");
    let refused = access(&plane, &robot, &format!("?revision={}", bound - 1)).await;
    refused.assert_refused(410, "revision-too-old");
    // The log tells only that the guard is there later, not whether it was there before.
    let refused = access(&plane, &robot, &format!("?revision={bound}")).await;
    refused.assert_refused(410, "revision-too-old");
    let newest = plane.admin.revision();
    access(&plane, &robot, &format!("?revision={newest}")).await.assert_ok();
}

#[tokio::test]
async fn an_explanation_tells_who_said_what() {
    let (plane, robot) = with_tester().await;
    attach_freeze(&plane, "app.read").await;
    let body = json!({"subject": robot, "method": "GET", "path": "/orgs/my-org/apps/web"});
    let denied = explain(&plane, body).await;
    denied.assert_ok();
    assert_eq!(
        denied.body["outcome"],
        json!({"outcome": "denied", "guard": "freeze", "reason": "frozen"})
    );
    let answers = json!([
        {"asked": "role", "role": "member", "held_on": "org", "policy": digest("member"), "verdict": "abstain"},
        {"asked": "role", "role": "tester", "held_on": "app",
         "policy": PolicyDigest::of(&role("viewer", "tester", "1.0.0")), "verdict": "allow"},
        {"asked": "guard", "guard": "freeze", "scope": "/orgs/my-org", "policy": PolicyDigest::of(&freeze("1.0.0")),
         "settings": "{\"permission\":\"app.read\"}", "verdict": "deny"},
    ]);
    assert_eq!(denied.body["answers"], answers);
    assert_eq!(denied.body["revision"], plane.admin.revision());
    let question = &denied.body["question"];
    assert_eq!(question["subject"]["app_role"], "tester");
    assert_eq!(question["parameters"], json!({"orgId": ORG, "appId": "web"}));

    let body = json!({
        "subject": robot, "operation": "createDeployment", "parameters": {"appId": "web", "envId": "dev"},
        "env_types": ["development"], "inputs": {"time_ms": 1},
    });
    let answer = explain(&plane, body).await;
    answer.assert_ok();
    assert_eq!(answer.body["outcome"], json!({"outcome": "not-allowed"}));
    assert_eq!(
        answer.body["question"]["subject"]["env_types"],
        json!([{"id": "development"}])
    );
    assert_eq!(answer.body["question"]["inputs"], json!({"time_ms": 1}));
}

#[tokio::test]
async fn a_question_that_names_nothing_is_refused() {
    let (plane, robot) = with_tester().await;
    let refused = [
        json!({}),
        json!({"subject": robot}),
        json!({"subject": robot, "operation": "nothing"}),
        json!({"subject": robot, "operation": "getApplication"}),
        json!({"subject": robot, "operation": "getApplication", "parameters": {"appId": "A B"}}),
        json!({"subject": robot, "operation": "getApplication", "parameters": {"appId": "web", "orgId": "their-org"}}),
        json!({"subject": robot, "operation": "getApplication", "method": "GET", "path": "/orgs/my-org/apps/web"}),
        json!({"subject": robot, "method": "BREW", "path": "/orgs/my-org/apps/web"}),
        json!({"subject": robot, "method": "GET", "path": "/orgs/my-org/nothing"}),
        json!({"subject": robot, "method": "GET", "path": "/orgs/their-org/apps/web"}),
        json!({"subject": robot, "method": "GET", "path": "/orgs/my-org/apps/web", "env_types": vec!["dev"; 101]}),
    ];
    for body in refused {
        explain(&plane, body).await.assert_refused(400, "invalid-field");
    }
    let nobody = json!({"subject": "s-nobody", "method": "GET", "path": "/orgs/my-org/apps/web"});
    explain(&plane, nobody).await.assert_refused(404, "not-found");
    let stranger = plane.foreign_administrator().await;
    let path = format!("/orgs/{ORG}/explanations");
    plane
        .send(&stranger, "POST", &path, json!({}))
        .await
        .assert_refused(404, "not-found");
    let path = format!("/orgs/{ORG}/users/{robot}/access");
    plane
        .ask(&stranger, "GET", &path)
        .await
        .assert_refused(404, "not-found");
}

/// A service user that is `member`, and `tester` on the app `web`.
async fn with_tester() -> (Plane, String) {
    let plane = Plane::start().await;
    assert_eq!(plane.publish(&role("viewer", "tester", "1.0.0")).await.status, 201);
    let robot = plane.service_user("member").await.subject;
    let body = json!({"id": robot, "role": "tester"});
    plane
        .send(&plane.root, "POST", &format!("/orgs/{ORG}/apps/web/users"), body)
        .await
        .assert_ok();
    (plane, robot)
}

async fn attach_freeze(plane: &Plane, permission: &str) {
    assert_eq!(plane.publish(&freeze("1.0.0")).await.status, 201);
    let body = json!({"policy": "freeze", "scope": "/orgs/my-org", "settings": {"permission": permission}});
    let answer = plane
        .send(&plane.root, "POST", &format!("/orgs/{ORG}/guards"), body)
        .await;
    assert_eq!(answer.status, 201, "{}", answer.body);
}

async fn access(plane: &Plane, subject: &str, query: &str) -> Answer {
    let path = format!("/orgs/{ORG}/users/{subject}/access{query}");
    plane.ask(&plane.root, "GET", &path).await
}

async fn explain(plane: &Plane, body: Value) -> Answer {
    plane
        .send(&plane.root, "POST", &format!("/orgs/{ORG}/explanations"), body)
        .await
}

#[track_caller]
fn row<'a>(access: &'a Answer, operation: &str) -> &'a Value {
    let rows = access.body["rows"].as_array().expect("an array");
    let found = rows.iter().find(|row| row["operation"] == operation);
    found.unwrap_or_else(|| panic!("no row for {operation}"))
}

fn digest(built_in: &str) -> String {
    let component = engine::builtin::COMPONENTS
        .iter()
        .find(|component| {
            let name = format!("{built_in}1.1.0");
            component.windows(name.len()).any(|window| window == name.as_bytes())
        })
        .expect("such a role is built in");
    PolicyDigest::of(component).to_string()
}
