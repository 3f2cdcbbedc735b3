//! Service users and other subjects of an organisation.

use serde_json::json;

use crate::harness::{ORG, Plane};

#[tokio::test]
async fn what_a_client_sends_beyond_the_fields_is_ignored_and_never_bound() {
    let plane = Plane::start().await;
    let body = json!({
        "name": "CI Robot", "role": "member", "type": "user", "id": "s-chosen", "org": "their-org", "org_id": "their-org",
        "created_by": "nobody", "created_at": "2001-01-01T00:00:00Z", "invite": "accepted", "roles": {"/orgs/my-org": "administrator"},
    });
    let user = plane
        .send(
            &plane.root,
            "POST",
            &format!("/orgs/{ORG}/users?name=x&colour=blue"),
            body,
        )
        .await;
    user.assert_ok();
    let id = user.body["id"].as_str().expect("an id");
    assert_ne!(id, "s-chosen");
    let row = plane
        .text(&format!(
            "SELECT org || ' ' || kind || ' ' || created_by || ' ' || created_ms || ' '
                || (SELECT string_agg(role, ',') FROM role_bindings WHERE subject = '{id}') FROM subjects WHERE id = '{id}'"
        ))
        .await;
    let expected = format!("{ORG} service-user {} 1767225600000 member", plane.root.subject);
    assert_eq!(row, expected);
}

#[tokio::test]
async fn a_service_user_without_what_it_needs_is_refused() {
    let plane = Plane::start().await;
    let rows = [
        (json!({"role": "member"}), "invalid-field"),
        (json!({"name": "x"}), "invalid-field"),
        (json!({"name": null, "role": "member"}), "invalid-field"),
        (json!({"name": "", "role": "member"}), "invalid-field"),
        (json!({"name": "a\u{0}b", "role": "member"}), "invalid-field"),
        (json!({"name": "é".repeat(101), "role": "member"}), "invalid-field"),
        (
            json!({"name": "x", "role": "member", "email": "nowhere"}),
            "invalid-field",
        ),
        (json!({"name": 7, "role": "member"}), "malformed-body"),
        (json!(["name", "role"]), "malformed-body"),
        (json!({"name": "x", "role": "artefactContributer"}), "unknown-role"),
        (json!({"name": "x", "role": "Administrator"}), "unknown-role"),
        (json!({"name": "x", "role": ""}), "unknown-role"),
        (json!({"name": "x", "role": "owner"}), "unknown-role"),
        (json!({"name": "x", "role": "deployer"}), "unknown-role"),
    ];
    let revision = plane.admin.revision();
    for (body, reason) in rows {
        let answer = plane
            .send(&plane.root, "POST", &format!("/orgs/{ORG}/users"), body.clone())
            .await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body["error"]),
            (400, &json!(reason)),
            "{body}"
        );
    }
    assert_eq!(plane.admin.revision(), revision, "nothing was changed");
    let longest = json!({"name": "é".repeat(100), "role": "member"});
    plane
        .send(&plane.root, "POST", &format!("/orgs/{ORG}/users"), longest)
        .await
        .assert_ok();
}

#[tokio::test]
async fn a_body_of_64_kib_is_read_and_a_longer_one_is_refused() {
    let plane = Plane::start().await;
    let identity = plane.signer.sign(&plane.identity(&plane.root));
    let fields = [(feed::frame::IDENTITY_FIELD, identity.as_str())];
    let body = |length: usize| {
        let start = r#"{"name": "x", "role": "member", "more": ""#;
        format!("{start}{}\"}}", "x".repeat(length - start.len() - 2))
    };
    let path = format!("/orgs/{ORG}/users");
    plane.request("POST", &path, body(65536), &fields).await.assert_ok();
    let longer = plane.request("POST", &path, body(65537), &fields).await;
    longer.assert_refused(413, "body-too-large");
    let broken = plane.request("POST", &path, "{\"name\": ".to_owned(), &fields).await;
    broken.assert_refused(400, "malformed-body");
    let twice = r#"{"name": "x", "role": "member", "role": "administrator"}"#;
    let twice = plane.request("POST", &path, twice.to_owned(), &fields).await;
    twice.assert_refused(400, "malformed-body");
}

#[tokio::test]
async fn a_list_holds_users_service_users_and_groups_or_those_asked_for() {
    let plane = Plane::start().await;
    let robot = plane.service_user("member").await;
    let person = plane.member("jo@example.com", "manager").await;
    let body = json!({"group_id": "engineers", "idp_id": "my-idp", "role": "member"});
    let group = plane
        .send(&plane.root, "POST", &format!("/orgs/{ORG}/groups"), body)
        .await;
    let path = format!("/orgs/{ORG}/users");
    let ids = |query: &'static str| {
        let (plane, path) = (&plane, &path);
        async move {
            let list = plane.ask(&plane.root, "GET", &format!("{path}{query}")).await;
            list.assert_ok();
            let all = list.body.as_array().expect("an array").clone();
            all.iter()
                .map(|user| user["id"].as_str().expect("an id").to_owned())
                .collect::<Vec<_>>()
        }
    };
    let group_id = group.body["id"].as_str().expect("an id");
    let mut users = vec![plane.root.subject.clone(), robot.subject, person.subject.clone()];
    users.sort();
    let mut found = ids("?type=user&name=x").await;
    found.sort();
    assert_eq!(found, users);
    assert_eq!(ids("?type=group").await, [group_id]);
    assert_eq!(ids("").await.len(), 4);
    let other = plane.ask(&plane.root, "GET", &format!("{path}?type=robot")).await;
    other.assert_refused(400, "invalid-field");
    let read = plane
        .ask(&plane.root, "GET", &format!("{path}/{}", person.subject))
        .await;
    assert_eq!(read.body["invite"], "accepted");
    assert_eq!(read.body["type"], "user");
}

#[tokio::test]
async fn a_deleted_service_user_takes_its_tokens_and_roles_along() {
    let plane = Plane::start().await;
    let robot = plane.service_user("member").await;
    let role = json!({"id": robot.subject, "role": "developer"});
    plane
        .send(&plane.root, "POST", &format!("/orgs/{ORG}/apps/web/users"), role)
        .await
        .assert_ok();
    let path = format!("/orgs/{ORG}/users/{}", robot.subject);
    assert_eq!(plane.ask(&plane.root, "DELETE", &path).await.status, 204);
    for table in ["tokens", "role_bindings"] {
        let left = format!("SELECT count(*) FROM {table} WHERE subject = '{}'", robot.subject);
        assert_eq!(plane.number(&left).await, 0, "{table}");
    }
    let records = plane
        .text("SELECT records FROM changes ORDER BY revision DESC LIMIT 1")
        .await;
    let subject_removed = format!(r#"{{"kind":"subject-removed","id":"{}"}}"#, robot.subject);
    assert!(records.starts_with(r#"[{"kind":"token-removed""#), "{records}");
    assert!(records.ends_with(&format!("{subject_removed}]")), "{records}");
    plane
        .ask(&plane.root, "DELETE", &path)
        .await
        .assert_refused(404, "not-found");
    plane
        .ask(&robot, "GET", "/current-user")
        .await
        .assert_refused(404, "not-found");
}

#[tokio::test]
async fn every_change_is_told_with_its_revision_in_the_answer() {
    let plane = Plane::start().await;
    let before = plane.admin.revision();
    let body = json!({"name": "x", "role": "member"});
    let made = plane
        .send(&plane.root, "POST", &format!("/orgs/{ORG}/users"), body)
        .await;
    assert_eq!(made.revision(), before + 1);
    assert_eq!(plane.admin.revision(), before + 1);
    let read = plane.ask(&plane.root, "GET", &format!("/orgs/{ORG}/users")).await;
    assert!(!read.headers.contains_key(feed::frame::REVISION_FIELD));
    let counts = plane.admin.counts().await.expect("counts");
    assert_eq!((counts.service_users, counts.tokens), (2, 1));
}
