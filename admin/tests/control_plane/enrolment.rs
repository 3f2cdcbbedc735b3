//! Gateways with a credential of their own: let in once by a token, known by a name, and let in no more.

use feed::frame::IDENTITY_FIELD;
use feed::token::Kind;
use feed::{FeedKeys, Secret};
use serde_json::{Value, json};

use crate::gateway::Signer;
use crate::harness::{Answer, ORG, Plane};

fn gateways() -> String {
    format!("/orgs/{ORG}/gateways")
}

fn gateway(name: &str) -> String {
    format!("/orgs/{ORG}/gateways/{name}")
}

/// Lets a gateway enrol, and returns the secret part of its token.
async fn awaited(plane: &Plane, name: &str) -> String {
    let answer = plane
        .send(&plane.root, "POST", &gateways(), json!({ "name": name }))
        .await;
    answer.assert_ok();
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(answer.body["expires_at"], "2026-01-01T00:15:00.000Z");
    let token = answer.body["enrolment_token"].as_str().expect("a token");
    let (secret, key) = token.split_once('.').expect("two parts");
    let keys = std::fs::read_to_string(plane.file(admin::FEED_PUBLIC_KEY_FILE)).expect("it is there");
    assert_eq!(FeedKeys::parse(key), FeedKeys::parse(&keys), "it brings the feed's key");
    secret.to_owned()
}

async fn enrol(plane: &Plane, token: &str, credential: &Secret) -> Answer {
    let authorization = format!("Bearer {token}");
    let body = json!({ "credential": credential.digest() }).to_string();
    plane
        .raw("POST", "/feed/enrol", body, &[("authorization", &authorization)])
        .await
}

fn credential(number: u8) -> Secret {
    Secret::from_random(Kind::GatewayCredential, [number; 32])
}

async fn listed(plane: &Plane) -> Vec<Value> {
    let answer = plane.ask(&plane.root, "GET", &gateways()).await;
    answer.assert_ok();
    answer.body.as_array().expect("a list").clone()
}

#[tokio::test]
async fn a_gateway_enrols_once_and_is_known_by_the_name_that_it_was_given() {
    let plane = Plane::start().await;
    let token = awaited(&plane, "edge-1").await;
    assert_eq!(
        listed(&plane).await[0],
        json!({"name": "edge-1", "state": "awaited", "enrolled": false, "enrolment_ends_at": "2026-01-01T00:15:00.000Z"})
    );
    let own = credential(1);
    let enrolled = enrol(&plane, &token, &own).await;
    assert_eq!(enrolled.body, json!({"gateway": "edge-1"}));
    assert_eq!(
        listed(&plane).await[0],
        json!({"name": "edge-1", "state": "silent", "enrolled": true})
    );
    plane.feed_of(own.reveal(), "").await.snapshot().await;
    let signer = Signer::new("key-of-edge-1");
    let told = plane
        .acknowledge_as(
            own.reveal(),
            &signer,
            ("whatever-it-calls-itself", plane.admin.revision()),
        )
        .await;
    assert_eq!(told.status, 204);
    let edge = listed(&plane).await.remove(0);
    assert_eq!(
        (&edge["name"], &edge["state"], &edge["enrolled"]),
        (&json!("edge-1"), &json!("live"), &json!(true))
    );

    // The answer may have been lost; but nobody else gets in with the token.
    assert_eq!(enrol(&plane, &token, &own).await.body, json!({"gateway": "edge-1"}));
    enrol(&plane, &token, &credential(2))
        .await
        .assert_refused(401, "unauthenticated");
    let audited = "SELECT count(*) FROM audit_entries WHERE target = '/orgs/my-org/gateways/edge-1'";
    assert_eq!(plane.number(audited).await, 3);
}

#[tokio::test]
async fn an_enrolment_token_ends_and_is_good_for_nothing_else() {
    let plane = Plane::start().await;
    let token = awaited(&plane, "edge-1").await;
    let authorization = format!("Bearer {token}");
    for (method, path) in [("GET", "/feed"), ("POST", "/feed/ack"), ("GET", "/current-user")] {
        let answer = plane
            .raw(method, path, String::new(), &[("authorization", &authorization)])
            .await;
        answer.assert_refused(401, "unauthenticated");
    }
    let other = Secret::from_random(Kind::Enrolment, [9; 32]);
    for wrong in [other.reveal(), &plane.credential, "", "x"] {
        enrol(&plane, wrong, &credential(1))
            .await
            .assert_refused(401, "unauthenticated");
    }
    let before = plane.admin.revision();
    plane.clock.advance_ms(15 * 60 * 1000);
    enrol(&plane, &token, &credential(1))
        .await
        .assert_refused(401, "unauthenticated");
    assert_eq!(plane.admin.revision(), before, "what is refused changes nothing");
    // One that was awaited in vain makes way.
    let answer = plane
        .send(&plane.root, "POST", &gateways(), json!({"name": "edge-1"}))
        .await;
    answer.assert_ok();
}

#[tokio::test]
async fn a_gateway_that_is_removed_is_let_in_no_more_and_its_feed_ends_at_once() {
    let plane = Plane::start().await;
    let (one, other) = (credential(1), credential(2));
    for (name, own) in [("edge-1", &one), ("edge-2", &other)] {
        let token = awaited(&plane, name).await;
        enrol(&plane, &token, own).await.assert_ok();
    }
    let mut feed = plane.feed_of(one.reveal(), "").await;
    let mut other_feed = plane.feed_of(other.reveal(), "").await;
    feed.snapshot().await;
    other_feed.snapshot().await;
    let signer = Signer::new("key-of-edge-1");
    plane
        .acknowledge_as(one.reveal(), &signer, ("edge-1", plane.admin.revision()))
        .await;
    let identity = signer.sign(&plane.identity(&plane.root));
    let field = [(IDENTITY_FIELD, identity.as_str())];
    plane
        .request("GET", "/current-user", String::new(), &field)
        .await
        .assert_ok();

    let removed = plane.ask(&plane.root, "DELETE", &gateway("edge-1")).await;
    assert_eq!(removed.status, 204);
    while feed.next().await.is_some() {}
    let refused = plane
        .acknowledge_as(one.reveal(), &signer, ("edge-1", plane.admin.revision()))
        .await;
    refused.assert_refused(401, "unauthenticated");
    let refused = plane.request("GET", "/current-user", String::new(), &field).await;
    refused.assert_refused(401, "unauthenticated");
    let names: Vec<Value> = listed(&plane).await.iter().map(|one| one["name"].clone()).collect();
    assert_eq!(names, ["edge-2", "gateway-of-key-1"]);
    // The others go on.
    plane.service_user("member").await;
    other_feed.news().await;
    plane
        .ask(&plane.root, "DELETE", &gateway("edge-1"))
        .await
        .assert_refused(404, "not-found");
}

#[tokio::test]
async fn a_gateway_that_is_renamed_goes_on_under_its_new_name() {
    let plane = Plane::start().await;
    let own = credential(1);
    let token = awaited(&plane, "edge-1").await;
    enrol(&plane, &token, &own).await.assert_ok();
    awaited(&plane, "edge-2").await;
    let mut feed = plane.feed_of(own.reveal(), "").await;
    feed.snapshot().await;
    let rename = async |new: &str| {
        let body = json!({ "name": new });
        plane.send(&plane.root, "PATCH", &gateway("edge-1"), body).await
    };
    rename("edge-2").await.assert_refused(409, "gateway-name-taken");
    rename("").await.assert_refused(400, "invalid-field");
    rename("paris-1").await.assert_ok();
    rename("paris-1").await.assert_refused(404, "not-found");
    feed.news().await;
    plane
        .acknowledge_as(
            own.reveal(),
            &Signer::new("key-of-edge-1"),
            ("edge-1", plane.admin.revision()),
        )
        .await;
    let states: Vec<(Value, Value)> = listed(&plane)
        .await
        .iter()
        .map(|one| (one["name"].clone(), one["state"].clone()))
        .collect();
    assert!(states.contains(&(json!("paris-1"), json!("live"))), "{states:?}");
    assert!(!states.iter().any(|(name, _)| name == "edge-1"), "{states:?}");
}

#[tokio::test]
async fn a_name_is_one_gateways_and_a_name_at_all() {
    let plane = Plane::start().await;
    let own = credential(1);
    let token = awaited(&plane, "edge-1").await;
    enrol(&plane, &token, &own).await.assert_ok();
    let again = plane
        .send(&plane.root, "POST", &gateways(), json!({"name": "edge-1"}))
        .await;
    again.assert_refused(409, "gateway-name-taken");
    // Those that share a credential cannot pass for it.
    let pretending = plane
        .acknowledge_as(
            &plane.credential,
            &Signer::new("key-2"),
            ("edge-1", plane.admin.revision()),
        )
        .await;
    pretending.assert_refused(400, "invalid-field");
    for name in ["", "a/b", "-edge", "ü", &"x".repeat(101)] {
        let refused = plane
            .send(&plane.root, "POST", &gateways(), json!({ "name": name }))
            .await;
        refused.assert_refused(400, "invalid-field");
    }
    let manager = plane.service_user("manager").await;
    let foreign = plane.foreign_administrator().await;
    let body = json!({"name": "edge-3"});
    let refused = plane.send(&manager, "POST", &gateways(), body.clone()).await;
    refused.assert_refused(403, "above-your-role");
    let refused = plane.send(&foreign, "POST", "/orgs/their-org/gateways", body).await;
    refused.assert_refused(403, "above-your-role");
    let refused = plane.ask(&manager, "DELETE", &gateway("edge-1")).await;
    refused.assert_refused(403, "above-your-role");
}

#[tokio::test]
async fn gateways_that_have_enrolled_are_let_in_after_a_restart() {
    let plane = Plane::start().await;
    let own = credential(1);
    let token = awaited(&plane, "edge-1").await;
    enrol(&plane, &token, &own).await.assert_ok();
    let plane = Plane::start_in(plane.stop().await).await.expect("it opens");
    plane.feed_of(own.reveal(), "").await.snapshot().await;
    // Nobody knows when it would refuse, as it has not reported yet.
    let robot = plane.service_user("member").await;
    let path = format!("/users/{}/tokens/main?wait=10ms", robot.subject);
    let receipt = plane.ask(&plane.root, "DELETE", &path).await.body;
    assert_eq!(
        receipt["not_heard_from"][0],
        json!({"gateway": "edge-1", "last_contact": null, "refuses_by": null})
    );
    assert_eq!(receipt["all_refuse_by"], Value::Null);
}
