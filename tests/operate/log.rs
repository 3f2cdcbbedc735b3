//! One line for each request, with what an operator needs and no secret.

use std::collections::BTreeSet;
use std::io::Write;

use serde_json::json;

use crate::harness::client::{Request, connect};
use crate::harness::eventually;
use crate::harness::postern::Postern;
use crate::harness::upstream::Upstream;

#[test]
fn each_request_has_one_line_with_every_field() {
    let upstream = Upstream::answering(200, json!([1, 2]));
    let postern = Postern::start(&upstream.url());
    let ci = postern.administrator().with_org_role("member");
    let before = eventually("the lines of the preparation", || {
        Some(postern.log_lines().len()).filter(|count| *count == 2)
    });
    for _ in 0..10 {
        ci.client.get("/orgs/acme/env-types?secret=hidden").ok(200);
    }
    postern.anybody().get("/orgs/acme/apps/shop");
    let lines = eventually("the lines", || {
        Some(postern.log_lines()).filter(|lines| lines.len() >= before + 11)
    });
    assert_eq!(lines.len(), before + 11);
    let line = &lines[before];
    let fields: Vec<&str> = line
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect();
    let expected = [
        "at",
        "bytes",
        "complete",
        "decision_id",
        "duration_us",
        "method",
        "operation",
        "org",
        "path",
        "peer",
        "reason",
        "revision",
        "role",
        "status",
        "subject",
        "token_id",
    ];
    assert_eq!(fields, expected);
    for (name, value) in [
        ("method", json!("GET")),
        ("path", json!("/orgs/acme/env-types")),
        ("operation", json!("listEnvironmentTypes")),
        ("org", json!("acme")),
        ("subject", json!(ci.id)),
        ("token_id", json!("first")),
        ("role", json!("member")),
        ("reason", json!("forwarded")),
        ("status", json!(200)),
        ("bytes", json!(5)),
        ("complete", json!(true)),
        ("peer", json!("127.0.0.1")),
    ] {
        assert_eq!(line[name], value, "{line}");
    }
    assert!(
        chrono::DateTime::parse_from_rfc3339(line["at"].as_str().expect("a time")).is_ok(),
        "{line}"
    );
    let refused = lines.last().expect("some");
    assert_eq!(
        (&refused["reason"], &refused["subject"]),
        (&json!("token-missing"), &json!(null)),
        "{refused}"
    );
}

#[test]
fn each_decision_has_an_id_of_its_own() {
    let postern = Postern::with("http://127.0.0.1:9", &["--workers", "2"]);
    for _ in 0..100 {
        postern.anybody().get("/orgs/acme/env-types");
    }
    let lines = eventually("the lines", || {
        Some(postern.log_lines()).filter(|lines| lines.len() == 100)
    });
    let ids: BTreeSet<&str> = lines
        .iter()
        .map(|line| line["decision_id"].as_str().expect("an id"))
        .collect();
    assert_eq!(ids.len(), lines.len());
}

#[test]
fn a_line_cannot_be_forged_by_what_a_caller_sends() {
    let postern = Postern::start("http://127.0.0.1:9");
    let path = "/orgs/a%22,%22status%22:200%0A%7B";
    postern
        .anybody()
        .send(Request::new("GET", path).field("User-Agent", "a\",\"reason\":\"forwarded"));
    let line = postern.log_line(|line| line["path"] == path);
    assert_eq!(
        (&line["status"], &line["reason"]),
        (&json!(401), &json!("token-missing")),
        "{line}"
    );
}

#[test]
fn a_request_whose_caller_leaves_before_the_answer_is_logged_as_such() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let postern = Postern::start(&format!("http://{}", listener.local_addr().expect("it is bound")));
    let mut caller = connect(postern.address);
    let octets = postern
        .administrator()
        .octets(Request::new("GET", "/orgs/acme/env-types"));
    caller.write_all(&octets).expect("it takes requests");
    let waiting = listener.accept().expect("it connects");
    drop(caller);
    let line = postern.log_line(|line| line["reason"] == "caller-left");
    assert_eq!(
        (&line["status"], &line["complete"]),
        (&json!(499), &json!(false)),
        "{line}"
    );
    assert_eq!(line["operation"], "listEnvironmentTypes");
    postern.wait_until_idle();
    drop(waiting);
}

#[test]
fn the_log_can_go_to_standard_output_or_nowhere() {
    let upstream = Upstream::answering(200, json!([]));
    let printing = Postern::with(&upstream.url(), &["--access-log", "stdout"]);
    printing.administrator().get("/orgs/acme/env-types").ok(200);
    printing.process.stdout.line("the request", |line| {
        line.contains("listEnvironmentTypes").then_some(())
    });
    let silent = Postern::with(&upstream.url(), &["--access-log", "off"]);
    silent.administrator().get("/orgs/acme/env-types").ok(200);
    assert_eq!(silent.process.stdout.so_far(), "");
}

#[test]
fn the_configuration_in_force_is_logged_without_secrets() {
    let postern = Postern::with("http://127.0.0.1:9", &["--drain-timeout-ms", "1234"]);
    let line = postern.process.logged("configuration in force");
    let config = line["config"].as_str().expect("a text");
    assert!(
        config.contains("drain_timeout_ms=1234") && config.contains("upstream=http://127.0.0.1:9"),
        "{config}"
    );
}

#[test]
fn lines_that_cannot_be_written_are_counted_and_the_outage_is_told_once() {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::with(&upstream.url(), &["--access-log", "/dev/full"]);
    let administrator = postern.administrator();
    for lost in 1..=3 {
        administrator.get("/orgs/acme/env-types").ok(200);
        eventually("the count", || {
            let metrics = String::from_utf8(postern.operator().get("/metrics").body).expect("UTF-8");
            metrics
                .contains(&format!("postern_access_log_dropped_total {lost}\n"))
                .then_some(())
        });
    }
    assert_eq!(postern.process.stderr.count("the access log cannot be written"), 1);
}
