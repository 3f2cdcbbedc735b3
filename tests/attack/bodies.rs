//! What stands in a body stays there: chunks, trailers, bodies behind refusals, bodies that are requests.

use super::canonical::{Canonical, Content};
use super::rows::{
    CALLER, READ_UPLOAD, Row, SMUGGLED, TARGET, UPLOAD, ambiguous, broken, forwarded, get, post, refused,
};
use super::stand::Stand;
use crate::harness::raw::{Cut, send_cut};
use crate::harness::refusal::assert_refused;

const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";

/// Bodies that are no chunks, or of which two readers see different ones.
const BROKEN_CHUNKS: [&[u8]; 51] = [
    b"5\nhello\r\n0\r\n\r\n",
    b"5\rhello\r\n0\r\n\r\n",
    b"5\r\r\nhello\r\n0\r\n\r\n",
    b"5 \r\nhello\r\n0\r\n\r\n",
    b"5\t\r\nhello\r\n0\r\n\r\n",
    b" 5\r\nhello\r\n0\r\n\r\n",
    b"\r\n5\r\nhello\r\n0\r\n\r\n",
    b"0x5\r\nhello\r\n0\r\n\r\n",
    b"+5\r\nhello\r\n0\r\n\r\n",
    b"-5\r\nhello\r\n0\r\n\r\n",
    b"5h\r\nhello\r\n0\r\n\r\n",
    b"5_0\r\nhello\r\n0\r\n\r\n",
    b"5.0\r\nhello\r\n0\r\n\r\n",
    b"\"5\"\r\nhello\r\n0\r\n\r\n",
    b"\xd9\xa5\r\nhello\r\n0\r\n\r\n",
    b"five\r\nhello\r\n0\r\n\r\n",
    b"\r\nhello\r\n0\r\n\r\n",
    b";a=b\r\nhello\r\n0\r\n\r\n",
    b"0000000000000005\r\nhello\r\n0\r\n\r\n",
    b"00000000000000000000000000005\r\nhello\r\n0\r\n\r\n",
    b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    b"8000000000000005\r\nhello\r\n0\r\n\r\n",
    b"5,a\r\nhello\r\n0\r\n\r\n",
    b"5 a\r\nhello\r\n0\r\n\r\n",
    b"5\0\r\nhello\r\n0\r\n\r\n",
    b"5;a\nhello\r\n0\r\n\r\n",
    b"5;\nhello\r\n0\r\n\r\n",
    b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    b"5;a\r\r\nhello\r\n0\r\n\r\n",
    b"5;a\0\r\nhello\r\n0\r\n\r\n",
    b"5;a\x7f\r\nhello\r\n0\r\n\r\n",
    b"5;a=\"\n\"\r\nhello\r\n0\r\n\r\n",
    b"5\r\nhello0\r\n\r\n",
    b"5\r\nhelloXX0\r\n\r\n",
    b"5\r\nhell\r\n0\r\n\r\n",
    b"4\r\nhello\r\n0\r\n\r\n",
    b"6\r\nhello\r\n0\r\n\r\n",
    b"5\r\nhello\n0\r\n\r\n",
    b"5\r\nhello\r0\r\n\r\n",
    b"5\r\nhello\n\r0\r\n\r\n",
    b"5\r\nhello\r\r\n0\r\n\r\n",
    b"5\r\nhello\r\n\r\n0\r\n\r\n",
    b"5\r\nhello\r\n0\n\r\n",
    b"5\r\nhello\r\n0\r\n\n",
    b"5\r\nhello\r\n0\n\n",
    b"5\r\nhello\r\n0\r\r\n\r\n",
    b"5\r\nhello\r\n-0\r\n\r\n",
    b"5\r\nhello\r\n0x0\r\n\r\n",
    b"5\r\nhello\r\n0\r\n\r\r\n",
    b"5\r\nhello\r\n0 \r\n\r\n",
];

/// Trailers that are no fields.
const BROKEN_TRAILERS: [&str; 12] = [
    " X-A: b\r\n",
    "\tX-A: b\r\n",
    "X-A : b\r\n",
    "X-A: b\r\n c\r\n",
    "X A: b\r\n",
    "X-A\r\n",
    ": b\r\n",
    "X-A: b\nX-B: c\r\n",
    "X-A: b\rX-B: c\r\n",
    "X-A: \0\r\n",
    "GET /orgs/acme/env-types?smuggled HTTP/1.1\r\nHost: a\r\n",
    "X-A: b\r\n\nX-B: c\r\n",
];

/// Trailers that are fields, and would mean something in a head.
const TRAILERS: [&str; 13] = [
    "",
    "X-A: b\r\n",
    "Host: b\r\n",
    "Authorization: Bearer forged\r\n",
    "From: s-forged\r\n",
    "Postern-Identity: forged\r\n",
    "X-Forwarded-For: 203.0.113.9\r\n",
    "Content-Length: 99\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Connection: close\r\n",
    "Upgrade: h2c\r\n",
    "Content-Type: text/html\r\nContent-Type: text/plain\r\n",
    "Trailer: From\r\nAccept: */*\r\n",
];

fn chunked(trailers: &str) -> String {
    format!("5\r\nhello\r\n0\r\n{trailers}\r\n")
}

#[test]
fn chunks_that_are_none_end_the_connection_and_are_never_completed_upstream() {
    let rows = BROKEN_CHUNKS.iter().flat_map(|body| {
        let read = [
            format!("POST {READ_UPLOAD} HTTP/1.1\r\n{CALLER}{CHUNKED}\r\n").as_bytes(),
            body,
        ]
        .concat();
        let both = [body, SMUGGLED.as_bytes()].concat();
        [
            broken(body, post(CHUNKED, both)),
            ambiguous([b"read: ", *body].concat(), read),
        ]
    });
    Stand::start(&[]).holds(rows);
}

#[test]
fn a_chunk_line_or_a_trailer_section_without_an_end_is_given_up() {
    let long = [
        ("extension", format!("5;{}", "a".repeat(70_000))),
        ("size", "0".repeat(70_000)),
        ("trailer", format!("0\r\nX-A: {}", "b".repeat(70_000))),
        ("trailers", format!("0\r\n{}", "X-A: b\r\n".repeat(9_000))),
    ];
    let rows = long.map(|(name, body)| broken(name, post(CHUNKED, body)));
    Stand::start(&[]).holds(rows);
}

#[test]
fn a_body_that_ends_before_its_end_is_never_completed_upstream() {
    let rows = [
        (CHUNKED, "5\r\nhel"),
        (CHUNKED, "5\r\nhello\r\n"),
        (CHUNKED, "5\r\nhello\r\n0\r\n"),
        (CHUNKED, "5\r\nhello\r\n0\r\nX-A: b\r\n"),
        (CHUNKED, "5"),
        (CHUNKED, ""),
        ("Content-Length: 6\r\n", "hello"),
        ("Content-Length: 9223372036854775807\r\n", "hello"),
    ];
    let rows = rows.map(|(lines, body)| broken(format!("{lines} {body}"), post(lines, body)).finished());
    Stand::start(&[]).holds(rows);
}

#[test]
fn trailers_that_are_no_fields_end_the_connection() {
    let rows = BROKEN_TRAILERS.map(|trailers| broken(trailers, post(CHUNKED, chunked(trailers))));
    Stand::start(&[]).holds(rows);
}

#[test]
fn trailers_are_dropped_whatever_they_say() {
    let json = r#"{"id":"dev","name":"dev","type":"development"}"#;
    let rows = TRAILERS.iter().flat_map(|trailers| {
        let canonical = Canonical::post(Content::Chunks(b"hello".to_vec()));
        let read = format!(
            "POST {READ_UPLOAD} HTTP/1.1\r\n{CALLER}{CHUNKED}\r\n{:x}\r\n{json}\r\n0\r\n{trailers}\r\n",
            json.len()
        );
        let whole = Canonical::new("POST", READ_UPLOAD, Content::Length(json.into()));
        [
            forwarded(*trailers, post(CHUNKED, chunked(trailers)), canonical),
            forwarded(format!("read: {trailers}"), read, whole),
        ]
    });
    let unnamed = format!("POST {UPLOAD} HTTP/1.1\r\nHost: a\r\n{CHUNKED}\r\n");
    let late = unnamed + &chunked("Authorization: Bearer <token>\r\n");
    let late = refused("credentials in a trailer", late, &["token-missing"]);
    Stand::start(&[]).holds(rows.chain([late]));
}

#[test]
fn chunks_are_forwarded_as_chunks_without_what_else_they_say() {
    let bodies = [
        "5\r\nhello\r\n0\r\n\r\n",
        "1\r\nh\r\n4\r\nello\r\n0\r\n\r\n",
        "005\r\nhello\r\n000\r\n\r\n",
        "000000000000005\r\nhello\r\n0\r\n\r\n",
        "5;a\r\nhello\r\n0;b\r\n\r\n",
        "5;a=b;c=\"d e\"\r\nhello\r\n0\r\n\r\n",
        "5;0\r\nhello\r\n0\r\n\r\n",
    ];
    let rows = bodies.map(|body| {
        let canonical = Canonical::post(Content::Chunks(b"hello".to_vec()));
        forwarded(body, post(CHUNKED, body), canonical)
    });
    let upper = format!("A\r\n0\r\n\r\nGET /\r\na\r\n{}\r\n0\r\n\r\n", "x".repeat(10));
    let canonical = Canonical::post(Content::Chunks(b"0\r\n\r\nGET /xxxxxxxxxx".to_vec()));
    let inner = forwarded("an end within a chunk", post(CHUNKED, upper), canonical);
    Stand::start(&[]).holds(rows.into_iter().chain([inner]));
}

#[test]
fn a_body_that_is_a_request_stays_a_body() {
    let stand = Stand::start(&[]);
    let body = stand.fill(SMUGGLED.as_bytes());
    let length = format!("Content-Length: {}\r\n", body.len());
    let chunks = [format!("{:x}\r\n", body.len()).as_bytes(), &body, b"\r\n0\r\n\r\n"].concat();
    let hook = "/orgs/acme/apps/shop/webhooks/hook";
    let delete = [
        format!("DELETE {hook} HTTP/1.1\r\n{CALLER}{length}\r\n").as_bytes(),
        &body,
    ]
    .concat();
    let as_length = || Content::Length(body.clone());
    let rows = [
        forwarded("POST", post(&length, &body), Canonical::post(as_length())),
        forwarded(
            "GET",
            [&get(TARGET, &length)[..], &body].concat(),
            Canonical::new("GET", TARGET, as_length()),
        ),
        forwarded(
            "GET in chunks",
            [&get(TARGET, CHUNKED)[..], &chunks].concat(),
            Canonical::new("GET", TARGET, Content::Chunks(body.clone())),
        ),
        forwarded("DELETE", delete, Canonical::new("DELETE", hook, as_length())),
    ];
    stand.holds(rows);
}

/// Heads, up to their framing, that are refused before their body is looked at.
fn refused_heads() -> [(String, &'static [&'static str]); 9] {
    let post = |target: &str, lines: &str| format!("POST {target} HTTP/1.1\r\n{lines}");
    [
        (post(UPLOAD, "Host: a\r\n"), &["token-missing"]),
        (
            post(UPLOAD, "Host: a\r\nAuthorization: Bearer x\r\n"),
            &["token-malformed"],
        ),
        (post("/orgs/other/artefact-versions", CALLER), &["not-allowed"]),
        (post("/orgs/acme/nothing", CALLER), &["operation-unknown"]),
        (post("/orgs/acme/apps/../apps", CALLER), &["request-ambiguous"]),
        (format!("PUT {TARGET} HTTP/1.1\r\n{CALLER}"), &["method-not-allowed"]),
        (format!("BREW {TARGET} HTTP/1.1\r\n{CALLER}"), &["method-unknown"]),
        (
            post(&format!("{UPLOAD}?access_token=x"), CALLER),
            &["credential-in-query"],
        ),
        (post(READ_UPLOAD, CALLER), &["body-too-large", "body-unreadable"]),
    ]
}

#[test]
fn a_body_behind_a_refusal_is_never_read_as_a_request() {
    let stand = Stand::start(&["--read-body-bytes-max", "1000"]);
    let mut rows: Vec<Row> = Vec::new();
    for times in [1, 300] {
        let body = stand.fill(SMUGGLED.repeat(times).as_bytes());
        let length = format!("Content-Length: {}\r\n\r\n", body.len());
        let chunks = [format!("{:x}\r\n", body.len()).as_bytes(), &body, b"\r\n0\r\n\r\n"].concat();
        for (head, reason) in refused_heads() {
            for expect in ["", "Expect: 100-continue\r\n"] {
                let name = format!("{expect}{times} behind {head}");
                let head = format!("{head}{expect}");
                let by_length = [head.as_bytes(), length.as_bytes(), &body].concat();
                let by_chunks = [head.as_bytes(), CHUNKED.as_bytes(), b"\r\n", &chunks].concat();
                rows.push(refused(&name, by_length, reason));
                rows.push(refused(format!("chunks: {name}"), by_chunks, reason));
            }
        }
    }
    stand.holds(rows);
}

#[test]
fn an_expectation_goes_no_further_and_changes_no_framing() {
    let length = Canonical::post(Content::Length(b"hello".to_vec()));
    let expectations = [
        "Expect: 100-continue\r\n",
        "expect: 100-CONTINUE\r\n",
        "EXPECT:100-continue \r\n",
        "Expect: 100-continue\r\nExpect: 100-continue\r\n",
    ];
    let rows = expectations.iter().flat_map(|lines| {
        let chunks = Canonical::post(Content::Chunks(b"hello".to_vec()));
        [
            forwarded(
                *lines,
                post(format!("{lines}Content-Length: 5\r\n"), "hello"),
                length.clone(),
            ),
            forwarded(
                *lines,
                post(format!("{lines}{CHUNKED}"), "5\r\nhello\r\n0\r\n\r\n"),
                chunks,
            ),
            forwarded(*lines, get(TARGET, lines), Canonical::get(TARGET)),
        ]
    });
    let others = [
        "y 100-continue",
        "100-continue, y",
        "200-ok",
        "100",
        "100-continue;q=1",
        "\"100-continue\"",
    ];
    let others = others.map(|value| {
        let octets = post(format!("Expect: {value}\r\nContent-Length: 5\r\n"), "hello");
        refused(value, octets, &["expectation-failed"])
    });
    let folded = post("Expect:\r\n 100-continue\r\nContent-Length: 5\r\n", "hello");
    let folded = ambiguous("folded", folded);
    Stand::start(&[]).holds(rows.chain(others).chain([folded]));
}

#[test]
fn an_upgrade_that_no_operation_has_is_an_ordinary_request() {
    let upgrades = [
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n",
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n",
        "Connection: HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n",
        "Upgrade: h2c\r\n",
        "Connection: upgrade\r\n",
        "connection: UPGRADE\r\nupgrade: H2C\r\n",
        "Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n",
        "Connection: Upgrade\r\nUpgrade: h2c, websocket\r\n",
        "Connection: Upgrade\r\nUpgrade: \r\n",
    ];
    let rows = upgrades.iter().flat_map(|lines| {
        let body = Canonical::post(Content::Length(b"hello".to_vec()));
        let with_body = post(format!("{lines}Content-Length: 5\r\n"), "hello");
        [
            forwarded(*lines, get(TARGET, lines), Canonical::get(TARGET)),
            forwarded(*lines, with_body, body),
        ]
    });
    Stand::start(&[]).holds(rows);
}

#[test]
fn what_stands_behind_an_upgrade_is_judged_as_a_request() {
    let stand = Stand::start(&[]);
    let upgrade = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n";
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    for behind in [&preface[..], b"\x81\x05hello", b"POST /internal\r\n\r\n"] {
        for cut in Cut::ALL {
            let octets = stand.fill(&[&get(TARGET, upgrade), behind, SMUGGLED.as_bytes()].concat());
            let heard = send_cut(stand.postern.address, &octets, cut, false);
            let statuses: Vec<u16> = heard.answers.iter().map(|answer| answer.status).collect();
            assert_eq!((statuses, heard.ended), (vec![200, 400], true), "{behind:?} {cut:?}");
            assert_refused(&heard.answers[1], "request-ambiguous");
        }
    }
    assert!(
        stand
            .upstream
            .received()
            .iter()
            .all(|received| received.target == TARGET)
    );
}
