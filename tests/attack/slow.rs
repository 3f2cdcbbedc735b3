//! Callers who take their time: with a head, with a body, with reading the answer.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use super::rows::{CALLER, READ_UPLOAD, TARGET, UPLOAD};
use super::stand::Stand;
use crate::harness::client::{Client, Request, connect};
use crate::harness::postern::Postern;
use crate::harness::raw::{Heard, hear};
use crate::harness::upstream::{Reply, Upstream};
use crate::harness::{PATIENCE, eventually};

/// Time between two octets of somebody slow.
const PAUSE: Duration = Duration::from_millis(20);

/// Most memory that a process may take beyond what it had, in KiB, whatever callers do.
const GROWTH_KIB_MAX: u64 = 48 * 1024;

/// Sends octets one by one until the other side says something or ends the connection; returns what it said.
fn drip(mut stream: TcpStream, octets: &[u8]) -> Heard {
    let started = Instant::now();
    stream.set_read_timeout(Some(PAUSE)).expect("a time can be set");
    // Waiting for an answer is what makes it slow.
    for octet in octets.iter().cycle() {
        assert!(started.elapsed() < PATIENCE, "it may go on for ever");
        let written = stream.write_all(&[*octet]);
        match stream.peek(&mut [0]) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) && written.is_ok() => {}
            Ok(_) | Err(_) => break,
        }
    }
    stream.set_read_timeout(Some(PATIENCE)).expect("a time can be set");
    hear(stream)
}

/// Sends octets, and then slowly others.
fn begin_and_drip(stand: &Stand, first: &str, rest: &[u8]) -> Heard {
    let mut stream = connect(stand.postern.address);
    stream.set_nodelay(true).expect("a stream has that option");
    stream
        .write_all(&stand.fill(first.as_bytes()))
        .expect("it takes octets");
    drip(stream, rest)
}

#[test]
fn a_head_that_comes_octet_by_octet_is_refused_in_time() {
    let stand = Stand::start(&["--header-timeout-ms", "400"]);
    let whole = format!("GET {TARGET} HTTP/1.1\r\n{CALLER}\r\n");
    let heads = [
        ("in the method", "G".to_owned()),
        ("in the target", "GET /orgs/".to_owned()),
        ("in the first line", format!("GET {TARGET} HTTP/1.1")),
        ("in a name", format!("GET {TARGET} HTTP/1.1\r\n{CALLER}X-")),
        ("in a value", format!("GET {TARGET} HTTP/1.1\r\n{CALLER}X-A: ")),
    ];
    for (name, head) in &heads {
        let heard = begin_and_drip(&stand, head, b"a");
        assert_eq!(
            (heard.answers.len(), heard.ended),
            (1, true),
            "{name}: {}",
            heard.told()
        );
        stand.postern.assert_refused(&heard.answers[0], "header-timeout");
        let heard = begin_and_drip(&stand, &format!("{whole}{head}"), b"a");
        let statuses: Vec<u16> = heard.answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [200, 408], "behind another, {name}");
        stand.postern.assert_refused(&heard.answers[1], "header-timeout");
    }
    assert_eq!(stand.upstream.received().len(), heads.len());
}

#[test]
fn a_connection_on_which_nothing_begins_ends_without_a_word() {
    let stand = Stand::start(&["--header-timeout-ms", "300"]);
    for octets in ["", "\r\n"] {
        let mut stream = connect(stand.postern.address);
        stream.write_all(octets.as_bytes()).expect("it takes octets");
        let heard = hear(stream);
        assert!(heard.ended, "{}", heard.told());
        assert!(
            heard.answers.iter().all(|answer| answer.status == 408),
            "{}",
            heard.told()
        );
    }
}

#[test]
fn a_body_that_must_be_read_and_comes_octet_by_octet_is_refused_in_time() {
    let stand = Stand::start(&["--body-timeout-ms", "400"]);
    for lines in [
        "Content-Length: 100000\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\nfffff\r\n",
    ] {
        let head = format!("POST {READ_UPLOAD} HTTP/1.1\r\n{CALLER}{lines}");
        let heard = begin_and_drip(&stand, &head, b" ");
        assert_eq!(
            (heard.answers.len(), heard.ended),
            (1, true),
            "{lines}: {}",
            heard.told()
        );
        stand.postern.assert_refused(&heard.answers[0], "body-timeout");
    }
    assert_eq!(stand.upstream.connections(), 0);
}

#[test]
fn a_streamed_body_that_stops_is_refused_and_the_orchestrators_connection_freed() {
    let stand = Stand::start(&["--body-idle-timeout-ms", "400"]);
    let chunked = "Transfer-Encoding: chunked\r\n\r\n";
    let bodies = [
        "Content-Length: 100\r\n\r\nhello".to_owned(),
        format!("{chunked}fffff\r\nhello"),
        format!("{chunked}5\r\nhello\r\n5"),
        format!("{chunked}5\r\nhello\r\n0\r\nX-A: "),
    ];
    for body in &bodies {
        let mut stream = connect(stand.postern.address);
        let octets = stand.fill(format!("POST {UPLOAD} HTTP/1.1\r\n{CALLER}{body}").as_bytes());
        stream.write_all(&octets).expect("it takes octets");
        let heard = hear(stream);
        assert_eq!(
            (heard.answers.len(), heard.ended),
            (1, true),
            "{body}: {}",
            heard.told()
        );
        stand.postern.assert_refused(&heard.answers[0], "body-timeout");
    }
    eventually("the end of all connections", || {
        (stand.upstream.open() == 0).then_some(())
    });
    assert_eq!(
        (stand.upstream.received().len(), stand.upstream.broken().len()),
        (0, bodies.len())
    );
}

#[test]
fn a_chunk_without_an_end_takes_no_memory_and_is_never_completed() {
    let stand = Stand::start(&[]);
    let before = stand.postern.process.resident_kib();
    let mut stream = connect(stand.postern.address);
    let head = format!("POST {UPLOAD} HTTP/1.1\r\n{CALLER}Transfer-Encoding: chunked\r\n\r\nfffffffffffffff\r\n");
    stream.write_all(&stand.fill(head.as_bytes())).expect("it takes octets");
    let part = vec![b'a'; 1 << 20];
    for _ in 0..100 {
        stream.write_all(&part).expect("it takes octets");
    }
    let grown = stand.postern.process.resident_kib().saturating_sub(before);
    assert!(grown < GROWTH_KIB_MAX, "{grown} KiB");
    drop(stream);
    eventually("the end of all connections", || {
        (stand.upstream.open() == 0).then_some(())
    });
    assert_eq!((stand.upstream.received().len(), stand.upstream.broken().len()), (0, 1));
}

/// Starts an orchestrator with an answer that does not end; counts the octets that were taken of it.
fn endless() -> (Upstream, Arc<AtomicUsize>) {
    let written = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&written);
    let upstream = Upstream::start(move |received| {
        if !received.target.ends_with("endless") {
            return Reply::json(200, &json!([]));
        }
        let counted = Arc::clone(&counted);
        Reply::Raw(Box::new(move |stream| {
            let part = vec![b'a'; 1 << 16];
            let head = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n";
            let mut alive = stream.write_all(head).is_ok();
            while alive {
                alive = stream.write_all(&part).is_ok();
                counted.fetch_add(part.len(), Ordering::SeqCst);
            }
        }))
    });
    (upstream, written)
}

/// Asks for that answer and reads its first octets.
fn ask_endless(postern: &Postern, administrator: &Client) -> TcpStream {
    let mut stream = connect(postern.address);
    let request = administrator.octets(Request::new("GET", &format!("{TARGET}?endless")));
    stream.write_all(&request).expect("it takes requests");
    stream.read_exact(&mut [0; 12]).expect("an answer begins");
    stream
}

#[test]
fn an_answer_that_nobody_reads_is_not_piled_up() {
    let (upstream, written) = endless();
    let postern = Postern::start(&upstream.url());
    let administrator = postern.administrator();
    let before = postern.process.resident_kib();
    let stream = ask_endless(&postern, &administrator);
    // The same amount at two looks, with other requests in between: it has come to a halt.
    let mut last = 0;
    eventually("the orchestrator's halt", || {
        administrator.get(TARGET).ok(200);
        let now = written.load(Ordering::SeqCst);
        (std::mem::replace(&mut last, now) == now).then_some(())
    });
    let grown = postern.process.resident_kib().saturating_sub(before);
    assert!(grown < GROWTH_KIB_MAX, "{grown} KiB");
    drop(stream);
    let line = postern.log_line(|line| line["complete"] == false);
    assert_eq!(line["status"], 200, "{line}");
}

#[test]
fn a_caller_who_does_not_read_is_cut_off_in_time_and_the_orchestrators_connection_freed() {
    let (upstream, _) = endless();
    let postern = Postern::with(&upstream.url(), &["--send-timeout-ms", "400"]);
    let administrator = postern.administrator();
    let stream = ask_endless(&postern, &administrator);
    let line = postern.log_line(|line| line["complete"] == false);
    assert_eq!(line["status"], 200, "{line}");
    eventually("the end of all connections", || (upstream.open() == 0).then_some(()));
    postern.wait_until_idle();
    drop(stream);
}
