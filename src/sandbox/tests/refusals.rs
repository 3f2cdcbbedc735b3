//! Who and what is turned away.

use http::StatusCode;
use serde_json::{Value, json};

use super::super::BODY_BYTES_MAX;
use super::{Outside, answer};

#[tokio::test]
async fn a_request_without_exactly_the_credential_is_401_whatever_it_asks() {
    let sandbox = Outside::start().await;
    for path in [
        "/orgs",
        "/orgs/acme/apps",
        "/orgs/acme/registries/humanitec/creds",
        "/nowhere",
    ] {
        for credentials in [
            vec![],
            vec!["Bearer wrong"],
            vec!["bearer upstream"],
            vec!["Basic upstream"],
            vec!["Bearer upstream", "Bearer pstn_callers"],
        ] {
            let mut request = sandbox.request("GET", path);
            for credential in &credentials {
                request = request.header("authorization", *credential);
            }
            let (status, body) = answer(sandbox.send(request, "").await).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{path} {credentials:?}");
            assert!(body["error"].is_string() && body["message"].is_string());
        }
    }
}

#[tokio::test]
async fn what_the_sandbox_does_not_imitate_is_404_in_the_error_form() {
    let sandbox = Outside::start().await;
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/orgs/acme/agents"),
        ("GET", "/orgs/acme/users"),
        ("GET", "/users/s-1/tokens"),
        ("PUT", "/orgs/acme/apps"),
        ("POST", "/orgs"),
        ("GET", "/orgs/acme/apps/"),
    ] {
        let (status, body) = sandbox.ask(method, path, Value::Null).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{method} {path}");
        assert_eq!(body["error"], "API-404", "{method} {path}");
        assert!(body["message"].is_string());
    }
}

#[tokio::test]
async fn another_organisation_is_403() {
    let sandbox = Outside::start().await;
    for path in ["/orgs/other", "/orgs/other/apps", "/orgs/other/apps/sample-app"] {
        assert_eq!(sandbox.get(path).await.0, StatusCode::FORBIDDEN, "{path}");
    }
}

#[tokio::test]
async fn a_missing_object_is_404_in_the_form_of_its_family() {
    let sandbox = Outside::start().await;
    let app = "/orgs/acme/apps/sample-app";
    for path in [
        "/orgs/acme/apps/no-app".to_owned(),
        "/orgs/acme/apps/no-app/envs".to_owned(),
        "/orgs/acme/env-types/no-type".to_owned(),
        "/orgs/acme/artefact-versions/none".to_owned(),
        "/orgs/acme/artefacts/none/versions".to_owned(),
        "/orgs/acme/images/none".to_owned(),
        format!("{app}/envs/no-env"),
        format!("{app}/envs/no-env/deploys"),
        format!("{app}/envs/no-env/values"),
        format!("{app}/envs/no-env/logs"),
        format!("{app}/envs/development/deploys/none"),
        format!("{app}/envs/development/rules/none"),
        format!("{app}/pipelines/none/runs"),
    ] {
        let (status, body) = sandbox.get(&path).await;
        assert_eq!(
            (status, &body["error"]),
            (StatusCode::NOT_FOUND, &json!("API-404")),
            "{path}"
        );
    }
    for path in [format!("{app}/deltas/none"), format!("{app}/sets/none")] {
        let (status, body) = sandbox.get(&path).await;
        assert!(status == StatusCode::NOT_FOUND && body.is_string(), "{path} {body}");
    }
    let (status, body) = sandbox.get("/orgs/acme/registries/none/creds").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(body, json!({"error": "there is no such registry"}));
}

#[tokio::test]
async fn a_body_that_is_not_understood_is_400_and_changes_nothing() {
    let sandbox = Outside::start().await;
    let env = "/orgs/acme/apps/sample-app/envs";
    for (path, body) in [
        ("/orgs/acme/apps", json!({"id": "Not An Id", "name": "x"})),
        ("/orgs/acme/apps", json!({"name": "without an id"})),
        ("/orgs/acme/env-types", json!({"id": "a"})),
        (env, json!({"id": "qa", "name": "QA", "type": "no-type"})),
        (env, json!({"id": "qa", "name": "QA", "from_deploy_id": "none"})),
        ("/orgs/acme/artefact-versions", json!({"type": "container"})),
        ("/orgs/acme/artefact-versions", json!({"type": "other", "name": "n"})),
        ("/orgs/acme/artefact-versions", json!({"type": "workload", "name": "n"})),
        (
            "/orgs/acme/artefact-versions",
            json!({"type": "container", "name": "n", "ref": "main"}),
        ),
        (
            "/orgs/acme/artefact-versions",
            json!({"type": "container", "name": "n", "commit": "xyz"}),
        ),
        (
            "/orgs/acme/apps/sample-app/values",
            json!({"key": "a b", "description": ""}),
        ),
        (
            "/orgs/acme/apps/sample-app/envs/development/rules",
            json!({"type": "other"}),
        ),
        ("/orgs/acme/apps/sample-app/envs/development/deploys", json!({})),
        (
            "/orgs/acme/apps/sample-app/envs/development/deploys",
            json!({"delta_id": "none"}),
        ),
        (
            "/orgs/acme/apps/sample-app/pipeline-runs",
            json!({"trigger": "deployment_request"}),
        ),
        ("/orgs/acme/apps/sample-app/deltas", json!("text")),
    ] {
        let (status, answer) = sandbox.ask("POST", path, body.clone()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path} {body}");
        assert_eq!(answer["error"], "API-400", "{path} {body}");
    }
    let (_, apps) = sandbox.get("/orgs/acme/apps").await;
    assert_eq!(apps.as_array().map(Vec::len), Some(1));
    assert_eq!(sandbox.get("/orgs/acme/artefacts").await.1, json!([]));
}

#[tokio::test]
async fn a_body_one_octet_over_the_limit_is_413() {
    let sandbox = Outside::start().await;
    for (length, expected) in [
        (BODY_BYTES_MAX, StatusCode::BAD_REQUEST),
        (BODY_BYTES_MAX + 1, StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        let request = sandbox.request("POST", "/orgs/acme/apps");
        let request = request.header("authorization", "Bearer upstream");
        let response = sandbox.send(request, vec![b' '; length]).await;
        assert_eq!(response.status(), expected, "{length}");
    }
}
