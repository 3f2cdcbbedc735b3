//! Who asks: every credential that is none gets the same answer.

use feed::Clock;
use feed::Secret;
use feed::token::Kind;
use serde_json::json;

use crate::harness::client::{Answer, Request};
use crate::harness::eventually;
use crate::harness::postern::Postern;
use crate::harness::raw;
use crate::harness::upstream::Upstream;

/// An answer without what may differ: the decision id in it.
fn faceless(answer: &Answer) -> (u16, String, String, Vec<String>) {
    let mut body = answer.json();
    body["details"]["decision_id"] = json!("");
    let challenge = answer.field("www-authenticate").unwrap_or_default().to_owned();
    let mut names: Vec<String> = answer.fields.iter().map(|(name, _)| name.to_lowercase()).collect();
    names.sort();
    (answer.status, body.to_string(), challenge, names)
}

#[test]
fn missing_malformed_unknown_expired_and_revoked_tokens_get_one_answer() {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::start(&upstream.url());
    let administrator = postern.administrator();
    let ci = administrator.with_org_role("member");
    let soon = chrono::DateTime::from_timestamp_millis(Clock::system().unix_ms() + 700).expect("a time");
    let soon = soon.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
    let tokens = format!("/users/{}/tokens", ci.id);
    let body = json!({"id": "short", "type": "static", "expires_at": soon});
    let expiring = administrator.post(&tokens, body).ok(200)["token"]
        .as_str()
        .expect("a secret")
        .to_owned();
    administrator.delete(&format!("{tokens}/first")).ok(204);
    let ask = |token: &str| postern.with_token(token).get("/orgs/acme/env-types");
    let expired = eventually("the expiry", || {
        Some(ask(&expiring)).filter(|answer| answer.status != 200)
    });
    let before = upstream.received().len();
    let unknown = Secret::from_random(Kind::Token, [7; 32]);
    let typo = unknown.reveal().replace("pstn_", "pstn_0");
    let answers = [
        (ask("secret"), "token-malformed"),
        (ask(&typo), "token-malformed"),
        (ask(&"a".repeat(8000)), "token-malformed"),
        (ask("eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9."), "token-malformed"),
        (ask(unknown.reveal()), "token-unknown"),
        (ask(&ci.token), "token-unknown"),
        (expired, "token-expired"),
    ];
    let expected = faceless(&answers[0].0);
    for (answer, reason) in &answers {
        postern.assert_refused(answer, reason);
        assert_eq!(faceless(answer), expected, "{reason}");
    }
    let missing = postern.anybody().get("/orgs/acme/env-types");
    postern.assert_refused(&missing, "token-missing");
    let (status, body, challenge, names) = faceless(&missing);
    assert_eq!((status, body, names), (expected.0, expected.1, expected.3));
    // RFC 6750 §3.1: no error code for a request without credentials.
    assert_eq!(challenge, r#"Bearer realm="postern""#);
    assert_eq!(expected.2, r#"Bearer realm="postern", error="invalid_token""#);
    assert_eq!(upstream.received().len(), before);
}

#[test]
fn a_token_counts_until_its_expiry_and_not_after() {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::start(&upstream.url());
    let administrator = postern.administrator();
    let ci = administrator.with_org_role("member");
    let expires_ms = Clock::system().unix_ms() + 1500;
    let expires_at = chrono::DateTime::from_timestamp_millis(expires_ms).expect("a time");
    let expires_at = expires_at.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
    let body = json!({"id": "short", "type": "static", "expires_at": expires_at});
    let created = administrator.post(&format!("/users/{}/tokens", ci.id), body).ok(200);
    let caller = postern.with_token(created["token"].as_str().expect("a secret"));
    eventually("the expiry", || {
        let before = Clock::system().unix_ms();
        let status = caller.get("/orgs/acme/env-types").status;
        let after = Clock::system().unix_ms();
        assert!(
            status == 200 || after >= expires_ms,
            "refused {} ms too early",
            expires_ms - after
        );
        assert!(
            status == 401 || before < expires_ms,
            "allowed {} ms too late",
            before - expires_ms
        );
        (status == 401).then_some(())
    });
}

#[test]
fn credentials_count_in_one_authorization_field_only() {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::start(&upstream.url());
    let token = postern.administrator().token.expect("it has one");
    let fields = [
        (
            format!("Authorization: Bearer {token}\r\nAuthorization: Bearer {token}"),
            "credentials-twice",
        ),
        (
            format!("Authorization: Bearer {token}, Bearer {token}"),
            "token-malformed",
        ),
        (format!("Authorization: Bearer {token} "), "accepted"),
        (format!("Authorization: bearer {token}"), "accepted"),
        (format!("Authorization: Bearer  {token}"), "token-malformed"),
        (format!("Authorization: Basic {token}"), "token-malformed"),
        (format!("Authorization: {token}"), "token-malformed"),
        (format!("Cookie: token={token}"), "token-missing"),
        (format!("Proxy-Authorization: Bearer {token}"), "token-missing"),
        (format!("X-Authorization: Bearer {token}"), "token-missing"),
    ];
    for (field, reason) in fields {
        let octets = format!("GET /orgs/acme/env-types HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{field}\r\n\r\n");
        let answer = raw::single(postern.address, octets.as_bytes());
        match reason {
            "accepted" => assert_eq!(answer.status, 200, "{field}"),
            reason => postern.assert_refused(&answer, reason),
        }
    }
}

#[test]
fn a_token_in_the_query_is_refused_even_beside_a_good_one() {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::start(&upstream.url());
    let administrator = postern.administrator();
    let token = administrator.token.clone().expect("it has one");
    for query in [
        format!("token={token}"),
        "access_token=x".to_owned(),
        format!("a=b&access_token={token}"),
    ] {
        let answer = administrator.get(&format!("/orgs/acme/env-types?{query}"));
        postern.assert_refused(&answer, "credential-in-query");
    }
    assert_eq!(upstream.received().len(), 0);
}

#[test]
fn the_gateways_own_credential_is_no_token() {
    let postern = Postern::start("http://127.0.0.1:9");
    let credential = std::fs::read_to_string(postern.data().join("gateway-credential")).expect("it is there");
    let answer = postern.with_token(credential.trim()).get("/current-user");
    postern.assert_refused(&answer, "token-malformed");
}

#[test]
fn a_service_users_token_does_not_open_the_admin_listener() {
    let postern = Postern::start("http://127.0.0.1:9");
    let administrator = postern.administrator();
    let at_admin = crate::harness::client::Client {
        address: postern.admin_address,
        ..administrator
    };
    for request in [
        Request::new("GET", "/current-user"),
        Request::new("GET", "/orgs/acme/users"),
        Request::new("GET", "/feed?after=0"),
        Request::new("POST", "/feed/ack").json(&json!({})),
        Request::new("POST", "/effects").json(&json!({})),
    ] {
        assert_eq!(at_admin.send(request).status, 401);
    }
}
