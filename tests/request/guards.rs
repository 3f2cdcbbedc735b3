//! Guards: what a role allows and a guard refuses, what it is told for that, and whom it leaves alone.

use serde_json::{Value, json};

use crate::harness::caller::{Roles, ServiceUser};
use crate::harness::client::Request;
use crate::harness::eventually;
use crate::harness::postern::{Halves, ORG, Postern};
use crate::harness::process::run;
use crate::harness::refusal::assert_refused;
use crate::harness::upstream::{Reply, Upstream};

const APP: &str = "/orgs/acme/apps/shop";

fn developer(postern: &Postern) -> ServiceUser {
    with_role(postern, &[("shop", "developer")])
}

fn owner(postern: &Postern) -> ServiceUser {
    with_role(postern, &[("shop", "owner")])
}

fn with_role(postern: &Postern, apps: &[(&str, &str)]) -> ServiceUser {
    postern.administrator().service_user(Roles {
        org: "member",
        apps,
        deploys_to: &[],
    })
}

fn frozen(permission: &str) -> Value {
    json!({"permission": permission})
}

#[test]
fn a_guard_refuses_what_a_role_allows_until_it_is_detached() {
    let upstream = Upstream::answering(200, json!({}));
    let postern = Postern::start(&upstream.url());
    let (administrator, developer) = (postern.administrator(), developer(&postern));
    administrator.publish_guests(&["obeys_settings"]);
    developer.client.get(APP).ok(200);
    let id = administrator.attach("freeze", "/orgs/acme/apps/shop", &frozen("app.read"));
    let refused = developer.client.get(APP);
    postern.assert_refused(&refused, "guard-denied");
    assert_eq!(refused.json()["message"], "frozen");
    let line = postern.log_line(|line| line["reason"] == "guard-denied");
    assert_eq!((&line["guard"], &line["role"]), (&json!(id), &Value::Null), "{line}");
    developer.client.get(&format!("{APP}/envs")).ok(200);
    // What no role allows is not the guard's.
    let stranger = administrator.with_org_role("member");
    postern.assert_refused(&stranger.client.get(APP), "not-allowed");
    administrator.detach(&id);
    developer.client.get(APP).ok(200);
}

#[test]
fn a_guard_is_told_what_it_asks_for_and_the_body_goes_on_as_it_came() {
    let upstream = Upstream::answering(200, json!({}));
    let postern = Postern::start(&upstream.url());
    let (administrator, owner) = (postern.administrator(), owner(&postern));
    administrator.publish_guests(&["looks_at_request"]);
    administrator.attach("looks", "/orgs/acme", &Value::Null);
    let body = r#" {"name": "a \u00e9 b"} "#;
    let patch = |wish: &str| {
        Request::new("PATCH", &format!("{APP}?a=%20b"))
            .field("Content-Type", "application/json")
            .field("X-Wish", wish)
            .field("X-Wish", "more")
            .body(body)
    };
    let refused = owner.client.send(patch("deny"));
    postern.assert_refused(&refused, "guard-denied");
    let told = format!(
        "time true source 127.0.0.1 wishes deny+more query a=%20b body {}",
        body.trim_end()
    );
    assert_eq!(refused.json()["message"], told);
    owner.client.send(patch("pass")).ok(200);
    assert_eq!(upstream.only().body, body.as_bytes());
    let refused = owner.client.send(Request::new("GET", APP).field("X-Wish", "deny"));
    let told = "time true source 127.0.0.1 wishes deny query none body none";
    assert_eq!(refused.json()["message"], told);
}

#[test]
fn a_body_that_a_guard_asks_for_and_that_can_be_read_in_two_ways_is_refused() {
    let upstream = Upstream::answering(200, json!({}));
    let postern = Postern::start(&upstream.url());
    let (administrator, owner) = (postern.administrator(), owner(&postern));
    let viewer = administrator.service_user(Roles {
        org: "member",
        apps: &[("shop", "viewer")],
        deploys_to: &[],
    });
    let twice = || Request::new("PATCH", APP).body(r#"{"a":{"b":1,"b":2}}"#);
    owner.client.send(twice()).ok(200);
    administrator.publish_guests(&["looks_at_request"]);
    let id = administrator.attach("looks", "/orgs/acme", &Value::Null);
    let coded = Request::new("PATCH", APP).field("Content-Encoding", "gzip").body("{}");
    for unreadable in [twice(), Request::new("PATCH", APP).body("no json"), coded] {
        postern.assert_refused(&owner.client.send(unreadable), "body-unreadable");
    }
    let form = Request::new("PATCH", APP)
        .field("Content-Type", "application/octet-stream")
        .body("no json");
    owner.client.send(form).ok(200);
    let odd = Request::new("GET", APP).field("X-Wish", "caf\u{e9}");
    postern.assert_refused(&owner.client.send(odd), "request-ambiguous");
    // Who may not do it whatever the body holds is told so.
    postern.assert_refused(&viewer.client.send(twice()), "not-allowed");
    administrator.detach(&id);
    owner.client.send(twice()).ok(200);
}

#[test]
fn a_list_is_cut_by_roles_and_not_by_guards() {
    let upstream = Upstream::answering(200, json!([{"id": "shop"}, {"id": "bank"}]));
    let postern = Postern::start(&upstream.url());
    let (administrator, developer) = (postern.administrator(), developer(&postern));
    administrator.publish_guests(&["obeys_settings"]);
    administrator.attach("freeze", "/orgs/acme", &frozen("app.read"));
    postern.assert_refused(&developer.client.get(APP), "guard-denied");
    assert_eq!(developer.client.get("/orgs/acme/apps").ok(200), json!([{"id": "shop"}]));
    administrator.attach("freeze", "/orgs/acme", &frozen("app.list"));
    postern.assert_refused(&developer.client.get("/orgs/acme/apps"), "guard-denied");
}

#[test]
fn a_guard_that_fails_lets_nothing_through_and_is_put_aside_after_a_while() {
    let upstream = Upstream::answering(200, json!({}));
    let postern = Postern::start(&upstream.url());
    let (administrator, developer) = (postern.administrator(), developer(&postern));
    administrator.publish_guests(&["looks_at_request"]);
    let id = administrator.attach("looks", "/orgs/acme/apps/shop", &Value::Null);
    for _ in 0..12 {
        let trapped = developer.client.send(Request::new("GET", APP).field("X-Wish", "trap"));
        postern.assert_refused(&trapped, "policy-fault");
    }
    // By now it is not even asked.
    postern.assert_refused(&developer.client.get(APP), "policy-fault");
    let line = postern.log_line(|line| line["detail"].as_str().is_some_and(|detail| detail.contains("aside")));
    assert!(
        line["detail"].as_str().is_some_and(|detail| detail.contains(&id)),
        "{line}"
    );
    postern.wait_for_metric(&format!("postern_policy_put_aside{{policy=\"{id}\"}}"), 1.0);
    assert_eq!(upstream.received().len(), 0);
}

#[test]
fn whoever_makes_a_guard_fail_takes_it_from_nobody_else() {
    let upstream = Upstream::answering(200, json!({}));
    let postern = Postern::with(&upstream.url(), &["--workers", "1"]);
    let (administrator, developer, other) = (postern.administrator(), developer(&postern), developer(&postern));
    administrator.publish_guests(&["looks_at_request"]);
    administrator.attach("looks", "/orgs/acme/apps/shop", &Value::Null);
    for _ in 0..12 {
        let trapped = developer.client.send(Request::new("GET", APP).field("X-Wish", "trap"));
        postern.assert_refused(&trapped, "policy-fault");
    }
    postern.assert_refused(&developer.client.get(APP), "policy-fault");
    other.client.get(APP).ok(200);
}

#[test]
fn a_request_under_way_ends_when_a_guard_comes_that_refuses_it() {
    let upstream = Upstream::start(|_| {
        Reply::Raw(Box::new(|stream| {
            use std::io::{Read as _, Write as _};
            let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n";
            drop(stream.write_all(head.as_bytes()));
            drop(stream.read(&mut [0; 16]));
        }))
    });
    let postern = Postern::start(&upstream.url());
    let (administrator, developer) = (postern.administrator(), developer(&postern));
    administrator.publish_guests(&["obeys_settings"]);
    let begin = |target: &str| {
        let mut stream = developer.client.begin(Request::new("GET", target));
        assert_eq!(stream.chunk().expect("a part"), b"hi");
        stream
    };
    let mut frozen_one = begin(APP);
    let other = begin(&format!("{APP}/envs"));
    let id = administrator.attach("freeze", "/orgs/acme", &frozen("app.read"));
    assert!(frozen_one.try_chunk().is_err(), "it was cut");
    let line = postern.log_line(|line| line["operation"] == "getApplication");
    assert_eq!(line["detail"], "guard-denied", "{line}");
    administrator.detach(&id);
    assert_eq!(
        postern.metric("postern_streams_cut_total{reason=\"guard-denied\"}"),
        1.0
    );
    drop(other);
}

#[test]
fn a_guard_that_refuses_everybody_is_detached_where_the_store_is() {
    let upstream = Upstream::answering(200, json!({}));
    let halves = Halves::start(&upstream.url(), &[]);
    let administrator = halves.administrator();
    administrator.publish_guests(&["obeys_settings"]);
    let guard = administrator.attach("freeze", "/orgs/acme", &frozen("guard.write"));
    let detach = || administrator.delete(&format!("/orgs/{ORG}/guards/{guard}"));
    assert_refused(&detach(), "guard-denied");
    let data = halves.admin_data();
    let data = data.to_str().expect("text");
    let detach_there = |guard: &str| run(["admin", "detach", guard, "--org", ORG, "--data", data]);
    assert_eq!(detach_there(&guard).code, Some(69), "the admin service uses it");
    let halves = halves.kill_admin();
    let unknown = detach_there("unknown");
    assert_eq!(unknown.code, Some(64));
    assert!(
        unknown.stderr.contains("acme has no guard unknown"),
        "{}",
        unknown.stderr
    );
    let ended = detach_there(&guard);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let _halves = halves.start_admin();
    eventually("guards can be administered again", || {
        (detach().status == 404).then_some(())
    });
}
