//! An orchestrator that breaks, in every way that it can: the right status, a broken answer that looks broken, nothing
//! left behind, and the next caller none the wiser.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use serde_json::json;
use socket2::SockRef;

use crate::harness::PATIENCE;
use crate::harness::client::{Client, Request, connect};
use crate::harness::eventually;
use crate::harness::postern::Postern;
use crate::harness::upstream::{Reply, Upstream};

const ENV_TYPES: &str = "/orgs/acme/env-types";
const UPLOAD: &str = "/orgs/acme/artefact-versions";

/// What the orchestrator writes, and how it leaves the connection.
type Fault = (&'static str, &'static [u8], Leave);

#[derive(Debug, Clone, Copy)]
enum Leave {
    Close,
    Reset,
    /// Ends its own side and waits for the end of the other.
    HalfClose,
    /// Waits for the end of the other side.
    Stall,
    /// Writes the last line again and again.
    Repeat,
}

/// Answers whose head never comes, or is none.
const NO_HEAD: [Fault; 38] = [
    ("nothing, closed", b"", Leave::Close),
    ("nothing, reset", b"", Leave::Reset),
    ("nothing, half-closed", b"", Leave::HalfClose),
    ("garbage", b"what?\r\n\r\n", Leave::Close),
    ("garbage, kept", b"what?\r\n\r\n", Leave::Stall),
    ("binary garbage", b"\x16\x03\x01\0\0\0\0\r\n\r\n", Leave::Close),
    ("an empty line", b"\r\n\r\n", Leave::Close),
    ("HTTP/0.9", b"<html>hello</html>", Leave::Close),
    ("HTTP/2", b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x64", Leave::Stall),
    ("a version of HTTP/2", b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", Leave::Close),
    ("no status", b"HTTP/1.1 OK\r\nContent-Length: 0\r\n\r\n", Leave::Close),
    ("a status of two digits", b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n", Leave::Close),
    ("a status of four digits", b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n", Leave::Close),
    ("a status below 100", b"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n", Leave::Close),
    ("half a status line", b"HTTP/1.1 20", Leave::Close),
    ("half a status line, reset", b"HTTP/1.1 20", Leave::Reset),
    ("half a head", b"HTTP/1.1 200 OK\r\nContent-Le", Leave::Close),
    ("half a head, reset", b"HTTP/1.1 200 OK\r\nContent-Le", Leave::Reset),
    ("half a head, half-closed", b"HTTP/1.1 200 OK\r\nContent-Le", Leave::HalfClose),
    ("a head without its end", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", Leave::Close),
    ("a name of nothing", b"HTTP/1.1 200 OK\r\n: a\r\nContent-Length: 0\r\n\r\n", Leave::Close),
    ("a NUL", b"HTTP/1.1 200 OK\r\nX-A: \0\r\nContent-Length: 0\r\n\r\n", Leave::Close),
    ("a folded line", b"HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 0\r\n\r\n", Leave::Close),
    ("a space before a colon", b"HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n", Leave::Close),
    ("two lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n[]", Leave::Close),
    ("a list of lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\n[]", Leave::Close),
    ("a negative length", b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n[]", Leave::Close),
    ("a signed length", b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n[]", Leave::Close),
    ("a length that is none", b"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\n[]", Leave::Close),
    ("a huge length", b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551617\r\n\r\n[]", Leave::Close),
    ("only 100", b"HTTP/1.1 100 Continue\r\n\r\n", Leave::Close),
    ("only 103", b"HTTP/1.1 103 Early Hints\r\n\r\n", Leave::Close),
    ("101 that nobody asked for", b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", Leave::Close),
    ("101, kept", b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", Leave::Stall),
    ("a status line without an end", b"HTTP/1.1 200 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", Leave::Repeat),
    ("a head without an end", b"HTTP/1.1 200 OK\r\nX-A: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n", Leave::Repeat),
    ("100 without an end", b"HTTP/1.1 100 Continue\r\n\r\n", Leave::Repeat),
    ("103 without an end", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", Leave::Repeat),
];

/// Answers whose head does not come in time.
const LATE: [Fault; 5] = [
    ("nothing", b"", Leave::Stall),
    ("half a status line", b"HTTP/1.1 20", Leave::Stall),
    ("half a head", b"HTTP/1.1 200 OK\r\nContent-Le", Leave::Stall),
    ("only 100", b"HTTP/1.1 100 Continue\r\n\r\n", Leave::Stall),
    ("only 103", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", Leave::Stall),
];

/// Answers whose body breaks off.
const BROKEN: [Fault; 14] = [
    ("shorter than its length", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", Leave::Close),
    ("shorter, reset", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", Leave::Reset),
    ("shorter, half-closed", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", Leave::HalfClose),
    ("shorter, stalled", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", Leave::Stall),
    ("nothing of its length", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", Leave::Close),
    ("nothing, stalled", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", Leave::Stall),
    ("in a chunk", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", Leave::Close),
    ("behind a chunk", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", Leave::Close),
    ("behind a chunk, reset", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", Leave::Reset),
    ("behind a chunk, stalled", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", Leave::Stall),
    ("in the last chunk", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", Leave::Close),
    ("no chunk", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n", Leave::Stall),
    ("a chunk too long", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloworld\r\n0\r\n\r\n", Leave::Stall),
    ("until a reset", b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello", Leave::Reset),
];

/// Answers with more behind them, from an orchestrator that keeps the connection.
const LONGER: [Fault; 4] = [
    ("longer than its length", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloworld", Leave::Stall),
    (
        "an answer behind it",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong",
        Leave::Stall,
    ),
    (
        "an answer behind the last chunk",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong",
        Leave::Stall,
    ),
    ("half-closed behind it", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", Leave::HalfClose),
];

fn act(stream: &mut TcpStream, octets: &[u8], leave: Leave) {
    // The other side may be gone at any moment.
    drop(stream.write_all(octets));
    match leave {
        Leave::Close => {}
        Leave::Reset => {
            // What was written is to arrive before the reset does.
            drop(stream.set_read_timeout(Some(Duration::from_millis(50))));
            let _ = stream.read(&mut [0]);
            SockRef::from(&*stream).set_linger(Some(Duration::ZERO)).expect("a socket has that option");
        }
        Leave::HalfClose => {
            drop(stream.shutdown(Shutdown::Write));
            let _ = stream.read_to_end(&mut Vec::new());
        }
        Leave::Stall => drop(stream.read_to_end(&mut Vec::new())),
        Leave::Repeat => {
            let line = octets.split_inclusive(|octet| *octet == b'\n').rfind(|line| line.len() > 2);
            let block = if octets.starts_with(b"HTTP/1.1 10") { octets } else { line.unwrap_or(octets) };
            let many = block.repeat(100);
            while stream.write_all(&many).is_ok() {}
        }
    }
}

/// Starts an orchestrator with a fault for each name, and a gateway whose patience is short.
fn start(faults: &'static [Fault]) -> (Upstream, Postern) {
    let upstream = Upstream::start(move |received| {
        let at = received.target.rsplit("?fault=").next().and_then(|at| at.parse().ok());
        let Some((_, octets, leave)) = at.and_then(|at: usize| faults.get(at)) else {
            return Reply::json(200, &json!(["right"]));
        };
        Reply::Raw(Box::new(move |stream| act(stream, octets, *leave)))
    });
    let flags = ["--upstream-first-byte-timeout-ms", "500", "--upstream-idle-timeout-ms", "500"];
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
    eventually("the end of a faulty connection", || (upstream.open() <= 1).then_some(()));
    assert!(upstream.broken().is_empty(), "{fault}");
    assert_nothing_left(postern);
}

/// Nothing of a request is left when its caller has gone.
#[track_caller]
fn assert_nothing_left(postern: &Postern) {
    for gauge in ["postern_connections", "postern_requests_in_flight"] {
        eventually(gauge, || {
            let text = String::from_utf8(postern.operator().get("/metrics").body).expect("UTF-8");
            let values = text.lines().filter(|line| line.starts_with(gauge));
            let mut values = values.filter_map(|line| line.rsplit(' ').next()).peekable();
            (values.peek().is_some() && values.all(|value| value == "0")).then_some(())
        });
    }
}

#[test]
fn an_answer_without_a_head_is_a_bad_gateway() {
    let (upstream, postern) = start(&NO_HEAD);
    let administrator = postern.administrator();
    let mut wrong = Vec::new();
    for (at, (fault, _, _)) in NO_HEAD.iter().enumerate() {
        let refusal = administrator.send(broken(at)).refusal();
        if refusal != (502, "upstream-failed".to_owned()) {
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
        let answer = administrator.begin(broken(at));
        assert_eq!(answer.head.status, 200, "{fault}: {}", answer.head.shown());
        let read = answer.try_whole();
        assert!(read.is_err(), "{fault} looks complete: {read:?}");
        assert_recovered(&upstream, &postern, &administrator, fault);
    }
    let broken = postern.log_lines().into_iter().filter(|line| line["complete"] == false);
    assert_eq!(broken.count(), BROKEN.len());
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
    let upstream = Upstream::start(|received| {
        if received.target != ENV_TYPES {
            return Reply::json(200, &json!(["right"]));
        }
        Reply::Raw(Box::new(|stream| {
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]";
            drop(stream.write_all(answer));
            // By then the first answer has been taken, and the connection is idle.
            drop(stream.set_read_timeout(Some(Duration::from_millis(100))));
            let _ = stream.read(&mut [0]);
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[\"wrong\"]"));
            drop(stream.set_read_timeout(Some(PATIENCE)));
            let _ = stream.read_to_end(&mut Vec::new());
        }))
    });
    let postern = Postern::start(&upstream.url());
    let administrator = postern.administrator();
    for _ in 0..10 {
        administrator.get(ENV_TYPES).ok(200);
        eventually("the end of the connection", || (upstream.open() <= 1).then_some(()));
        assert_eq!(administrator.get(&format!("{ENV_TYPES}?next")).ok(200), json!(["right"]));
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
    let upstream = Upstream::early(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}");
    let postern = Postern::start(&upstream.to_string().replace("tcp", "http"));
    let administrator = postern.administrator();
    let request = Request::new("POST", UPLOAD).field("Content-Length", "1000000").body("{");
    let mut stream = connect(postern.address);
    stream.write_all(&administrator.octets(request)).expect("it takes octets");
    let answer = crate::harness::client::Streaming::read(stream).whole();
    assert_eq!(answer.ok(413), json!({}));
    assert_nothing_left(&postern);
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
    let flags = ["--upstream-first-byte-timeout-ms", "500", "--upstream-idle-timeout-ms", "500"];
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
