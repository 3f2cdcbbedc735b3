//! Long answers, long waits and uploads, and the rights that they were permitted with: they end together.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use feed::Clock;
use serde_json::json;

use crate::harness::caller::{Roles, ServiceUser};
use crate::harness::client::{Client, Request, Streaming, connect};
use crate::harness::eventually;
use crate::harness::http2::{DATA, END_HEADERS, END_STREAM, Frames, HEADERS, RST_STREAM, header_block};
use crate::harness::postern::Postern;
use crate::harness::upstream::{Reply, Upstream};

const LOGS: &str = "/orgs/acme/apps/shop/envs/dev/logs";
const ENV_TYPES: &str = "/orgs/acme/env-types";
const ARTEFACTS: &str = "/orgs/acme/artefact-versions";
const USER_ROLE: &str = "/orgs/acme/apps/shop/users";

/// Longest time from the answer to a change to the end of what it ends.
const CUT_TIME_MAX: Duration = Duration::from_secs(1);

/// An orchestrator whose answers are endless: each gets an event when the test says so.
struct Live {
    upstream: Upstream,
    events: Arc<AtomicUsize>,
    /// Connections that are answered on.
    open: Arc<AtomicUsize>,
}

impl Live {
    /// `head` is what is written before the first event; nothing for an answer that never begins.
    fn start(head: &'static str) -> Self {
        let (events, open) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (produced, counted) = (Arc::clone(&events), Arc::clone(&open));
        let upstream = Upstream::start(move |_| {
            let (produced, counted) = (Arc::clone(&produced), Arc::clone(&counted));
            Reply::Raw(Box::new(move |stream| {
                counted.fetch_add(1, Ordering::SeqCst);
                drop(stream.write_all(head.as_bytes()));
                tell_until_closed(stream, &produced);
                counted.fetch_sub(1, Ordering::SeqCst);
            }))
        });
        Self { upstream, events, open }
    }

    fn wait_until_open(&self, count: usize) {
        eventually("as many answers as that", || {
            (self.open.load(Ordering::SeqCst) == count).then_some(())
        });
    }

    fn produce(&self) {
        self.events.fetch_add(1, Ordering::SeqCst);
    }
}

const EVENTS: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

fn tell_until_closed(stream: &mut TcpStream, produced: &AtomicUsize) {
    let pause = Some(Duration::from_millis(5));
    stream.set_read_timeout(pause).expect("a time can be set");
    let mut told = 0;
    loop {
        while told < produced.load(Ordering::SeqCst) {
            drop(stream.write_all(b"9\r\ndata: x\n\n\r\n"));
            told += 1;
        }
        match stream.read(&mut [0; 1024]) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

fn developer(postern: &Postern) -> ServiceUser {
    postern.administrator().service_user(Roles {
        org: "member",
        apps: &[("shop", "developer")],
        deploys_to: &[],
    })
}

fn read_events(client: &Client) -> Streaming {
    let stream = client.begin(Request::new("GET", LOGS));
    assert_eq!(stream.head.status, 200, "{}", stream.head.shown());
    stream
}

/// Checks that an answer ends as one that broke off, in time.
#[track_caller]
fn assert_cut(mut stream: Streaming, since: Instant) {
    let ended = loop {
        match stream.try_chunk() {
            Ok(Some(_)) => {}
            other => break other,
        }
    };
    assert!(ended.is_err(), "an answer that was cut looks complete");
    assert!(since.elapsed() < CUT_TIME_MAX, "it took {:?}", since.elapsed());
}

#[track_caller]
fn assert_goes_on(live: &Live, stream: &mut Streaming) {
    live.produce();
    assert_eq!(stream.chunk().as_deref(), Some(&b"data: x\n\n"[..]));
}

fn cut_count(postern: &Postern, reason: &str) -> f64 {
    postern.metric("postern_streams_cut_total", &[("reason", reason)])
}

#[test]
fn a_revoked_token_ends_the_answers_it_was_used_for_and_no_others() {
    let live = Live::start(EVENTS);
    let postern = Postern::with(&live.upstream.url(), &["--workers", "2"]);
    let (revoked, other) = (developer(&postern), developer(&postern));
    let second = postern.with_token(&postern.administrator().create_token(&revoked.id, "second"));
    let streams = [read_events(&revoked.client), read_events(&revoked.client)];
    let mut others = [read_events(&other.client), read_events(&second)];
    let path = format!("/users/{}/tokens/first", revoked.id);
    postern.administrator().delete(&path).ok(204);
    let since = Instant::now();
    streams.into_iter().for_each(|stream| assert_cut(stream, since));
    live.wait_until_open(2);
    for stream in &mut others {
        assert_goes_on(&live, stream);
    }
    let line = postern.log_line(|line| line["detail"] == "token-unknown");
    assert_eq!(
        (&line["complete"], &line["status"]),
        (&json!(false), &json!(200)),
        "{line}"
    );
    assert_eq!(cut_count(&postern, "token-unknown"), 2.0);
    assert_eq!(postern.metric("postern_requests_in_flight", &[]), 2.0);
    drop(others);
    live.wait_until_open(0);
    postern.wait_until_idle();
}

#[test]
fn over_http2_a_revoked_token_resets_its_stream_and_no_other_of_the_connection() {
    let live = Live::start(EVENTS);
    let postern = Postern::with(&live.upstream.url(), &["--http2-cleartext", "true"]);
    let (revoked, other) = (developer(&postern), developer(&postern));
    let mut frames = Frames::begin(postern.address);
    for (stream, token) in [(1, &revoked.token), (3, &other.token)] {
        let bearer = format!("Bearer {token}");
        let head = header_block(&[
            (":method", "GET"),
            (":scheme", "http"),
            (":path", LOGS),
            (":authority", "a"),
            ("authorization", &bearer),
        ]);
        assert!(frames.send(HEADERS, END_HEADERS | END_STREAM, stream, &head));
    }
    live.wait_until_open(2);
    let path = format!("/users/{}/tokens/first", revoked.id);
    postern.administrator().delete(&path).ok(204);
    let since = Instant::now();
    frames.read_until(RST_STREAM, 1).expect("its stream is reset");
    assert!(since.elapsed() < CUT_TIME_MAX, "it took {:?}", since.elapsed());
    live.wait_until_open(1);
    live.produce();
    let event = frames.read_until(DATA, 3).expect("the other goes on");
    assert_eq!(event.payload, b"data: x\n\n");
    drop(frames);
    live.wait_until_open(0);
    postern.wait_until_idle();
}

#[test]
fn an_expired_token_ends_the_answer_it_was_used_for() {
    let live = Live::start(EVENTS);
    let postern = Postern::start(&live.upstream.url());
    let ci = developer(&postern);
    let expires_ms = Clock::system().unix_ms() + 1500;
    let soon = chrono::DateTime::from_timestamp_millis(expires_ms).expect("a time");
    let soon = soon.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
    let body = json!({"id": "short", "type": "static", "expires_at": soon});
    let made = postern
        .administrator()
        .post(&format!("/users/{}/tokens", ci.id), body)
        .ok(200);
    let expiring = postern.with_token(made["token"].as_str().expect("a secret"));
    let mut lasting = read_events(&ci.client);
    let mut stream = read_events(&expiring);
    assert_goes_on(&live, &mut stream);
    assert!(stream.try_chunk().is_err(), "an answer that was cut looks complete");
    let late_ms = Clock::system().unix_ms() - expires_ms;
    assert!((0..1000).contains(&late_ms), "{late_ms} ms after the expiry");
    lasting.chunk();
    assert_goes_on(&live, &mut lasting);
    postern.log_line(|line| line["detail"] == "token-expired");
}

#[test]
fn a_role_that_is_taken_away_ends_an_answer_and_one_that_still_suffices_does_not() {
    let live = Live::start(EVENTS);
    let postern = Postern::start(&live.upstream.url());
    let administrator = postern.administrator();
    let (keeps, loses) = (developer(&postern), developer(&postern));
    let (mut kept, lost) = (read_events(&keeps.client), read_events(&loses.client));
    administrator
        .patch(&format!("{USER_ROLE}/{}", keeps.id), json!({"role": "viewer"}))
        .ok(200);
    administrator.delete(&format!("{USER_ROLE}/{}", loses.id)).ok(204);
    assert_cut(lost, Instant::now());
    assert_goes_on(&live, &mut kept);
    administrator
        .patch(&format!("{USER_ROLE}/{}", keeps.id), json!({"role": "owner"}))
        .ok(200);
    assert_goes_on(&live, &mut kept);
    postern.log_line(|line| line["detail"] == "not-allowed");
    administrator.delete(&format!("/orgs/acme/users/{}", keeps.id)).ok(204);
    assert_cut(kept, Instant::now());
    postern.wait_until_idle();
}

#[test]
fn a_change_in_the_moment_of_a_request_never_slips_past_it() {
    let live = Live::start(EVENTS);
    let postern = Postern::start(&live.upstream.url());
    let administrator = postern.administrator();
    for _ in 0..30 {
        let ci = developer(&postern);
        let client = ci.client.clone();
        let asking = std::thread::spawn(move || client.begin(Request::new("GET", LOGS)));
        administrator.delete(&format!("/users/{}/tokens/first", ci.id)).ok(204);
        let answer = asking.join().expect("an answer comes");
        match answer.head.status {
            200 => assert_cut(answer, Instant::now()),
            status => assert_eq!(status, 401),
        }
    }
    live.wait_until_open(0);
    postern.wait_until_idle();
}

#[test]
fn a_request_that_waits_for_its_answer_is_refused_when_its_token_is_revoked() {
    let live = Live::start("");
    let postern = Postern::start(&live.upstream.url());
    let ci = developer(&postern);
    let mut stream = connect(postern.address);
    let octets = ci.client.octets(Request::new("GET", ENV_TYPES));
    stream.write_all(&octets).expect("it takes requests");
    live.wait_until_open(1);
    let path = format!("/users/{}/tokens/first", ci.id);
    postern.administrator().delete(&path).ok(204);
    let since = Instant::now();
    postern.assert_refused(&Streaming::read(stream).whole(), "token-unknown");
    assert!(since.elapsed() < CUT_TIME_MAX, "it took {:?}", since.elapsed());
    live.wait_until_open(0);
    postern.wait_until_idle();
}

#[test]
fn an_upload_is_refused_when_the_role_for_it_is_taken_away() {
    let upstream = Upstream::answering(200, json!({}));
    let postern = Postern::start(&upstream.url());
    let administrator = postern.administrator();
    let ci = administrator.with_org_role("artefactContributor");
    let request = Request::new("POST", ARTEFACTS).field("Content-Length", "1000000");
    let mut stream = connect(postern.address);
    stream.write_all(&ci.client.octets(request)).expect("it takes requests");
    stream.write_all(&[b'x'; 1000]).expect("it takes a part");
    eventually("the upload", || {
        (postern.metric("postern_requests_in_flight", &[]) == 1.0).then_some(())
    });
    administrator
        .patch(&format!("/orgs/acme/users/{}", ci.id), json!({"role": "orgViewer"}))
        .ok(200);
    let since = Instant::now();
    postern.assert_refused(&Streaming::read(stream).whole(), "not-allowed");
    assert!(since.elapsed() < CUT_TIME_MAX, "it took {:?}", since.elapsed());
    postern.wait_until_idle();
    assert!(upstream.received().is_empty(), "half an upload arrived as a whole one");
}

#[test]
fn the_answer_to_a_change_that_was_sent_whole_is_passed_on_though_its_token_is_revoked_meanwhile() {
    let (answer, answered) = std::sync::mpsc::channel::<()>();
    let answered = std::sync::Mutex::new(answered);
    let upstream = Upstream::start(move |_| {
        answered.lock().expect("one asks").recv().expect("it is told");
        Reply::json(200, &json!({"done": true}))
    });
    let postern = Postern::start(&upstream.url());
    let administrator = postern.administrator();
    let ci = administrator.with_org_role("artefactContributor");
    let mut stream = connect(postern.address);
    let octets = ci.client.octets(Request::new("POST", ARTEFACTS).json(&json!({})));
    stream.write_all(&octets).expect("it takes requests");
    eventually("its arrival", || upstream.received().pop());
    administrator.delete(&format!("/users/{}/tokens/first", ci.id)).ok(204);
    postern.assert_refused(&ci.client.get("/current-user"), "token-unknown");
    answer.send(()).expect("it waits");
    assert_eq!(Streaming::read(stream).whole().ok(200), json!({"done": true}));
    postern.wait_until_idle();
    assert_eq!(cut_count(&postern, "token-unknown"), 0.0);
}

#[test]
fn an_endless_answer_to_a_change_ends_as_well() {
    let live = Live::start(EVENTS);
    let postern = Postern::start(&live.upstream.url());
    let ci = postern.administrator().with_org_role("artefactContributor");
    let mut stream = ci.client.begin(Request::new("POST", ARTEFACTS).json(&json!({})));
    assert_goes_on(&live, &mut stream);
    let path = format!("/users/{}/tokens/first", ci.id);
    postern.administrator().delete(&path).ok(204);
    assert!(stream.try_chunk().is_err(), "an answer that was cut looks complete");
    live.wait_until_open(0);
}

#[test]
fn a_caller_who_hangs_up_while_waiting_ends_the_request_at_the_orchestrator() {
    let live = Live::start("");
    let postern = Postern::start(&live.upstream.url());
    let mut stream = connect(postern.address);
    let octets = postern
        .administrator()
        .octets(Request::new("GET", ENV_TYPES).keeping_the_connection());
    stream.write_all(&octets).expect("it takes requests");
    live.wait_until_open(1);
    drop(stream);
    live.wait_until_open(0);
    postern.wait_until_idle();
}

#[test]
fn an_upload_that_breaks_off_never_arrives_as_a_whole_one() {
    let upstream = Upstream::answering(200, json!({}));
    let postern = Postern::start(&upstream.url());
    for framing in [("Content-Length", "1000"), ("Transfer-Encoding", "chunked")] {
        let request = Request::new("POST", ARTEFACTS).field(framing.0, framing.1);
        let mut octets = postern.administrator().octets(request);
        if framing.0 == "Transfer-Encoding" {
            octets = String::from_utf8(octets)
                .expect("a text")
                .replace("Content-Length: 0\r\n", "")
                .into_bytes();
        }
        octets.extend(b"5\r\nhello\r\n");
        let mut stream = connect(postern.address);
        stream.write_all(&octets).expect("it takes requests");
        drop(stream);
        postern.log_line(|line| line["reason"] == "upstream-failed" || line["reason"] == "request-ambiguous");
    }
    postern.wait_until_idle();
    assert!(upstream.received().is_empty(), "{:?}", upstream.received());
}

const BODY: &str = r#"{"id":"a","name":"b"}"#;

/// Sends a head that expects to be told to go on, and returns the first line that comes.
fn first_line(postern: &Postern, client: &Client, target: &str) -> (String, TcpStream) {
    let request = Request::new("POST", target)
        .field("Content-Length", &BODY.len().to_string())
        .field("Content-Type", "application/json")
        .field("Expect", "100-continue");
    let mut stream = connect(postern.address);
    stream.write_all(&client.octets(request)).expect("it takes requests");
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        let mut octet = [0];
        stream.read_exact(&mut octet).expect("a line comes");
        line.push(octet[0]);
    }
    (String::from_utf8(line).expect("a text"), stream)
}

#[test]
fn only_a_request_whose_body_is_wanted_is_told_to_send_it() {
    let upstream = Upstream::answering(200, json!({}));
    let postern = Postern::start(&upstream.url());
    let administrator = postern.administrator();
    let stranger = administrator.with_org_role("member");
    let environments = "/orgs/acme/apps/shop/envs";
    for (client, target, status) in [
        (&postern.anybody(), ARTEFACTS, "401"),
        (&stranger.client, ARTEFACTS, "403"),
        (&stranger.client, environments, "403"),
    ] {
        let (line, _) = first_line(&postern, client, target);
        assert!(line.starts_with(&format!("HTTP/1.1 {status} ")), "{target}: {line}");
    }
    assert!(upstream.received().is_empty());
    let owner = developer(&postern);
    administrator.give_deployer("development", &owner.id);
    for (client, target) in [(&administrator, ARTEFACTS), (&owner.client, environments)] {
        let (line, mut stream) = first_line(&postern, client, target);
        assert_eq!(line, "HTTP/1.1 100 Continue\r\n", "{target}");
        stream.write_all(BODY.as_bytes()).expect("it takes a body");
        stream.read_exact(&mut [0; 2]).expect("the head ends");
        assert_eq!(Streaming::read(stream).whole().status, 200, "{target}");
    }
    for received in upstream.received() {
        assert_eq!(
            received.values("expect"),
            [""; 0],
            "ours to meet, not the orchestrator's"
        );
    }
}

#[test]
fn an_expectation_that_nobody_can_meet_is_told_to_fail() {
    let postern = Postern::start("http://127.0.0.1:9");
    for value in ["200-ok", "100-continue, x", ""] {
        let request = Request::new("GET", ENV_TYPES).field("Expect", value);
        postern.assert_refused(&postern.administrator().send(request), "expectation-failed");
    }
}

#[test]
fn an_answer_without_a_body_passes_as_one() {
    let upstream = Upstream::start(|_| {
        let fields = vec![("ETag", "\"7\"".to_owned())];
        Reply::Answer(304, fields, Vec::new())
    });
    let postern = Postern::start(&upstream.url());
    let request = Request::new("GET", ENV_TYPES)
        .field("If-None-Match", "\"7\"")
        .keeping_the_connection();
    let answer = postern.administrator().send(request);
    assert_eq!((answer.status, answer.field("etag")), (304, Some("\"7\"")));
    let line = postern.log_line(|line| line["status"] == 304);
    assert_eq!((&line["complete"], &line["bytes"]), (&json!(true), &json!(0)), "{line}");
    postern.wait_until_idle();
}
