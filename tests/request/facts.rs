//! What a decision needs and the path does not hold: env types, asked of the orchestrator once and kept.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::harness::caller::{Roles, ServiceUser};
use crate::harness::client::Request;
use crate::harness::eventually;
use crate::harness::postern::Postern;
use crate::harness::upstream::{Received, Reply, Upstream};

const ENV: &str = "/orgs/acme/apps/shop/envs/dev";
const DEPLOYS: &str = "/orgs/acme/apps/shop/envs/dev/deploys";
const ENVS: &str = "/orgs/acme/apps/shop/envs";
const RUNS: &str = "/orgs/acme/apps/shop/pipeline-runs";

/// An orchestrator whose environments `dev` and `prod` have the types `development` and `production`.
fn orchestrator() -> Upstream {
    Upstream::start(|received| {
        match (
            received.method.as_str(),
            received.target.strip_prefix("/orgs/acme/apps/shop/envs/"),
        ) {
            ("GET", Some("dev")) => Reply::json(200, &json!({"id": "dev", "type": "development"})),
            ("GET", Some("prod")) => Reply::json(200, &json!({"id": "prod", "type": "production"})),
            ("GET", Some(_)) => Reply::json(404, &json!({"error": "API-404", "message": "no such environment"})),
            _ => Reply::json(201, &json!({"id": "made"})),
        }
    })
}

/// A developer of the app who may deploy to development.
fn developer(postern: &Postern) -> ServiceUser {
    postern.administrator().service_user(Roles {
        org: "member",
        apps: &[("shop", "developer")],
        deploys_to: &["development"],
    })
}

fn post(target: &str, body: &str) -> Request {
    Request::new("POST", target)
        .field("Content-Type", "application/json")
        .body(body)
}

#[test]
fn the_type_of_an_environment_is_asked_once_and_remembered() {
    let upstream = orchestrator();
    let postern = Postern::start(&upstream.url());
    let developer = developer(&postern);
    for _ in 0..3 {
        developer.client.post(DEPLOYS, json!({"delta_id": "x"})).ok(201);
    }
    assert_eq!(upstream.count("GET", ENV), 1);
    assert_eq!(upstream.count("POST", DEPLOYS), 3);
    let asked = upstream
        .received()
        .into_iter()
        .find(|received| received.method == "GET")
        .expect("it was asked");
    assert!(
        asked.values("postern-identity").is_empty() && asked.values("from").is_empty(),
        "{asked:?}"
    );
    assert!(!asked.holds(&developer.token));
}

#[test]
fn concurrent_requests_for_one_fact_ask_once() {
    let (go_on, told) = mpsc::channel::<()>();
    let told = Mutex::new(told);
    let upstream = Upstream::start(move |received| {
        if received.method == "GET" {
            told.lock().expect("one asks").recv().expect("the test goes on");
            return Reply::json(200, &json!({"id": "dev", "type": "development"}));
        }
        Reply::json(201, &json!({}))
    });
    let postern = Postern::with(&upstream.url(), &["--workers", "2"]);
    let developer = developer(&postern);
    let asking: Vec<_> = (0..8)
        .map(|_| {
            let client = developer.client.clone();
            std::thread::spawn(move || client.post(DEPLOYS, json!({})).status)
        })
        .collect();
    eventually("the question", || (upstream.count("GET", ENV) > 0).then_some(()));
    // One answer is enough for all: a second question would never be answered.
    go_on.send(()).expect("somebody asks");
    assert!(
        asking
            .into_iter()
            .all(|asked| asked.join().expect("it is answered") == 201)
    );
    assert_eq!(upstream.count("GET", ENV), 1);
}

#[test]
fn the_type_of_a_deleted_environment_is_forgotten() {
    let env_type = Arc::new(Mutex::new("development"));
    let told = Arc::clone(&env_type);
    let upstream = Upstream::start(move |received| match received.method.as_str() {
        "GET" => Reply::json(200, &json!({"id": "dev", "type": *told.lock().expect("held shortly")})),
        "DELETE" => Reply::empty(204),
        _ => Reply::json(201, &json!({})),
    });
    let postern = Postern::start(&upstream.url());
    let developer = developer(&postern);
    developer.client.post(DEPLOYS, json!({})).ok(201);
    developer.client.delete(ENV).ok(204);
    *env_type.lock().expect("held shortly") = "production";
    postern.assert_refused(&developer.client.post(DEPLOYS, json!({})), "not-allowed");
    assert_eq!(upstream.count("POST", DEPLOYS), 1);
}

#[test]
fn the_type_of_a_new_environment_is_read_from_the_body_which_goes_on_unchanged() {
    let upstream = orchestrator();
    let postern = Postern::start(&upstream.url());
    let developer = developer(&postern);
    let body =
        "{ \"name\":\"\\u0044ev\",\n\"type\" : \"development\", \"x\":{\"type\":\"production\"}, \"id\":\"new\"}  ";
    developer.client.send(post(ENVS, body)).ok(201);
    assert_eq!(String::from_utf8_lossy(&upstream.only().body), body);
    let production = r#"{"id":"new","name":"x","type":"production"}"#;
    postern.assert_refused(&developer.client.send(post(ENVS, production)), "not-allowed");
    assert_eq!(upstream.received().len(), 1);
}

#[test]
fn a_new_environment_without_a_type_is_of_the_configured_one() {
    let upstream = orchestrator();
    let developers = Postern::start(&upstream.url());
    developer(&developers)
        .client
        .send(post(ENVS, r#"{"id":"new","name":"x"}"#))
        .ok(201);
    let careful = Postern::with(&upstream.url(), &["--default-env-type", "production"]);
    let answer = developer(&careful)
        .client
        .send(post(ENVS, r#"{"id":"new","name":"x"}"#));
    careful.assert_refused(&answer, "not-allowed");
}

#[test]
fn a_body_that_another_reader_could_read_otherwise_is_refused() {
    let upstream = orchestrator();
    let postern = Postern::start(&upstream.url());
    let developer = developer(&postern);
    let bodies = [
        r#"{"id":"new","type":"development","type":"production"}"#,
        r#"{"id":"new","type":"development","Type":"production"}"#,
        r#"{"id":"new","type":"development","\u0074ype":"production"}"#,
        r#"{"id":"new","TYPE":"production"}"#,
        r#"{"id":"new","type":["development"]}"#,
        r#"{"type":"development"}{"type":"production"}"#,
        r#"[{"type":"development"}]"#,
        "type=development",
        "",
    ];
    for body in bodies {
        postern.assert_refused(&developer.client.send(post(ENVS, body)), "body-unreadable");
    }
    assert_eq!(upstream.received().len(), 0);
}

#[test]
fn a_body_is_read_up_to_its_limit_and_not_one_octet_further() {
    let upstream = orchestrator();
    let postern = Postern::start(&upstream.url());
    let developer = developer(&postern);
    let body = |bytes: usize| {
        let frame = r#"{"type":"development","name":""}"#.len();
        format!(r#"{{"type":"development","name":"{}"}}"#, "x".repeat(bytes - frame))
    };
    developer.client.send(post(ENVS, &body(1024 * 1024))).ok(201);
    let received = upstream.only();
    assert_eq!(received.body, body(1024 * 1024).as_bytes());
    postern.assert_refused(
        &developer.client.send(post(ENVS, &body(1024 * 1024 + 1))),
        "body-too-large",
    );
    assert_eq!(upstream.received().len(), 1);
}

#[test]
fn a_pipeline_run_needs_the_type_of_every_environment_that_it_names() {
    let upstream = orchestrator();
    let postern = Postern::start(&upstream.url());
    let developer = developer(&postern);
    let run = |body: &str| developer.client.send(post(RUNS, body));
    run(r#"{"trigger":"deployment_request","env_id":"dev"}"#).ok(201);
    postern.assert_refused(&run(r#"{"env_id":"prod"}"#), "not-allowed");
    postern.assert_refused(&run(r#"{"env_id":"dev","environment":"prod"}"#), "not-allowed");
    postern.assert_refused(&run(r#"{"trigger":"deployment_request"}"#), "environment-not-named");
    postern.assert_refused(&run(r#"{"env_id":"dev","env_id":"prod"}"#), "body-unreadable");
    postern.assert_refused(&run(r#"{"env_id":"gone"}"#), "environment-unknown");
    assert_eq!(upstream.count("POST", RUNS), 1);
}

#[test]
fn an_approval_needs_the_type_of_its_environment() {
    let upstream = Upstream::start(|received: &Received| {
        let answer = |body: Value| Reply::json(200, &body);
        match received.target.rsplit('/').next().expect("a path") {
            "for-dev" => answer(json!({"id": "for-dev", "env_id": "dev"})),
            "for-prod" => answer(json!({"id": "for-prod", "env_id": "prod"})),
            "dev" => answer(json!({"id": "dev", "type": "development"})),
            "prod" => answer(json!({"id": "prod", "type": "production"})),
            "approve" | "deny" => answer(json!({})),
            _ => Reply::json(404, &json!({})),
        }
    });
    let postern = Postern::start(&upstream.url());
    let developer = developer(&postern);
    let runs = "/orgs/acme/apps/shop/pipelines/p1/runs/r1/jobs/j1/approvals";
    for verb in ["approve", "deny"] {
        let ask = |approval: &str| {
            developer
                .client
                .send(Request::new("POST", &format!("{runs}/{approval}/{verb}")))
        };
        ask("for-dev").ok(200);
        postern.assert_refused(&ask("for-prod"), "not-allowed");
        let absent = ask("absent");
        assert!(
            absent.status < 500,
            "an approval that does not exist is no fault of ours: {}",
            absent.shown()
        );
    }
}

#[test]
fn deleting_an_app_needs_deployer_on_the_types_of_all_its_environments() {
    let envs = json!([{"id": "dev", "type": "development"}, {"id": "prod", "type": "production"}]);
    let upstream = Upstream::start(move |received| match received.method.as_str() {
        "GET" => Reply::json(200, &envs),
        _ => Reply::empty(204),
    });
    let postern = Postern::start(&upstream.url());
    let administrator = postern.administrator();
    let apps = &[("shop", "owner")];
    let half = administrator.service_user(Roles {
        org: "member",
        apps,
        deploys_to: &["development"],
    });
    postern.assert_refused(&half.client.delete("/orgs/acme/apps/shop"), "not-allowed");
    let both = &["development", "production"];
    let whole = administrator.service_user(Roles {
        org: "member",
        apps,
        deploys_to: both,
    });
    whole.client.delete("/orgs/acme/apps/shop").ok(204);
    assert_eq!(upstream.count("DELETE", "/orgs/acme/apps/shop"), 1);
}

#[test]
fn a_fact_that_cannot_be_had_is_unavailable_and_had_as_soon_as_it_can_be() {
    let broken = Arc::new(Mutex::new(true));
    let state = Arc::clone(&broken);
    let upstream = Upstream::start(
        move |received| match (received.method.as_str(), received.target.as_str()) {
            ("GET", _) if !*state.lock().expect("held shortly") => Reply::json(200, &json!({"type": "development"})),
            ("GET", ENV) => Reply::json(500, &json!({})),
            ("GET", "/orgs/acme/apps/shop/envs/odd") => Reply::json(200, &json!({"type": 7})),
            ("GET", "/orgs/acme/apps/shop/envs/rude") => Reply::Close,
            ("GET", "/orgs/acme/apps/shop/envs/lost") => Reply::json(401, &json!({})),
            _ => Reply::json(201, &json!({})),
        },
    );
    let postern = Postern::start(&upstream.url());
    let developer = developer(&postern);
    for env in ["dev", "odd", "rude", "lost"] {
        let answer = developer.client.post(&format!("{ENVS}/{env}/deploys"), json!({}));
        postern.assert_refused(&answer, "fact-unavailable");
    }
    *broken.lock().expect("held shortly") = false;
    developer.client.post(DEPLOYS, json!({})).ok(201);
}

#[test]
fn a_fact_that_does_not_come_in_time_is_unavailable() {
    let (never, told) = mpsc::channel::<()>();
    let told = Mutex::new(told);
    let upstream = Upstream::start(move |_| {
        let _ = told.lock().expect("one asks").recv();
        Reply::Close
    });
    let postern = Postern::with(&upstream.url(), &["--upstream-first-byte-timeout-ms", "200"]);
    let answer = developer(&postern).client.post(DEPLOYS, json!({}));
    postern.assert_refused(&answer, "fact-unavailable");
    drop(never);
}

#[test]
fn that_an_environment_is_unknown_is_told_only_to_those_who_may_read_the_app() {
    let upstream = orchestrator();
    let postern = Postern::start(&upstream.url());
    let target = "/orgs/acme/apps/shop/envs/gone/deploys";
    postern.assert_refused(
        &developer(&postern).client.post(target, json!({})),
        "environment-unknown",
    );
    // A manager holds a role that bears on every app's operations, and may not read apps.
    let manager = postern.administrator().with_org_role("manager");
    postern.assert_refused(&manager.client.post(target, json!({})), "not-allowed");
}

#[test]
fn an_unknown_environment_is_asked_for_again() {
    let made = Arc::new(Mutex::new(false));
    let state = Arc::clone(&made);
    let upstream = Upstream::start(move |received| match received.method.as_str() {
        "GET" if *state.lock().expect("held shortly") => Reply::json(200, &json!({"type": "development"})),
        "GET" => Reply::json(404, &json!({})),
        _ => Reply::json(201, &json!({})),
    });
    let postern = Postern::start(&upstream.url());
    let developer = developer(&postern);
    postern.assert_refused(&developer.client.post(DEPLOYS, json!({})), "environment-unknown");
    *made.lock().expect("held shortly") = true;
    developer.client.post(DEPLOYS, json!({})).ok(201);
}

#[test]
fn a_caller_without_a_role_on_the_app_never_makes_us_ask() {
    let upstream = orchestrator();
    let postern = Postern::start(&upstream.url());
    let member = postern.administrator().with_org_role("member");
    let requests = [
        post(DEPLOYS, "{}"),
        post(RUNS, r#"{"env_id":"dev"}"#),
        Request::new("DELETE", "/orgs/acme/apps/shop"),
        Request::new("DELETE", ENV),
        post(
            "/orgs/acme/apps/shop/pipelines/p1/runs/r1/jobs/j1/approvals/a1/approve",
            "",
        ),
    ];
    for request in requests {
        postern.assert_refused(&member.client.send(request), "not-allowed");
    }
    assert_eq!(upstream.received().len(), 0, "{:?}", upstream.received());
}

#[test]
fn a_token_that_ends_while_a_fact_is_asked_for_does_not_pass() {
    let (go_on, told) = mpsc::channel::<()>();
    let told = Mutex::new(told);
    let upstream = Upstream::start(move |received| {
        if received.method == "GET" {
            told.lock().expect("one asks").recv().expect("the test goes on");
        }
        Reply::json(200, &json!({"type": "development"}))
    });
    let postern = Postern::start(&upstream.url());
    let developer = developer(&postern);
    let client = developer.client.clone();
    let asking = std::thread::spawn(move || client.post(DEPLOYS, json!({})));
    eventually("the question", || (upstream.count("GET", ENV) > 0).then_some(()));
    postern
        .administrator()
        .delete(&format!("/users/{}/tokens/first", developer.id))
        .ok(204);
    go_on.send(()).expect("somebody asks");
    postern.assert_refused(&asking.join().expect("it is answered"), "token-unknown");
    assert_eq!(upstream.count("POST", DEPLOYS), 0);
}
