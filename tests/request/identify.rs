//! Which operation: the path and the method are read in one way, or the request ends.

use serde_json::json;

use crate::harness::client::Request;
use crate::harness::postern::Postern;
use crate::harness::raw;
use crate::harness::upstream::Upstream;

#[test]
fn a_path_that_can_be_read_in_two_ways_is_refused() {
    let upstream = Upstream::answering(200, json!({}));
    let postern = Postern::start(&upstream.url());
    let token = postern.administrator().token.expect("it has one");
    let paths = [
        "/orgs/acme/apps/../apps",
        "/orgs/acme/apps/.",
        "/orgs/acme/apps/%2e%2e/apps",
        "/orgs/acme/apps/%2E%2E%2fapps",
        "/orgs/acme/apps/%252e%252e/apps",
        "/orgs/acme/apps/..;/apps",
        "/orgs/acme/apps;a=b",
        "/orgs//acme/apps",
        "//orgs/acme/apps",
        "/orgs/acme/apps/",
        "/orgs/acme/%61pps",
        "/orgs/acme/apps/a%5cb",
        "/orgs/acme/apps/a\\b",
        "/orgs/acme/apps/a%00b",
        "/orgs/acme/apps/a%0d%0ab",
        "/orgs/acme/apps/a%2",
        "/orgs/acme/apps/a%zz",
        "/orgs/acme/apps/a%25zz",
    ];
    for path in paths {
        let octets =
            format!("GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n");
        let answer = raw::single(postern.address, octets.as_bytes());
        assert_eq!(answer.status, 400, "{path}: {}", answer.shown());
    }
    assert_eq!(upstream.received().len(), 0, "{:?}", upstream.received());
}

#[test]
fn a_path_outside_the_api_is_not_found() {
    let upstream = Upstream::answering(200, json!({}));
    let postern = Postern::start(&upstream.url());
    let administrator = postern.administrator();
    let paths = [
        "/orgs/acme/apps/%c0%ae%c0%ae",
        "/feed",
        "/effects",
        "/metrics",
        "/orgs/acme/nothing",
        "/ORGS/acme/apps",
        "/orgs/ACME/apps",
        "/orgs/acme./apps",
        "/orgs/acme/apps/App",
        "/orgs/acme/apps/a",
        "/orgs/acme/apps/a%2Fb",
        "/orgs/acme/apps/-shop",
        "/orgs/acme/apps/shop/envs/dev/extra/segments",
    ];
    for path in paths {
        postern.assert_refused(&administrator.get(path), "operation-unknown");
    }
    assert_eq!(upstream.received().len(), 0, "{:?}", upstream.received());
}

#[test]
fn the_root_is_not_found_and_not_ambiguous() {
    let postern = Postern::start("http://127.0.0.1:9");
    postern.assert_refused(&postern.administrator().get("/"), "operation-unknown");
}

#[test]
fn unknown_paths_are_not_told_from_known_ones_without_a_token() {
    let postern = Postern::start("http://127.0.0.1:9");
    for path in [
        "/orgs/acme/apps",
        "/orgs/acme/nothing",
        "/nothing",
        "/orgs/acme/apps/../apps",
    ] {
        postern.assert_refused(&postern.anybody().get(path), "token-missing");
    }
}

#[test]
fn a_method_that_the_path_does_not_have_is_refused_with_those_it_has() {
    let postern = Postern::start("http://127.0.0.1:9");
    let answer = postern.administrator().send(Request::new("PUT", "/orgs/acme/apps"));
    postern.assert_refused(&answer, "method-not-allowed");
    let mut allowed: Vec<&str> = answer.field("allow").expect("it is told").split(", ").collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["GET", "POST"]);
    for method in ["HEAD", "OPTIONS", "DELETE"] {
        let answer = postern
            .administrator()
            .begin(Request::new(method, "/orgs/acme/apps"))
            .head;
        assert_eq!(answer.status, 405, "{method}");
    }
}

#[test]
fn a_method_that_no_operation_has_is_refused() {
    let upstream = Upstream::answering(200, json!({}));
    let postern = Postern::start(&upstream.url());
    for method in ["TRACE", "BREW", "get", "GETS"] {
        let answer = postern
            .administrator()
            .send(Request::new(method, "/orgs/acme/env-types"));
        postern.assert_refused(&answer, "method-unknown");
    }
    let connect = b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: 127.0.0.1:22\r\nConnection: close\r\n\r\n";
    postern.assert_refused(&raw::single(postern.address, connect), "method-unknown");
    assert_eq!(upstream.received().len(), 0);
}

#[test]
fn a_method_override_changes_nothing() {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::start(&upstream.url());
    let request = Request::new("GET", "/orgs/acme/env-types?_method=DELETE")
        .field("X-HTTP-Method-Override", "DELETE")
        .field("X-Method-Override", "DELETE");
    postern.administrator().send(request).ok(200);
    let received = upstream.only();
    assert_eq!(received.method, "GET");
    assert!(
        !received.fields.iter().any(|(_, value)| value == "DELETE"),
        "{received:?}"
    );
}

#[test]
fn an_encoded_slash_is_forwarded_octet_for_octet_where_it_may_be_and_nowhere_else() {
    let upstream = Upstream::answering(200, json!({}));
    let postern = Postern::start(&upstream.url());
    let administrator = postern.administrator();
    let path = "/orgs/acme/resources/types/acme%2Fmy-type";
    let other_case = "/orgs/acme/resources/types/acme%2fmy-type";
    for path in [path, other_case] {
        let answer = administrator.send(Request::new("PUT", path).json(&json!({})));
        assert_eq!(answer.status, 200, "{}", answer.shown());
        assert_eq!(upstream.count("PUT", path), 1, "{:?}", upstream.received());
    }
    for path in [
        "/orgs/acme/resources/types/acme%2F..%2Fx",
        "/orgs/acme/resources/types/%2F%2F",
    ] {
        let answer = administrator.send(Request::new("PUT", path).json(&json!({})));
        assert!(matches!(answer.status, 400 | 404), "{path}: {}", answer.shown());
    }
    assert_eq!(upstream.received().len(), 2);
}

#[test]
fn the_query_goes_on_as_it_came() {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::start(&upstream.url());
    let target = "/orgs/acme/env-types?a=%2F..%2F&b=c%20d&&c";
    postern.administrator().get(target).ok(200);
    assert_eq!(upstream.only().target, target);
}

#[test]
fn an_upstream_below_a_path_is_asked_below_that_path() {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::start(&format!("{}/v1/api/", upstream.url()));
    postern.administrator().get("/orgs/acme/env-types").ok(200);
    assert_eq!(upstream.only().target, "/v1/api/orgs/acme/env-types");
}
