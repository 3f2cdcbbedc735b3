//! Where a request ends: lengths, codings and versions. Two readers who disagree here see two different requests.

use super::canonical::{Canonical, Content};
use super::rows::{CALLER, READ_UPLOAD, Row, SMUGGLED, TARGET, UPLOAD, ambiguous, forwarded, get, post, refused};
use super::stand::Stand;

/// Length and coding together, whatever either says: RFC 9112 §6.3, §11.2.
const BOTH: [&str; 12] = [
    "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
    "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
    "transfer-encoding: chunked\r\ncontent-length: 0\r\n",
    "CONTENT-LENGTH: 5\r\nTRANSFER-ENCODING: CHUNKED\r\n",
    "Content-Length: 5\r\nAccept: a\r\nTransfer-Encoding: chunked\r\n",
    "Content-Length: 4\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: chunked\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: identity\r\nContent-Length: 5\r\n",
    "Content-Length: 5\r\nTransfer-Encoding: xchunked\r\n",
    "Content-Length: 5\r\nTransfer-Encoding:\r\n",
    "Connection: Content-Length\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n",
];

/// Transfer codings that are not exactly one `chunked`, in lines of their own.
const CODINGS: [&[u8]; 44] = [
    b"Transfer-Encoding: chunked, chunked\r\n",
    b"Transfer-Encoding: chunked,chunked\r\n",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n",
    b"Transfer-Encoding:\r\nTransfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: chunked, identity\r\n",
    b"Transfer-Encoding: identity, chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Transfer-Encoding: chunked, gzip\r\n",
    b"Transfer-Encoding: gzip\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Transfer-Encoding: xchunked\r\n",
    b"Transfer-Encoding: chunkedx\r\n",
    b"Transfer-Encoding: chunk\r\n",
    b"Transfer-Encoding: chunk ed\r\n",
    b"Transfer-Encoding: \"chunked\"\r\n",
    b"Transfer-Encoding: 'chunked'\r\n",
    b"Transfer-Encoding: chunked;q=1\r\n",
    b"Transfer-Encoding: chunked;\r\n",
    b"Transfer-Encoding: chunked,\r\n",
    b"Transfer-Encoding: ,chunked\r\n",
    b"Transfer-Encoding: , chunked\r\n",
    b"Transfer-Encoding: :chunked\r\n",
    b"Transfer-Encoding:\r\n",
    b"Transfer-Encoding: \x0bchunked\r\n",
    b"Transfer-Encoding: \x0cchunked\r\n",
    b"Transfer-Encoding: chunked\x0b\r\n",
    b"Transfer-Encoding: chunked\0\r\n",
    b"Transfer-Encoding: \0chunked\r\n",
    b"Transfer-Encoding: \xa0chunked\r\n",
    b"Transfer-Encoding: chunked\x85\r\n",
    b"Transfer-Encoding: chun\xe2\x84\xaaed\r\n",
    b"Transfer-Encoding : chunked\r\n",
    b"Transfer-Encoding\t: chunked\r\n",
    b"Transfer-Encoding\0: chunked\r\n",
    b"Transfer-Encoding\xa0: chunked\r\n",
    b"Transfer Encoding: chunked\r\n",
    b"X-A: b\nTransfer-Encoding: chunked\r\n",
    b"X-A: b\rTransfer-Encoding: chunked\r\n",
    b"Transfer-Encoding:\r\n chunked\r\n",
    b"Transfer-Encoding: chunked\r\n , identity\r\n",
    b"X-A: b\r\n\tTransfer-Encoding: chunked\r\n",
];

/// Lengths that are not one number, with their field lines.
const LENGTHS: [&[u8]; 37] = [
    b"Content-Length: +5\r\n",
    b"Content-Length: -5\r\n",
    b"Content-Length: -0\r\n",
    b"Content-Length: 0x5\r\n",
    b"Content-Length: 5h\r\n",
    b"Content-Length: 5,5\r\n",
    b"Content-Length: 5, 5\r\n",
    b"Content-Length: 5, 6\r\n",
    b"Content-Length: 0, 5\r\n",
    b"Content-Length: ,5\r\n",
    b"Content-Length: 5,\r\n",
    b"Content-Length: 5 5\r\n",
    b"Content-Length: 5;\r\n",
    b"Content-Length: 5.0\r\n",
    b"Content-Length: 5e0\r\n",
    b"Content-Length: 0_5\r\n",
    b"Content-Length: \"5\"\r\n",
    b"Content-Length: five\r\n",
    b"Content-Length:\r\n",
    b"Content-Length: \x0b5\r\n",
    b"Content-Length: 5\x0c\r\n",
    b"Content-Length: 5\0\r\n",
    b"Content-Length: \xd9\xa5\r\n",
    b"Content-Length: \xa05\r\n",
    b"Content-Length: 18446744073709551616\r\n",
    b"Content-Length: 18446744073709551621\r\n",
    b"Content-Length: 99999999999999999999999999999999\r\n",
    b"Content-Length: 5\r\nContent-Length: 5\r\n",
    b"Content-Length: 5\r\nContent-Length: 0\r\n",
    b"Content-Length: 0\r\ncontent-length: 5\r\n",
    b"Content-Length:\r\nContent-Length: 5\r\n",
    b"Content-Length : 5\r\n",
    b"Content-Length\t: 5\r\n",
    b"Content-Length:\r\n 5\r\n",
    b"Content-Length: 5\r\n 5\r\n",
    b"Content-Length: 0\r\n\t5\r\n",
    b"X-A: b\nContent-Length: 5\r\n",
];

/// What stands behind `GET <target>`: versions that are none of ours, or nothing.
const VERSIONS: [&[u8]; 23] = [
    b"",
    b" ",
    b" HTTP/1.2",
    b" HTTP/0.9",
    b" HTTP/2",
    b" HTTP/2.0",
    b" HTTP/3.0",
    b" HTTP/1",
    b" HTTP/1.",
    b" HTTP/1.10",
    b" HTTP/01.1",
    b" HTTP/1,1",
    b" HTTP/11",
    b" HTTP/ 1.1",
    b" HTTP /1.1",
    b" http/1.1",
    b" HTTPS/1.1",
    b" ICAP/1.0",
    b" HTTP/1.1 ",
    b" HTTP/1.1\t",
    b" HTTP/1.1 HTTP/1.1",
    b" HTTP/1.1\0",
    b" HTTP/1.\xd9\xa1",
];

/// Both readings of a body of five octets have an end, and a request behind it.
fn two_readings() -> String {
    format!("5\r\nhello\r\n0\r\n\r\n{SMUGGLED}")
}

#[test]
fn a_length_beside_a_coding_is_refused_and_nothing_is_read_behind_it() {
    let rows = BOTH.iter().flat_map(|lines| {
        let read = format!("POST {READ_UPLOAD} HTTP/1.1\r\n{CALLER}{lines}\r\n{}", two_readings());
        let gotten = [&get(TARGET, lines)[..], two_readings().as_bytes()].concat();
        [
            ambiguous(*lines, post(lines, two_readings())),
            ambiguous(format!("read: {lines}"), read),
            ambiguous(format!("GET: {lines}"), gotten),
        ]
    });
    Stand::start(&[]).holds(rows);
}

#[test]
fn a_coding_that_is_not_exactly_chunked_is_refused() {
    let rows = CODINGS.map(|lines| ambiguous(lines, post(lines, two_readings())));
    let beside = CODINGS.map(|lines| {
        let lines = [lines, b"Content-Length: 5\r\n"].concat();
        ambiguous(&lines, post(&lines, two_readings()))
    });
    Stand::start(&[]).holds(rows.into_iter().chain(beside));
}

#[test]
fn a_length_that_is_not_one_number_is_refused() {
    let rows = LENGTHS.map(|lines| ambiguous(lines, post(lines, format!("hello{SMUGGLED}"))));
    Stand::start(&[]).holds(rows);
}

#[test]
fn a_coding_in_http_1_0_is_refused() {
    let lines = ["", "Connection: keep-alive\r\n", "Content-Length: 5\r\n", "Host: a\r\n"];
    let rows = lines.iter().flat_map(|lines| {
        ["chunked", "identity", "chunked, chunked"].map(|coding| {
            let head = format!("POST {UPLOAD} HTTP/1.0\r\nAuthorization: Bearer <token>\r\n{lines}");
            let octets = format!("{head}Transfer-Encoding: {coding}\r\n\r\n{}", two_readings());
            ambiguous(format!("{coding} with {lines:?}"), octets)
        })
    });
    Stand::start(&[]).holds(rows);
}

#[test]
fn a_version_that_is_not_1_0_or_1_1_is_refused() {
    let rows = VERSIONS.map(|version| {
        let line = [b"GET ", TARGET.as_bytes(), version, b"\r\n"].concat();
        ambiguous(version, [&line, CALLER.as_bytes(), b"\r\n"].concat())
    });
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    Stand::start(&[]).holds(rows.into_iter().chain([ambiguous("the preface of HTTP/2", preface)]));
}

#[test]
fn a_framing_that_is_none_leaves_a_request_without_a_body() {
    let rows = [
        "Transfer_Encoding: chunked\r\n",
        "X-Content-Length: 99\r\n",
        "TE: chunked\r\n",
    ]
    .map(|lines| {
        // What follows is the next request, and is read as nothing else.
        forwarded(lines, get(TARGET, lines), Canonical::get(TARGET))
    });
    let none = forwarded("no framing", post("", ""), Canonical::post(Content::None));
    let zero = forwarded(
        "a length of nothing",
        post("Content-Length: 0\r\n", ""),
        Canonical::post(Content::None),
    );
    Stand::start(&[]).holds(rows.into_iter().chain([none, zero]));
}

#[test]
fn a_framing_that_has_one_reading_is_forwarded_in_one_form() {
    let chunked = Content::Chunks(b"hello".to_vec());
    let rows = [
        "Transfer-Encoding: chunked\r\n",
        "transfer-encoding:chunked\r\n",
        "TRANSFER-ENCODING: CHUNKED\r\n",
        "Transfer-Encoding: cHuNkEd\r\n",
        "Transfer-Encoding:   chunked \r\n",
        "Transfer-Encoding:\tchunked\t\r\n",
        "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n",
    ];
    let chunks = rows.map(|lines| {
        forwarded(
            lines,
            post(lines, "5\r\nhello\r\n0\r\n\r\n"),
            Canonical::post(chunked.clone()),
        )
    });
    let lengths = [
        "Content-Length: 5\r\n",
        "content-length:5\r\n",
        "CONTENT-LENGTH: \t5 \r\n",
        "Content-Length: 005\r\n",
    ];
    let lengths = lengths.map(|lines| {
        let canonical = Canonical::post(Content::Length(b"hello".to_vec()));
        forwarded(lines, post(lines, "hello"), canonical)
    });
    Stand::start(&[]).holds(chunks.into_iter().chain(lengths));
}

#[test]
fn a_request_whose_head_does_not_fit_is_refused_before_anything_is_decided() {
    let many: String = (0..200).map(|at| format!("X-{at}: v\r\n")).collect();
    let long = format!("X-Long: {}\r\n", "v".repeat(33 * 1024));
    let name = format!("{}: v\r\n", "x".repeat(33 * 1024));
    let target = format!("{TARGET}?{}", "a".repeat(9 * 1024));
    let huge = format!("{TARGET}?{}", "a".repeat(200 * 1024));
    let rows: Vec<Row> = vec![
        refused("many fields", get(TARGET, &many), &["fields-too-large"]),
        refused("a long value", get(TARGET, &long), &["fields-too-large"]),
        refused("a long name", get(TARGET, &name), &["fields-too-large"]),
        refused("a long target", get(&target, ""), &["target-too-long"]),
        refused("a huge target", get(&huge, ""), &["target-too-long"]),
        refused(
            "no end of the target",
            "GET /".to_owned() + &"a".repeat(99 * 1024),
            &["target-too-long"],
        ),
        refused(
            "no end of the fields",
            get(TARGET, &many[..many.len() - 2]).repeat(9),
            &["fields-too-large"],
        ),
    ];
    Stand::start(&[]).holds(rows);
}
