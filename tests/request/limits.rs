//! Every limit at the limit and one past it.

use std::io::{Read, Write};
use std::sync::{Mutex, mpsc};

use serde_json::json;

use crate::harness::client::{Request, Streaming, connect};
use crate::harness::eventually;
use crate::harness::postern::Postern;
use crate::harness::raw;
use crate::harness::upstream::{Reply, Upstream};

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
    // More than fits on the way: whoever writes it to the end before reading is told all the same.
    assert_eq!(with(32 * 1024 * 1024).status, 431);
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
fn a_caller_beyond_the_connections_that_there_may_be_is_sent_away_and_served_when_there_is_a_place() {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::with(&upstream.url(), &["--connections-max", "2"]);
    let administrator = postern.administrator();
    let idle: Vec<_> = (0..2).map(|_| connect(postern.address)).collect();
    eventually("both to be counted", || {
        (postern.metric("postern_connections") == 2.0).then_some(())
    });
    let refused = Streaming::read(connect(postern.address)).whole();
    let body = refused.ok(503);
    assert_eq!(body["error"], "overloaded");
    assert_eq!(refused.field("retry-after"), Some("1"));
    drop(idle);
    let asked = || administrator.try_send(Request::new("GET", "/orgs/acme/env-types"));
    eventually("a place", || asked().filter(|answer| answer.status == 200));
    assert!(postern.metric(r#"postern_connections_unserved_total{cause="all-full"}"#) >= 1.0);
}

#[test]
fn connections_of_one_source_are_limited_and_the_source_is_counted_again_when_they_end() {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::with(&upstream.url(), &["--connections-per-source-max", "2"]);
    let idle: Vec<_> = (0..2).map(|_| connect(postern.address)).collect();
    eventually("both to be counted", || {
        (postern.metric("postern_connections") == 2.0).then_some(())
    });
    let mut third = connect(postern.address);
    let mut rest = Vec::new();
    assert!(third.read_to_end(&mut rest).is_err() || rest.is_empty(), "{rest:?}");
    drop((idle, third));
    eventually("a place", || {
        let answer = postern
            .administrator()
            .try_send(Request::new("GET", "/orgs/acme/env-types"))?;
        (answer.status == 200).then_some(())
    });
    assert!(postern.metric(r#"postern_connections_unserved_total{cause="source-full"}"#) >= 1.0);
}

#[test]
fn more_requests_than_there_may_be_are_refused_at_once_and_the_operator_is_still_answered() {
    let (go_on, told) = mpsc::channel::<()>();
    let told = Mutex::new(told);
    let upstream = Upstream::start(move |_| {
        let _ = told.lock().expect("one waits").recv();
        Reply::empty(200)
    });
    let flags = ["--requests-in-flight-max", "2", "--workers", "1"];
    let postern = Postern::with(&upstream.url(), &flags);
    let administrator = postern.administrator();
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let mut stream = connect(postern.address);
            let octets = administrator.octets(Request::new("GET", "/orgs/acme/env-types"));
            stream.write_all(&octets).expect("it takes requests");
            stream
        })
        .collect();
    eventually("both at the orchestrator", || {
        (upstream.received().len() == 2).then_some(())
    });
    let refused = administrator.get("/orgs/acme/env-types");
    postern.assert_refused(&refused, "overloaded");
    assert_eq!(refused.field("retry-after"), Some("1"));
    assert_eq!(postern.operator().get("/readyz").status, 200);
    (0..2).for_each(|_| go_on.send(()).expect("it waits"));
    waiting
        .into_iter()
        .for_each(|stream| assert_eq!(Streaming::read(stream).whole().status, 200));
    assert_eq!(upstream.received().len(), 2);
}

#[test]
fn a_token_that_is_used_too_fast_is_told_to_wait_and_another_of_its_user_is_not() {
    let upstream = Upstream::answering(200, json!([]));
    let flags = ["--token-requests-per-second", "1", "--token-burst", "10"];
    let postern = Postern::with(&upstream.url(), &flags);
    let administrator = postern.administrator();
    let fast = administrator.with_org_role("member");
    let second = postern.with_token(&administrator.create_token(&fast.id, "second"));
    let mut answers = (0..15).map(|_| fast.client.get("/orgs/acme/env-types"));
    let refused = answers
        .find(|answer| answer.status != 200)
        .expect("more than the burst are refused");
    postern.assert_refused(&refused, "too-many-requests");
    assert_eq!(refused.field("retry-after"), Some("1"));
    assert_eq!(refused.field("ratelimit-policy"), Some(r#""token";q=10;w=10"#));
    assert_eq!(refused.field("ratelimit"), Some(r#""token";r=0;t=1"#));
    second.get("/orgs/acme/env-types").ok(200);
}

#[test]
fn a_source_that_is_too_fast_is_told_to_wait_whoever_it_is() {
    let upstream = Upstream::answering(200, json!([]));
    let flags = ["--source-requests-per-second", "1", "--source-burst", "20"];
    let postern = Postern::with(&upstream.url(), &flags);
    let mut answers = (0..40).map(|_| postern.anybody().get("/orgs/acme/env-types"));
    let refused = answers
        .find(|answer| answer.status != 401)
        .expect("more than the burst are refused");
    postern.assert_refused(&refused, "too-many-requests");
    assert_eq!(refused.field("ratelimit-policy"), Some(r#""source";q=20;w=20"#));
}

#[test]
fn a_source_that_guesses_is_slowed_down_and_its_valid_tokens_are_not() {
    let upstream = Upstream::answering(200, json!([]));
    let flags = [
        "--invalid-credentials-per-second",
        "1",
        "--invalid-credentials-burst",
        "5",
    ];
    let postern = Postern::with(&upstream.url(), &flags);
    let administrator = postern.administrator();
    let guess = administrator.create_token(&administrator.with_org_role("member").id, "guess");
    administrator.get("/orgs/acme/env-types").ok(200);
    let guesser = postern.with_token(&guess.replacen("pstn_", "pstn_0", 1));
    let mut answers = (0..20).map(|_| guesser.get("/orgs/acme/env-types"));
    let refused = answers
        .find(|answer| answer.status != 401)
        .expect("more than the burst are refused");
    postern.assert_refused(&refused, "too-many-invalid-credentials");
    assert_eq!(
        refused.field("ratelimit-policy"),
        Some(r#""invalid-credentials";q=5;w=5"#)
    );
    assert_eq!(refused.field("connection"), Some("close"));
    administrator.get("/orgs/acme/env-types").ok(200);
    // Nothing was guessed: it is no invalid credential.
    postern.assert_refused(&postern.anybody().get("/orgs/acme/env-types"), "token-missing");
}

#[test]
fn a_connection_may_rest_so_long_and_no_longer() {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::with(&upstream.url(), &["--idle-timeout-ms", "300"]);
    let administrator = postern.administrator();
    let mut stream = connect(postern.address);
    let request = Request::new("GET", "/orgs/acme/env-types").keeping_the_connection();
    stream
        .write_all(&administrator.octets(request))
        .expect("it takes requests");
    let mut octets = Vec::new();
    stream.read_to_end(&mut octets).expect("it ends in order");
    assert!(
        octets.starts_with(b"HTTP/1.1 200") && octets.ends_with(b"[]"),
        "{}",
        octets.escape_ascii()
    );
}

#[test]
fn a_head_that_stops_coming_is_answered_and_a_connection_that_says_nothing_is_closed() {
    let postern = Postern::with("http://127.0.0.1:9", &["--header-timeout-ms", "200"]);
    let mut silent = connect(postern.address);
    let mut rest = Vec::new();
    silent.read_to_end(&mut rest).expect("it ends in order");
    assert!(rest.is_empty(), "{}", rest.escape_ascii());
    for head in ["GET /orgs HTTP/1.1\r\nHost: a\r\nX: ", "GET", "\r\n"] {
        let mut stream = connect(postern.address);
        stream.write_all(head.as_bytes()).expect("it takes octets");
        let answer = Streaming::read(stream).whole();
        postern.assert_refused(&answer, "header-timeout");
        assert_eq!(answer.field("connection"), Some("close"));
    }
    let line = postern.log_line(|line| line["reason"] == "header-timeout" && line["path"] == "/orgs");
    assert_eq!(line["method"], "GET");
}

#[test]
fn a_caller_that_takes_nothing_of_its_answer_is_given_up() {
    let long = vec![b'x'; 64 << 20];
    let upstream = Upstream::start(move |_| Reply::Answer(200, Vec::new(), long.clone()));
    let postern = Postern::with(&upstream.url(), &["--send-timeout-ms", "300"]);
    let mut stream = connect(postern.address);
    let request = Request::new("GET", "/orgs/acme/env-types").keeping_the_connection();
    stream
        .write_all(&postern.administrator().octets(request))
        .expect("it takes requests");
    eventually("the end of the request", || {
        (upstream.received().len() == 1 && postern.metric("postern_requests_in_flight") == 0.0).then_some(())
    });
    eventually("the end of the connection", || {
        (postern.metric("postern_connections") == 0.0).then_some(())
    });
    let line = postern.log_line(|line| line["operation"] == "listEnvironmentTypes");
    assert_eq!(line["complete"], false);
}
