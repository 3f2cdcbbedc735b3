//! Which version is in force, which is watched, and when one may take the other's place.

use feed::{Frame, Policy, Record};
use serde_json::{Value, json};

use crate::components::{freeze, role};
use crate::consistency::assert_told_alike;
use crate::harness::{Answer, ORG, Plane};

#[tokio::test]
async fn a_promotion_and_a_rollback_are_one_step_each_and_gateways_are_told() {
    let plane = with_versions(&["1.0.0", "1.0.1", "1.0.2"]).await;
    plane
        .change_policy("tester", json!({"active": "previous"}))
        .await
        .assert_refused(409, "no-previous-version");
    let mut feed = plane
        .feed(&format!(
            "?after={}&store={}",
            plane.admin.revision(),
            plane.admin.store_name()
        ))
        .await;
    let promoted = plane
        .change_policy("tester", json!({"active": "1.0.1", "fallback": true}))
        .await;
    promoted.assert_ok();
    // Neither the newest nor the one before: gateways are told of it first.
    let policy = told(feed.news().await);
    assert_eq!(policy.active.version, "1.0.0");
    let ready: Vec<&str> = policy.ready.iter().map(|ready| ready.version.as_str()).collect();
    assert_eq!(ready, ["1.0.2", "1.0.1"]);
    let policy = told(feed.news().await);
    assert_eq!(policy.active.version, "1.0.1");
    assert_eq!(policy.fallback.expect("there is one").version, "1.0.0");
    let ready: Vec<&str> = policy.ready.iter().map(|ready| ready.version.as_str()).collect();
    assert_eq!(ready, ["1.0.2"]);

    let back = plane
        .change_policy("tester", json!({"active": "previous", "fallback": false}))
        .await;
    back.assert_ok();
    assert_eq!(
        (&back.body["active"]["version"], &back.body["previous"]),
        (&json!("1.0.0"), &json!("1.0.1"))
    );
    let policy = told(feed.news().await);
    assert_eq!((policy.active.version.as_str(), policy.fallback), ("1.0.0", None));
    let ready: Vec<&str> = policy.ready.iter().map(|ready| ready.version.as_str()).collect();
    assert_eq!(ready, ["1.0.1", "1.0.2"]);

    let revision = plane.admin.revision();
    let same = plane
        .change_policy("tester", json!({"active": "1.0.0", "shadow": null}))
        .await;
    same.assert_ok();
    assert_eq!(plane.admin.revision(), revision);
    let audited = plane
        .text("SELECT string_agg(operation, ' ' ORDER BY revision) FROM audit_entries WHERE org = 'my-org' AND revision > 1")
        .await;
    assert_eq!(
        audited,
        "publishPolicy publishPolicy publishPolicy updatePolicy updatePolicy updatePolicy"
    );
    assert_told_alike(&plane).await;
}

#[tokio::test]
async fn a_change_that_cannot_be_is_refused() {
    let plane = with_versions(&["1.0.0", "1.0.1"]).await;
    let revision = plane.admin.revision();
    for body in [
        json!({}),
        json!({"active": "2.0.0"}),
        json!({"shadow": {"version": "1.0.0"}}),
        json!({"shadow": {"version": "2.0.0"}}),
        json!({"shadow": {"version": "1.0.1", "percent": 0}}),
        json!({"shadow": {"version": "1.0.1", "percent": 101}}),
    ] {
        let answer = plane.change_policy("tester", body).await;
        answer.assert_refused(400, "invalid-field");
    }
    plane
        .change_policy("tester", json!({"settings": {"a": 1}}))
        .await
        .assert_refused(400, "settings-invalid");
    plane
        .change_policy("nobody", json!({"active": "1.0.0"}))
        .await
        .assert_refused(404, "not-found");
    assert_eq!(plane.publish(&freeze("1.0.0")).await.status, 201);
    plane
        .change_policy("freeze", json!({"settings": {"permission": "app.read"}}))
        .await
        .assert_refused(400, "invalid-field");
    assert_eq!(plane.admin.revision(), revision + 1);
}

#[tokio::test]
async fn a_version_that_does_not_admit_what_is_held_is_not_put_in_force() {
    let plane = with_versions(&["1.0.0"]).await;
    let robot = plane.service_user("member").await.subject;
    let body = json!({"id": robot, "role": "tester"});
    plane
        .send(&plane.root, "POST", &format!("/orgs/{ORG}/apps/web/users"), body)
        .await
        .assert_ok();
    assert_eq!(plane.publish(&role("member", "tester", "1.0.1")).await.status, 201);
    let refused = plane.change_policy("tester", json!({"active": "1.0.1"})).await;
    refused.assert_refused(409, "bindings-not-admitted");
    let bindings = json!([{"subject": robot, "scope": "/orgs/my-org/apps/web"}]);
    assert_eq!(refused.body["details"], json!({ "bindings": bindings }));
    assert_eq!(plane.policy("tester").await["active"]["version"], "1.0.0");
}

#[tokio::test]
async fn what_gateways_report_of_a_watched_version_is_added_up() {
    let plane = with_versions(&["1.0.0", "1.0.1", "1.0.2"]).await;
    shadow(&plane).await.assert_refused(404, "not-found");
    let watched = plane
        .change_policy("tester", json!({"shadow": {"version": "1.0.1", "percent": 50}}))
        .await;
    watched.assert_ok();
    assert_eq!(watched.body["shadow"], json!({"version": "1.0.1", "percent": 50}));
    report(&plane, "1.0.1", &json!([flip("getApplication", "s-1", 2, 1000)])).await;
    report(
        &plane,
        "1.0.1",
        &json!([
            flip("getApplication", "s-1", 1, 500),
            flip("listEnvironments", "s-2", 5, 2000)
        ]),
    )
    .await;
    // Of a version that is not watched nothing is known.
    report(&plane, "1.0.2", &json!([flip("deleteApplication", "s-3", 9, 1)])).await;
    let answer = shadow(&plane).await;
    answer.assert_ok();
    let expected = json!({
        "policy": "tester", "version": "1.0.1", "active": "1.0.0", "percent": 50, "since": "2026-01-01T00:00:00.000Z",
        "evaluations": 20, "dropped": 2,
        "flips": [
            {"operation": "listEnvironments", "subject": "s-2", "from": "allowed", "to": "not-allowed", "count": 5,
             "first_at": "1970-01-01T00:00:02.000Z", "last_at": "1970-01-01T00:00:02.001Z", "decision_id": "d-2000"},
            {"operation": "getApplication", "subject": "s-1", "from": "allowed", "to": "not-allowed", "count": 3,
             "first_at": "1970-01-01T00:00:00.500Z", "last_at": "1970-01-01T00:00:01.001Z", "decision_id": "d-1000"},
        ],
    });
    assert_eq!(answer.body, expected);

    // Another share goes on counting; another version begins anew.
    let share = json!({"shadow": {"version": "1.0.1", "percent": 100}});
    plane.change_policy("tester", share).await.assert_ok();
    assert_eq!(shadow(&plane).await.body["evaluations"], 20);
    let other = json!({"shadow": {"version": "1.0.2"}});
    plane.change_policy("tester", other).await.assert_ok();
    let answer = shadow(&plane).await;
    assert_eq!(
        (&answer.body["evaluations"], &answer.body["flips"]),
        (&json!(0), &json!([]))
    );
    plane.change_policy("tester", json!({"shadow": null})).await.assert_ok();
    shadow(&plane).await.assert_refused(404, "not-found");
}

#[tokio::test]
async fn a_gated_promotion_lets_only_expected_flips_pass() {
    let plane = with_versions(&["1.0.0", "1.0.1"]).await;
    let gate = |flips: Value| json!({"active": "1.0.1", "expected_flips": flips, "evaluations_min": 10});
    let unwatched = plane.change_policy("tester", gate(json!([]))).await;
    unwatched.assert_refused(409, "too-few-evaluations");
    assert_eq!(
        unwatched.body["details"],
        json!({"evaluations": 0, "evaluations_min": 10})
    );
    let watch = json!({"shadow": {"version": "1.0.1"}});
    plane.change_policy("tester", watch).await.assert_ok();
    let flips = json!([
        flip("getApplication", "s-1", 2, 1000),
        flip("listEnvironments", "s-2", 5, 2000)
    ]);
    report(&plane, "1.0.1", &flips).await;
    let expected = json!({"operation": "getApplication", "subject": "s-1", "from": "allowed", "to": "not-allowed"});
    let refused = plane.change_policy("tester", gate(json!([expected]))).await;
    refused.assert_refused(409, "unexpected-flips");
    let unexpected = refused.body["details"]["flips"].as_array().expect("an array");
    assert_eq!(unexpected.len(), 1);
    assert_eq!(unexpected[0]["operation"], "listEnvironments");
    let mut many = gate(json!([]));
    many["expected_flips"] = shadow(&plane).await.body["flips"].clone();
    many["evaluations_min"] = json!(11);
    plane
        .change_policy("tester", many.clone())
        .await
        .assert_refused(409, "too-few-evaluations");
    many["evaluations_min"] = json!(10);
    let promoted = plane.change_policy("tester", many).await;
    promoted.assert_ok();
    assert_eq!(promoted.body["active"]["version"], "1.0.1");
    assert!(promoted.body.get("shadow").is_none(), "{}", promoted.body);
}

#[tokio::test]
async fn a_report_that_is_none_is_refused() {
    let plane = with_versions(&["1.0.0"]).await;
    for body in ["{}", "[]", "x"] {
        let answer = plane.request("POST", "/shadow", body.to_owned(), &[]).await;
        answer.assert_refused(400, "malformed-body");
    }
    let answer = plane.raw("POST", "/shadow", "{}".to_owned(), &[]).await;
    answer.assert_refused(401, "unauthenticated");
}

async fn with_versions(versions: &[&str]) -> Plane {
    let plane = Plane::start().await;
    for version in versions {
        let answer = plane.publish(&role("viewer", "tester", version)).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
    }
    plane
}

async fn shadow(plane: &Plane) -> Answer {
    let path = format!("/orgs/{ORG}/policies/tester/shadow");
    plane.ask(&plane.root, "GET", &path).await
}

/// Reports ten evaluations as a gateway does.
async fn report(plane: &Plane, version: &str, flips: &Value) {
    let report = json!({
        "gateway": "edge-1", "org": ORG, "policy": "tester", "version": version, "evaluations": 10, "dropped": 1,
        "flips": flips,
    });
    let answer = plane.request("POST", "/shadow", report.to_string(), &[]).await;
    assert_eq!(answer.status, 204, "{}", answer.body);
}

fn flip(operation: &str, subject: &str, count: u64, first_ms: i64) -> Value {
    json!({
        "operation": operation, "subject": subject, "from": "allowed", "to": "not-allowed", "count": count,
        "first_ms": first_ms, "last_ms": first_ms + 1, "decision_id": format!("d-{first_ms}"),
    })
}

fn told(frame: Frame) -> Policy {
    let Frame::Change { mut records, .. } = frame else {
        panic!("{frame:?} is no change");
    };
    let record = records.pop().expect("one record");
    let Record::Policy(policy) = record else {
        panic!("{record:?} is no policy");
    };
    *policy
}
