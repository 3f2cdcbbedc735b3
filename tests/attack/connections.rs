//! Connections that are held and not used, and what others have of the gateway meanwhile.

use std::io::Write;

use serde_json::json;

use super::rows::{CALLER, TARGET};
use super::stand::Stand;
use crate::harness::client::{Request, connect};
use crate::harness::eventually;
use crate::harness::postern::Postern;
use crate::harness::raw::hear;
use crate::harness::upstream::{Reply, Upstream};

/// Connections of an attacker in these tests, many times the limit.
const HELD: usize = 300;

#[test]
fn connections_that_are_held_keep_nobody_from_the_operators_listener_and_end() {
    let upstream = Upstream::answering(200, json!([]));
    let flags = ["--connections-max", "50", "--header-timeout-ms", "1000"];
    let postern = Postern::with(&upstream.url(), &flags);
    let administrator = postern.administrator();
    let beginnings = ["", "GET", "GET /orgs/acme/env-types HTTP/1.1\r\nHost: a\r\n"];
    let held: Vec<_> = (0..HELD)
        .map(|at| {
            let mut stream = connect(postern.address);
            // More than the limit may be turned away by now.
            drop(stream.write_all(beginnings[at % beginnings.len()].as_bytes()));
            stream
        })
        .collect();
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(postern.operator().get(path).status, 200, "{path}");
    }
    for stream in held {
        let heard = hear(stream);
        assert!(heard.ended, "{}", heard.told());
    }
    eventually("an answer", || {
        let answer = administrator.try_send(Request::new("GET", TARGET));
        answer.filter(|answer| answer.status == 200)
    });
    eventually("the end of all connections", || {
        (postern.metric("postern_connections") == 0.0).then_some(())
    });
}

#[test]
fn a_kept_connection_on_which_nothing_follows_ends() {
    let stand = Stand::start(&["--idle-timeout-ms", "300"]);
    let mut stream = connect(stand.postern.address);
    let request = stand.fill(format!("GET {TARGET} HTTP/1.1\r\n{CALLER}\r\n").as_bytes());
    stream.write_all(&request).expect("it takes requests");
    let heard = hear(stream);
    assert_eq!((heard.answers.len(), heard.ended), (1, true), "{}", heard.told());
    assert_eq!(heard.answers[0].status, 200);
}

#[test]
fn nothing_is_answered_out_of_a_cache_and_nobody_else_may_keep_an_answer() {
    let upstream = Upstream::start(|received| {
        let fields = match received.target.rsplit('?').next() {
            Some("public") => vec![
                ("Cache-Control", "public, max-age=60".to_owned()),
                ("ETag", "\"e\"".to_owned()),
            ],
            _ => vec![("ETag", "\"e\"".to_owned()), ("Age", "5".to_owned())],
        };
        let status = if received.values("if-none-match").is_empty() {
            200
        } else {
            304
        };
        Reply::Answer(status, fields, if status == 200 { b"[]".to_vec() } else { Vec::new() })
    });
    let postern = Postern::start(&upstream.url());
    let administrator = postern.administrator();
    let member = administrator.with_org_role("member").client;
    for client in [&administrator, &administrator, &member] {
        let answer = client.get(TARGET);
        assert_eq!(
            (answer.status, answer.field("cache-control")),
            (200, Some("no-store, private"))
        );
        let answer = client.get(&format!("{TARGET}?public"));
        assert_eq!(answer.field("cache-control"), Some("public, max-age=60"));
        let answer = client.send(Request::new("GET", TARGET).field("If-None-Match", "\"e\""));
        assert_eq!(
            (answer.status, answer.field("cache-control")),
            (304, Some("no-store, private"))
        );
    }
    assert_eq!(upstream.received().len(), 9);
    let refusals = [
        postern.anybody().get(TARGET),
        member.get("/orgs/acme/users"),
        member.get("/nothing"),
    ];
    for answer in refusals {
        assert_eq!(answer.field("cache-control"), Some("no-store"), "{}", answer.shown());
    }
}
