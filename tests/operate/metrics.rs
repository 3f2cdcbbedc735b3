//! What is measured: every label from a closed set, nothing of a caller's.

use std::collections::BTreeSet;

use catalogue::Catalogue;
use gateway::refusal::Reason;
use serde_json::json;

use crate::harness::caller::Roles;
use crate::harness::client::Request;
use crate::harness::eventually;
use crate::harness::metrics::{samples, value};
use crate::harness::postern::{Halves, Postern};
use crate::harness::upstream::Upstream;

#[test]
fn requests_are_counted_by_operation_reason_and_status_class() {
    let upstream = Upstream::answering(404, json!({}));
    let postern = Postern::with(&upstream.url(), &["--workers", "2"]);
    let ci = postern.administrator().with_org_role("member");
    for _ in 0..3 {
        ci.client.get("/orgs/acme/env-types").ok(404);
    }
    postern.anybody().get("/orgs/acme/env-types");
    ci.client.get("/orgs/acme/users");
    ci.client.get("/nothing");
    let metrics = postern.operator().get("/metrics");
    assert!(
        metrics
            .field("content-type")
            .is_some_and(|kind| kind.starts_with("application/openmetrics-text"))
    );
    let text = String::from_utf8(metrics.body).expect("UTF-8");
    assert!(text.ends_with("# EOF\n"), "{text}");
    let samples = samples(&text);
    let requests = |operation, reason, status| {
        let labels = [("operation", operation), ("reason", reason), ("status", status)];
        value(&samples, "postern_requests_total", &labels)
    };
    assert_eq!(requests("listEnvironmentTypes", "forwarded", "4xx"), 3.0, "{text}");
    assert_eq!(requests("listEnvironmentTypes", "token-missing", "4xx"), 1.0, "{text}");
    assert_eq!(requests("listUserRolesInOrg", "not-allowed", "4xx"), 1.0, "{text}");
    assert_eq!(requests("unknown", "operation-unknown", "4xx"), 1.0, "{text}");
    // The administrator of the first start and the service user, each with a token.
    assert_eq!(value(&samples, "postern_cache_tokens", &[]), 2.0, "{text}");
    assert_eq!(value(&samples, "postern_cache_subjects", &[]), 2.0, "{text}");
    assert_eq!(
        value(&samples, "postern_revision", &[]),
        value(&samples, "postern_store_revision", &[])
    );
    assert_eq!(value(&samples, "postern_feeds_open", &[]), 1.0, "{text}");
    assert!(value(&samples, "postern_decision_seconds_count", &[]) >= 4.0, "{text}");
}

#[test]
fn every_label_is_from_a_closed_set() {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::with(&upstream.url(), &["--name", "edge-1"]);
    let administrator = postern.administrator();
    let ci = administrator.service_user(Roles {
        org: "member",
        apps: &[("shop", "viewer")],
        deploys_to: &[],
    });
    for path in [
        "/orgs/acme/apps/shop",
        "/orgs/evil\"}/apps",
        "/evil{label=\"x\"}",
        "/orgs/other/apps/bank",
    ] {
        ci.client.send(
            Request::new("GET", path)
                .field("User-Agent", "evil")
                .field("X-Evil", "evil"),
        );
        ci.client.send(Request::new("EVIL", path));
    }
    let catalogue = Catalogue::parse(catalogue::OPERATIONS).expect("the shipped table is good");
    let operations: BTreeSet<&str> = catalogue
        .operations()
        .iter()
        .map(|o| o.id.as_str())
        .chain(["unknown"])
        .collect();
    let reasons: BTreeSet<&str> = Reason::all()
        .map(Reason::id)
        .chain(["forwarded", "caller-left"])
        .collect();
    let text = String::from_utf8(postern.operator().get("/metrics").body).expect("UTF-8");
    for (name, labels, _) in samples(&text) {
        for (label, value) in labels {
            let known = match label.as_str() {
                "operation" => operations.contains(value.as_str()),
                "reason" => reasons.contains(value.as_str()),
                "status" => ["1xx", "2xx", "3xx", "4xx", "5xx"].contains(&value.as_str()),
                "fault" => engine::Fault::ALL.iter().any(|fault| fault.name() == value),
                "gateway" => value == "edge-1",
                "endpoint" => value == upstream.address.to_string(),
                "operations" => ["everything", "reads", "nothing"].contains(&value.as_str()),
                "state" => ["idle", "used", "there", "coming", "failing"].contains(&value.as_str()),
                "result" => {
                    let results = [
                        "succeeded",
                        "failed",
                        "over-budget",
                        "replaced",
                        "applied",
                        "refused",
                        "ok",
                    ];
                    results.contains(&value.as_str())
                }
                "at" => ["queue", "file", "admin"].contains(&value.as_str()),
                "cause" => ["all-full", "source-full", "bad-proxy-header", "timeout"].contains(&value.as_str()),
                "frames" => ["reset", "control", "continuation", "window", "other"].contains(&value.as_str()),
                "le" => value == "+Inf" || value.parse::<f64>().is_ok(),
                other => panic!("{name} has a label {other}"),
            };
            assert!(known, "{name}: {label}={value}");
        }
    }
    for secret in [&ci.id, &ci.token, "shop", "acme", "evil"].map(|s: &str| s) {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[test]
fn the_age_of_the_data_grows_while_the_admin_service_is_away() {
    let halves = Halves::start("http://127.0.0.1:9", &[]).kill_admin();
    let age = || {
        let text = String::from_utf8(halves.operator().get("/metrics").body).expect("UTF-8");
        value(&samples(&text), "postern_feed_age_milliseconds", &[])
    };
    // Heartbeats come each second: more than that is silence.
    eventually("an age", || (age() > 1500.0).then_some(()));
}
