//! Somebody between the gateway and the admin service, who has the credential and alters the feed. A gateway takes nothing
//! that the store did not say, keeps what it has, and goes on when the feed is true again.

use serde_json::json;

use crate::harness::client::{Client, Request};
use crate::harness::eventually;
use crate::harness::middle::in_the_middle;
use crate::harness::postern::Halves;
use crate::harness::process::run_gateway;
use crate::harness::refusal::assert_refused;
use crate::harness::upstream::Upstream;

const ENV_TYPES: &str = "/orgs/acme/env-types";

fn is(kind: &str, line: &str) -> bool {
    line.starts_with(&format!(r#"{{"frame":"{kind}""#))
}

/// What becomes of a line on its way.
type Alteration = fn(&str) -> Vec<String>;

/// Waits until the gateway has given up the feed for a reason.
fn lost(halves: &Halves, reason: &str) {
    halves.gateway.stderr.line(reason, |line| {
        (line.contains("the feed was lost") && line.contains(reason)).then_some(())
    });
}

#[test]
fn a_feed_that_was_altered_on_its_way_is_refused_and_nothing_of_it_is_taken() {
    let alterations: [(&str, Alteration); 6] = [
        ("is not signed by the feed's key", |line| {
            vec![line.replace(r#""frame":"opening","store":""#, r#""frame":"opening","store":"0"#)]
        }),
        ("is not signed by the feed's key", |line| {
            vec![line.replace(
                r#""frame":"snapshot-end","revision":"#,
                r#""frame":"snapshot-end","revision":1"#,
            )]
        }),
        ("the snapshot is not what was signed", |line| {
            vec![line.replace(r#""role":"administrator""#, r#""role":"manager""#)]
        }),
        ("the snapshot is not what was signed", |line| {
            let left_out = line.contains(r#""record":{"kind":"token""#);
            if left_out { Vec::new() } else { vec![line.to_owned()] }
        }),
        ("the feed does not begin with an opening", |line| {
            if is("opening", line) {
                Vec::new()
            } else {
                vec![line.to_owned()]
            }
        }),
        ("a line is no frame", |line| vec![line.replace('{', "[")]),
    ];
    let upstream = Upstream::answering(200, json!([]));
    for (reason, alter) in alterations {
        let halves = Halves::without_admin(&upstream.url(), &[]).start_admin();
        let middle = in_the_middle(halves.admin_address(), move |_, line| alter(line));
        halves.link.cut();
        halves.link.connect(middle.address);
        // It may have found the true feed before it was cut off; then there is nothing to alter.
        let halves = halves.kill_and_restart_ignorant_gateway();
        lost(&halves, reason);
        assert_refused(&halves.administrator().get(ENV_TYPES), "no-data");
        halves.link.cut();
        halves.reconnect();
        halves.wait_until_ready();
        halves.administrator().get(ENV_TYPES).ok(200);
    }
}

#[test]
fn a_revocation_that_is_held_back_is_missed_within_seconds() {
    let upstream = Upstream::answering(200, json!([]));
    let halves = Halves::start(&upstream.url(), &[]);
    let ci = halves.administrator().with_org_role("member");
    let middle = in_the_middle(halves.admin_address(), |number, line| {
        let removal = number == 0 && is("change", line) && line.contains("token-removed");
        if removal { Vec::new() } else { vec![line.to_owned()] }
    });
    halves.link.cut();
    halves.link.connect(middle.address);
    let revoke = format!("/users/{}/tokens/first", ci.id);
    eventually("the revocation", || {
        (halves.administrator().delete(&revoke).status == 204).then_some(())
    });
    // Another change shows that one is missing; without it, the next heartbeat does.
    lost(&halves, "are missing");
    eventually("the refusal", || (ci.client.get(ENV_TYPES).status == 401).then_some(()));
}

#[test]
fn frames_of_an_earlier_feed_bring_nobody_back() {
    let upstream = Upstream::answering(200, json!([]));
    let halves = Halves::start(&upstream.url(), &[]);
    let ci = halves.administrator().with_org_role("member");
    // A feed as it was while the token lived.
    let mut text = String::new();
    let credential = std::fs::read_to_string(halves.admin_data().join("gateway-credential")).expect("it is there");
    let eavesdropper = Client {
        address: halves.admin_address(),
        token: Some(credential.trim().to_owned()),
    };
    let mut feed = eavesdropper.begin(Request::new("GET", "/feed"));
    while !text.lines().any(|line| is("snapshot-end", line)) || !text.ends_with('\n') {
        text.push_str(&String::from_utf8(feed.chunk().expect("it does not end")).expect("text"));
    }
    let recorded: Vec<String> = text.lines().map(str::to_owned).collect();
    halves
        .administrator()
        .delete(&format!("/users/{}/tokens/first", ci.id))
        .ok(204);
    assert_refused(&ci.client.get(ENV_TYPES), "token-unknown");
    let whole = recorded.clone();
    let replayed = in_the_middle(halves.admin_address(), move |_, line| {
        if is("opening", line) { whole.clone() } else { Vec::new() }
    });
    halves.link.cut();
    halves.link.connect(replayed.address);
    let halves = halves.kill_and_restart_ignorant_gateway();
    lost(&halves, "the opening is not an answer to what was asked");
    let after_opening = recorded[1..].to_vec();
    let spliced = in_the_middle(halves.admin_address(), move |_, line| {
        if is("opening", line) {
            [vec![line.to_owned()], after_opening.clone()].concat()
        } else {
            Vec::new()
        }
    });
    halves.link.cut();
    halves.link.connect(spliced.address);
    lost(&halves, "the snapshot is of revision");
    assert_refused(&halves.with_token(&ci.token).get(ENV_TYPES), "no-data");
    halves.link.cut();
    halves.reconnect();
    halves.wait_until_ready();
    assert_refused(&halves.with_token(&ci.token).get(ENV_TYPES), "token-unknown");
}

#[test]
fn a_feed_of_another_key_is_refused_whoever_has_the_credential() {
    let upstream = Upstream::answering(200, json!([]));
    let halves = Halves::start(&upstream.url(), &[]);
    let administrator = halves.administrator();
    let halves = halves.kill_admin();
    let key = halves.admin_data().join("feed-key");
    std::fs::remove_file(&key).expect("it was there");
    // The gateway keeps the public key that it was given; the admin service makes a new one.
    let halves = halves.start_admin();
    lost(&halves, "is not signed by the feed's key");
    administrator.get(ENV_TYPES).ok(200);
}

#[test]
fn a_file_that_holds_no_public_key_is_told_at_the_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("it is written");
        path.display().to_string()
    };
    let (keys, credential) = (file("keys", "AAAA\n"), file("credential", "pstg_x\n"));
    let data = directory.path().join("data").display().to_string();
    let files = [
        "--gateway-credential-file",
        &credential,
        "--feed-public-key-file",
        &keys,
    ];
    let ended = run_gateway(&data, &files);
    assert_eq!(ended.code, Some(65), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("is not an Ed25519 public key"),
        "{}",
        ended.stderr
    );
}
