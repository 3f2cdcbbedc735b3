//! What is asked for: paths that others would tidy up, decode, cut or fold, and then read as another one.

use super::canonical::{Canonical, Content};
use super::rows::{CALLER, READ_UPLOAD, TARGET, ambiguous, forwarded, get, refused};
use super::stand::Stand;
use crate::harness::raw::{Cut, send_cut};

/// Paths that are not in their one form. Each could be read as one that is there.
const PATHS: [&[u8]; 108] = [
    b"/orgs/acme/./env-types",
    b"/./orgs/acme/env-types",
    b"/orgs/acme/env-types/.",
    b"/orgs/acme/env-types/..",
    b"/orgs/acme/apps/../env-types",
    b"/../orgs/acme/env-types",
    b"/orgs/other/../acme/env-types",
    b"/orgs/acme/apps/shop/../../env-types",
    b"/.../orgs/acme/env-types/../../../orgs/acme/env-types",
    b"/orgs/acme/apps/%2e%2e/env-types",
    b"/orgs/acme/apps/%2E%2E/env-types",
    b"/orgs/acme/apps/.%2e/env-types",
    b"/orgs/acme/apps/%2e./env-types",
    b"/orgs/acme/%2e/env-types",
    b"/orgs/acme/apps%2f..%2fenv-types",
    b"/orgs/acme/apps/..%2fenv-types",
    b"/orgs/acme/apps%2F%2E%2E%2Fenv-types",
    b"/orgs/acme/apps/%252e%252e/env-types",
    b"/orgs/acme/apps/%25%32%65%25%32%65/env-types",
    b"/orgs/acme/apps/..%252fenv-types",
    b"/orgs/acme/apps/%%32%65%%32%65/env-types",
    b"/orgs/acme/apps/..;/env-types",
    b"/orgs/acme/apps/..;a=b/env-types",
    b"/orgs/acme/apps/;/../env-types",
    b"/orgs/acme/apps/.;/env-types",
    b"/orgs/acme/env-types;",
    b"/orgs/acme/env-types;a=b",
    b"/orgs/acme;a=b/env-types",
    b"/orgs;/acme/env-types",
    b"/;/orgs/acme/env-types",
    b"/orgs/acme/env-types%3b",
    b"/orgs/acme/apps/%2e%2e%3b/env-types",
    b"/orgs/acme/apps/..\\env-types",
    b"/orgs/acme/apps\\..\\env-types",
    b"\\orgs\\acme\\env-types",
    b"/orgs\\acme\\env-types",
    b"/orgs/acme\\env-types",
    b"/orgs/acme/apps/..%5cenv-types",
    b"/orgs/acme%5cenv-types",
    b"/orgs/acme%5Cenv-types",
    b"/orgs/acme/apps/..%255cenv-types",
    b"//orgs/acme/env-types",
    b"///orgs/acme/env-types",
    b"/orgs//acme/env-types",
    b"/orgs/acme//env-types",
    b"/orgs/acme/env-types/",
    b"/orgs/acme/env-types//",
    b"/%2forgs/acme/env-types",
    b"/orgs%2facme/env-types",
    b"/orgs%2Facme%2Fenv-types",
    b"/orgs/acme%2fenv-types",
    b"/orgs/acme/env-types%2f",
    b"/orgs/acme/env-types/%2f",
    b"/orgs/%61cme/env-types",
    b"/%6Frgs/acme/env-types",
    b"/orgs/acme/%65nv-types",
    b"/orgs/acme/env%2dtypes",
    b"/orgs/acme/env%2Dtypes",
    b"/orgs/acme/env-type%73",
    b"/orgs/acme/env-types%2e",
    b"/orgs/%2561cme/env-types",
    b"/orgs/acme/env%252dtypes",
    b"/orgs/acme/env-types%",
    b"/orgs/acme/env-types%2",
    b"/orgs/acme/env-types%zz",
    b"/orgs/acme/env-types%0",
    b"/orgs/acme/env-types%u002f",
    b"/orgs/acme/%u0065nv-types",
    b"/orgs/acme/env-types%00",
    b"/orgs/acme/env-types%00.json",
    b"/orgs/acme%00/env-types",
    b"/orgs/acme/env-types%0a",
    b"/orgs/acme/env-types%0d%0aX-A:%20b",
    b"/orgs/acme/env-types%20",
    b"/orgs/acme/env-types%09",
    b"/orgs/acme/env-types%7f",
    b"/orgs/acme/apps/%c0%ae%c0%ae/env-types",
    b"/orgs/acme/apps/%c0%ae%c0%ae%c0%afenv-types",
    b"/orgs/acme%c0%afenv-types",
    b"/orgs/acme%e0%80%afenv-types",
    b"/orgs/acme%f0%80%80%afenv-types",
    b"/orgs/acme/apps/%ef%bc%8e%ef%bc%8e/env-types",
    b"/orgs/acme%ef%bc%8fenv-types",
    b"/orgs/acme%e2%81%84env-types",
    b"/orgs/acme/apps/\xc0\xae\xc0\xae/env-types",
    b"/orgs/acme/apps/\xef\xbc\x8e\xef\xbc\x8e/env-types",
    b"/orgs/acme/env-types\xc3\xa4",
    b"/orgs/acme/env-types\xff",
    b"/orgs/\xc3\xa4cme/env-types",
    b"/orgs/acme/env-types\"",
    b"/orgs/acme/env-types<",
    b"/orgs/acme/env-types^",
    b"/orgs/acme/env-types`",
    b"/orgs/acme/env-types|",
    b"/orgs/acme/env-types{}",
    b"/orgs/acme/env-types#",
    b"/orgs/acme/env-types#/../apps",
    b"/orgs/acme/env-types?a#b",
    b"#/orgs/acme/env-types",
    b"orgs/acme/env-types",
    b"./orgs/acme/env-types",
    b"../orgs/acme/env-types",
    b"?/orgs/acme/env-types",
    b"%2forgs/acme/env-types",
    b":/orgs/acme/env-types",
    b"@/orgs/acme/env-types",
    b"*/orgs/acme/env-types",
    b"/orgs/acme/env types",
];

/// Paths in their one form that are not the ones they look like.
const NEIGHBOURS: [&str; 32] = [
    "/ORGS/acme/env-types",
    "/Orgs/acme/env-types",
    "/orgs/ACME/env-types",
    "/orgs/Acme/env-types",
    "/orgs/acme/ENV-TYPES",
    "/orgs/acme/Env-Types",
    "/orgs/acme./env-types",
    "/orgs/acme-/env-types",
    "/orgs/-acme/env-types",
    "/orgs/acme--x/env-types",
    "/orgs/acme_/env-types",
    "/orgs/acme*/env-types",
    "/orgs/*/env-types",
    "/orgs/acme,other/env-types",
    "/orgs/acme+/env-types",
    "/orgs/acme:/env-types",
    "/orgs/acme@/env-types",
    "/orgs/acme=/env-types",
    "/orgs/a/env-types",
    "/orgs/acme/env-types.json",
    "/orgs/acme/env-types.",
    "/orgs/acme/env-types~",
    "/orgs/acme/env-typesx",
    "/orgs/acme/env-type",
    "/orgs/acme/xenv-types",
    "/orgs/acme/env-types/development/x",
    "/acme/env-types",
    "/orgs/acme/orgs/acme/env-types",
    "/org/acme/env-types",
    "/v1/orgs/acme/env-types",
    "/api/orgs/acme/env-types",
    "/",
];

/// Values of a parameter that may hold an encoded slash, and these may not.
const QUALIFIED: [&str; 16] = [
    "acme%2F",
    "%2Fmy-type",
    "%2F",
    "acme%2F%2Fmy-type",
    "acme%2F..%2Fmy-type",
    "acme%2F..",
    "..%2Fmy-type",
    "acme%2F.%2Fmy-type",
    "acme%2F%2e%2e%2Fmy-type",
    "acme%252Fmy-type",
    "acme%5Cmy-type",
    "acme%2Fmy-type%00",
    "acme%2Fmy%2",
    "acme%C0%AFmy-type",
    "acme%2F%2E%2E",
    "acme/my-type",
];

#[test]
fn a_path_that_is_not_in_its_one_form_is_refused() {
    let reasons = &["request-ambiguous", "operation-unknown"];
    let rows = PATHS.map(|path| refused(path, get(path, ""), reasons));
    Stand::start(&[]).holds(rows);
}

#[test]
fn a_path_that_is_nearly_another_is_not_that_one() {
    let rows = NEIGHBOURS.map(|path| refused(path, get(path, ""), &["operation-unknown"]));
    let organisations = ["acme-evil", "acme2", "acm", "acmeacme"].map(|org| {
        let path = format!("/orgs/{org}/env-types");
        refused(&path, get(&path, ""), &["not-allowed"])
    });
    Stand::start(&[]).holds(rows.into_iter().chain(organisations));
}

#[test]
fn a_request_line_with_other_spaces_is_refused() {
    let lines = [
        "GET  /orgs/acme/env-types HTTP/1.1",
        "GET /orgs/acme/env-types  HTTP/1.1",
        "GET\t/orgs/acme/env-types HTTP/1.1",
        "GET /orgs/acme/env-types\tHTTP/1.1",
        "GET\t/orgs/acme/env-types\tHTTP/1.1",
        " GET /orgs/acme/env-types HTTP/1.1",
        "\tGET /orgs/acme/env-types HTTP/1.1",
        "GET /orgs/acme/env-types HTTP/1.1 ",
        "GET /orgs/acme/env-types x HTTP/1.1",
        "GET /orgs/acme/env-types\u{a0}HTTP/1.1",
        "GET\x0b/orgs/acme/env-types HTTP/1.1",
        "GET\x0c/orgs/acme/env-types HTTP/1.1",
        "GET\r/orgs/acme/env-types HTTP/1.1",
        "GET HTTP/1.1",
        "GET  HTTP/1.1",
        "/orgs/acme/env-types HTTP/1.1",
        "GET",
        "GET /orgs/acme/env-types",
    ];
    let rows = lines.map(|line| ambiguous(line, format!("{line}\r\n{}\r\n", CALLER)));
    Stand::start(&[]).holds(rows);
}

#[test]
fn a_slash_in_an_identifier_is_forwarded_octet_for_octet_and_only_where_it_may_be() {
    let put = |value: &str| {
        let head = format!("PUT /orgs/acme/resources/types/{value} HTTP/1.1\r\n{}", CALLER);
        head + "Content-Length: 2\r\n\r\n{}"
    };
    let reasons = &["request-ambiguous", "operation-unknown", "method-not-allowed"];
    let rows = QUALIFIED.map(|value| refused(value, put(value), reasons));
    let kept = ["acme%2Fmy-type", "acme%2fmy-type", "my-type", "a%2Fb%2fc"].map(|value| {
        let target = format!("/orgs/acme/resources/types/{value}");
        forwarded(
            value,
            put(value),
            Canonical::new("PUT", target, Content::Length(b"{}".to_vec())),
        )
    });
    let elsewhere = [
        "/orgs/acme%2Fapps",
        "/orgs/acme/apps/shop%2Fenvs",
        "/orgs/acme/env-types/a%2Fb",
    ];
    let elsewhere = elsewhere.map(|path| refused(path, get(path, ""), reasons));
    Stand::start(&[]).holds(rows.into_iter().chain(kept).chain(elsewhere));
}

#[test]
fn a_query_is_forwarded_octet_for_octet_and_is_no_path() {
    let queries = [
        "?",
        "??",
        "?a",
        "?a=b&a=c",
        "?/../../x",
        "?..%2f..%2f",
        "?a=%00",
        "?a=%zz&b=%",
        "?a=b%0d%0aHost:%20b",
        "?a=b;c=d",
        "?a=/orgs/other/env-types",
        "?_method=DELETE",
        "?http://b/",
        "?a=%C0%AF",
        "?%3f",
    ];
    let rows = queries.map(|query| {
        let target = format!("{TARGET}{query}");
        forwarded(query, get(&target, ""), Canonical::get(target))
    });
    let refused = [&b"?\xff"[..], b"?a=\xc3\xa4", b"?a b", b"?a\tb", b"?a#b", b"?a\"#"];
    let refused = refused.map(|query| ambiguous(query, get([TARGET.as_bytes(), query].concat(), "")));
    Stand::start(&[]).holds(rows.into_iter().chain(refused));
}

#[test]
fn whoever_has_no_token_learns_nothing_of_paths() {
    let stand = Stand::start(&[]);
    for path in [
        "/nothing",
        "/orgs/acme/apps/../apps",
        TARGET,
        READ_UPLOAD,
        "//",
        "/orgs/other/env-types",
    ] {
        let octets = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        for cut in Cut::ALL {
            let heard = send_cut(stand.postern.address, octets.as_bytes(), cut, false);
            assert_eq!(
                heard.answers[0].refusal(),
                (401, "unauthenticated".to_owned()),
                "{path}"
            );
        }
    }
    assert_eq!(stand.upstream.connections(), 0);
}
