//! Who is asked: one host, in one form, and an upstream that no caller chooses.

use serde_json::json;

use super::canonical::Canonical;
use super::rows::{Row, TARGET, ambiguous, forwarded, refused};
use super::stand::Stand;
use crate::harness::raw::{Cut, send_cut};
use crate::harness::upstream::Upstream;

/// `Host` lines that are not one host.
const HOSTS: [&[u8]; 44] = [
    b"",
    b"Host: a\r\nHost: a\r\n",
    b"Host: a\r\nHost: b\r\n",
    b"Host: a\r\nhost: a\r\n",
    b"Host:\r\nHost: a\r\n",
    b"Host: a\r\nHost:\r\n",
    b"Host: a, b\r\n",
    b"Host: a,b\r\n",
    b"Host: a,\r\n",
    b"Host: a b\r\n",
    b"Host: a\tb\r\n",
    b"Host:\r\n",
    b"Host: \r\n",
    b"Host : a\r\n",
    b"Host\t: a\r\n",
    b"Host:\r\n a\r\n",
    b"Host: a\r\n b\r\n",
    b" Host: a\r\n",
    b"Hos\xd1\x82: a\r\n",
    b"X-Host: a\r\n",
    b"Host: a/b\r\n",
    b"Host: a/\r\n",
    b"Host: /\r\n",
    b"Host: a?b\r\n",
    b"Host: a#b\r\n",
    b"Host: a\\b\r\n",
    b"Host: user@a\r\n",
    b"Host: @a\r\n",
    b"Host: a@\r\n",
    b"Host: user:secret@a:80\r\n",
    b"Host: http://a\r\n",
    b"Host: a:80:80\r\n",
    b"Host: a:x\r\n",
    b"Host: a:-1\r\n",
    b"Host: a:99999\r\n",
    b"Host: :80\r\n",
    b"Host: [::1\r\n",
    b"Host: ::1\r\n",
    b"Host: [::1]a\r\n",
    b"Host: [a]\r\n",
    b"Host: a\"b\r\n",
    b"Host: a<b>\r\n",
    b"Host: \xc3\xa4\r\n",
    b"Host: a\0\r\n",
];

/// Targets that hold a host, with a `Host` field of `a`, and do not name what we are.
const TARGETS: [&str; 22] = [
    "http://b/orgs/acme/env-types",
    "http://a.evil/orgs/acme/env-types",
    "http://a:1/orgs/acme/env-types",
    "http://user@a/orgs/acme/env-types",
    "http://user:secret@a/orgs/acme/env-types",
    "http://b@a/orgs/acme/env-types",
    "http://a@b/orgs/acme/env-types",
    "http://a%00/orgs/acme/env-types",
    "http://a%2Eevil/orgs/acme/env-types",
    "http://a\\@b/orgs/acme/env-types",
    "http:///orgs/acme/env-types",
    "http:/orgs/acme/env-types",
    "http:orgs/acme/env-types",
    "https://a/orgs/acme/env-types",
    "ftp://a/orgs/acme/env-types",
    "file://a/orgs/acme/env-types",
    "gopher://a/orgs/acme/env-types",
    "ws://a/orgs/acme/env-types",
    "a:80",
    "a",
    "*",
    "b/orgs/acme/env-types",
];

fn with_host(target: &str, host: impl AsRef<[u8]>) -> Vec<u8> {
    let line = format!("GET {target} HTTP/1.1\r\nAuthorization: Bearer <token>\r\n");
    [line.as_bytes(), host.as_ref(), b"\r\n"].concat()
}

#[test]
fn a_host_that_is_missing_doubled_or_none_is_refused() {
    let rows = HOSTS.map(|host| ambiguous(host, with_host(TARGET, host)));
    Stand::start(&[]).holds(rows);
}

#[test]
fn a_host_without_which_http_1_0_goes_on_is_still_looked_at() {
    let line = format!("GET {TARGET} HTTP/1.0\r\nAuthorization: Bearer <token>\r\n");
    // A request of that version may name none.
    let named = HOSTS
        .iter()
        .filter(|host| !host.is_empty() && !host.starts_with(b"X-Host"));
    let rows = named.map(|host| ambiguous(host, [line.as_bytes(), host, b"\r\n"].concat()).last());
    Stand::start(&[]).holds(rows);
}

#[test]
fn a_target_that_names_another_host_scheme_or_user_is_refused() {
    let rows = TARGETS.map(|target| {
        let reasons = &["request-ambiguous", "host-unknown", "operation-unknown"];
        refused(target, with_host(target, "Host: a\r\n"), reasons)
    });
    Stand::start(&[]).holds(rows);
}

#[test]
fn a_target_that_names_our_host_is_forwarded_without_it() {
    let rows = ["http://a", "HTTP://a", "http://A", "hTTp://a"].map(|start| {
        let octets = with_host(&format!("{start}{TARGET}"), "Host: a\r\n");
        forwarded(start, octets, Canonical::get(TARGET))
    });
    let port = with_host(&format!("http://a:8080{TARGET}"), "Host: a:8080\r\n");
    let port = forwarded("a port", port, Canonical::get(TARGET).at("a:8080"));
    Stand::start(&[]).holds(rows.into_iter().chain([port]));
}

#[test]
fn a_host_in_another_spelling_is_the_same_host_or_none_of_ours() {
    let other: [&[u8]; 16] = [
        b"b.example",
        b"api.example.",
        b"api.example.:80",
        b"api.example.evil",
        b"evil.api.example",
        b"xapi.example",
        b"api.examplex",
        b"api-example",
        b"api.example%2eevil",
        b"%61pi.example",
        b"api%2eexample",
        b"api.example%00",
        b".api.example",
        b"api..example",
        b"127.0.0.2",
        b"localhost",
    ];
    let reasons = &["host-unknown", "request-ambiguous"];
    let rows = other.map(|host| refused(host, with_host(TARGET, [b"Host: ", host, b"\r\n"].concat()), reasons));
    let absolute = ["b.example", "api.example."].map(|host| {
        let target = format!("http://{host}{TARGET}");
        refused(&target, with_host(&target, format!("Host: {host}\r\n")), reasons)
    });
    let none = format!("GET {TARGET} HTTP/1.0\r\nAuthorization: Bearer <token>\r\n\r\n");
    let none = refused("no host in HTTP/1.0", none, reasons).last();
    let same = ["api.example", "API.EXAMPLE", "Api.Example", "aPI.eXAMPLE:8080"].map(|host| {
        let canonical = Canonical::get(TARGET).at(&host.to_lowercase());
        forwarded(host, with_host(TARGET, format!("Host: {host}\r\n")), canonical)
    });
    let rows: Vec<Row> = rows.into_iter().chain(absolute).chain([none]).chain(same).collect();
    Stand::start(&["--hosts", "api.example, a, 127.0.0.1"]).holds(rows);
}

#[test]
fn no_caller_chooses_who_is_asked() {
    let decoy = Upstream::answering(200, json!({}));
    let (address, port) = (decoy.address, decoy.address.port());
    let stand = Stand::start(&[]);
    let heads = [
        format!("GET {TARGET} HTTP/1.1\r\nHost: {address}\r\n"),
        format!("GET http://{address}{TARGET} HTTP/1.1\r\nHost: {address}\r\n"),
        format!("GET http://{address}{TARGET} HTTP/1.1\r\nHost: a\r\n"),
        format!("GET http://a@{address}{TARGET} HTTP/1.1\r\nHost: {address}\r\n"),
        format!("GET //{address}{TARGET} HTTP/1.1\r\nHost: a\r\n"),
        format!("GET @{address}{TARGET} HTTP/1.1\r\nHost: a\r\n"),
        format!("GET :{port}{TARGET} HTTP/1.1\r\nHost: a\r\n"),
        format!("GET /http://{address}{TARGET} HTTP/1.1\r\nHost: a\r\n"),
        format!("GET {TARGET}?url=http://{address}/ HTTP/1.1\r\nHost: a\r\n"),
        format!("GET {TARGET} HTTP/1.1\r\nHost: a\r\nX-Forwarded-Host: {address}\r\n"),
        format!("GET {TARGET} HTTP/1.1\r\nHost: a\r\nForwarded: host={address}\r\n"),
        format!("GET {TARGET} HTTP/1.1\r\nHost: a\r\nX-Original-URL: http://{address}/\r\n"),
        format!("GET {TARGET} HTTP/1.1\r\nHost: a\r\nX-Upstream: http://{address}\r\n"),
        format!("CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n"),
    ];
    for head in &heads {
        let octets = format!(
            "{head}Authorization: Bearer {}\r\nConnection: close\r\n\r\n",
            stand.token
        );
        let heard = send_cut(stand.postern.address, octets.as_bytes(), Cut::Whole, false);
        assert_eq!(
            (heard.answers.len(), heard.ended),
            (1, true),
            "{head}: {}",
            heard.told()
        );
    }
    assert_eq!(decoy.connections(), 0);
    let own = stand.upstream.address.to_string();
    assert!(
        stand
            .upstream
            .received()
            .iter()
            .all(|received| received.values("host") == [&own])
    );
}
