//! A version is compiled by gateways before it is in force; the components are held up on the wire here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::harness::caller::{Roles, ServiceUser};
use crate::harness::components::guest;
use crate::harness::eventually;
use crate::harness::postern::{Halves, ORG};
use crate::harness::refusal::assert_refused;
use crate::harness::upstream::Upstream;

const APP: &str = "/orgs/acme/apps/shop";

const COMPONENTS: &str = "GET /policies/";

fn with_reader(halves: &Halves) -> ServiceUser {
    let administrator = halves.administrator();
    administrator.publish_guests(&["reader_one"]);
    administrator.service_user(Roles {
        org: "member",
        apps: &[("shop", "reader")],
        deploys_to: &[],
    })
}

fn second_version(wait_ms: Option<u64>) -> Value {
    json!({"component": STANDARD.encode(guest("reader_two")), "activate": true, "wait_ms": wait_ms})
}

#[test]
fn the_version_before_decides_until_the_gateway_has_the_new_one() {
    let upstream = Upstream::answering(200, json!({}));
    let halves = Halves::start(&upstream.url(), &[]);
    let reader = with_reader(&halves);
    let update = || reader.client.patch(APP, json!({"name": "x"})).status;
    halves.link.hold_back(COMPONENTS);
    let published = std::thread::scope(|scope| {
        let publishing = scope.spawn(|| {
            let administrator = halves.administrator();
            administrator.post(&format!("/orgs/{ORG}/policies"), second_version(None))
        });
        halves.link.wait_until_held();
        for _ in 0..20 {
            reader.client.get(APP).ok(200);
            assert_eq!(update(), 403);
        }
        halves.link.let_through();
        publishing.join().expect("it ends")
    });
    let policy = published.ok(201);
    assert_eq!(policy["active"]["version"], "2.0.0");
    assert_eq!(
        (&policy["readiness"]["ready"], &policy["readiness"]["late"]),
        (&json!(1), &json!([]))
    );
    assert_eq!(update(), 200);
    // The version before is there already: the way back is not waited for.
    let back = halves
        .administrator()
        .change_policy("reader", json!({"active": "previous"}));
    assert_eq!(back["readiness"]["late"], json!([]));
    assert_eq!(update(), 403);
}

#[test]
fn a_version_that_a_gateway_does_not_have_in_time_is_in_force_and_decides_when_it_arrives() {
    let upstream = Upstream::answering(200, json!({}));
    let halves = Halves::start(&upstream.url(), &[]);
    let reader = with_reader(&halves);
    reader.client.get(APP).ok(200);
    halves.link.hold_back(COMPONENTS);
    let administrator = halves.administrator();
    let published = administrator.post(&format!("/orgs/{ORG}/policies"), second_version(Some(100)));
    let policy = published.ok(201);
    assert_eq!(policy["active"]["version"], "2.0.0");
    assert_eq!(policy["readiness"]["late"], json!(["edge-1"]));
    assert_refused(&reader.client.get(APP), "policy-fault");
    halves.link.let_through();
    eventually("the version that is late", || {
        let answer = reader.client.patch(APP, json!({"name": "x"}));
        (answer.status == 200).then_some(())
    });
}

#[test]
fn a_guard_is_attached_when_the_gateway_can_ask_it() {
    let upstream = Upstream::answering(200, json!({}));
    let halves = Halves::start(&upstream.url(), &[]);
    let administrator = halves.administrator();
    halves.link.hold_back(COMPONENTS);
    let published = administrator.post(
        &format!("/orgs/{ORG}/policies"),
        json!({"component": STANDARD.encode(guest("obeys_settings")), "wait_ms": 0}),
    );
    assert_eq!(published.ok(201)["readiness"]["late"], json!(["edge-1"]));
    let attached = std::thread::scope(|scope| {
        let attaching = scope.spawn(|| {
            let administrator = halves.administrator();
            let guard =
                json!({"policy": "freeze", "scope": format!("/orgs/{ORG}"), "settings": {"permission": "app.update"}});
            administrator.post(&format!("/orgs/{ORG}/guards"), guard)
        });
        halves.link.wait_until_held();
        for _ in 0..20 {
            administrator.get(APP).ok(200);
        }
        halves.link.let_through();
        attaching.join().expect("it ends")
    });
    assert_eq!(attached.ok(201)["readiness"]["late"], json!([]));
    assert_refused(&administrator.patch(APP, json!({"name": "x"})), "guard-denied");
}
