//! The caller themselves.

use serde_json::json;

use crate::harness::{Plane, assert_timestamp};

#[tokio::test]
async fn a_caller_reads_and_changes_their_own_profile_but_not_their_roles() {
    let plane = Plane::start().await;
    let robot = plane.service_user("member").await;
    let own = plane.ask(&robot, "GET", "/current-user").await;
    own.assert_ok();
    assert_timestamp(&own.body["created_at"]);
    assert_eq!(
        own.body,
        json!({"id": robot.subject, "name": "a member", "type": "service", "created_at": own.body["created_at"],
               "properties": {}, "roles": {"/orgs/my-org": "member"}})
    );
    let change = json!({
        "name": "Robo", "email": "robo@example.com", "properties": {"dont_show_welcome_screen": true},
        "id": "s-other", "type": "user", "created_at": "2001-01-01T00:00:00Z", "org": "their-org",
        "roles": {"/orgs/my-org": "administrator"}, "role": "administrator",
    });
    let changed = plane.send(&robot, "PATCH", "/current-user", change).await;
    changed.assert_ok();
    assert!(changed.revision() > 1);
    let expected = json!({
        "id": robot.subject, "name": "Robo", "email": "robo@example.com", "type": "service",
        "created_at": own.body["created_at"], "properties": {"dont_show_welcome_screen": true},
        "roles": {"/orgs/my-org": "member"},
    });
    assert_eq!(changed.body, expected);
    assert_eq!(plane.ask(&robot, "GET", "/current-user").await.body, expected);

    let partial = plane.send(&robot, "PATCH", "/current-user", json!({"email": ""})).await;
    assert_eq!(
        (&partial.body["name"], partial.body.get("email")),
        (&json!("Robo"), None)
    );
    for body in [json!({"name": " "}), json!({"email": "x"}), json!({"properties": "x"})] {
        let answer = plane.send(&robot, "PATCH", "/current-user", body.clone()).await;
        assert_eq!(answer.status, 400, "{body}");
    }
}

#[tokio::test]
async fn two_members_cannot_share_an_address() {
    let plane = Plane::start().await;
    let jo = plane.member("jo@example.com", "member").await;
    plane.member("al@example.com", "member").await;
    let change = json!({"email": "AL@example.com"});
    plane
        .send(&jo, "PATCH", "/current-user", change)
        .await
        .assert_refused(400, "email-taken");
    plane
        .send(&jo, "PATCH", "/current-user", json!({"email": "JO@example.com"}))
        .await
        .assert_ok();
}
