//! Being told to stop: what runs is finished, what is new is refused, and there is an end to it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::mpsc::{self, Sender};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::client::{Request, Streaming, connect};
use crate::harness::eventually;
use crate::harness::postern::{Halves, Postern};
use crate::harness::upstream::{Reply, Upstream};

/// An orchestrator that answers each request when it is told to.
fn waiting() -> (Upstream, Sender<()>) {
    let (go_on, told) = mpsc::channel::<()>();
    let told = Mutex::new(told);
    let upstream = Upstream::start(move |_| {
        let _ = told.lock().expect("one waits").recv();
        Reply::json(200, &json!(["finished"]))
    });
    (upstream, go_on)
}

#[test]
fn a_request_in_flight_is_finished_and_new_connections_are_refused() {
    let (upstream, go_on) = waiting();
    let postern = Postern::start(&upstream.url());
    let (address, admin_address) = (postern.address, postern.admin_address);
    let mut stream = connect(address);
    let request = Request::new("GET", "/orgs/acme/env-types");
    stream
        .write_all(&postern.administrator().octets(request))
        .expect("it takes requests");
    eventually("the request", || (upstream.received().len() == 1).then_some(()));
    let operator = postern.operator();
    postern.process.terminate();
    eventually("the refusal of new connections", || {
        TcpStream::connect(address).is_err().then_some(())
    });
    let ready = operator.get("/readyz");
    assert_eq!((ready.status, &ready.json()["reason"]), (503, &json!("draining")));
    go_on.send(()).expect("it waits");
    let answer = Streaming::read(stream).whole();
    assert_eq!(answer.ok(200), json!(["finished"]));
    let log = postern.directory().join("access.log");
    let (process, directory) = postern.into_process();
    let ended = process.ended();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("\"stopped\""), "{}", ended.stderr);
    let log = std::fs::read_to_string(log).expect("it is there");
    assert!(
        log.lines()
            .last()
            .is_some_and(|line| line.contains("listEnvironmentTypes")),
        "{log}"
    );
    assert!(TcpStream::connect(admin_address).is_err());
    drop(directory);
}

#[test]
fn an_idle_connection_does_not_hold_the_end_up() {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::with(&upstream.url(), &["--drain-timeout-ms", "60000"]);
    let token = postern.administrator().token.expect("it has one");
    let mut idle = connect(postern.address);
    let request = format!("GET /orgs/acme/env-types HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n");
    idle.write_all(request.as_bytes()).expect("it takes requests");
    let mut head = [0; 12];
    idle.read_exact(&mut head).expect("it answers");
    assert_eq!(&head, b"HTTP/1.1 200");
    let started = Instant::now();
    postern.process.terminate();
    let (process, _directory) = postern.into_process();
    assert_eq!(process.ended().code, Some(0));
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

#[test]
fn a_request_that_never_ends_is_cut_when_the_time_is_up() {
    let (upstream, never) = waiting();
    let postern = Postern::with(&upstream.url(), &["--drain-timeout-ms", "300"]);
    let mut stream = connect(postern.address);
    let request = Request::new("GET", "/orgs/acme/env-types");
    stream
        .write_all(&postern.administrator().octets(request))
        .expect("it takes requests");
    eventually("the request", || (upstream.received().len() == 1).then_some(()));
    postern.process.terminate();
    let (process, _directory) = postern.into_process();
    let ended = process.ended();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let mut rest = Vec::new();
    assert!(stream.read_to_end(&mut rest).is_err() || rest.is_empty(), "{rest:?}");
    drop(never);
}

#[test]
fn half_a_request_to_a_listener_for_administration_does_not_hold_the_end_up() {
    let half = |address| {
        let mut stream = connect(address);
        stream
            .write_all(b"GET /livez HTTP/1.1\r\nHo")
            .expect("it takes requests");
        stream
    };
    let flags = ["--drain-timeout-ms", "300"];
    let postern = Postern::with("http://127.0.0.1:9", &flags);
    let halves = Halves::start("http://127.0.0.1:9", &flags);
    let _open = [
        half(postern.admin_address),
        half(halves.ops_address),
        half(halves.admin_address()),
    ];
    // Answered on a connection that was made later: the half requests have been met.
    postern.operator().get("/livez").ok(200);
    halves.operator().get("/livez").ok(200);
    let started = Instant::now();
    let (serve, _directory) = postern.into_process();
    for process in halves.into_processes().into_iter().chain([serve]) {
        process.terminate();
        let ended = process.ended();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(ended.stderr.contains("were cut"), "{}", ended.stderr);
    }
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

#[test]
fn a_change_whose_caller_has_gone_away_is_waited_for() {
    let (upstream, go_on) = waiting();
    let postern = Postern::start(&upstream.url());
    let stream = postern
        .administrator()
        .send_later(Request::new("POST", "/orgs/acme/apps").json(&json!({"id": "shop", "name": "Shop"})));
    eventually("the request", || (upstream.received().len() == 1).then_some(()));
    drop(stream);
    let log = postern.directory().join("access.log");
    let (process, directory) = postern.into_process();
    process.terminate();
    process.logged("stopping");
    go_on.send(()).expect("it waits");
    let ended = process.ended();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let log = std::fs::read_to_string(log).expect("it is there");
    assert!(log.contains("createApplication"), "{log}");
    drop(directory);
}

#[test]
fn an_answer_that_is_given_while_draining_says_that_the_connection_ends() {
    let (upstream, go_on) = waiting();
    let postern = Postern::start(&upstream.url());
    let request = Request::new("GET", "/orgs/acme/env-types").keeping_the_connection();
    let waiting = postern.administrator().send_later(request);
    eventually("the request", || (upstream.received().len() == 1).then_some(()));
    postern.process.terminate();
    // Each worker knows of the end then.
    eventually("the refusal of new connections", || {
        TcpStream::connect(postern.address).is_err().then_some(())
    });
    go_on.send(()).expect("it waits");
    let answer = waiting.whole();
    assert_eq!((answer.status, answer.field("connection")), (200, Some("close")));
}

#[test]
fn a_reload_that_is_asked_for_while_draining_is_passed_over() {
    let (upstream, go_on) = waiting();
    let postern = Postern::start(&upstream.url());
    let waiting = postern
        .administrator()
        .send_later(Request::new("GET", "/orgs/acme/env-types"));
    eventually("the request", || (upstream.received().len() == 1).then_some(()));
    postern.process.terminate();
    postern.process.logged("stopping");
    postern.process.hang_up();
    go_on.send(()).expect("it waits");
    waiting.whole().ok(200);
    let (process, _directory) = postern.into_process();
    let ended = process.ended();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(!ended.stderr.contains("read again"), "{}", ended.stderr);
}
