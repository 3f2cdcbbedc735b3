//! An orchestrator that is away, slow or rude: 502 and 504, and never a caller who waits for ever.

use std::io::Write;
use std::sync::Mutex;
use std::sync::mpsc;

use serde_json::json;

use crate::harness::client::Request;
use crate::harness::eventually;
use crate::harness::held::Refusing;
use crate::harness::postern::Postern;
use crate::harness::upstream::{Reply, Upstream};

const ENV_TYPES: &str = "/orgs/acme/env-types";

#[test]
fn an_orchestrator_that_cannot_be_reached_is_a_bad_gateway() {
    let gone = Refusing::bind();
    let postern = Postern::start(&gone.url());
    postern.assert_refused(&postern.administrator().get(ENV_TYPES), "upstream-unreachable");
}

#[test]
fn an_orchestrator_that_closes_without_an_answer_or_talks_nonsense_is_a_bad_gateway() {
    let upstream = Upstream::start(|received| match received.target.rsplit('=').next() {
        Some("close") => Reply::Close,
        Some("nonsense") => Reply::Raw(Box::new(|stream| drop(stream.write_all(b"what?\r\n\r\n")))),
        _ => Reply::Raw(Box::new(|stream| {
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Le"))
        })),
    });
    let postern = Postern::start(&upstream.url());
    for how in ["close", "nonsense", "half"] {
        let answer = postern.administrator().get(&format!("{ENV_TYPES}?how={how}"));
        postern.assert_refused(&answer, "upstream-failed");
    }
}

#[test]
fn an_orchestrator_that_does_not_answer_in_time_is_a_gateway_timeout() {
    let (never, told) = mpsc::channel::<()>();
    let told = Mutex::new(told);
    let upstream = Upstream::start(move |_| {
        let _ = told.lock().expect("one asks").recv();
        Reply::Close
    });
    let postern = Postern::with(&upstream.url(), &["--upstream-first-byte-timeout-ms", "200"]);
    postern.assert_refused(&postern.administrator().get(ENV_TYPES), "upstream-timeout");
    drop(never);
}

#[test]
fn an_answer_that_stops_coming_is_cut_and_not_completed() {
    let (never, told) = mpsc::channel::<()>();
    let told = Mutex::new(Some(told));
    let upstream = Upstream::start(move |_| {
        let told = told.lock().expect("one asks").take();
        Reply::Raw(Box::new(move |stream| {
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"));
            let _ = told.map(|told| told.recv());
        }))
    });
    let postern = Postern::with(&upstream.url(), &["--upstream-idle-timeout-ms", "200"]);
    let mut answer = postern.administrator().begin(Request::new("GET", ENV_TYPES));
    assert_eq!(answer.chunk().as_deref(), Some(&b"half"[..]));
    assert!(answer.try_whole().is_err(), "an answer that broke off looks complete");
    let line = postern.log_line(|line| line["operation"] == "listEnvironmentTypes");
    assert_eq!(
        (&line["complete"], &line["bytes"]),
        (&json!(false), &json!(4)),
        "{line}"
    );
    drop(never);
}

#[test]
fn a_kept_connection_that_the_orchestrator_has_closed_costs_the_caller_nothing() {
    let upstream = Upstream::start(|_| Reply::AnswerAndClose(200));
    let postern = Postern::start(&upstream.url());
    let administrator = postern.administrator();
    for _ in 0..10 {
        let answer = administrator.send(Request::new("POST", "/orgs/acme/artefact-versions").body("{}"));
        assert_eq!(answer.status, 200, "{}", answer.shown());
        // A request that crosses the end on its way is another matter: nobody knows then whether it arrived.
        eventually("the end of the connection", || (upstream.open() == 0).then_some(()));
    }
    assert_eq!(upstream.received().len(), 10, "each request arrives once");
}

#[test]
fn connections_to_the_orchestrator_are_kept() {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::start(&upstream.url());
    let administrator = postern.administrator();
    for _ in 0..5 {
        administrator.get(ENV_TYPES).ok(200);
    }
    assert!(
        upstream.received().iter().all(|received| received.connection == 0),
        "{:?}",
        upstream.received()
    );
}

#[test]
fn a_caller_who_hangs_up_ends_the_request_at_the_orchestrator() {
    let (ended, end) = mpsc::channel();
    let ended = Mutex::new(ended);
    let upstream = Upstream::start(move |_| {
        let ended = ended.lock().expect("one asks").clone();
        Reply::Raw(Box::new(move |stream| {
            let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            let mut alive = stream.write_all(head).is_ok();
            while alive {
                alive = stream.write_all(b"4\r\nmore\r\n").is_ok();
            }
            let _ = ended.send(());
        }))
    });
    let postern = Postern::start(&upstream.url());
    let mut answer = postern.administrator().begin(Request::new("GET", ENV_TYPES));
    answer.chunk();
    drop(answer);
    end.recv_timeout(crate::harness::PATIENCE)
        .expect("the orchestrator is told");
    let line = eventually("the line", || {
        postern.log_lines().into_iter().find(|line| line["status"] == 200)
    });
    assert_eq!(line["complete"], json!(false), "{line}");
}
