//! A gateway that enrols: from the command that lets it in to the one that removes it.

use serde_json::json;

use crate::harness::eventually;
use crate::harness::postern::Halves;
use crate::harness::process::run_gateway;
use crate::harness::terminal::Terminal;
use crate::harness::upstream::Upstream;

const ENV_TYPES: &str = "/orgs/acme/env-types";

#[test]
fn a_gateway_enrols_serves_starts_again_and_is_removed() {
    let upstream = Upstream::answering(200, json!([]));
    let halves = Halves::start(&upstream.url(), &[]);
    let operator = Terminal {
        url: format!("http://{}", halves.address),
        token: halves.administrator().token.expect("it has one"),
    };
    let printed = operator.done(&["fleet", "enrol", "paris-1"]);
    let token = halves.admin_data().join("enrolment-token");
    std::fs::write(&token, printed).expect("it is written");
    let (gateway, client) = halves.enrolling_gateway("paris", Some(&token));
    let administrator = halves.administrator();
    let there = crate::harness::client::Client {
        address: client,
        ..administrator.clone()
    };
    there.get(ENV_TYPES).ok(200);
    let listed = operator.json(&["fleet", "show", "paris-1"]);
    assert_eq!(
        (&listed["state"], &listed["enrolled"]),
        (&json!("live"), &json!(true)),
        "{listed}"
    );
    // What is done there is believed.
    there.create_user("ci", "member");

    // The token is used up, and not needed any more.
    let second = halves.start_enrolling_gateway("lyon", Some(&token)).ended();
    assert_eq!(second.code, Some(64), "{}", second.stderr);
    assert!(
        second.stderr.contains("enrolment token is not valid"),
        "{}",
        second.stderr
    );
    gateway.kill();
    let (gateway, address) = halves.enrolling_gateway("paris", None);
    let there = crate::harness::client::Client {
        address,
        ..administrator
    };
    there.get(ENV_TYPES).ok(200);

    let table = operator.done(&["fleet", "list"]);
    assert!(table.contains("paris-1") && table.contains("edge-1"), "{table}");
    operator.done(&["fleet", "rename", "paris-1", "paris-2"]);
    operator.done(&["fleet", "remove", "paris-2"]);
    gateway.stderr.line("the end of the feed", |line| {
        line.contains("the feed ended").then_some(())
    });
    gateway
        .stderr
        .line("the refusal", |line| line.contains("answered 401").then_some(()));
    eventually("the refusal of changes", || {
        let answer = there.post("/orgs/acme/users", json!({"name": "x", "role": "member"}));
        (answer.status == 503).then_some(())
    });
    halves.administrator().create_user("ci-2", "member");
}

#[test]
fn a_gateway_without_any_credential_says_what_it_needs() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data").display().to_string();
    let bad = directory.path().join("token");
    std::fs::write(&bad, "pste_x.y\n").expect("it is written");
    let ended = run_gateway(&data, &[]);
    assert_eq!(ended.code, Some(64));
    assert!(
        ended.stderr.contains("gateway_credential_file is needed"),
        "{}",
        ended.stderr
    );
    let ended = run_gateway(&data, &["--enrolment-token-file", &bad.display().to_string()]);
    assert_eq!(ended.code, Some(64));
    assert!(ended.stderr.contains("postern fleet enrol"), "{}", ended.stderr);
}
