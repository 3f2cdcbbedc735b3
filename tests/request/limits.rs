//! Every limit at the limit and one past it.

use std::io::{Read, Write};

use serde_json::json;

use crate::harness::client::{Request, Streaming, connect};
use crate::harness::postern::Postern;
use crate::harness::raw;
use crate::harness::upstream::Upstream;

#[test]
fn as_many_fields_as_the_limit_pass_and_one_more_is_refused() {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::start(&upstream.url());
    let administrator = postern.administrator();
    // The client itself sends Host, Connection and Authorization.
    let with = |count: usize| {
        let request = Request::new("GET", "/orgs/acme/env-types");
        let request = (3..count).fold(request, |request, at| request.field(&format!("X-{at}"), "v"));
        administrator.send(request)
    };
    assert_eq!(with(100).status, 200);
    postern.assert_refused(&with(101), "fields-too-large");
    assert_eq!(with(1000).status, 431);
}

#[test]
fn a_header_section_over_its_limit_is_refused() {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::start(&upstream.url());
    let administrator = postern.administrator();
    let with = |bytes: usize| {
        let value = "v".repeat(bytes);
        administrator.send(Request::new("GET", "/orgs/acme/env-types").field("X-Long", &value))
    };
    assert_eq!(with(31 * 1024).status, 200);
    postern.assert_refused(&with(33 * 1024), "fields-too-large");
    assert_eq!(with(1024 * 1024).status, 431);
}

#[test]
fn a_target_over_its_limit_is_refused() {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::start(&upstream.url());
    let administrator = postern.administrator();
    let with = |bytes: usize| {
        let start = "/orgs/acme/env-types?q=";
        administrator.get(&format!("{start}{}", "a".repeat(bytes - start.len())))
    };
    assert_eq!(with(8 * 1024).status, 200);
    postern.assert_refused(&with(8 * 1024 + 1), "target-too-long");
}

#[test]
fn a_subject_that_is_too_fast_is_told_to_wait_whichever_token_it_uses_and_others_are_not() {
    let upstream = Upstream::answering(200, json!([]));
    // The administrator needs some requests of its own first.
    let flags = ["--subject-requests-per-second", "1", "--subject-burst", "10"];
    let postern = Postern::with(&upstream.url(), &flags);
    let administrator = postern.administrator();
    let fast = administrator.with_org_role("member");
    let second = postern.with_token(&administrator.create_token(&fast.id, "second"));
    let calm = administrator.with_org_role("member");
    let clients = [&fast.client, &second].into_iter().cycle();
    let mut answers = clients.take(13).map(|client| client.get("/orgs/acme/env-types"));
    let refused = answers
        .find(|answer| answer.status != 200)
        .expect("more than the burst are refused");
    postern.assert_refused(&refused, "too-many-requests");
    assert!(
        (10..13).contains(&upstream.received().len()),
        "{}",
        upstream.received().len()
    );
    calm.client.get("/orgs/acme/env-types").ok(200);
}

#[test]
fn a_body_that_must_be_read_and_does_not_come_is_refused() {
    let upstream = Upstream::answering(200, json!({}));
    let postern = Postern::with(&upstream.url(), &["--body-timeout-ms", "200"]);
    let token = postern.administrator().token.expect("it has one");
    let head = format!(
        "POST /orgs/acme/apps/shop/envs HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: 100\r\n\r\n{{\"type\""
    );
    postern.assert_refused(&raw::single(postern.address, head.as_bytes()), "body-timeout");
    assert_eq!(upstream.received().len(), 0);
}

#[test]
fn a_body_that_is_streamed_and_stops_coming_is_refused() {
    let upstream = Upstream::answering(200, json!({}));
    let flags = ["--body-timeout-ms", "200", "--upstream-first-byte-timeout-ms", "300"];
    let postern = Postern::with(&upstream.url(), &flags);
    let token = postern.administrator().token.expect("it has one");
    let head = format!(
        "POST /orgs/acme/artefact-versions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: 100\r\n\r\n{{\"type\""
    );
    postern.assert_refused(&raw::single(postern.address, head.as_bytes()), "body-timeout");
    assert_eq!(upstream.received().len(), 0);
}

#[test]
fn a_header_section_that_does_not_come_ends_the_connection() {
    let postern = Postern::with("http://127.0.0.1:9", &["--header-timeout-ms", "200"]);
    for octets in ["", "GET /orgs HTTP/1.1\r\nHost: a\r\nX-Slow: "] {
        let mut stream = connect(postern.address);
        stream.write_all(octets.as_bytes()).expect("it takes octets");
        let mut answer = Vec::new();
        // Whether it is said or just done: the connection ends long before our own patience does.
        match stream.read_to_end(&mut answer) {
            Ok(_) => assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 408"), "{answer:?}"),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}"),
        }
    }
}

#[test]
fn more_connections_than_the_limit_wait_for_a_place() {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::with(
        &upstream.url(),
        &["--connections-max", "2", "--header-timeout-ms", "20000"],
    );
    let administrator = postern.administrator();
    let idle: Vec<_> = (0..2).map(|_| connect(postern.address)).collect();
    let mut waiting = connect(postern.address);
    waiting
        .write_all(&administrator.octets(Request::new("GET", "/orgs/acme/env-types")))
        .expect("the kernel takes it");
    drop(idle);
    assert_eq!(Streaming::read(waiting).whole().status, 200);
}
