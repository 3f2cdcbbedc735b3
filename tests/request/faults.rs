//! An orchestrator that breaks, in every way that it can: the right status, a broken answer that looks broken, nothing
//! left behind, and the next caller none the wiser.

mod script;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Mutex, mpsc};

use serde_json::json;

use self::script::{BROKEN, Fault, LATE, LONGER, Leave, NO_HEAD, act};
use crate::harness::client::{Client, Request, Streaming, connect};
use crate::harness::eventually;
use crate::harness::postern::Postern;
use crate::harness::upstream::{Reply, Upstream};

const ENV_TYPES: &str = "/orgs/acme/env-types";
const UPLOAD: &str = "/orgs/acme/artefact-versions";

/// Starts an orchestrator with a fault for each name, and a gateway whose patience is short.
fn start(faults: &'static [Fault]) -> (Upstream, Postern) {
    let upstream = Upstream::start(move |received| {
        let at = received.target.rsplit("?fault=").next().and_then(|at| at.parse().ok());
        let Some((_, octets, leave)) = at.and_then(|at: usize| faults.get(at)) else {
            return Reply::json(200, &json!(["right"]));
        };
        Reply::Raw(Box::new(move |stream| act(stream, octets, *leave)))
    });
    let flags = [
        "--upstream-first-byte-timeout-ms",
        "500",
        "--upstream-idle-timeout-ms",
        "500",
    ];
    let postern = Postern::with(&upstream.url(), &flags);
    (upstream, postern)
}

fn broken(at: usize) -> Request {
    Request::new("GET", &format!("{ENV_TYPES}?fault={at}"))
}

/// The next caller is answered, and the faulty connections are gone.
#[track_caller]
fn assert_recovered(upstream: &Upstream, postern: &Postern, administrator: &Client, fault: &str) {
    assert_eq!(administrator.get(ENV_TYPES).ok(200), json!(["right"]), "behind {fault}");
    eventually("the end of a faulty connection", || {
        (upstream.open() <= 1).then_some(())
    });
    assert!(upstream.broken().is_empty(), "{fault}");
    assert_nothing_left(postern);
}

/// Nothing of a request is left when its caller has gone.
#[track_caller]
fn assert_nothing_left(postern: &Postern) {
    postern.wait_until_idle();
    eventually("the end of all connections", || {
        (postern.metric("postern_connections") == 0.0).then_some(())
    });
}

#[test]
fn an_answer_without_a_head_is_a_bad_gateway() {
    let (upstream, postern) = start(&NO_HEAD);
    let administrator = postern.administrator();
    let mut wrong = Vec::new();
    for (at, (fault, _, _)) in NO_HEAD.iter().enumerate() {
        let refusal = administrator.try_send(broken(at)).map(|answer| answer.refusal());
        if refusal != Some((502, "upstream-failed".to_owned())) {
            wrong.push((fault, refusal));
        }
        assert_recovered(&upstream, &postern, &administrator, fault);
    }
    assert_eq!(wrong, []);
}

#[test]
fn an_answer_whose_head_is_late_is_a_gateway_timeout() {
    let (upstream, postern) = start(&LATE);
    let administrator = postern.administrator();
    for (at, (fault, _, _)) in LATE.iter().enumerate() {
        let answer = administrator.send(broken(at));
        assert_eq!(answer.status, 504, "{fault}: {}", answer.shown());
        postern.assert_refused(&answer, "upstream-timeout");
        assert_recovered(&upstream, &postern, &administrator, fault);
    }
}

#[test]
fn an_answer_whose_body_breaks_off_looks_broken_to_the_caller() {
    let (upstream, postern) = start(&BROKEN);
    let administrator = postern.administrator();
    for (at, (fault, _, _)) in BROKEN.iter().enumerate() {
        let read = administrator.try_send(broken(at));
        assert!(read.is_none(), "{fault} looks complete: {read:?}");
        assert_recovered(&upstream, &postern, &administrator, fault);
    }
    eventually("a line for each", || {
        let broken = postern.log_lines().into_iter().filter(|line| line["complete"] == false);
        (broken.count() == BROKEN.len()).then_some(())
    });
}

#[test]
fn what_stands_behind_an_answer_is_nobodys() {
    let (upstream, postern) = start(&LONGER);
    let administrator = postern.administrator();
    for (at, (fault, _, _)) in LONGER.iter().enumerate() {
        let answer = administrator.send(broken(at));
        assert_eq!((answer.status, &*answer.body), (200, &b"hello"[..]), "{fault}");
        for _ in 0..3 {
            assert_recovered(&upstream, &postern, &administrator, fault);
        }
    }
}

#[test]
fn an_answer_that_nobody_asked_for_on_a_kept_connection_is_nobodys() {
    let (tell, told) = mpsc::channel();
    let tell = Mutex::new(tell);
    let upstream = Upstream::start(move |received| {
        if received.target != ENV_TYPES {
            let fields = vec![("Connection", "close".to_owned())];
            return Reply::Answer(200, fields, br#"["right"]"#.to_vec());
        }
        let tell = tell.lock().expect("one asks").clone();
        Reply::Raw(Box::new(move |stream| {
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"));
            // The first answer is taken and the connection idle by the time that the caller has it.
            drop(tell.send(stream.try_clone().expect("a stream can be shared")));
            let _ = stream.read_to_end(&mut Vec::new());
        }))
    });
    let postern = Postern::start(&upstream.url());
    let administrator = postern.administrator();
    for _ in 0..10 {
        administrator.get(ENV_TYPES).ok(200);
        let mut idle = told.recv().expect("it was asked");
        drop(idle.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[\"wrong\"]"));
        drop(idle);
        eventually("the end of the connection", || (upstream.open() == 0).then_some(()));
        let next = Request::new("GET", &format!("{ENV_TYPES}?next"));
        assert_eq!(administrator.send(next).ok(200), json!(["right"]));
    }
    assert!(upstream.broken().is_empty());
}

#[test]
fn interim_answers_go_no_further_and_the_final_one_does() {
    let upstream = Upstream::start(|_| {
        Reply::Raw(Box::new(|stream| {
            let interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(5);
            drop(stream.write_all(&interim));
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[]"));
        }))
    });
    let postern = Postern::start(&upstream.url());
    let answer = postern.administrator().get(ENV_TYPES);
    assert_eq!((answer.ok(200), answer.field("link")), (json!([]), None));
}

#[test]
fn an_answer_before_the_request_is_whole_reaches_a_caller_who_is_still_sending() {
    let answer = b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\n{}";
    for leave in [Leave::Stall, Leave::HalfClose] {
        let postern = Postern::start(&format!("http://{}", early(answer, leave)));
        let administrator = postern.administrator();
        let request = Request::new("POST", UPLOAD)
            .field("Content-Length", "1000000")
            .body("{");
        let mut stream = connect(postern.address);
        stream
            .write_all(&administrator.octets(request))
            .expect("it takes octets");
        let answer = Streaming::read(stream).whole();
        assert_eq!(answer.ok(413), json!({}), "{leave:?}");
        assert_nothing_left(&postern);
    }
}

/// Starts an orchestrator that answers as soon as it has the head of a request.
fn early(answer: &'static [u8], leave: Leave) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut octet = [0];
                stream.read_exact(&mut octet).expect("a head comes");
                head.push(octet[0]);
            }
            act(&mut stream, answer, leave);
        }
    });
    address
}

#[test]
fn an_answer_that_must_be_read_and_breaks_off_is_a_bad_gateway() {
    let faults: &'static [Fault] = &BROKEN;
    let upstream = Upstream::start(move |received| {
        let at = received.target.rsplit("?fault=").next().and_then(|at| at.parse().ok());
        let Some((_, octets, leave)) = at.and_then(|at: usize| faults.get(at)) else {
            return Reply::json(200, &json!({}));
        };
        Reply::Raw(Box::new(move |stream| act(stream, octets, *leave)))
    });
    let flags = [
        "--upstream-first-byte-timeout-ms",
        "500",
        "--upstream-idle-timeout-ms",
        "500",
    ];
    let postern = Postern::with(&upstream.url(), &flags);
    let administrator = postern.administrator();
    for (at, (fault, _, leave)) in BROKEN.iter().enumerate() {
        if matches!(leave, Leave::Stall) {
            continue;
        }
        let request = Request::new("POST", &format!("{ENV_TYPES}?fault={at}")).json(&json!({"id": "qa"}));
        let answer = administrator.send(request);
        assert_eq!(answer.refusal(), (502, "upstream-failed".to_owned()), "{fault}");
    }
    assert_nothing_left(&postern);
}
