//! A gateway that starts while the admin service is away.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use serde_json::json;

use crate::harness::caller::{Roles, ServiceUser};
use crate::harness::eventually;
use crate::harness::postern::Halves;
use crate::harness::refusal::assert_refused;
use crate::harness::upstream::Upstream;

const ENV_TYPES: &str = "/orgs/acme/env-types";
const APP: &str = "/orgs/acme/apps/shop";

fn kept_state(halves: &Halves) -> PathBuf {
    halves.gateway_data().join("kept-state")
}

/// A gateway, and a service user with a token that was revoked and one that was not, all of it kept.
fn kept(upstream: &Upstream) -> (Halves, ServiceUser, ServiceUser) {
    let halves = Halves::start(&upstream.url(), &[]);
    let administrator = halves.administrator();
    let (keeps, revoked) = (
        administrator.with_org_role("member"),
        administrator.with_org_role("member"),
    );
    let token = format!("/users/{}/tokens/first", revoked.id);
    administrator.delete(&token).ok(204);
    halves.wait_until_kept();
    (halves, keeps, revoked)
}

#[test]
fn a_gateway_that_starts_without_the_admin_service_decides_as_it_did_before_it_ended() {
    let upstream = Upstream::answering(200, json!([]));
    let (halves, mut keeps, mut revoked) = kept(&upstream);
    let halves = halves.kill_admin().kill_and_restart_gateway();
    halves.wait_until_ready();
    for user in [&mut keeps, &mut revoked] {
        user.client.address = halves.address;
    }
    keeps.client.get(ENV_TYPES).ok(200);
    assert_refused(&revoked.client.get(ENV_TYPES), "token-unknown");
    let ready = halves.operator().get("/readyz").json();
    assert_eq!(
        (&ready["status"], &ready["kept_state"]),
        (&json!("ready"), &json!("written"))
    );
    let read = halves.gateway.logged("the kept state was read");
    assert_eq!(read["revision"], ready["revision"]);

    let halves = halves.start_admin();
    let administrator = halves.administrator();
    let token = format!("/users/{}/tokens/first", keeps.id);
    eventually("the feed", || {
        (administrator.delete(&token).status == 204).then_some(())
    });
    assert_refused(&keeps.client.get(ENV_TYPES), "token-unknown");
}

#[test]
fn a_published_role_is_decided_without_the_admin_service_too() {
    let upstream = Upstream::answering(200, json!({}));
    let halves = Halves::start(&upstream.url(), &[]);
    let administrator = halves.administrator();
    administrator.publish_guests(&["reader_one"]);
    let mut reader = administrator.service_user(Roles {
        org: "member",
        apps: &[("shop", "reader")],
        deploys_to: &[],
    });
    reader.client.get(APP).ok(200);
    halves.wait_until_kept();
    let halves = halves.kill_admin().kill_and_restart_gateway();
    halves.wait_until_ready();
    reader.client.address = halves.address;
    eventually("the role", || (reader.client.get(APP).status == 200).then_some(()));
    assert_refused(&reader.client.patch(APP, json!({})), "not-allowed");
}

#[test]
fn a_state_that_was_altered_is_put_aside_and_the_gateway_waits_for_the_feed() {
    let upstream = Upstream::answering(200, json!([]));
    let (halves, mut keeps, _) = kept(&upstream);
    let halves = halves.kill_admin();
    let state = kept_state(&halves).join("state");
    let mut octets = std::fs::read(&state).expect("it is there");
    let middle = octets.len() / 2;
    octets[middle] ^= 1;
    std::fs::write(&state, octets).expect("it can be written");
    let halves = halves.kill_and_restart_gateway();
    keeps.client.address = halves.address;
    halves.gateway.stderr.line("the refusal", |line| {
        (line.contains("the kept state is refused and was put aside") && line.contains("not what was written"))
            .then_some(())
    });
    assert_refused(&keeps.client.get(ENV_TYPES), "no-data");
    assert!(kept_state(&halves).join("state.refused").exists());
    let halves = halves.start_admin();
    halves.wait_until_ready();
    keeps.client.get(ENV_TYPES).ok(200);
    halves.wait_until_kept();
}

#[test]
fn a_gateway_whose_disk_is_full_serves_on_and_says_so() {
    let upstream = Upstream::answering(200, json!([]));
    let (halves, mut keeps, _) = kept(&upstream);
    // Whatever is written to that device does not fit.
    symlink("/dev/full", kept_state(&halves).join("state.fresh")).expect("it can be made");
    let halves = halves.kill_and_restart_gateway();
    halves.wait_until_ready();
    keeps.client.address = halves.address;
    halves.gateway.stderr.line("the failure", |line| {
        line.contains("the kept state cannot be written: this gateway serves on")
            .then_some(())
    });
    assert_eq!(halves.operator().get("/readyz").json()["kept_state"], "failing");
    assert!(halves.metric("postern_kept_state_failures_total") >= 1.0);
    keeps.client.get(ENV_TYPES).ok(200);
    let token = format!("/users/{}/tokens/first", keeps.id);
    halves.administrator().delete(&token).ok(204);
    assert_refused(&keeps.client.get(ENV_TYPES), "token-unknown");
    assert!(
        !kept_state(&halves).join("state").exists(),
        "nothing old is left to start from"
    );
    // Once there is room it is kept again.
    halves.wait_until_kept();
}
