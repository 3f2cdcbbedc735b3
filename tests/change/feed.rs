//! Between the halves: what a gateway knows, how old it may be, and how it finds its way back.

use serde_json::json;

use crate::harness::client::{Client, Request};
use crate::harness::eventually;
use crate::harness::postern::{Halves, Postern};
use crate::harness::refusal::assert_refused;
use crate::harness::upstream::Upstream;

const ENV_TYPES: &str = "/orgs/acme/env-types";

#[test]
fn a_gateway_without_data_is_not_ready_and_decides_nothing() {
    let upstream = Upstream::answering(200, json!([]));
    let halves = Halves::without_admin(&upstream.url(), &[]);
    let administrator = halves.administrator();
    let ready = halves.operator().get("/readyz");
    assert_eq!((ready.status, &ready.json()["status"]), (503, &json!("not-ready")));
    assert_eq!(halves.operator().get("/livez").status, 200);
    assert_refused(&administrator.get(ENV_TYPES), "no-data");
    let halves = halves.start_admin();
    halves.wait_until_ready();
    administrator.get(ENV_TYPES).ok(200);
    assert_eq!(upstream.received().len(), 1);
}

#[test]
fn a_gateway_goes_on_deciding_while_the_admin_service_is_away_and_follows_when_it_is_back() {
    let upstream = Upstream::answering(200, json!([]));
    let halves = Halves::start(&upstream.url(), &[]);
    let ci = halves.administrator().with_org_role("member");
    let halves = halves.kill_admin();
    ci.client.get(ENV_TYPES).ok(200);
    let answer = halves.administrator().get("/orgs/acme/users");
    assert!(matches!(answer.status, 502 | 503), "{}", answer.shown());
    let halves = halves.start_admin();
    let revoke = format!("/users/{}/tokens/first", ci.id);
    eventually("the revocation", || {
        (halves.administrator().delete(&revoke).status == 204).then_some(())
    });
    assert_refused(&ci.client.get(ENV_TYPES), "token-unknown");
}

#[test]
fn an_admin_service_that_does_not_know_us_is_unavailable_and_the_caller_keeps_a_good_token() {
    let stranger = Upstream::answering(401, json!({"error": "unauthenticated", "message": "who?"}));
    let upstream = Upstream::answering(200, json!([]));
    let halves = Halves::start(&upstream.url(), &[]).kill_admin();
    halves.link.connect(stranger.address);
    let administrator = halves.administrator();
    assert_refused(&administrator.get("/current-user"), "admin-unavailable");
    administrator.get(ENV_TYPES).ok(200);
}

#[test]
fn a_gateway_finds_back_from_a_connection_on_which_nothing_comes() {
    let upstream = Upstream::answering(200, json!([]));
    let flags = ["--data-age-writes-max-ms", "3000", "--data-age-reads-max-ms", "3000"];
    let halves = Halves::start(&upstream.url(), &flags);
    // Connections are taken and never answered, as behind a router that lost its way.
    halves.link.fall_silent();
    eventually("the age", || {
        (halves.operator().get("/readyz").status == 503).then_some(())
    });
    // New connections arrive; those that were taken stay open, and silent.
    halves.reconnect();
    halves.wait_until_ready();
}

#[test]
fn a_change_reaches_every_gateway() {
    let upstream = Upstream::answering(200, json!([]));
    let halves = Halves::start(&upstream.url(), &[]);
    let (_gateway, address) = halves.another_gateway("edge-2");
    let ci = halves.administrator().with_org_role("member");
    let elsewhere = Client { address, ..ci.client };
    eventually("the token", || (elsewhere.get(ENV_TYPES).status == 200).then_some(()));
    halves
        .administrator()
        .delete(&format!("/users/{}/tokens/first", ci.id))
        .ok(204);
    eventually("the revocation", || {
        (elsewhere.get(ENV_TYPES).status == 401).then_some(())
    });
}

#[test]
fn a_gateway_does_not_follow_another_store_than_the_one_that_it_knows() {
    let upstream = Upstream::answering(200, json!([]));
    let halves = Halves::start(&upstream.url(), &[]);
    let before = halves.administrator();
    let halves = halves.kill_admin();
    halves.lose_store();
    let halves = halves.start_admin();
    halves.gateway.stderr.line("the refusal of the store", |line| {
        (line.contains("the feed was lost") && line.contains("is of store")).then_some(())
    });
    before.get(ENV_TYPES).ok(200);
    assert_refused(&halves.administrator().get(ENV_TYPES), "token-unknown");
}

#[test]
fn the_feed_tells_a_snapshot_first_and_every_change_in_order() {
    let postern = Postern::start("http://127.0.0.1:9");
    let credential = std::fs::read_to_string(postern.data().join("gateway-credential")).expect("it is there");
    let gateway = Client {
        address: postern.admin_address,
        token: Some(credential.trim().to_owned()),
    };
    let mut feed = gateway.begin(Request::new("GET", "/feed?after=0"));
    assert_eq!(feed.head.status, 200);
    let administrator = postern.administrator();
    let ids: Vec<String> = (0..5)
        .map(|number| administrator.create_user(&format!("user-{number}"), "member"))
        .collect();
    let (mut text, mut revision) = (String::new(), 0);
    let last = ids.last().expect("some");
    while !text.rsplit_once('\n').is_some_and(|(whole, _)| whole.contains(last)) {
        text.push_str(&String::from_utf8(feed.chunk().expect("it does not end")).expect("UTF-8"));
    }
    let whole = &text[..text.rfind('\n').expect("whole lines")];
    for line in whole.lines() {
        let frame: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        match frame["frame"].as_str().expect("a kind") {
            "snapshot-begin" => revision = frame["revision"].as_u64().expect("a number"),
            "change" => {
                assert_eq!(frame["revision"], revision + 1, "{line}");
                revision += 1;
            }
            "opening" | "record" | "snapshot-end" | "heartbeat" => {}
            other => panic!("{other} is no frame"),
        }
    }
    assert!(
        whole
            .lines()
            .next()
            .is_some_and(|line| line.contains(r#""frame":"opening""#) && line.contains(r#""signature":""#))
    );
    assert!(
        !whole.contains("pstn_") && !whole.contains("user-1"),
        "names and secrets are nobody's at a gateway"
    );
}

#[test]
fn the_feed_is_for_gateways_alone() {
    let postern = Postern::start("http://127.0.0.1:9");
    for token in [None, Some("pstg_wrong".to_owned()), postern.administrator().token] {
        let answer = Client {
            address: postern.admin_address,
            token,
        }
        .get("/feed?after=0");
        assert_eq!(answer.status, 401, "{}", answer.shown());
    }
}
