//! Groups, and members to be.

use serde_json::json;

use crate::harness::{ORG, Plane, assert_timestamp};

#[tokio::test]
async fn a_group_exists_once_for_each_identity_provider() {
    let plane = Plane::start().await;
    let groups = format!("/orgs/{ORG}/groups");
    let body = json!({"group_id": "engineers", "idp_id": "my-idp", "role": "member", "more": 1});
    let group = plane.send(&plane.root, "POST", &groups, body.clone()).await;
    group.assert_ok();
    plane
        .send(&plane.root, "POST", &groups, body)
        .await
        .assert_refused(409, "group-taken");
    let elsewhere = json!({"group_id": "engineers", "idp_id": "other-idp", "role": "member"});
    plane.send(&plane.root, "POST", &groups, elsewhere).await.assert_ok();
    for body in [
        json!({"idp_id": "my-idp", "role": "member"}),
        json!({"group_id": "x", "role": "member"}),
        json!({"group_id": "x", "idp_id": "my-idp"}),
        json!({"group_id": "x", "idp_id": "My Idp", "role": "member"}),
    ] {
        plane
            .send(&plane.root, "POST", &groups, body)
            .await
            .assert_refused(400, "invalid-field");
    }
    let id = group.body["id"].as_str().expect("an id");
    let users = plane.ask(&plane.root, "GET", &format!("{groups}/{id}/users")).await;
    users.assert_ok();
    assert_eq!(users.body, json!([]));
    let no_group = format!("{groups}/{}/users", plane.root.subject);
    plane
        .ask(&plane.root, "GET", &no_group)
        .await
        .assert_refused(404, "not-found");
    let of_user = format!("/orgs/{ORG}/users/{}/groups", plane.root.subject);
    assert_eq!(plane.ask(&plane.root, "GET", &of_user).await.body, json!([]));
    let of_nobody = format!("/orgs/{ORG}/users/nobody/groups");
    plane
        .ask(&plane.root, "GET", &of_nobody)
        .await
        .assert_refused(404, "not-found");
}

#[tokio::test]
async fn an_invitation_makes_a_pending_member_once() {
    let plane = Plane::start().await;
    let invitations = format!("/orgs/{ORG}/invitations");
    let body = json!({"email": "jo@example.com", "role": "manager"});
    let invited = plane.send(&plane.root, "POST", &invitations, body).await;
    invited.assert_ok();
    let id = invited.body[0]["id"].as_str().expect("an id");
    assert_eq!(id.len(), 36, "a bare UUID");
    assert_timestamp(&invited.body[0]["created_at"]);
    assert_eq!(
        invited.body,
        json!([{"id": id, "name": "jo@example.com", "email": "jo@example.com", "type": "user", "role": "manager",
                "invite": "pending", "created_at": invited.body[0]["created_at"]}])
    );
    let list = plane.ask(&plane.root, "GET", &invitations).await;
    list.assert_ok();
    assert_eq!(
        list.body,
        json!([{"user_id": id, "email": "jo@example.com", "created_by": plane.root.subject,
                "created_at": "2026-01-01T00:00:00.000Z", "expires_at": "2026-01-08T00:00:00.000Z"}])
    );
    let again = json!({"email": "Jo@Example.com", "role": "member"});
    plane
        .send(&plane.root, "POST", &invitations, again)
        .await
        .assert_refused(400, "email-taken");
    for body in [
        json!({"email": "al@example.com"}),
        json!({"role": "member"}),
        json!({"email": "", "role": "member"}),
    ] {
        plane
            .send(&plane.root, "POST", &invitations, body)
            .await
            .assert_refused(400, "invalid-field");
    }
    plane.member("al@example.com", "member").await;
    assert_eq!(
        plane
            .ask(&plane.root, "GET", &invitations)
            .await
            .body
            .as_array()
            .map(Vec::len),
        Some(1)
    );
}
