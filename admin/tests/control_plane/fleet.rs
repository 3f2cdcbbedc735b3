//! The gateways, as administrators of the installation see them; and receipts of what they refuse.

use serde_json::{Value, json};

use crate::gateway::Signer;
use crate::harness::{ORG, Plane, Who};

fn gateways() -> String {
    format!("/orgs/{ORG}/gateways")
}

/// Reports the revision that is the newest.
async fn told(plane: &Plane, signer: &Signer) {
    let name = format!("gateway-of-{}", signer.key_id);
    let revision = plane.admin.revision();
    let answer = plane.acknowledge_as(&plane.credential, signer, (&name, revision)).await;
    assert_eq!(answer.status, 204);
}

async fn listed(plane: &Plane) -> Vec<Value> {
    let answer = plane.ask(&plane.root, "GET", &gateways()).await;
    answer.assert_ok();
    answer.body.as_array().expect("a list").clone()
}

#[tokio::test]
async fn gateways_are_listed_with_what_they_are_and_how_far_they_are() {
    let plane = Plane::start().await;
    told(&plane, &plane.signer).await;
    let [gateway] = &listed(&plane).await[..] else {
        panic!("one has reported")
    };
    let revision = plane.admin.revision();
    assert_eq!(
        *gateway,
        json!({
            "name": "gateway-of-key-1", "state": "live", "enrolled": false, "version": "1.2.3", "revision": revision, "lag_revisions": 0,
            "lag_ms": 0, "policies": 0, "address": "192.0.2.1:8080", "last_contact": "2026-01-01T00:00:00.000Z",
            "refuses_after_ms": 900_000,
        })
    );
    let one = format!("{}/gateway-of-key-1", gateways());
    assert_eq!(plane.ask(&plane.root, "GET", &one).await.body, *gateway);
    let nobody = format!("{}/nobody", gateways());
    plane
        .ask(&plane.root, "GET", &nobody)
        .await
        .assert_refused(404, "not-found");
}

#[tokio::test]
async fn a_gateway_lags_when_it_lacks_a_change_for_long_and_is_silent_when_nothing_comes() {
    let plane = Plane::start().await;
    told(&plane, &plane.signer).await;
    let state = async || {
        let gateway = listed(&plane).await.remove(0);
        (
            gateway["state"].clone(),
            gateway["lag_revisions"].clone(),
            gateway["lag_ms"].clone(),
        )
    };
    let before = plane.admin.revision();
    plane.service_user("member").await;
    let missed = plane.admin.revision() - before;
    assert_eq!(state().await, (json!("live"), json!(missed), json!(0)));
    plane.clock.advance_ms(10_001);
    assert_eq!(state().await, (json!("lagging"), json!(missed), json!(10_001)));
    plane.clock.advance_ms(20_000);
    assert_eq!(state().await.0, json!("silent"));
    told(&plane, &plane.signer).await;
    assert_eq!(state().await, (json!("live"), json!(0), json!(0)));
}

#[tokio::test]
async fn only_administrators_of_the_first_organisation_see_the_gateways() {
    let plane = Plane::start().await;
    let manager = plane.service_user("manager").await;
    plane
        .ask(&manager, "GET", &gateways())
        .await
        .assert_refused(403, "above-your-role");
}

async fn revoke(plane: &Plane, robot: &Who, query: &str) -> crate::harness::Answer {
    let path = format!("/users/{}/tokens/main{query}", robot.subject);
    plane.ask(&plane.root, "DELETE", &path).await
}

#[tokio::test]
async fn a_receipt_tells_which_gateways_refuse_and_until_when_the_others_may_not() {
    let plane = Plane::start().await;
    told(&plane, &plane.signer).await;
    let robot = plane.service_user("member").await;
    told(&plane, &Signer::new("key-2")).await;
    let deaf = revoke(&plane, &robot, "?wait=50ms").await;
    deaf.assert_ok();
    let (revision, receipt) = (deaf.revision(), &deaf.body);
    assert_eq!(revision, plane.admin.revision());
    assert_eq!(receipt["revision"], revision);
    assert_eq!(receipt["refused_by"], json!([]));
    let named = |list: &Value| -> Vec<String> {
        let list = list.as_array().expect("a list").iter();
        list.map(|one| one["gateway"].as_str().expect("a name").to_owned())
            .collect()
    };
    assert_eq!(
        named(&receipt["not_heard_from"]),
        ["gateway-of-key-1", "gateway-of-key-2"]
    );
    assert_eq!(receipt["committed_at"], "2026-01-01T00:00:00.000Z");
    assert_eq!(receipt["all_refuse_by"], "2026-01-01T00:15:00.000Z");
    assert_eq!(receipt["not_heard_from"][0]["refuses_by"], "2026-01-01T00:15:00.000Z");

    let robot = plane.service_user("member").await;
    let (receipt, ()) = tokio::join!(revoke(&plane, &robot, "?wait=20s"), async {
        // Until it is committed there is nothing to acknowledge.
        let before = plane.admin.revision();
        while plane.admin.revision() == before {
            tokio::task::yield_now().await;
        }
        told(&plane, &plane.signer).await;
        told(&plane, &Signer::new("key-2")).await;
    });
    let receipt = receipt.body;
    assert_eq!(named(&receipt["refused_by"]), ["gateway-of-key-1", "gateway-of-key-2"]);
    assert_eq!(receipt["not_heard_from"], json!([]));
    assert_eq!(receipt["all_refuse_by"], receipt["committed_at"]);
}

#[tokio::test]
async fn silent_gateways_are_told_of_and_not_waited_for() {
    let plane = Plane::start().await;
    told(&plane, &plane.signer).await;
    let robot = plane.service_user("member").await;
    plane.clock.advance_ms(30_001);
    let user = format!("/orgs/{ORG}/users/{}?wait=20s", robot.subject);
    let begun = std::time::Instant::now();
    let receipt = plane.ask(&plane.root, "DELETE", &user).await;
    receipt.assert_ok();
    assert!(begun.elapsed() < std::time::Duration::from_secs(15));
    assert_eq!(
        receipt.body["not_heard_from"][0]["last_contact"],
        "2026-01-01T00:00:00.000Z"
    );
}

#[tokio::test]
async fn without_a_wait_the_answer_is_as_ever_and_a_wait_must_be_one() {
    let plane = Plane::start().await;
    let robot = plane.service_user("member").await;
    for wait in [
        "",
        "2",
        "s",
        "-1s",
        "1.5s",
        "21s",
        "99999999999999999999s",
        "2m",
        "2s&wait=3s",
    ] {
        let refused = revoke(&plane, &robot, &format!("?wait={wait}")).await;
        refused.assert_refused(400, "invalid-field");
    }
    let answer = revoke(&plane, &robot, "").await;
    assert_eq!((answer.status.as_u16(), answer.body), (204, Value::Null));
}
