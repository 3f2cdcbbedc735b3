//! Being told to stop: what runs is finished, what is new is refused, and there is an end to it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::mpsc::{self, Sender};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::client::{Request, Streaming, connect};
use crate::harness::eventually;
use crate::harness::postern::Postern;
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
