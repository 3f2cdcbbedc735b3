//! Whose word is taken: nothing is answered without a gateway, and nothing of the API without an identity it signed.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use feed::frame::IDENTITY_FIELD;
use feed::token::Kind;
use feed::{Identity, Secret};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;

use crate::gateway::Signer;
use crate::harness::{Answer, ORG, Plane};

#[tokio::test]
async fn without_the_gateway_credential_nothing_is_answered() {
    let plane = Plane::start().await;
    let identity = plane.signer.sign(&plane.identity(&plane.root));
    let right = format!("Bearer {}", plane.credential);
    let other = Secret::from_random(Kind::GatewayCredential, [7; 32]);
    let token = std::fs::read_to_string(plane.file(admin::BOOTSTRAP_TOKEN_FILE)).expect("a token");
    let credentials = [
        Vec::new(),
        vec![format!("Bearer {}", other.reveal())],
        vec![format!("Bearer {}", token.trim())],
        vec![format!("Basic {}", plane.credential)],
        vec![plane.credential.clone()],
        vec![format!("{right}x")],
        vec![right.clone(), right.clone()],
    ];
    let paths = [
        ("GET", "/feed"),
        ("POST", "/feed/ack"),
        ("POST", "/effects"),
        ("GET", "/current-user"),
        ("GET", "/orgs/my-org/users"),
        ("GET", "/nowhere"),
        ("PUT", "/current-user"),
    ];
    for values in credentials {
        for (method, path) in paths {
            let mut fields: Vec<(&str, &str)> = values.iter().map(|value| ("authorization", value.as_str())).collect();
            fields.push((IDENTITY_FIELD, &identity));
            let answer = plane.raw(method, path, String::new(), &fields).await;
            answer.assert_refused(401, "unauthenticated");
            assert_eq!(answer.headers["www-authenticate"], "Bearer");
        }
    }
    let fields = [("authorization", right.as_str()), (IDENTITY_FIELD, &identity)];
    plane
        .raw("GET", "/current-user", String::new(), &fields)
        .await
        .assert_ok();
}

#[tokio::test]
async fn an_identity_is_believed_only_from_a_known_key_and_in_its_time() {
    let plane = Plane::start().await;
    let good = || plane.identity(&plane.root);
    let now = plane.clock.unix_ms() / 1000;
    let with = |change: fn(&mut Identity, i64)| {
        let mut identity = good();
        change(&mut identity, now);
        plane.signer.sign(&identity)
    };
    with_identity(&plane, &plane.signer.sign(&good())).await.assert_ok();
    let refused = [
        ("another key under a known id", Signer::new("key-1").sign(&good())),
        ("an unknown id", Signer::new("key-2").sign(&good())),
        (
            "another issuer",
            with(|identity, _| identity.iss = "somebody".to_owned()),
        ),
        (
            "expired",
            with(|identity, now| (identity.iat, identity.exp) = (now - 70, now - 10)),
        ),
        (
            "not yet begun",
            with(|identity, now| (identity.iat, identity.exp) = (now + 30, now + 90)),
        ),
        ("too long", with(|identity, now| identity.exp = now + 3600)),
        ("no JWT", "x".to_owned()),
        ("an empty one", String::new()),
        ("no signature", without_signature(&plane.signer.sign(&good()))),
        (
            "the public key as a shared secret",
            signed_with_public_key(&plane.signer, &good()),
        ),
    ];
    for (why, jwt) in refused {
        let answer = with_identity(&plane, &jwt).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body["error"]),
            (401, &json!("unauthenticated")),
            "{why}"
        );
    }
    let jwt = plane.signer.sign(&good());
    let fields = [(IDENTITY_FIELD, jwt.as_str()), (IDENTITY_FIELD, jwt.as_str())];
    plane
        .request("GET", "/current-user", String::new(), &fields)
        .await
        .assert_refused(401, "unauthenticated");
    plane
        .request("GET", "/current-user", String::new(), &[])
        .await
        .assert_refused(401, "unauthenticated");
}

#[tokio::test]
async fn an_identity_ends_with_its_time_by_the_given_clock() {
    let plane = Plane::start().await;
    let jwt = plane.signer.sign(&plane.identity(&plane.root));
    plane.clock.advance_ms(60_000);
    with_identity(&plane, &jwt).await.assert_ok();
    plane.clock.advance_ms(5_000);
    with_identity(&plane, &jwt).await.assert_refused(401, "unauthenticated");
}

#[tokio::test]
async fn a_key_is_known_as_long_as_its_gateway_reports_it() {
    let plane = Plane::start().await;
    let second = Signer::new("key-2");
    let jwt = second.sign(&plane.identity(&plane.root));
    with_identity(&plane, &jwt).await.assert_refused(401, "unauthenticated");
    plane.acknowledge(&second).await;
    with_identity(&plane, &jwt).await.assert_ok();
    let names: Vec<String> = plane
        .admin
        .gateways()
        .into_iter()
        .map(|gateway| gateway.gateway)
        .collect();
    assert_eq!(names, ["gateway-of-key-1", "gateway-of-key-2"]);
    let info = json!({"version": "1", "address": "", "policies": 0, "refuses_after_ms": 1});
    let report = json!({"gateway": "gateway-of-key-2", "revision": 7, "keys": [], "info": info});
    plane.request("POST", "/feed/ack", report.to_string(), &[]).await;
    with_identity(&plane, &jwt).await.assert_refused(401, "unauthenticated");
    let status = &plane.admin.gateways()[1];
    assert_eq!((status.revision, status.last_contact_ms), (7, plane.clock.unix_ms()));
}

#[tokio::test]
async fn a_report_with_a_key_that_is_none_is_refused() {
    let plane = Plane::start().await;
    let key = plane.signer.verification_key();
    let info = |version: &str| json!({"version": version, "address": "", "policies": 0, "refuses_after_ms": 1});
    let report = |gateway: &str, keys: serde_json::Value| json!({"gateway": gateway, "revision": 1, "keys": keys, "info": info("1")});
    let changed = |member: &str, value: &str| {
        let mut key = serde_json::to_value(&key).expect("it serializes");
        key[member] = json!(value);
        report("x", json!([key]))
    };
    let refused = [
        report("", json!([])),
        report(&"x".repeat(201), json!([])),
        report("x", json!(vec![&key; 9])),
        json!({"gateway": "x", "revision": 1, "keys": [], "info": info(&"x".repeat(201))}),
        json!({"gateway": "x", "revision": 1, "keys": []}),
        changed("kty", "RSA"),
        changed("crv", "P-256"),
        changed("alg", "HS256"),
        changed("use", "enc"),
        changed("kid", ""),
        changed("x", "AAAA"),
        changed("x", "*"),
        json!({}),
    ];
    for body in refused {
        let answer = plane.request("POST", "/feed/ack", body.to_string(), &[]).await;
        assert_eq!(answer.status, 400, "{body}");
    }
    assert_eq!(plane.admin.gateways().len(), 1);
}

#[tokio::test]
async fn a_token_that_has_ended_speaks_for_nobody_whatever_a_gateway_still_believes() {
    let plane = Plane::start().await;
    let robot = plane.service_user("manager").await;
    let short = json!({"id": "short", "type": "static", "expires_at": "2026-01-01T00:00:30Z"});
    let tokens = format!("/users/{}/tokens", robot.subject);
    plane.send(&plane.root, "POST", &tokens, short).await.assert_ok();
    let mut by_short = robot.clone();
    by_short.token = "short".to_owned();
    let own = format!("/orgs/{ORG}/users");
    plane.ask(&by_short, "GET", &own).await.assert_ok();
    plane.clock.advance_ms(30_000);
    plane
        .ask(&by_short, "GET", &own)
        .await
        .assert_refused(401, "unauthenticated");

    plane.ask(&robot, "GET", &own).await.assert_ok();
    assert_eq!(
        plane.ask(&plane.root, "DELETE", &format!("{tokens}/main")).await.status,
        204
    );
    let body = json!({"name": "x", "role": "member"});
    plane
        .send(&robot, "POST", &own, body)
        .await
        .assert_refused(401, "unauthenticated");
}

#[tokio::test]
async fn what_does_not_exist_is_refused_in_the_common_form() {
    let plane = Plane::start().await;
    for path in [
        "/",
        "/nowhere",
        "/orgs",
        "/orgs/my-org",
        "/users/x",
        "/users/x/tokens/%ff",
    ] {
        plane
            .ask(&plane.root, "GET", path)
            .await
            .assert_refused(404, "not-found");
    }
    plane
        .ask(&plane.root, "PUT", "/current-user")
        .await
        .assert_refused(405, "method-not-allowed");
    plane
        .ask(&plane.root, "DELETE", "/feed")
        .await
        .assert_refused(405, "method-not-allowed");
}

async fn with_identity(plane: &Plane, jwt: &str) -> Answer {
    plane
        .request("GET", "/current-user", String::new(), &[(IDENTITY_FIELD, jwt)])
        .await
}

fn without_signature(jwt: &str) -> String {
    let claims = jwt.split('.').nth(1).expect("claims");
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","kid":"key-1"}"#);
    format!("{header}.{claims}.")
}

fn signed_with_public_key(signer: &Signer, identity: &Identity) -> String {
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some(signer.key_id.clone());
    let public = URL_SAFE_NO_PAD.decode(signer.verification_key().x).expect("a key");
    jsonwebtoken::encode(&header, identity, &EncodingKey::from_secret(&public)).expect("a signature")
}
