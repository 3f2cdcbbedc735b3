//! Front proxies: what those that are listed say is believed, and of nobody else.

use std::io::{Read, Write};

use serde_json::json;

use crate::harness::client::{Request, Streaming, connect};
use crate::harness::postern::Postern;
use crate::harness::upstream::Upstream;

/// Sends octets in front of a request; returns the source that the orchestrator was told, if it got the request.
fn source_told(postern: &Postern, upstream: &Upstream, ahead: &[u8], fields: &[(&str, &str)]) -> Option<String> {
    let before = upstream.received().len();
    let request = fields
        .iter()
        .fold(Request::new("GET", "/orgs/acme/env-types"), |request, (name, value)| {
            request.field(name, value)
        });
    let mut stream = connect(postern.address);
    let octets = [ahead, &postern.administrator().octets(request)].concat();
    stream.write_all(&octets).expect("it takes octets");
    let mut answer = Vec::new();
    // Whoever is not understood is cut off, with octets unread.
    drop(stream.read_to_end(&mut answer));
    let received = upstream.received();
    assert_eq!(
        received.len() > before,
        answer.starts_with(b"HTTP/1.1 200"),
        "{}",
        answer.escape_ascii()
    );
    let told = received.get(before)?.values("x-forwarded-for").join(" + ");
    postern.log_line(|line| line["peer"] == *told && line["operation"] == "listEnvironmentTypes");
    Some(told)
}

const V2: &[u8] = b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x07\x7f\x00\x00\x01\x12\x34\x01\xbb";
const V2_LOCAL: &[u8] = b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00";

#[test]
fn the_source_in_a_proxy_header_of_a_listed_proxy_is_the_source() {
    let upstream = Upstream::answering(200, json!([]));
    let flags = ["--trusted-proxies", "127.0.0.0/8", "--proxy-protocol", "true"];
    let postern = Postern::with(&upstream.url(), &flags);
    let told = |ahead: &[u8]| source_told(&postern, &upstream, ahead, &[]);
    assert_eq!(
        told(b"PROXY TCP4 192.0.2.1 127.0.0.1 4711 443\r\n").as_deref(),
        Some("192.0.2.1")
    );
    assert_eq!(
        told(b"PROXY TCP6 2001:db8::7 ::1 4711 443\r\n").as_deref(),
        Some("2001:db8::7")
    );
    assert_eq!(told(b"PROXY UNKNOWN\r\n").as_deref(), Some("127.0.0.1"));
    assert_eq!(told(V2).as_deref(), Some("192.0.2.7"));
    assert_eq!(told(V2_LOCAL).as_deref(), Some("127.0.0.1"));
    for malformed in [
        &b""[..],
        b"PROXY TCP4 192.0.2.1\r\n",
        b"PROXY TCP4 300.0.2.1 127.0.0.1 1 1\r\n",
        b"proxy unknown\r\n",
    ] {
        assert_eq!(told(malformed), None, "{}", malformed.escape_ascii());
    }
    assert!(postern.metric(r#"postern_connections_unserved_total{cause="bad-proxy-header"}"#) >= 4.0);
}

#[test]
fn a_proxy_header_of_anybody_else_is_no_request() {
    let upstream = Upstream::answering(200, json!([]));
    let flags = ["--trusted-proxies", "192.0.2.0/24", "--proxy-protocol", "true"];
    let postern = Postern::with(&upstream.url(), &flags);
    let header = b"PROXY TCP4 192.0.2.1 127.0.0.1 4711 443\r\n";
    assert_eq!(source_told(&postern, &upstream, header, &[]), None);
    assert_eq!(source_told(&postern, &upstream, b"", &[]).as_deref(), Some("127.0.0.1"));
    let mut stream = connect(postern.address);
    stream.write_all(V2).expect("it takes octets");
    postern.assert_refused(&Streaming::read(stream).whole(), "request-ambiguous");
}

#[test]
fn the_last_address_that_no_listed_proxy_has_is_the_source() {
    let upstream = Upstream::answering(200, json!([]));
    let flags = [
        "--trusted-proxies",
        "127.0.0.1, 10.0.0.0/8",
        "--source-field",
        "x-forwarded-for",
    ];
    let postern = Postern::with(&upstream.url(), &flags);
    let told = |value| source_told(&postern, &upstream, b"", &[("X-Forwarded-For", value)]).expect("it is served");
    assert_eq!(told("192.0.2.1"), "192.0.2.1");
    assert_eq!(told("198.51.100.9, 192.0.2.2, 10.1.1.1"), "192.0.2.2");
    assert_eq!(told("spoofed"), "127.0.0.1");
    let other = source_told(&postern, &upstream, b"", &[("Forwarded", "for=192.0.2.3")]);
    assert_eq!(other.as_deref(), Some("127.0.0.1"));
}

#[test]
fn fields_that_name_a_source_are_not_believed_by_default() {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::start(&upstream.url());
    let fields = [
        ("X-Forwarded-For", "192.0.2.1"),
        ("Forwarded", "for=192.0.2.1"),
        ("X-Real-IP", "192.0.2.1"),
    ];
    assert_eq!(
        source_told(&postern, &upstream, b"", &fields).as_deref(),
        Some("127.0.0.1")
    );
}

#[test]
fn the_rate_of_a_source_is_that_of_whom_a_listed_proxy_names() {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::with(
        &upstream.url(),
        &[
            "--trusted-proxies",
            "127.0.0.1",
            "--source-field",
            "forwarded",
            "--source-requests-per-second",
            "1",
            "--source-burst",
            "10",
        ],
    );
    let ask = |source: &str| {
        let forwarded = format!("for={source};proto=https");
        postern
            .anybody()
            .send(Request::new("GET", "/orgs").field("Forwarded", &forwarded))
            .status
    };
    assert!((0..20).any(|_| ask("192.0.2.1") == 429));
    assert_eq!(ask("192.0.2.2"), 401);
}
