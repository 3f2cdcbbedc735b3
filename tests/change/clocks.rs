//! A gateway's clock that is set, ahead and back, by days: nothing that has expired works again, and no age goes wrong.

use feed::Clock;
use serde_json::json;

use crate::harness::client::Client;
use crate::harness::eventually;
use crate::harness::postern::Halves;
use crate::harness::refusal::assert_refused;
use crate::harness::upstream::Upstream;

const ENV_TYPES: &str = "/orgs/acme/env-types";
const DAY_S: i64 = 86_400;

/// Waits until the gateway sees its clock ahead of the admin service's by so much, give or take some seconds.
fn wait_for_difference(halves: &Halves, expected_s: i64) {
    eventually("the difference", || {
        let found_ms = halves.metric("postern_clock_difference_milliseconds");
        ((found_ms / 1000.0 - expected_s as f64).abs() < 10.0).then_some(())
    });
}

/// Makes a token of a new service user, which expires at a time; returns who has it.
fn expiring(halves: &Halves, expires_ms: i64) -> Client {
    let administrator = halves.administrator();
    let user = administrator.create_user("ci", "member");
    let at = chrono::DateTime::from_timestamp_millis(expires_ms).expect("a time");
    let at = at.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
    let body = json!({"id": "short", "type": "static", "expires_at": at});
    let made = administrator.post(&format!("/users/{user}/tokens"), body).ok(200);
    halves.with_token(made["token"].as_str().expect("a secret"))
}

fn now_ms() -> i64 {
    Clock::system().unix_ms()
}

#[test]
fn a_token_expires_in_time_and_stays_so_though_the_clock_is_set_back() {
    let upstream = Upstream::answering(200, json!([]));
    let halves = Halves::with_settable_clock(&upstream.url(), &[]);
    let expires_ms = now_ms() + 3000;
    let client = expiring(&halves, expires_ms);
    halves.set_clock(-DAY_S);
    wait_for_difference(&halves, -DAY_S);
    halves
        .gateway
        .logged("this machine's clock and the admin service's differ: tokens expire by the later one");
    eventually("the expiry", || (client.get(ENV_TYPES).status == 401).then_some(()));
    assert!(now_ms() >= expires_ms - 100, "by the admin service's clock");
    for days in [-2, -400] {
        halves.set_clock(days * DAY_S);
        wait_for_difference(&halves, days * DAY_S);
        assert_refused(&client.get(ENV_TYPES), "token-expired");
        // Who has no end is served, whatever the clock says.
        halves.administrator().get(ENV_TYPES).ok(200);
    }
    let halves = halves.kill_admin();
    assert_refused(&client.get(ENV_TYPES), "token-expired");
    halves.administrator().get(ENV_TYPES).ok(200);
}

#[test]
fn a_clock_that_is_set_makes_no_data_older_or_younger() {
    let upstream = Upstream::answering(200, json!([]));
    let flags = ["--data-age-writes-max-ms", "6000", "--data-age-reads-max-ms", "6000"];
    let halves = Halves::with_settable_clock(&upstream.url(), &flags);
    let administrator = halves.administrator();
    for days in [1, -1, 400, 0] {
        halves.set_clock(days * DAY_S);
        wait_for_difference(&halves, days * DAY_S);
        administrator.get(ENV_TYPES).ok(200);
        assert!(halves.metric("postern_feed_age_milliseconds") < 5000.0, "{days} days");
    }
    let halves = halves.kill_admin();
    let away_ms = now_ms();
    halves.set_clock(-DAY_S);
    eventually("the age", || (administrator.get(ENV_TYPES).status == 503).then_some(()));
    assert_refused(&administrator.get(ENV_TYPES), "data-too-old");
    let passed_ms = now_ms() - away_ms;
    assert!(passed_ms > 3500, "it was heard up to {passed_ms} ms ago");
}

#[test]
fn a_token_that_is_not_over_by_the_admin_services_clock_is_over_by_one_that_is_ahead_and_works_when_that_is_right() {
    let upstream = Upstream::answering(200, json!([]));
    let halves = Halves::with_settable_clock(&upstream.url(), &[]);
    let client = expiring(&halves, now_ms() + 3_600_000);
    client.get(ENV_TYPES).ok(200);
    halves.set_clock(DAY_S);
    wait_for_difference(&halves, DAY_S);
    assert_refused(&client.get(ENV_TYPES), "token-expired");
    halves.set_clock(0);
    wait_for_difference(&halves, 0);
    client.get(ENV_TYPES).ok(200);
}

#[test]
fn a_start_without_the_admin_service_revives_nothing_though_the_clock_was_set_back_meanwhile() {
    let upstream = Upstream::answering(200, json!([]));
    let halves = Halves::with_settable_clock(&upstream.url(), &[]);
    let mut client = expiring(&halves, now_ms() + 1500);
    eventually("the expiry", || (client.get(ENV_TYPES).status == 401).then_some(()));
    halves.wait_until_kept();
    // The gateway writes down now and then until when it has heard the feed; what it writes at its end is not waited for.
    let heard = |halves: &Halves| halves.operator().get("/readyz").json()["revision"].clone();
    let revision = heard(&halves);
    let halves = halves.kill_admin();
    halves.set_clock(-3600);
    let halves = halves.stop_and_restart_gateway();
    halves.wait_until_ready();
    client.address = halves.address;
    assert_eq!(heard(&halves), revision);
    assert_refused(&client.get(ENV_TYPES), "token-expired");
    halves.administrator().get(ENV_TYPES).ok(200);

    halves.set_clock(3600);
    let halves = halves.stop_and_restart_gateway();
    halves.gateway.stderr.line("the refusal", |line| {
        (line.contains("the kept state is refused") && line.contains("ms old")).then_some(())
    });
    assert_refused(&halves.administrator().get(ENV_TYPES), "no-data");
}
