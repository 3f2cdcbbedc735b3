//! Who asks: one token, in one place, read in one way. Everything else is nobody.

use std::io::Write;
use std::net::Shutdown;

use serde_json::json;

use super::canonical::{Canonical, Content};
use super::rows::{TARGET, UPLOAD, ambiguous, forwarded, refused};
use super::stand::Stand;
use crate::harness::client::{Request, connect};
use crate::harness::postern::Postern;
use crate::harness::raw::{Cut, hear, send_cut};
use crate::harness::upstream::Upstream;

/// Two credentials, or one in two fields. `<token>` is a good one.
const TWICE: [&str; 8] = [
    "Authorization: Bearer <token>\r\nAuthorization: Bearer <token>\r\n",
    "Authorization: Bearer <token>\r\nAuthorization: Bearer x\r\n",
    "Authorization: Bearer x\r\nAuthorization: Bearer <token>\r\n",
    "authorization: Bearer <token>\r\nAUTHORIZATION: Bearer <token>\r\n",
    "Authorization: Basic YTpi\r\nAuthorization: Bearer <token>\r\n",
    "Authorization:\r\nAuthorization: Bearer <token>\r\n",
    "Authorization: Bearer <token>\r\nAuthorization:\r\n",
    "Authorization: Bearer <token>\r\nAccept: */*\r\nAuthorization: Bearer <token>\r\n",
];

/// Values of `Authorization` that hold a good token, and are not one.
const MALFORMED: [&str; 38] = [
    "",
    "Bearer",
    "Bearer ",
    "<token>",
    "Token <token>",
    "Basic <token>",
    "Digest <token>",
    "Negotiate <token>",
    "Bearer<token>",
    "Bearer\t<token>",
    "Bearer  <token>",
    "Bearer \t<token>",
    "Bearer: <token>",
    "Bearer=<token>",
    "Bearer,<token>",
    "Bearer \"<token>\"",
    "Bearer '<token>'",
    "Bearer token=<token>",
    "Bearer <token>, Bearer <token>",
    "Bearer <token>,Bearer x",
    "Bearer x, Bearer <token>",
    "Bearer <token>,",
    "Bearer ,<token>",
    "Bearer <token> <token>",
    "Bearer <token> x",
    "Bearer <token>;",
    "Bearer <token>=",
    "Bearer <token>/",
    "Bearer <token>%20",
    "Bearer %70<token>",
    "Bearer Bearer <token>",
    "Bearer x<token>",
    "Bearer <token>x",
    "Bearer <token><token>",
    "Basic x, Bearer <token>",
    "Bearer null",
    "Bearer undefined",
    "Bearer *",
];

/// Values that are tokens of others, or no tokens.
const FOREIGN: [&str; 12] = [
    "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbmlzdHJhdG9yIn0.",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZG1pbiJ9.c2lnbmF0dXJl",
    "' OR '1'='1",
    "'; DROP TABLE tokens; --",
    "../../../../etc/passwd",
    "/var/lib/postern/gateway-credential",
    "${jndi:ldap://127.0.0.1/a}",
    "{{7*7}}",
    "pstn_",
    "pstn_000000000000000000000000000000000000000000000000000",
    "PSTN_IJN0t0gXDbo3CHwwZVPrL4lb4JHVsfRkoQzx3UAWBCF2ZJaG6",
    "ghp_IJN0t0gXDbo3CHwwZVPrL4lb4JHVsfRkoQzx",
];

/// Places where a token is none.
const ELSEWHERE: [&str; 16] = [
    "",
    "Cookie: token=<token>\r\n",
    "Cookie: Authorization=Bearer <token>\r\n",
    "Proxy-Authorization: Bearer <token>\r\n",
    "X-Authorization: Bearer <token>\r\n",
    "X_Authorization: Bearer <token>\r\n",
    "X-Forwarded-Authorization: Bearer <token>\r\n",
    "X-Original-Authorization: Bearer <token>\r\n",
    "X-Api-Key: <token>\r\n",
    "X-Auth-Token: <token>\r\n",
    "PRIVATE-TOKEN: <token>\r\n",
    "Authorization2: Bearer <token>\r\n",
    "Authorization_: Bearer <token>\r\n",
    "HTTP_AUTHORIZATION: Bearer <token>\r\n",
    "From: Bearer <token>\r\n",
    "WWW-Authenticate: Bearer <token>\r\n",
];

fn with(target: &str, lines: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
}

#[test]
fn two_credentials_are_refused_whichever_is_good() {
    let rows = TWICE.map(|lines| refused(lines, with(TARGET, lines), &["credentials-twice"]));
    Stand::start(&[]).holds(rows);
}

#[test]
fn a_value_that_is_not_exactly_one_token_is_nobodys() {
    let values = MALFORMED.iter().chain(&FOREIGN);
    let rows = values.map(|value| {
        let octets = with(TARGET, &format!("Authorization: {value}\r\n"));
        refused(value, octets, &["token-malformed"])
    });
    let long = [129, 1000, 8000, 30_000].map(|length| {
        let octets = with(TARGET, &format!("Authorization: Bearer {}\r\n", "a".repeat(length)));
        refused(format!("{length} octets"), octets, &["token-malformed"])
    });
    let prefixed = with(
        TARGET,
        &format!("Authorization: Bearer <token>{}\r\n", "0".repeat(8000)),
    );
    let prefixed = refused("a good one and more", prefixed, &["token-malformed"]);
    Stand::start(&["--invalid-credentials-per-second", "0"]).holds(rows.chain(long).chain([prefixed]));
}

#[test]
fn a_credential_that_two_readers_see_differently_is_ambiguous() {
    let lines = [
        "Authorization:\r\n Bearer <token>\r\n",
        "Authorization: Bearer\r\n <token>\r\n",
        "Authorization : Bearer <token>\r\n",
        "Authorization\t: Bearer <token>\r\n",
        " Authorization: Bearer <token>\r\n",
        "Authorization: Bearer <token>\0\r\n",
        "Authorization: Bearer <token>\x0b\r\n",
        "Authorization: Bearer\r<token>\r\n",
        "Authorization: Bearer\n<token>\r\n",
        "X-A: b\rAuthorization: Bearer <token>\r\n",
        "X-A: b\nAuthorization: Bearer <token>\r\n",
    ];
    let rows = lines.map(|lines| ambiguous(lines, with(TARGET, lines)));
    Stand::start(&[]).holds(rows);
}

#[test]
fn one_token_is_taken_in_any_case_of_field_and_scheme() {
    let lines = [
        "authorization: bearer <token>\r\n",
        "AUTHORIZATION: BEARER <token>\r\n",
        "aUTHORIZATION:bEARER <token>\r\n",
        "Authorization: \t Bearer <token> \t\r\n",
    ];
    let rows = lines.map(|lines| forwarded(lines, with(TARGET, lines), Canonical::get(TARGET)));
    Stand::start(&[]).holds(rows);
}

#[test]
fn a_token_anywhere_else_is_nobodys_and_beside_a_good_one_is_nothing() {
    let alone = ELSEWHERE.map(|lines| refused(lines, with(TARGET, lines), &["token-missing"]));
    let beside = ELSEWHERE.map(|lines| {
        let octets = with(TARGET, &format!("{lines}Authorization: Bearer <token>\r\n"));
        forwarded(format!("beside: {lines}"), octets, Canonical::get(TARGET))
    });
    let form = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 14\r\n\r\naccess_token=x";
    let form_alone = format!("POST {UPLOAD} HTTP/1.1\r\nHost: a\r\n{form}");
    let form_beside = format!("POST {UPLOAD} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer <token>\r\n{form}");
    let canonical = Canonical::post(Content::Length(b"access_token=x".to_vec()))
        .with("content-type", "application/x-www-form-urlencoded");
    let forms = [
        refused("in a form", form_alone, &["token-missing"]),
        forwarded("in a form, beside", form_beside, canonical),
    ];
    Stand::start(&[]).holds(alone.into_iter().chain(beside).chain(forms));
}

#[test]
fn a_credential_in_the_query_is_refused_in_every_spelling() {
    let queries = [
        "?access_token=x",
        "?a=b&access_token=x",
        "?access_token=<token>",
        "?access%5Ftoken=x",
        "?%61ccess_token=x",
        "?a=b;access_token=x",
        "?token=<token>",
        "?a=<token>",
        "?a=b<token>c",
        "?<token>",
        "?a=%70stn_x",
        "?a=pstn%5F0123456789",
        "?a=%zz&b=pstn_0123456789",
        "?a=%zz&access_token=x",
        "?a=%zz&b=%70stn_0123456789",
        "?a=%ff&b=pstn%5f0123456789",
        "?a=pstn%5f0123456789%ff",
        "?a=%ff&access%5ftoken=x",
    ];
    let rows = queries.iter().flat_map(|query| {
        let target = format!("{TARGET}{query}");
        let alone = with(&target, "");
        let beside = with(&target, "Authorization: Bearer <token>\r\n");
        [
            refused(query, alone, &["credential-in-query"]),
            refused(format!("beside: {query}"), beside, &["credential-in-query"]),
        ]
    });
    Stand::start(&[]).holds(rows);
}

#[test]
fn each_request_on_a_connection_is_judged_by_its_own_credentials() {
    let stand = Stand::start(&[]);
    let member = stand.postern.administrator().with_org_role("member");
    let ask = |line: &str, lines: &str| format!("{line} HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    let good = "Authorization: Bearer <token>\r\n".to_owned();
    let lesser = format!("Authorization: Bearer {}\r\n", member.token);
    let rest = "Content-Length: 0\r\n";
    let octets = [
        ask(&format!("GET {TARGET}?1"), &good),
        ask(&format!("GET {TARGET}?2"), ""),
        ask(&format!("GET {TARGET}?3"), &lesser),
        ask(&format!("POST {UPLOAD}?4"), &format!("{lesser}{rest}")),
        ask(&format!("POST {UPLOAD}?5"), &format!("{good}{rest}")),
        ask(&format!("GET {TARGET}?6"), "Authorization: Bearer x\r\n"),
        ask(&format!("GET {TARGET}?7"), "Cookie: a=b\r\n"),
        ask(&format!("GET {TARGET}?8"), &format!("{lesser}Connection: close\r\n")),
    ];
    let octets = stand.fill(octets.concat().as_bytes());
    for cut in Cut::ALL {
        let before = stand.upstream.received().len();
        let heard = send_cut(stand.postern.address, &octets, cut, false);
        let statuses: Vec<u16> = heard.answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [200, 401, 200, 403, 200, 401, 401, 200]);
        let received = &stand.upstream.received()[before..];
        let asked: Vec<&str> = received
            .iter()
            .map(|one| one.target.rsplit('?').next().unwrap_or_default())
            .collect();
        assert_eq!(asked, ["1", "3", "5", "8"]);
        let asked_by = |at: usize| received[at].values("from")[0] == member.id;
        assert_eq!([0, 1, 2, 3].map(asked_by), [false, true, false, true]);
    }
}

#[test]
fn guesses_at_line_rate_cost_the_guessed_one_nothing() {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::start(&upstream.url());
    let ci = postern.administrator().with_org_role("member");
    let guess = |at: usize| {
        let mut token = ci.token.clone().into_bytes();
        let place = 5 + at % (token.len() - 5);
        token[place] = if token[place] == b'0' { b'1' } else { b'0' };
        let token = String::from_utf8(token).expect("it was ASCII");
        postern
            .with_token(&token)
            .octets(Request::new("GET", TARGET).keeping_the_connection())
    };
    let octets: Vec<u8> = (0..GUESSES).flat_map(guess).collect();
    let mut stream = connect(postern.address);
    let reading = stream.try_clone().expect("a stream can be shared");
    let heard = std::thread::spawn(move || hear(reading));
    // It may be enough of them at any moment.
    drop(stream.write_all(&octets));
    drop(stream.shutdown(Shutdown::Write));
    let heard = heard.join().expect("it reads");
    assert!(
        heard.answers.iter().all(|answer| matches!(answer.status, 401 | 429)),
        "{}",
        heard.told()
    );
    assert_eq!(upstream.connections(), 0);
    ci.client.get(TARGET).ok(200);
}

/// Guesses that are sent at once.
const GUESSES: usize = 2000;
