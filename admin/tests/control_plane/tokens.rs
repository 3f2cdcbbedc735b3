//! Tokens: what they are made of, who has them, and what is kept of them.

use serde_json::json;

use crate::harness::{ORG, Plane, on_postgres};

/// A thumbprint, as RFC 8705 §3.1 has one.
const CERTIFICATE: &str = "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0";

#[tokio::test]
async fn an_expiry_comes_back_as_it_was_written_and_is_left_out_when_there_is_none() {
    let plane = Plane::start().await;
    let tokens = format!("/users/{}/tokens", plane.service_user("member").await.subject);
    for (id, expires_at) in [
        ("a", "2026-01-01T00:00:00.001Z"),
        ("b", "2030-12-31T23:59:59Z"),
        ("c", "2030-06-30T12:00:00.100Z"),
    ] {
        let body = json!({"id": id, "type": "static", "expires_at": expires_at});
        plane.send(&plane.root, "POST", &tokens, body).await.assert_ok();
        let read = plane.ask(&plane.root, "GET", &format!("{tokens}/{id}")).await;
        assert_eq!(read.body["expires_at"], expires_at);
        assert_eq!(read.body["description"], "");
    }
    let list = plane.ask(&plane.root, "GET", &tokens).await;
    let ids: Vec<_> = list
        .body
        .as_array()
        .expect("an array")
        .iter()
        .map(|token| token["id"].clone())
        .collect();
    assert_eq!(ids, ["a", "b", "c", "main"]);
    assert!(list.body[3].get("expires_at").is_none());
}

#[tokio::test]
async fn a_token_that_cannot_be_is_refused() {
    let plane = Plane::start().await;
    let tokens = format!("/users/{}/tokens", plane.service_user("member").await.subject);
    let bound = |cnf| json!({"id": "x", "type": "static", "cnf": cnf});
    let expiring = |expires_at: &str| json!({"id": "x", "type": "static", "expires_at": expires_at});
    let refused = [
        json!({"type": "static"}),
        json!({"id": "x"}),
        json!({"id": "x", "type": "jwt"}),
        json!({"id": "", "type": "static"}),
        json!({"id": "a/b", "type": "static"}),
        json!({"id": "..", "type": "static"}),
        json!({"id": "a\nb", "type": "static"}),
        json!({"id": "x".repeat(101), "type": "static"}),
        json!({"id": "x", "type": "static", "description": "a\u{7}b"}),
        json!({"id": "x", "type": "static", "description": "x".repeat(1001)}),
        expiring(""),
        expiring("tomorrow"),
        expiring("2026-01-01T00:00:00Z"),
        expiring("0001-01-01T00:00:00Z"),
        expiring("2030-02-30T00:00:00Z"),
        expiring("2030-01-01T00:00:00+00:00"),
        expiring("2030-01-01T00:00:00.1Z"),
        bound(json!({})),
        bound(json!(CERTIFICATE)),
        bound(json!({"jkt": CERTIFICATE})),
        bound(json!({"x5t#S256": CERTIFICATE, "jkt": CERTIFICATE})),
        bound(json!({"x5t#S256": null})),
        bound(json!({"x5t#S256": &CERTIFICATE[1..]})),
        bound(json!({"x5t#S256": format!("{CERTIFICATE}=")})),
    ];
    for body in refused {
        let answer = plane.send(&plane.root, "POST", &tokens, body.clone()).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body["error"]),
            (400, &json!("invalid-field")),
            "{body}"
        );
    }
    assert_eq!(
        plane
            .ask(&plane.root, "GET", &tokens)
            .await
            .body
            .as_array()
            .map(Vec::len),
        Some(1)
    );
}

#[tokio::test]
async fn a_secret_is_shown_once_and_kept_nowhere() {
    let plane = Plane::start().await;
    let user = plane.service_user("member").await.subject;
    let body = json!({"id": "ci", "type": "static", "description": "for CI"});
    let made = plane
        .send(&plane.root, "POST", &format!("/users/{user}/tokens"), body)
        .await;
    made.assert_ok();
    assert_eq!(made.headers["cache-control"], "no-store");
    assert_eq!(made.body.as_object().map(serde_json::Map::len), Some(2));
    assert_eq!(made.body["type"], "static");
    let secret = made.body["token"].as_str().expect("a secret").to_owned();
    let digest = feed::Digest::of_presented(feed::token::Kind::Token, secret.as_bytes()).expect("a token");
    let digest: String = digest.as_bytes().iter().map(|octet| format!("{octet:02x}")).collect();
    let kept = plane
        .text(&format!(
            "SELECT {} FROM tokens WHERE subject = '{user}' AND id = 'ci'",
            Plane::hex("digest")
        ))
        .await;
    assert_eq!(kept, digest);
    let told = plane
        .text("SELECT records FROM changes ORDER BY revision DESC LIMIT 1")
        .await;
    assert!(told.contains(&digest));
    let audited = plane
        .text("SELECT string_agg(coalesce(before, '') || coalesce(after, ''), ',') FROM audit_entries")
        .await;
    assert!(audited.contains("for CI") && !audited.contains(&digest) && !audited.contains("pstn_"));
    if on_postgres() {
        return;
    }
    for name in [admin::STORE_FILE, "postern.db-wal"] {
        let file = std::fs::read(plane.file(name)).expect("a file");
        assert!(
            !file.windows(secret.len()).any(|window| window == secret.as_bytes()),
            "{name}"
        );
    }
}

#[tokio::test]
async fn the_certificate_that_a_token_is_bound_to_is_listed_audited_and_told_to_gateways_and_never_changes() {
    let plane = Plane::start().await;
    let tokens = format!("/users/{}/tokens", plane.service_user("member").await.subject);
    let cnf = json!({"x5t#S256": CERTIFICATE});
    let mut feed = plane.feed("").await;
    feed.snapshot().await;
    let body = json!({"id": "bound", "type": "static", "cnf": cnf});
    plane.send(&plane.root, "POST", &tokens, body).await.assert_ok();
    let list = plane.ask(&plane.root, "GET", &tokens).await.body;
    assert_eq!((&list[0]["id"], &list[0]["cnf"]), (&json!("bound"), &cnf));
    assert!(list[1].get("cnf").is_none(), "{list}");
    let audited = plane
        .text("SELECT after FROM audit_entries ORDER BY revision DESC LIMIT 1")
        .await;
    assert!(audited.contains(CERTIFICATE), "{audited}");
    let feed::Frame::Change { records, .. } = feed.news().await else {
        panic!("no change came");
    };
    let (_, snapshot) = plane.feed("").await.snapshot().await;
    for records in [records, snapshot] {
        let bound = records.into_iter().find_map(|record| match record {
            feed::Record::Token(token) if token.id == "bound" => token.certificate,
            feed::Record::Token(_)
            | feed::Record::Subject(_)
            | feed::Record::SubjectRemoved { .. }
            | feed::Record::TokenRemoved { .. }
            | feed::Record::Policy(_)
            | feed::Record::PolicyRemoved { .. }
            | feed::Record::Guard(_)
            | feed::Record::GuardRemoved { .. } => None,
        });
        assert_eq!(bound.map(|bound| bound.to_string()).as_deref(), Some(CERTIFICATE));
    }
    for change in [
        "certificate = NULL",
        "certificate = 'A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v1'",
    ] {
        let changed = plane
            .sql(&format!("UPDATE tokens SET {change} WHERE id = 'bound'"))
            .await;
        assert!(changed.is_err(), "{change}");
    }
}

#[tokio::test]
async fn an_id_is_taken_while_its_token_lives_and_free_afterwards() {
    let plane = Plane::start().await;
    let (one, other) = (
        plane.service_user("member").await.subject,
        plane.service_user("member").await.subject,
    );
    let body = json!({"id": "ci token/".replace('/', "!"), "type": "static"});
    let tokens = format!("/users/{one}/tokens");
    plane.send(&plane.root, "POST", &tokens, body.clone()).await.assert_ok();
    plane
        .send(&plane.root, "POST", &tokens, body.clone())
        .await
        .assert_refused(409, "token-id-taken");
    plane
        .send(&plane.root, "POST", &format!("/users/{other}/tokens"), body.clone())
        .await
        .assert_ok();
    let path = format!("{tokens}/ci%20token!");
    plane.ask(&plane.root, "GET", &path).await.assert_ok();
    assert_eq!(plane.ask(&plane.root, "DELETE", &path).await.status, 204);
    plane
        .ask(&plane.root, "GET", &path)
        .await
        .assert_refused(404, "not-found");
    plane
        .ask(&plane.root, "DELETE", &path)
        .await
        .assert_refused(404, "not-found");
    plane.send(&plane.root, "POST", &tokens, body).await.assert_ok();
}

#[tokio::test]
async fn only_service_users_have_tokens() {
    let plane = Plane::start().await;
    let person = plane.member("jo@example.com", "member").await.subject;
    let tokens = format!("/users/{person}/tokens");
    let body = json!({"id": "x", "type": "static"});
    plane
        .send(&plane.root, "POST", &tokens, body)
        .await
        .assert_refused(400, "not-a-service-user");
    assert_eq!(plane.ask(&plane.root, "GET", &tokens).await.body, json!([]));
}

#[tokio::test]
async fn a_service_user_has_a_thousand_tokens_and_no_more() {
    let plane = Plane::start().await;
    let user = plane.service_user("member").await.subject;
    plane
        .sql(&format!(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 998)
             INSERT INTO tokens (number, subject, org, id, digest, description, created_ms, created_by)
             SELECT 1000 + i, '{user}', '{ORG}', 'token-' || i, {}, '', 0, 'x' FROM n",
            Plane::random_octets()
        ))
        .await
        .expect("they are inserted");
    let tokens = format!("/users/{user}/tokens");
    let definition = |id: &str| json!({"id": id, "type": "static"});
    plane
        .send(&plane.root, "POST", &tokens, definition("last"))
        .await
        .assert_ok();
    plane
        .send(&plane.root, "POST", &tokens, definition("more"))
        .await
        .assert_refused(400, "too-many-tokens");
}
