//! What two readers could read in two ways ends at the door, and nothing of it reaches the orchestrator.

use serde_json::json;

use crate::harness::client::{Answer, Request};
use crate::harness::postern::Postern;
use crate::harness::raw;
use crate::harness::upstream::Upstream;

/// Fields after which two readers could disagree about where the request ends.
const HOSTILE_FRAMINGS: [(&str, &str); 20] = [
    ("two lengths", "Content-Length: 4\r\nContent-Length: 5"),
    ("a list of lengths", "Content-Length: 4, 4"),
    ("a signed length", "Content-Length: +4"),
    ("a negative length", "Content-Length: -1"),
    ("a hexadecimal length", "Content-Length: 0x4"),
    ("an overflowing length", "Content-Length: 18446744073709551617"),
    ("an empty length", "Content-Length:"),
    ("a coding twice", "Transfer-Encoding: chunked, chunked"),
    (
        "two lines of codings",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    ),
    ("another coding last", "Transfer-Encoding: chunked, identity"),
    ("another coding first", "Transfer-Encoding: gzip, chunked"),
    ("an unknown coding", "Transfer-Encoding: xchunked"),
    ("a quoted coding", "Transfer-Encoding: \"chunked\""),
    ("a coding behind a control octet", "Transfer-Encoding: \x0bchunked"),
    ("a space before the colon", "Transfer-Encoding : chunked"),
    ("a folded line", "X-Folded: a\r\n Transfer-Encoding: chunked"),
    ("a bare carriage return", "X-Bare: a\rTransfer-Encoding: chunked"),
    ("a NUL", "X-Nul: a\0b"),
    ("a space in a name", "X Name: a"),
    ("a name of nothing", ": a"),
];

#[test]
fn a_request_whose_end_can_be_read_in_two_ways_is_refused_and_ends_the_connection() {
    let upstream = Upstream::answering(200, json!({}));
    let postern = Postern::start(&upstream.url());
    let token = postern.administrator().token.expect("it has one");
    let head = format!("POST /orgs/acme/artefact-versions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n");
    let mut passed = Vec::new();
    for (what, fields) in HOSTILE_FRAMINGS {
        let octets = format!("{head}{fields}\r\n\r\n0\r\n\r\nGET /orgs/acme/apps HTTP/1.1\r\nHost: a\r\n\r\n");
        let answers = raw::exchange(postern.address, octets.as_bytes());
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        // One answer: what follows must not be read as a request.
        if statuses != [400] {
            passed.push((what, statuses));
        }
    }
    assert_eq!(passed, []);
    assert_eq!(upstream.received().len(), 0, "{:?}", upstream.received());
}

#[test]
fn of_two_framings_chunks_count_and_nothing_is_read_behind_them() {
    let upstream = Upstream::answering(200, json!({}));
    let postern = Postern::start(&upstream.url());
    let token = postern.administrator().token.expect("it has one");
    let head = format!("POST /orgs/acme/artefact-versions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n");
    let hidden = format!("GET /orgs/acme/apps HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n");
    // RFC 9112 §6.3: such a request is refused, or read by its chunks alone and the connection ended.
    for fields in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 4",
    ] {
        let before = upstream.received().len();
        let octets = format!("{head}{fields}\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n{hidden}");
        let answers = raw::exchange(postern.address, octets.as_bytes());
        assert_eq!(answers.len(), 1, "{answers:?}");
        for received in &upstream.received()[before..] {
            assert_eq!((received.method.as_str(), &*received.body), ("POST", &b"{}"[..]));
            assert!(received.values("content-length").is_empty(), "{received:?}");
        }
        assert!(upstream.received().len() <= before + 1, "{:?}", upstream.received());
    }
}

#[test]
fn a_field_that_counts_once_and_comes_twice_is_refused() {
    let upstream = Upstream::answering(200, json!({}));
    let postern = Postern::start(&upstream.url());
    let administrator = postern.administrator();
    for (name, reason) in [
        ("Host", "request-ambiguous"),
        ("Content-Type", "request-ambiguous"),
        ("Content-Encoding", "request-ambiguous"),
        ("Authorization", "credentials-twice"),
    ] {
        let request = Request::new("POST", "/orgs/acme/artefact-versions")
            .field(name, "a")
            .field(name, "b");
        postern.assert_refused(&administrator.send(request), reason);
    }
    assert_eq!(upstream.received().len(), 0, "{:?}", upstream.received());
}

#[test]
fn a_host_that_is_missing_doubled_or_no_host_is_refused() {
    let upstream = Upstream::answering(200, json!({}));
    let postern = Postern::start(&upstream.url());
    for fields in [
        "",
        "Host: a\r\nHost: a\r\n",
        "Host: a b\r\n",
        "Host: a/b\r\n",
        "Host: user@a\r\n",
        "Host: a, b\r\n",
    ] {
        let octets = format!("GET /orgs HTTP/1.1\r\n{fields}Connection: close\r\n\r\n");
        postern.assert_refused(&raw::single(postern.address, octets.as_bytes()), "request-ambiguous");
    }
    let other = b"GET http://b/orgs HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    postern.assert_refused(&raw::single(postern.address, other), "request-ambiguous");
    let same = b"GET http://a/orgs HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    postern.assert_refused(&raw::single(postern.address, same), "token-missing");
}

#[test]
fn a_transfer_coding_in_http_1_0_is_refused() {
    let postern = Postern::start("http://127.0.0.1:9");
    let octets = b"POST /orgs/acme/apps HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(raw::single(postern.address, octets).status, 400);
}

#[test]
fn a_host_that_is_not_ours_is_misdirected() {
    let postern = Postern::with("http://127.0.0.1:9", &["--hosts", "api.example, other.example"]);
    let ask = |host: &str| {
        let octets = format!("GET /orgs HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        raw::single(postern.address, octets.as_bytes())
    };
    for host in ["evil.example", "api.example.evil", "api.example."] {
        postern.assert_refused(&ask(host), "host-unknown");
    }
    for host in ["api.example", "API.example:8080", "other.example"] {
        postern.assert_refused(&ask(host), "token-missing");
    }
}

#[test]
fn each_pipelined_request_is_judged_by_its_own_credentials() {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::start(&upstream.url());
    let token = postern.administrator().token.expect("it has one");
    let octets = format!(
        "GET /orgs/acme/env-types HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n\
         GET /orgs/acme/env-types HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    );
    // Both are read before the sending side ends, since they come in one piece.
    let statuses: Vec<u16> = raw::exchange(postern.address, octets.as_bytes())
        .iter()
        .map(|a| a.status)
        .collect();
    assert_eq!(statuses, [200, 401]);
    assert_eq!(upstream.received().len(), 1);
}

#[test]
fn a_body_behind_a_refusal_is_never_read_as_a_request() {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::start(&upstream.url());
    let token = postern.administrator().token.expect("it has one");
    let hidden = format!("GET /orgs/acme/env-types HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n");
    let octets = format!(
        "POST /orgs/acme/apps HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{hidden}",
        hidden.len()
    );
    let answers = raw::exchange(postern.address, octets.as_bytes());
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [401]);
    assert_eq!(upstream.received().len(), 0);
}

#[test]
fn a_body_in_a_get_stays_a_body() {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::start(&upstream.url());
    let hidden = "GET /orgs/acme/apps/hidden HTTP/1.1\r\nHost: a\r\n\r\n";
    let request = Request::new("GET", "/orgs/acme/env-types")
        .field("Content-Length", &hidden.len().to_string())
        .body(hidden);
    postern.administrator().send(request).ok(200);
    let received = upstream.only();
    assert_eq!(
        (received.target.as_str(), &*received.body),
        ("/orgs/acme/env-types", hidden.as_bytes())
    );
}

#[test]
fn a_chunked_body_that_breaks_off_is_never_completed_upstream() {
    let upstream = Upstream::answering(200, json!({}));
    let postern = Postern::start(&upstream.url());
    let token = postern.administrator().token.expect("it has one");
    let head = format!(
        "POST /orgs/acme/artefact-versions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\
         Transfer-Encoding: chunked\r\n\r\n"
    );
    for body in [
        "5\r\nhello",
        "5\r\nhello\r\nzz\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "-1\r\n\r\n",
        "ffffffffffffffff1\r\n",
    ] {
        let answers = raw::exchange(postern.address, format!("{head}{body}").as_bytes());
        assert!(
            answers.iter().all(|answer| answer.status >= 400),
            "{body:?}: {answers:?}"
        );
    }
    assert_eq!(upstream.received().len(), 0, "{:?}", upstream.received());
}

#[test]
fn trailers_do_not_become_fields() {
    let upstream = Upstream::answering(200, json!({}));
    let postern = Postern::start(&upstream.url());
    let token = postern.administrator().token.expect("it has one");
    let octets = format!(
        "POST /orgs/acme/artefact-versions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nTrailer: From\r\n\
         Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\n{{}}\r\n0\r\nFrom: s-other\r\nX-Late: 1\r\n\r\n"
    );
    assert_eq!(raw::single(postern.address, octets.as_bytes()).status, 200);
    let received = upstream.only();
    assert_eq!(received.values("from").len(), 1);
    assert!(!received.holds("s-other") && !received.holds("X-Late") && received.values("trailer").is_empty());
}

#[test]
fn an_upgrade_is_not_passed_on() {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::start(&upstream.url());
    let upgrade = Request::new("GET", "/orgs/acme/env-types")
        .field("Upgrade", "h2c")
        .field("HTTP2-Settings", "AAMAAABkAAQAoAAAAAIAAAAA");
    let answer: Answer = postern.administrator().send(upgrade);
    assert_eq!(answer.status, 200, "{}", answer.shown());
    let received = upstream.only();
    assert!(
        received.values("upgrade").is_empty() && received.values("http2-settings").is_empty(),
        "{received:?}"
    );
}

#[test]
fn a_caller_that_expects_to_be_told_to_go_on_is_told() {
    let upstream = Upstream::answering(200, json!({}));
    let postern = Postern::start(&upstream.url());
    let request = Request::new("POST", "/orgs/acme/artefact-versions")
        .field("Expect", "100-continue")
        .body("{}");
    postern.administrator().send(request).ok(200);
    let received = upstream.only();
    assert_eq!(received.body, b"{}");
    assert!(received.values("expect").is_empty());
}
