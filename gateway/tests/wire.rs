//! What of HTTP/1.1 is handed on, and what is not.

use gateway::refusal::Reason;
use gateway::wire::{Limits, Violation, Wire};

const LIMITS: Limits = Limits {
    target_bytes_max: 100,
    fields_bytes_max: 300,
    fields_max: 5,
};

/// Hands octets to a wire in parts of one size; returns what was handed on, and the violation that ended it.
fn pass(octets: &[u8], part: usize) -> (Vec<u8>, Option<Violation>) {
    let mut wire = Wire::new(LIMITS);
    let (mut held, mut passed) = (Vec::new(), Vec::new());
    for part in octets.chunks(part) {
        held.extend_from_slice(part);
        loop {
            match wire.look(&held) {
                Ok(0) => break,
                Ok(more) => passed.extend(held.drain(..more)),
                Err(violation) => return (passed, Some(violation)),
            }
        }
    }
    (passed, None)
}

#[test]
fn what_is_well_formed_passes_unchanged_however_it_arrives() {
    let requests: [&[u8]; 8] = [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\r\nGET /a?b HTTP/1.0\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nGET /GET / HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\ntransfer-encoding:\tChunked \r\n\r\n3\r\nabc\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n00a;x=\"y\"\r\n0123456789\r\n0\r\nX-T: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: \xff caf\xc3\xa9\t!\r\nEmpty:\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        b"- * HTTP/1.1\r\n\r\n",
    ];
    for request in requests {
        for part in 1..=request.len() {
            let (passed, violation) = pass(request, part);
            assert_eq!(violation, None, "{}", request.escape_ascii());
            assert_eq!(passed, request, "in parts of {part}: {}", request.escape_ascii());
        }
    }
}

#[test]
fn what_readers_could_take_in_two_ways_is_never_handed_on() {
    let heads: [&[u8]; 31] = [
        b"GET  / HTTP/1.1\r\n\r\n",
        b"GET /  HTTP/1.1\r\n\r\n",
        b" GET / HTTP/1.1\r\n\r\n",
        b"GET\t/ HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1 \r\n\r\n",
        b"GET / HTTP/1.2\r\n\r\n",
        b"GET / http/1.1\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET /#a HTTP/1.1\r\n\r\n",
        b"GET /\xc3\xa9 HTTP/1.1\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\n\r\n",
        b"G(T / HTTP/1.1\r\n\r\n",
        b"\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n\n",
        b"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\x00\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET / HTTP/1.1\r\n: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
        b"POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\na",
        b"POST / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\na",
        b"POST / HTTP/1.1\r\nContent-Length:\r\n\r\na",
        b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\na",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ];
    for head in heads {
        for part in 1..=head.len() {
            let (passed, violation) = pass(head, part);
            let violation = violation.unwrap_or_else(|| panic!("{} passed", head.escape_ascii()));
            assert_eq!(
                (violation.reason, violation.in_head),
                (Reason::RequestAmbiguous, true),
                "{}",
                head.escape_ascii()
            );
            assert!(passed.is_empty(), "{}", head.escape_ascii());
        }
    }
}

#[test]
fn a_body_that_is_chunked_in_two_ways_ends_where_it_does() {
    let head = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    let bodies: [&[u8]; 13] = [
        b"3\nabc\r\n0\r\n\r\n",
        b"3;\na\r\nabc\r\n0\r\n\r\n",
        b"3 ;a\r\nabc\r\n0\r\n\r\n",
        b"0x3\r\nabc\r\n0\r\n\r\n",
        b"+3\r\nabc\r\n0\r\n\r\n",
        b"-1\r\nabc\r\n0\r\n\r\n",
        b"\r\nabc\r\n0\r\n\r\n",
        b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
        b"3\r\nabcd\r\n0\r\n\r\n",
        b"3\r\nabc\n0\r\n\r\n",
        b"0\r\nHost : a\r\n\r\n",
        b"0\r\n folded\r\n\r\n",
        b"0\r\nX: a\n\r\n",
    ];
    for body in bodies {
        let octets = [&head[..], body].concat();
        for part in 1..=octets.len() {
            let (passed, violation) = pass(&octets, part);
            let violation = violation.unwrap_or_else(|| panic!("{} passed", body.escape_ascii()));
            assert!(!violation.in_head && passed.starts_with(head) && !passed.ends_with(b"\r\n\r\n0\r\n\r\n"));
        }
    }
}

#[test]
fn a_head_is_cut_short_at_its_limits() {
    let target = |length: usize| format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(length - 1));
    let fields = |count: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(count));
    let bytes = |count: usize| format!("GET / HTTP/1.1\r\na:{}\r\n\r\n", "b".repeat(count - 4));
    let endless = |start: &str| format!("{start}{}", "a".repeat(1000));
    let rows = [
        (target(100), None),
        (target(101), Some(Reason::TargetTooLong)),
        (endless("GET /"), Some(Reason::TargetTooLong)),
        (fields(5), None),
        (fields(6), Some(Reason::FieldsTooLarge)),
        (bytes(300), None),
        (bytes(301), Some(Reason::FieldsTooLarge)),
        (endless("GET / HTTP/1.1\r\nx"), Some(Reason::FieldsTooLarge)),
    ];
    for (head, reason) in rows {
        for part in [1, 7, head.len()] {
            let (_, violation) = pass(head.as_bytes(), part);
            assert_eq!(
                violation.map(|violation| violation.reason),
                reason,
                "in parts of {part}: {head}"
            );
        }
    }
}

#[test]
fn a_refused_head_tells_what_of_its_request_line_was_sound() {
    let told = |octets: &[u8]| pass(octets, 1000).1.and_then(|violation| violation.request);
    let line = |method: &str, target: Option<&str>| Some((method.to_owned(), target.map(str::to_owned)));
    assert_eq!(
        told(b"\r\nHEAD /a HTTP/1.1\r\nHost : a\r\n\r\n"),
        line("HEAD", Some("/a"))
    );
    assert_eq!(told(b"HEAD /\x01 HTTP/1.1\r\n\r\n"), line("HEAD", None));
    assert_eq!(told(b"\x01 / HTTP/1.1\r\n\r\n"), None);
}

#[test]
fn what_follows_a_request_for_another_protocol_waits_for_its_answer() {
    let mut wire = Wire::new(LIMITS);
    let octets = b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n\x81\x05hello";
    assert_eq!(wire.look(octets), Ok(octets.len() - 7));
    let rest = &octets[octets.len() - 7..];
    assert_eq!(wire.look(rest), Ok(0));
    assert!(wire.is_held());
    wire.release();
    assert!(
        wire.look(rest).is_ok_and(|passed| passed == 0),
        "the head has not ended"
    );
    assert!(wire.look(b"\x81\x05hello\r\n").is_err());
}

#[test]
fn a_limit_is_met_at_the_same_octet_however_they_arrive() {
    let method = |length: usize| format!("{} / HTTP/1.1\r\n\r\n", "M".repeat(length));
    let chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n";
    let trailers = |length: usize| format!("{chunked}a:{}\r\n\r\n", "b".repeat(length - 4));
    let rows = [
        (method(52), true),
        (method(53), false),
        (method(200), false),
        (format!("\r\n{}", method(51)), false),
        (trailers(8192), true),
        (trailers(8193), false),
        (trailers(9000), false),
    ];
    for (octets, passes) in rows {
        for part in [1, 7, octets.len()] {
            let (_, violation) = pass(octets.as_bytes(), part);
            assert_eq!(
                violation.is_none(),
                passes,
                "{violation:?} in parts of {part}: {octets}"
            );
        }
    }
}
