//! HTTP/2 from callers: the same requests, the same answers, and an end to floods.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::client::Request;
use crate::harness::eventually;
use crate::harness::http2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE,
    header_block,
};
use crate::harness::postern::Postern;
use crate::harness::upstream::{Reply, Upstream};

const CLEARTEXT: [&str; 2] = ["--http2-cleartext", "true"];

/// Asks as curl does with prior knowledge; returns the status and the body.
fn curl(postern: &Postern, target: &str, more: &[&str]) -> (u16, String) {
    let mut curl = Command::new("curl");
    curl.args([
        "--silent",
        "--show-error",
        "--http2-prior-knowledge",
        "--max-time",
        "30",
    ]);
    curl.args(["--write-out", "\n%{http_version} %{http_code}"]);
    let output = curl
        .args(more)
        .arg(format!("http://{}{target}", postern.address))
        .output();
    let output = output.expect("curl is installed");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let (body, told) = text.rsplit_once('\n').expect("curl tells the status");
    let (version, status) = told.split_once(' ').expect("version and status");
    assert_eq!(version, "2", "{text} {}", String::from_utf8_lossy(&output.stderr));
    (status.parse().expect("a number"), body.to_owned())
}

/// The head of a request, with a token.
fn head(token: &str, target: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let bearer = format!("Bearer {token}");
    let fields = [
        (":method", "GET"),
        (":scheme", "http"),
        (":path", target),
        (":authority", "a"),
        ("authorization", &bearer),
    ];
    header_block(&[&fields[..], more].concat())
}

fn token(postern: &Postern) -> String {
    postern.administrator().token.expect("it has one")
}

#[test]
fn a_request_over_http2_reaches_the_orchestrator_as_one_over_http1_does() {
    let upstream = Upstream::start(|received| Reply::json(200, &json!({"body": received.body.len()})));
    let postern = Postern::with(&upstream.url(), &CLEARTEXT);
    let bearer = format!("Authorization: Bearer {}", token(&postern));
    let body = json!({"id": "x", "name": "X"}).to_string();
    let path = "/orgs/acme/resources/defs";
    let posted = ["--header", &bearer, "--json", &body];
    assert_eq!(
        curl(&postern, path, &posted),
        (200, json!({"body": body.len()}).to_string())
    );
    let request = Request::new("POST", path)
        .field("Accept", "application/json")
        .field("User-Agent", "curl");
    postern
        .administrator()
        .send(request.json(&json!({"id": "x", "name": "X"})))
        .ok(200);
    let [second, first] = [upstream.received().pop(), upstream.received().into_iter().next()].map(|r| r.expect("both"));
    assert_eq!(
        (&first.method, &first.target, &first.body),
        (&second.method, &second.target, &second.body)
    );
    assert_eq!(first.names(), second.names());
    assert_eq!(first.values("x-forwarded-host"), [postern.address.to_string()]);
    let (status, refusal) = curl(&postern, path, &[]);
    assert_eq!(status, 401);
    assert!(refusal.contains("unauthenticated"), "{refusal}");
}

#[test]
fn http2_without_tls_is_refused_where_it_was_not_asked_for() {
    let postern = Postern::start("http://127.0.0.1:9");
    let mut frames = Frames::begin(postern.address);
    assert!(frames.read().is_none_or(|frame| frame.kind != SETTINGS));
}

#[test]
fn what_http2_can_say_in_two_ways_is_refused() {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::with(&upstream.url(), &CLEARTEXT);
    let bearer = format!("Authorization: Bearer {}", token(&postern));
    let with = |field: &str| {
        curl(
            &postern,
            "/orgs/acme/env-types",
            &["--header", &bearer, "--header", field],
        )
        .0
    };
    assert_eq!(with("X: 1"), 200);
    assert_eq!(with(&bearer), 400);
    let refused = [
        [("host", "b")].as_slice(),
        &[("host", "a"), ("host", "a")],
        &[("connection", "x")],
        &[("transfer-encoding", "chunked")],
        &[("te", "gzip")],
        &[("X-Upper", "1")],
        &[("x", "a\r\nb: c")],
        &[("x", "a\0")],
        &[("x\r\ny", "a")],
        &[(":path", "/orgs")],
        &[("content-length", "5")],
    ];
    for more in refused {
        let mut frames = Frames::begin(postern.address);
        let head = head(&token(&postern), "/orgs/acme/env-types", more);
        assert!(frames.send(HEADERS, END_HEADERS | END_STREAM, 1, &head));
        let answered =
            std::iter::from_fn(|| frames.read()).find(|frame| [HEADERS, RST_STREAM, GOAWAY].contains(&frame.kind));
        assert!(answered.is_some(), "nothing came for {more:?}");
    }
    assert_eq!(upstream.received().len(), 1, "{:?}", upstream.received());
}

#[test]
fn a_body_that_is_not_as_long_as_it_says_never_ends_as_a_whole_request() {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::with(&upstream.url(), &CLEARTEXT);
    let bearer = format!("Bearer {}", token(&postern));
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/orgs/acme/resources/defs"),
        (":authority", "a"),
        ("authorization", bearer.as_str()),
        ("content-length", "10"),
    ];
    let mut frames = Frames::begin(postern.address);
    for (number, bytes) in [(1, 5), (3, 15)] {
        frames.send(HEADERS, END_HEADERS, number, &header_block(&fields));
        frames.send(DATA, END_STREAM, number, &vec![b'x'; bytes]);
        let ended = frames.read_until(RST_STREAM, number);
        assert!(ended.is_some(), "{bytes} octets");
    }
    assert!(upstream.received().is_empty(), "{:?}", upstream.received());
}

#[test]
fn a_header_section_over_its_limits_is_refused_in_words() {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::with(&upstream.url(), &CLEARTEXT);
    let bearer = format!("Authorization: Bearer {}", token(&postern));
    let long = format!("X-Long: {}", "v".repeat(33 * 1024));
    let (status, body) = curl(
        &postern,
        "/orgs/acme/env-types",
        &["--header", &bearer, "--header", &long],
    );
    assert_eq!(status, 431);
    assert!(body.contains("fields-too-large"), "{body}");
    let target = format!("/orgs/acme/env-types?q={}", "a".repeat(8 * 1024));
    let (status, body) = curl(&postern, &target, &["--header", &bearer]);
    assert_eq!(status, 414);
    assert!(body.contains("target-too-long"), "{body}");
}

#[test]
fn an_upload_that_is_refused_early_is_answered_and_then_stopped_without_an_error() {
    let postern = Postern::with("http://127.0.0.1:9", &CLEARTEXT);
    let mut frames = Frames::begin(postern.address);
    let head = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/orgs/acme/artefact-versions"),
        (":authority", "a"),
    ];
    frames.send(HEADERS, END_HEADERS, 1, &header_block(&head));
    let of_stream = std::iter::from_fn(|| frames.read()).filter(|frame| frame.stream == 1);
    let kinds: Vec<_> = of_stream.map(|frame| (frame.kind, frame.payload)).take(3).collect();
    let [(HEADERS, _), (DATA, body), (RST_STREAM, code)] = &kinds[..] else {
        panic!("{kinds:?}");
    };
    assert!(body.starts_with(br#"{"error":"unauthenticated""#), "{kinds:?}");
    // NO_ERROR, RFC 9113 §8.1.
    assert_eq!(code, &[0; 4]);
}

/// Sends the frame of a number; `false` when the connection has ended.
type Send<'s> = &'s dyn Fn(&mut Frames, u32) -> bool;

#[test]
fn a_flood_ends_its_connection_and_others_are_served() {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::with(&upstream.url(), &CLEARTEXT);
    let token = token(&postern);
    let open = head(&token, "/orgs/acme/env-types", &[]);
    let reset = |frames: &mut Frames, number: u32| {
        let number = 2 * number + 1;
        frames.send(HEADERS, END_HEADERS | END_STREAM, number, &open)
            && frames.send(RST_STREAM, 0, number, &[0, 0, 0, 8])
    };
    let floods: [(&str, Send<'_>); 7] = [
        ("resets", &reset),
        ("pings", &|frames, _| frames.send(PING, 0, 0, &[0; 8])),
        ("settings", &|frames, _| frames.send(SETTINGS, 0, 0, &[])),
        ("priorities", &|frames, number| {
            frames.send(2, 0, 2 * number + 1, &[0, 0, 0, 0, 1])
        }),
        ("unknown frames", &|frames, _| frames.send(0x77, 0, 0, &[0; 8])),
        ("continuations", &|frames, number| match number {
            0 => frames.send(HEADERS, 0, 1, &open),
            _ => frames.send(CONTINUATION, 0, 1, &[]),
        }),
        ("empty data", &|frames, number| match number {
            0 => frames.send(HEADERS, END_HEADERS, 1, &open),
            _ => frames.send(DATA, 0, 1, &[]),
        }),
    ];
    for (name, send) in floods {
        let mut frames = Frames::begin(postern.address);
        let sent = (0..200_000).take_while(|number| send(&mut frames, *number)).count();
        assert!(sent < 200_000, "{name} are never too many");
        assert_eq!(
            postern.administrator().get("/orgs/acme/env-types").status,
            200,
            "after {name}"
        );
    }
    assert!(upstream.received().len() < 1_000, "{}", upstream.received().len());
    let counted = |frames| postern.metric(&format!("postern_http2_floods_total{{frames=\"{frames}\"}}"));
    let all: f64 = ["reset", "control", "continuation", "window", "other"]
        .map(counted)
        .iter()
        .sum();
    assert!(all >= 6.0 && counted("control") >= 2.0, "{all}");
    eventually("the end of the requests", || {
        (postern.metric("postern_requests_in_flight") == 0.0).then_some(())
    });
}

#[test]
fn an_idle_connection_is_told_to_go_away() {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::with(
        &upstream.url(),
        &["--http2-cleartext", "true", "--idle-timeout-ms", "300"],
    );
    let mut frames = Frames::begin(postern.address);
    frames.send(
        HEADERS,
        END_HEADERS | END_STREAM,
        1,
        &head(&token(&postern), "/orgs/acme/env-types", &[]),
    );
    assert!(frames.read_until(DATA, 1).is_some());
    assert!(frames.read_until(GOAWAY, 0).is_some());
    assert!(
        std::iter::from_fn(|| frames.read())
            .all(|frame| frame.stream == 0 && frame.flags <= 1 && frame.payload.len() <= 8)
    );
}

#[test]
fn a_caller_that_opens_no_window_loses_its_connection_and_the_orchestrators_is_freed() {
    let upstream = Upstream::start(|_| Reply::Answer(200, Vec::new(), vec![b'x'; 4 << 20]));
    let postern = Postern::with(
        &upstream.url(),
        &["--http2-cleartext", "true", "--send-timeout-ms", "300"],
    );
    let mut frames = Frames::begin(postern.address);
    let began = Instant::now();
    // SETTINGS_INITIAL_WINDOW_SIZE.
    assert!(frames.send(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]));
    let head = head(&token(&postern), "/orgs/acme/env-types", &[]);
    for number in [1, 3, 5] {
        assert!(frames.send(HEADERS, END_HEADERS | END_STREAM, number, &head));
    }
    assert!(std::iter::from_fn(|| frames.read()).all(|frame| frame.kind != DATA));
    postern.wait_until_idle();
    postern.wait_for_metric("postern_connections", 0.0);
    // A connection that does not answer whether it lives would end too, but not before 40 s.
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!(upstream.received().len(), 3);
}

#[test]
fn a_caller_that_makes_us_reset_its_streams_is_ended_like_one_that_resets_them() {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::with(&upstream.url(), &CLEARTEXT);
    let open = head(&token(&postern), "/orgs/acme/env-types", &[]);
    let mut frames = Frames::begin(postern.address);
    frames.read_aside();
    let spoilt = |frames: &mut Frames, number: u32| {
        // A window over its largest size is an error of the stream: RFC 9113 §6.9.1.
        frames.send(HEADERS, END_HEADERS | END_STREAM, number, &open)
            && frames.send(WINDOW_UPDATE, 0, number, &[0x7f, 0xff, 0xff, 0xff])
    };
    let sent = (0..20_000).take_while(|at| spoilt(&mut frames, 2 * at + 1)).count();
    assert!((60..20_000).contains(&sent), "{sent}");
    postern.wait_for_metric(r#"postern_http2_floods_total{frames="other"}"#, 1.0);
    assert!(upstream.received().len() < 1_000, "{}", upstream.received().len());
    postern.wait_until_idle();
    assert_eq!(postern.administrator().get("/orgs/acme/env-types").status, 200);
}

#[test]
fn a_header_block_that_grows_when_it_is_unpacked_is_refused() {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::with(&upstream.url(), &CLEARTEXT);
    let mut frames = Frames::begin(postern.address);
    // A field of 4,000 octets is put into the table once, RFC 7541 §6.2.1, and then named by one octet, 4,000 times.
    let mut block = head(&token(&postern), "/orgs/acme/env-types", &[]);
    block.extend([0x40, 1, b'x', 127, 0xa1, 0x1e]);
    block.extend([b'v'; 4_000]);
    block.extend([0xbe; 4_000]);
    assert!(frames.send(HEADERS, END_HEADERS | END_STREAM, 1, &block));
    let answered =
        std::iter::from_fn(|| frames.read()).find(|frame| [HEADERS, RST_STREAM, GOAWAY].contains(&frame.kind));
    assert!(answered.is_some());
    assert!(upstream.received().is_empty());
    assert_eq!(postern.administrator().get("/orgs/acme/env-types").status, 200);
}
