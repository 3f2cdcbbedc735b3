//! What the orchestrator is told of the caller: signed, current, and never by the caller.

use feed::Identity;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Value, json};

use crate::harness::caller::Roles;
use crate::harness::postern::Postern;
use crate::harness::upstream::{Received, Upstream};

/// Verifies the identity of a request against the published keys.
fn verified(postern: &Postern, received: &Received) -> Identity {
    let [identity] = received.values("postern-identity")[..] else {
        panic!("exactly one identity: {received:?}");
    };
    let keys: Value = postern.anybody().get("/.well-known/jwks.json").ok(200);
    let id = decode_header(identity).expect("a JWT").kid.expect("it names its key");
    let key = keys["keys"]
        .as_array()
        .expect("a list")
        .iter()
        .find(|key| key["kid"] == *id)
        .expect("it is published");
    let key = DecodingKey::from_ed_components(key["x"].as_str().expect("a key")).expect("an Ed25519 key");
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_issuer(&["postern"]);
    validation.set_required_spec_claims(&["exp", "iss", "sub"]);
    decode::<Identity>(identity, &key, &validation)
        .expect("the signature is good")
        .claims
}

#[test]
fn the_identity_verifies_against_the_published_keys_and_tells_the_caller() {
    let upstream = Upstream::answering(200, json!({}));
    let postern = Postern::start(&upstream.url());
    let roles = Roles {
        org: "member",
        apps: &[("shop", "developer")],
        deploys_to: &["development"],
    };
    let ci = postern.administrator().service_user(roles);
    ci.client.get("/orgs/acme/apps/shop").ok(200);
    let identity = verified(&postern, &upstream.only());
    assert_eq!((identity.sub.as_str(), identity.org.as_str()), (ci.id.as_str(), "acme"));
    assert_eq!(json!(identity.kind), "service-user");
    assert_eq!(identity.token_id, "first");
    let roles = json!({
        "/orgs/acme": "member",
        "/orgs/acme/apps/shop": "developer",
        "/orgs/acme/env-types/development": "deployer",
    });
    assert_eq!(json!(identity.roles), roles);
    assert_eq!(identity.exp - identity.iat, 60);
    assert!(identity.revision > 0);
}

#[test]
fn the_identity_follows_a_change_of_roles_at_once() {
    let upstream = Upstream::answering(200, json!({}));
    let postern = Postern::start(&upstream.url());
    let administrator = postern.administrator();
    let roles = Roles {
        org: "member",
        apps: &[("shop", "viewer")],
        deploys_to: &[],
    };
    let ci = administrator.service_user(roles);
    ci.client.get("/orgs/acme/apps/shop").ok(200);
    administrator
        .patch(
            &format!("/orgs/acme/apps/shop/users/{}", ci.id),
            json!({"role": "owner"}),
        )
        .ok(200);
    ci.client.get("/orgs/acme/apps/shop").ok(200);
    let received = upstream.received();
    let [before, after] = [&received[0], &received[1]].map(|request| verified(&postern, request));
    assert_eq!(
        (
            &*before.roles["/orgs/acme/apps/shop"],
            &*after.roles["/orgs/acme/apps/shop"]
        ),
        ("viewer", "owner")
    );
    assert!(after.revision > before.revision);
}

#[test]
fn the_identity_is_signed_once_for_many_requests() {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::start(&upstream.url());
    let administrator = postern.administrator();
    for _ in 0..5 {
        administrator.get("/orgs/acme/env-types").ok(200);
    }
    let received = upstream.received();
    let first = received[0].values("postern-identity");
    assert!(
        received
            .iter()
            .all(|request| request.values("postern-identity") == first)
    );
}

#[test]
fn the_signing_key_outlives_a_restart() {
    let postern = Postern::start("http://127.0.0.1:9");
    let before = postern.anybody().get("/.well-known/jwks.json");
    assert_eq!(before.field("content-type"), Some("application/jwk-set+json"));
    assert!(
        !before.ok(200).to_string().contains("\"d\""),
        "a private key is published"
    );
    let after = postern.restart().anybody().get("/.well-known/jwks.json");
    assert_eq!(before.ok(200), after.ok(200));
}
