//! What goes on to the orchestrator, and what of its answer comes back.

use serde_json::json;

use crate::harness::client::Request;
use crate::harness::postern::{Postern, UPSTREAM_CREDENTIAL};
use crate::harness::upstream::{Reply, Upstream};

/// What a caller may try to pass for ours, or to slip through.
const FORGED: [(&str, &str); 27] = [
    ("From", "s-forged"),
    ("FROM", "s-forged"),
    ("Postern-Identity", "forged"),
    ("POSTERN-IDENTITY", "forged"),
    ("postern-Identity", "forged"),
    ("Postern_Identity", "forged"),
    ("Postern-Revision", "forged"),
    ("X-Token-Hash", "forged"),
    ("X-Service-Authorization", "forged"),
    ("Forwarded", "for=forged"),
    ("X-Forwarded-For", "forged"),
    ("X-Forwarded-Host", "forged"),
    ("X-Forwarded-Proto", "forged"),
    ("X-Forwarded-Uri", "/forged"),
    ("X-Forwarded-User", "forged"),
    ("X_Forwarded_For", "forged"),
    ("X-Original-URL", "/forged"),
    ("X-Rewrite-URL", "/forged"),
    ("X-Envoy-Original-Path", "/forged"),
    ("X-Real-IP", "forged"),
    ("Cookie", "forged=1"),
    ("Proxy-Authorization", "Basic forged"),
    ("Proxy-Connection", "forged"),
    ("Keep-Alive", "forged"),
    ("TE", "trailers"),
    ("X-Anything", "forged"),
    ("Via", "1.1 forged"),
];

#[test]
fn only_listed_fields_and_ours_reach_the_orchestrator() {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::start(&upstream.url());
    let ci = postern.administrator().with_org_role("member");
    let passed = [
        ("Accept", "application/json"),
        ("Accept-Language", "en"),
        ("Cache-Control", "no-cache"),
        ("Humanitec-User-Agent", "app test/1"),
        ("Idempotency-Key", "k1"),
        ("If-None-Match", "\"e\""),
        ("Last-Event-ID", "7"),
        ("Range", "bytes=0-1"),
        ("User-Agent", "test/1"),
        ("baggage", "a=b"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("tracestate", "a=b"),
    ];
    let fields = FORGED.iter().chain(&passed);
    let request = fields.fold(Request::new("GET", "/orgs/acme/env-types"), |request, (name, value)| {
        request.field(name, value)
    });
    ci.client.send(request).ok(200);
    let received = upstream.only();
    for (name, value) in passed {
        assert_eq!(received.values(name), [value], "{name}");
    }
    assert!(!received.holds("forged") && !received.holds(&ci.token), "{received:?}");
    assert_eq!(
        received.values("authorization"),
        [format!("Bearer {UPSTREAM_CREDENTIAL}")]
    );
    assert_eq!(received.values("from"), [&*ci.id]);
    assert_eq!(received.values("host"), [upstream.address.to_string()]);
    assert_eq!(received.values("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(received.values("x-forwarded-proto"), ["http"]);
    assert_eq!(received.values("x-forwarded-host"), [postern.address.to_string()]);
    let ours = ["authorization", "from", "host", "postern-identity"];
    let ours = ours
        .into_iter()
        .chain(["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"]);
    let mut expected: Vec<String> = passed.iter().map(|(name, _)| name.to_lowercase()).collect();
    expected.extend(ours.map(str::to_owned));
    expected.sort();
    assert_eq!(received.names(), expected);
}

#[test]
fn a_field_that_connection_names_stays_behind_and_ours_do_not() {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::start(&upstream.url());
    let ci = postern.administrator().with_org_role("member");
    let named = "Accept, From, Postern-Identity, Authorization, X-Forwarded-For";
    let request = Request::new("GET", "/orgs/acme/env-types")
        .field("Connection", named)
        .field("Accept", "x/y");
    ci.client.send(request).ok(200);
    let received = upstream.only();
    assert!(
        received.values("accept").is_empty() && received.values("connection").is_empty(),
        "{received:?}"
    );
    assert_eq!(received.values("from"), [&*ci.id]);
    for name in ["postern-identity", "authorization", "x-forwarded-for"] {
        assert_eq!(received.values(name).len(), 1, "{name}");
    }
}

#[test]
fn the_list_of_forwarded_fields_can_be_widened() {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::with(&upstream.url(), &["--forwarded-fields", "X-Request-Id, x-tenant"]);
    let request = Request::new("GET", "/orgs/acme/env-types")
        .field("X-Request-Id", "r1")
        .field("X-Other", "o1");
    postern.administrator().send(request).ok(200);
    let received = upstream.only();
    assert_eq!(received.values("x-request-id"), ["r1"]);
    assert!(received.values("x-other").is_empty());
}

#[test]
fn an_answer_comes_back_without_what_belongs_to_the_connection_or_to_us() {
    let upstream = Upstream::start(|_| {
        let fields = [
            ("Content-Type", "application/json"),
            ("ETag", "\"v1\""),
            ("X-Total", "1"),
            ("Connection", "X-Own"),
            ("X-Own", "hop"),
            ("Keep-Alive", "timeout=5"),
            ("Postern-Revision", "99999"),
            ("Postern-Anything", "x"),
            ("Proxy-Authenticate", "Basic"),
        ];
        let fields = fields.map(|(name, value)| (name, value.to_owned())).to_vec();
        Reply::Answer(200, fields, b"[1]".to_vec())
    });
    let postern = Postern::start(&upstream.url());
    let answer = postern.administrator().get("/orgs/acme/env-types");
    assert_eq!(answer.ok(200), json!([1]));
    assert_eq!(
        (answer.field("etag"), answer.field("x-total")),
        (Some("\"v1\""), Some("1"))
    );
    assert_eq!(answer.field("cache-control"), Some("no-store, private"));
    for name in [
        "x-own",
        "keep-alive",
        "postern-revision",
        "postern-anything",
        "proxy-authenticate",
    ] {
        assert_eq!(answer.field(name), None, "{name}");
    }
}

#[test]
fn every_status_of_the_orchestrator_comes_back_as_it_is() {
    let upstream = Upstream::start(|received| {
        let status = received
            .target
            .rsplit('=')
            .next()
            .and_then(|status| status.parse().ok())
            .expect("a status");
        Reply::json(status, &json!({"error": "API-000", "message": "as it is"}))
    });
    let postern = Postern::start(&upstream.url());
    let administrator = postern.administrator();
    for status in [200, 202, 301, 400, 401, 403, 404, 409, 418, 422, 429, 500, 503] {
        let answer = administrator.get(&format!("/orgs/acme/env-types?status={status}"));
        assert_eq!(answer.ok(status), json!({"error": "API-000", "message": "as it is"}));
    }
}

#[test]
fn a_body_goes_on_octet_for_octet() {
    let upstream = Upstream::answering(200, json!({}));
    let postern = Postern::start(&upstream.url());
    let body: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let request = Request::new("POST", "/orgs/acme/artefact-versions")
        .field("Content-Type", "multipart/form-data; boundary=x")
        .body(body.clone());
    postern.administrator().send(request).ok(200);
    let received = upstream.only();
    assert_eq!(received.body, body);
    assert_eq!(received.values("content-type"), ["multipart/form-data; boundary=x"]);
}

#[test]
fn a_public_operation_needs_no_token_and_carries_no_credential_of_ours() {
    let upstream = Upstream::answering(202, json!({}));
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("postern.toml");
    let operations =
        "[[operations]]\nmethod = \"POST\"\npath = \"/auth/device\"\nid = \"beginDevice\"\npublic = true\n";
    std::fs::write(&config, operations).expect("it is written");
    let postern = Postern::with(&upstream.url(), &["--config", config.to_str().expect("UTF-8")]);
    let forged = Request::new("POST", "/auth/device")
        .field("From", "s-forged")
        .json(&json!({"device_id": "d"}));
    postern.anybody().send(forged.clone()).ok(202);
    postern.administrator().send(forged).ok(202);
    let token = postern.administrator().token.expect("it has one");
    for received in upstream.received() {
        for name in ["authorization", "from", "postern-identity"] {
            assert!(received.values(name).is_empty(), "{received:?}");
        }
        assert!(!received.holds(&token));
    }
}
