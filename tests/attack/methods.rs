//! How it is asked for: methods that nobody has, and those that a header field or a query would make of them.

use super::canonical::{Canonical, Content};
use super::rows::{CALLER, TARGET, UPLOAD, ambiguous, forwarded, get, refused};
use super::stand::Stand;

/// Methods that are tokens, and none of ours.
const UNKNOWN: [&str; 26] = [
    "TRACE", "TRACK", "DEBUG", "PROPFIND", "MKCOL", "COPY", "MOVE", "LOCK", "SEARCH", "QUERY", "PURGE", "LINK", "BREW",
    "PRI", "get", "Get", "gET", "post", "delete", "Delete", "GETT", "GE", "G", "GET!", "*", "DELETE~",
];

/// Methods that are no tokens.
const MALFORMED: [&[u8]; 12] = [
    b"",
    b"G ET",
    b"GET:",
    b"GET/",
    b"\"GET\"",
    b"(GET)",
    b"GET,DELETE",
    b"GET;",
    b"[GET]",
    b"G\xc3\x89T",
    b"GET\0",
    b"\xef\xbb\xbfGET",
];

/// What would make another method of one, for those who heed it.
const OVERRIDES: [&str; 12] = [
    "X-HTTP-Method-Override: DELETE",
    "X-HTTP-METHOD-OVERRIDE: DELETE",
    "x-http-method-override: delete",
    "X_HTTP_Method_Override: DELETE",
    "X-HTTP-Method: DELETE",
    "X-Method-Override: DELETE",
    "X-Method: DELETE",
    "Method: DELETE",
    "_method: DELETE",
    "X-Original-Method: DELETE",
    "X-Rewrite-Method: DELETE",
    "X-HTTP-Method-Override: GET\r\nX-HTTP-Method-Override: DELETE",
];

fn with_method(method: &[u8], target: &str) -> Vec<u8> {
    [method, format!(" {target} HTTP/1.1\r\n{CALLER}\r\n").as_bytes()].concat()
}

#[test]
fn a_method_that_no_operation_has_is_refused() {
    let rows = UNKNOWN.map(|method| refused(method, with_method(method.as_bytes(), TARGET), &["method-unknown"]));
    let long = "X".repeat(40);
    let long = refused("a long one", with_method(long.as_bytes(), TARGET), &["method-unknown"]);
    let endless = "X".repeat(100_000);
    let endless = refused(
        "no end",
        with_method(endless.as_bytes(), TARGET),
        &["request-ambiguous", "target-too-long"],
    );
    Stand::start(&[]).holds(rows.into_iter().chain([long, endless]));
}

#[test]
fn a_method_that_is_no_token_is_refused() {
    let rows = MALFORMED.map(|method| ambiguous(method, with_method(method, TARGET)));
    Stand::start(&[]).holds(rows);
}

#[test]
fn connect_is_refused_in_every_form() {
    let targets = [
        "127.0.0.1:22",
        "a:443",
        "[::1]:22",
        TARGET,
        "http://a/",
        "*",
        ":22",
        "a",
    ];
    let rows = targets.iter().flat_map(|target| {
        ["", "Content-Length: 0\r\n", "Transfer-Encoding: chunked\r\n"].map(|lines| {
            let octets = format!("CONNECT {target} HTTP/1.1\r\n{CALLER}{lines}\r\n");
            let ended = if lines.starts_with('T') { "0\r\n\r\n" } else { "" };
            let reasons = &["method-unknown", "request-ambiguous"];
            refused(format!("{target} {lines}"), octets + ended, reasons)
        })
    });
    Stand::start(&[]).holds(rows);
}

#[test]
fn a_method_that_the_path_does_not_have_is_refused() {
    let rows = ["PUT", "PATCH", "DELETE", "OPTIONS"]
        .map(|method| refused(method, with_method(method.as_bytes(), TARGET), &["method-not-allowed"]));
    let star = refused(
        "OPTIONS *",
        with_method(b"OPTIONS", "*"),
        &["request-ambiguous", "operation-unknown"],
    );
    Stand::start(&[]).holds(rows.into_iter().chain([star]));
}

#[test]
fn nothing_but_the_request_line_says_what_the_method_is() {
    let rows = OVERRIDES.iter().flat_map(|lines| {
        let posted = format!("POST {UPLOAD} HTTP/1.1\r\n{CALLER}{lines}\r\nContent-Length: 14\r\n\r\n_method=DELETE");
        let canonical = Canonical::post(Content::Length(b"_method=DELETE".to_vec()));
        [
            forwarded(lines, get(TARGET, format!("{lines}\r\n")), Canonical::get(TARGET)),
            forwarded(format!("POST with {lines}"), posted, canonical),
        ]
    });
    let query = format!("{TARGET}?_method=DELETE&X-HTTP-Method-Override=DELETE");
    let query = forwarded("in the query", get(&query, ""), Canonical::get(query.clone()));
    Stand::start(&[]).holds(rows.chain([query]));
}
