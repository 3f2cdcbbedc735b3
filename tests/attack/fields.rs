//! Header fields: lines that readers split differently, names that are not quite ours, values that count once.

use super::canonical::{Canonical, Content};
use super::rows::{CALLER, SMUGGLED, TARGET, ambiguous, forwarded, get, post};
use super::stand::Stand;

/// Heads whose lines end in two ways. `<caller>` stands for the fields of a caller.
const LINES: [&str; 26] = [
    "GET /orgs/acme/env-types HTTP/1.1\n<caller>\r\n",
    "GET /orgs/acme/env-types HTTP/1.1\r<caller>\r\n",
    "GET /orgs/acme/env-types HTTP/1.1\r\r\n<caller>\r\n",
    "GET /orgs/acme/env-types HTTP/1.1\r\n<caller>X-A: b\n\r\n",
    "GET /orgs/acme/env-types HTTP/1.1\r\n<caller>X-A: b\r\r\n\r\n",
    "GET /orgs/acme/env-types HTTP/1.1\r\n<caller>X-A: b\n\n",
    "GET /orgs/acme/env-types HTTP/1.1\r\n<caller>X-A: b\r\n\n",
    "GET /orgs/acme/env-types HTTP/1.1\r\n<caller>X-A: b\n\r\n",
    "GET /orgs/acme/env-types HTTP/1.1\r\n<caller>\n",
    "GET /orgs/acme/env-types HTTP/1.1\r\n<caller>\r\r\n",
    "GET /orgs/acme/env-types HTTP/1.1\r\n<caller>\n\r\n",
    "GET /orgs/acme/env-types HTTP/1.1\r\n<caller>X-A: b\r\n c\r\n\r\n",
    "GET /orgs/acme/env-types HTTP/1.1\r\n<caller>X-A: b\r\n\tc\r\n\r\n",
    "GET /orgs/acme/env-types HTTP/1.1\r\n<caller>X-A:\r\n b\r\n\r\n",
    "GET /orgs/acme/env-types HTTP/1.1\r\n<caller>X-A: b\r\n \r\n\r\n",
    "GET /orgs/acme/env-types HTTP/1.1\r\n<caller> \r\n\r\n",
    "GET /orgs/acme/env-types HTTP/1.1\r\n <caller>\r\n",
    "GET /orgs/acme/env-types HTTP/1.1\r\n\t<caller>\r\n",
    "GET /orgs/acme/env-types HTTP/1.1\r\n X-A: b\r\n<caller>\r\n",
    "GET /orgs/acme/env-types HTTP/1.1\r\n<caller>X-A\r\n\r\n",
    "GET /orgs/acme/env-types HTTP/1.1\r\n<caller>: b\r\n\r\n",
    "GET /orgs/acme/env-types HTTP/1.1\r\n<caller>X-A : b\r\n\r\n",
    "GET /orgs/acme/env-types HTTP/1.1\r\n<caller>X-A\t: b\r\n\r\n",
    "\nGET /orgs/acme/env-types HTTP/1.1\r\n<caller>\r\n",
    "\rGET /orgs/acme/env-types HTTP/1.1\r\n<caller>\r\n",
    "\r\n\r\nGET /orgs/acme/env-types HTTP/1.1\r\n<caller>\r\n",
];

/// Fields of a caller that could be taken for ours, or for a proxy's.
const FORGED: [&str; 64] = [
    "From: s-forged",
    "FROM: s-forged",
    "from: s-forged",
    "fRoM: s-forged",
    "From: s-forged\r\nFrom: s-other",
    "Postern-Identity: forged",
    "POSTERN-IDENTITY: forged",
    "postern-identity: forged",
    "Postern-Identity: a\r\nPostern-Identity: b",
    "Postern-Identity:",
    "Postern_Identity: forged",
    "POSTERN_IDENTITY: forged",
    "Postern.Identity: forged",
    "Postern-Identity-: forged",
    "Postern-Revision: 1",
    "Postern-Anything: forged",
    "X-Token-Hash: forged",
    "X-Service-Authorization: forged",
    "X-Authorization: Bearer forged",
    "X_Authorization: Bearer forged",
    "Proxy-Authorization: Bearer forged",
    "Authorization_: Bearer forged",
    "HTTP_AUTHORIZATION: Bearer forged",
    "HTTP_FROM: s-forged",
    "X-From: s-forged",
    "X-User: forged",
    "X-Remote-User: forged",
    "Remote-User: forged",
    "X-Forwarded-User: forged",
    "X-Forwarded-Email: forged",
    "X-Forwarded-Groups: administrators",
    "X-Forwarded-Access-Token: forged",
    "X-Auth-Request-User: forged",
    "Forwarded: for=203.0.113.9;host=forged",
    "X-Forwarded-For: 203.0.113.9",
    "X-FORWARDED-FOR: 203.0.113.9",
    "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-For: 203.0.113.10",
    "X_Forwarded_For: 203.0.113.9",
    "X-Forwarded-Host: forged",
    "X-Forwarded-Server: forged",
    "X-Forwarded-Port: 1",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Scheme: https",
    "X-Forwarded-Ssl: on",
    "X-Forwarded-Prefix: /forged",
    "X-Forwarded-Uri: /forged",
    "X-Forwarded-Method: DELETE",
    "X-Original-URL: /forged",
    "X-Original-Uri: /forged",
    "X-Original-Host: forged",
    "X-Original-Method: DELETE",
    "X-Rewrite-URL: /forged",
    "X-Envoy-Original-Path: /forged",
    "X-Envoy-External-Address: 203.0.113.9",
    "X-Envoy-Internal: true",
    "X-Real-IP: 203.0.113.9",
    "X-Client-IP: 203.0.113.9",
    "True-Client-IP: 203.0.113.9",
    "CF-Connecting-IP: 203.0.113.9",
    "X-Cluster-Client-IP: 203.0.113.9",
    "Via: 1.1 forged",
    "Cookie: token=<token>",
    "If-None_Match: forged",
    "Accept_: forged\r\nAccept-_Encoding: forged",
];

/// What `Connection` names so that it would be taken away from the orchestrator.
const NAMED: [&str; 13] = [
    "From",
    "Postern-Identity",
    "postern-identity, from",
    "FROM ,, POSTERN-IDENTITY",
    "\"From\"",
    "From;q=1",
    "From\r\nConnection: Postern-Identity",
    "Authorization",
    "Host",
    "X-Forwarded-For, X-Forwarded-Host, X-Forwarded-Proto",
    "keep-alive, Postern-Identity",
    "\tFrom\t,\tAuthorization\t",
    "Connection, From",
];

/// Fields that count once: a policy could see one of them and the orchestrator the other.
const SINGLETONS: [&str; 16] = [
    "Host",
    "Content-Type",
    "Content-Encoding",
    "Content-Length",
    "Content-Range",
    "Content-Location",
    "Idempotency-Key",
    "If-Match",
    "If-Modified-Since",
    "If-Unmodified-Since",
    "If-Range",
    "Last-Event-ID",
    "Range",
    "User-Agent",
    "Humanitec-User-Agent",
    "traceparent",
];

#[test]
fn a_head_whose_lines_can_be_split_in_two_ways_is_refused() {
    let rows = LINES.map(|head| ambiguous(head, head.replace("<caller>", CALLER)));
    Stand::start(&[]).holds(rows);
}

#[test]
fn one_empty_line_before_a_request_is_put_up_with() {
    let octets = [b"\r\n", &get(TARGET, "")[..]].concat();
    Stand::start(&[]).holds([forwarded("one empty line", octets, Canonical::get(TARGET))]);
}

#[test]
fn a_control_octet_anywhere_in_a_head_is_refused() {
    let controls = (0..0x20).chain([0x7f]);
    let rows = controls.flat_map(|octet: u8| {
        let line = |before: &str, behind: &str| [before.as_bytes(), &[octet], behind.as_bytes()].concat();
        let mut rows = vec![
            ambiguous(format!("{octet:#x} in a name"), get(TARGET, line("X", "A: b\r\n"))),
            ambiguous(
                format!("{octet:#x} in a target"),
                get(line("/orgs/acme/env", "-types"), ""),
            ),
            ambiguous(
                format!("{octet:#x} in a query"),
                get(line("/orgs/acme/env-types?a", "b"), ""),
            ),
            ambiguous(
                format!("{octet:#x} in a method"),
                line("G", &format!("ET {TARGET} HTTP/1.1\r\n{CALLER}\r\n")),
            ),
        ];
        if octet != b'\t' {
            rows.push(ambiguous(
                format!("{octet:#x} in a value"),
                get(TARGET, line("X-A: b", "c\r\n")),
            ));
            rows.push(ambiguous(
                format!("{octet:#x} behind a value"),
                get(TARGET, line("X-A: b", "\r\n")),
            ));
            rows.push(ambiguous(
                format!("{octet:#x} before a value"),
                get(TARGET, line("X-A:", "b\r\n")),
            ));
        }
        rows
    });
    Stand::start(&[]).holds(rows);
}

#[test]
fn a_name_that_is_no_token_is_refused() {
    let separators = b" ()<>@,;\\\"/[]?={}".iter().copied();
    let rows = separators.chain(0x80..=0xff).flat_map(|octet: u8| {
        let line = |before: &str, behind: &str| [before.as_bytes(), &[octet], behind.as_bytes()].concat();
        [
            ambiguous(format!("{octet:#x} within"), get(TARGET, line("X", "A: b\r\n"))),
            ambiguous(format!("{octet:#x} at the end"), get(TARGET, line("X-A", ": b\r\n"))),
            ambiguous(format!("{octet:#x} at the start"), get(TARGET, line("", "X-A: b\r\n"))),
        ]
    });
    Stand::start(&[]).holds(rows);
}

#[test]
fn a_value_that_is_a_request_stays_a_value() {
    let line = SMUGGLED.lines().next().expect("it has one");
    let rows = [
        forwarded(
            "in a field that goes on",
            get(TARGET, format!("User-Agent: {line}\r\n")),
            Canonical::get(TARGET).with("user-agent", line),
        ),
        forwarded(
            "in a field that does not",
            get(TARGET, format!("X-A: {line}\r\n")),
            Canonical::get(TARGET),
        ),
        forwarded(
            "encoded",
            get(format!("{TARGET}?a=%0d%0aX-A:%20b"), ""),
            Canonical::get(format!("{TARGET}?a=%0d%0aX-A:%20b")),
        ),
    ];
    Stand::start(&[]).holds(rows);
}

#[test]
fn what_a_caller_says_in_our_name_or_a_proxys_stays_behind() {
    let rows = FORGED.map(|lines| forwarded(lines, get(TARGET, format!("{lines}\r\n")), Canonical::get(TARGET)));
    Stand::start(&[]).holds(rows);
}

#[test]
fn connection_takes_nothing_of_ours_away() {
    let body = Canonical::post(Content::Length(b"hello".to_vec()));
    let rows = NAMED.iter().flat_map(|named| {
        let alone = get(TARGET, format!("Connection: {named}\r\n"));
        let before = get(
            TARGET,
            format!("Connection: {named}\r\nFrom: s-forged\r\nPostern-Identity: forged\r\n"),
        );
        [
            forwarded(*named, alone, Canonical::get(TARGET)),
            forwarded(format!("with forged ones: {named}"), before, Canonical::get(TARGET)),
        ]
    });
    let framing = ["Content-Length", "Transfer-Encoding", "content-length, content-type"].map(|named| {
        let lines = format!("Connection: {named}\r\nContent-Length: 5\r\n");
        forwarded(named, post(lines, "hello"), body.clone())
    });
    let closing = get(TARGET, "Connection: close, Postern-Identity, From\r\n");
    let closing = forwarded("close and ours", closing, Canonical::get(TARGET)).last();
    Stand::start(&[]).holds(rows.chain(framing).chain([closing]));
}

#[test]
fn a_field_that_counts_once_and_comes_twice_is_refused() {
    let rows = SINGLETONS.iter().flat_map(|name| {
        let own = match *name {
            // The caller has one already.
            "Host" => String::new(),
            name => format!("{name}: 5\r\n"),
        };
        let rows = [name.to_lowercase(), name.to_uppercase()];
        rows.map(|second| ambiguous(&second, get(TARGET, format!("{own}{second}: 5\r\n"))))
    });
    Stand::start(&[]).holds(rows);
}

#[test]
fn a_field_that_is_a_list_is_forwarded_whole_and_in_order() {
    let rows = [
        ("Accept", "accept"),
        ("Accept-Language", "accept-language"),
        ("Cache-Control", "cache-control"),
    ];
    let rows = rows.map(|(name, lower)| {
        let canonical = Canonical::get(TARGET).with(lower, "a, b").with(lower, "c");
        forwarded(name, get(TARGET, format!("{name}: a, b\r\n{name}: c\r\n")), canonical)
    });
    Stand::start(&[]).holds(rows);
}
