//! Apps, environments, env types and deployments come, change and go.

use http::StatusCode;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use super::super::Settings;
use super::{Outside, content_type, each, settings};

const APPS: &str = "/orgs/acme/apps";
const SAMPLE: &str = "/orgs/acme/apps/sample-app";

#[tokio::test]
async fn a_new_sandbox_has_its_organisation_env_types_and_sample_app() {
    let sandbox = Outside::start().await;
    let (status, orgs) = sandbox.get("/orgs").await;
    assert_eq!((status, each(&orgs, "id")), (StatusCode::OK, vec!["acme".to_owned()]));
    assert_eq!(sandbox.get("/orgs/acme").await, (StatusCode::OK, orgs[0].clone()));
    let env_types = each(&sandbox.get("/orgs/acme/env-types").await.1, "id");
    assert_eq!(env_types, ["development", "production", "staging"]);
    let (_, app) = sandbox.get(SAMPLE).await;
    assert_eq!(each(&app["envs"], "type"), ["development", "production"]);
    let (_, env) = sandbox.get(&format!("{SAMPLE}/envs/production")).await;
    assert_eq!(env["last_deploy"]["status"], "succeeded");
    assert_eq!(env["created_at"], "2023-11-14T22:13:20.000Z");
}

#[tokio::test]
async fn a_new_app_has_a_development_environment_unless_it_asks_for_another_or_none() {
    let sandbox = Outside::start().await;
    for (extra, envs) in [
        (json!({}), vec!["development"]),
        (json!({"skip_environment_creation": false}), vec!["development"]),
        (json!({"skip_environment_creation": true}), vec![]),
        (
            json!({"env": {"id": "stage", "name": "Stage", "type": "staging"}}),
            vec!["stage"],
        ),
    ] {
        let mut body = json!({"id": "shop", "name": "Shop", "unknown": 1});
        body.as_object_mut()
            .expect("an object")
            .extend(extra.as_object().cloned().unwrap_or_default());
        let (status, app) = sandbox.ask("POST", APPS, body.clone()).await;
        assert_eq!(
            (status, each(&app["envs"], "id")),
            (StatusCode::CREATED, envs.iter().map(|e| (*e).to_owned()).collect())
        );
        assert_eq!((&app["created_by"], &app["status"]), (&json!("s-1"), &json!("active")));
        assert_eq!(sandbox.ask("POST", APPS, body).await.0, StatusCode::CONFLICT);
        let shop = format!("{APPS}/shop");
        let (status, renamed) = sandbox.ask("PATCH", &shop, json!({"name": "Store"})).await;
        assert_eq!((status, &renamed["name"]), (StatusCode::OK, &json!("Store")));
        assert_eq!(sandbox.get(&shop).await.1, renamed);
        assert_eq!(
            sandbox.ask("DELETE", &shop, Value::Null).await,
            (StatusCode::NO_CONTENT, Value::Null)
        );
        assert_eq!(sandbox.get(&shop).await.0, StatusCode::NOT_FOUND);
        assert_eq!(sandbox.ask("DELETE", &shop, Value::Null).await.0, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn a_slow_deletion_is_202_and_outlives_the_looks_it_was_given() {
    let sandbox = Outside::start_with(Settings {
        deletion_looks: Some(2),
        ..settings()
    })
    .await;
    let env = format!("{SAMPLE}/envs/development");
    for path in [env.as_str(), SAMPLE] {
        assert_eq!(
            sandbox.ask("DELETE", path, Value::Null).await.0,
            StatusCode::ACCEPTED,
            "{path}"
        );
        let (status, object) = sandbox.get(path).await;
        assert_eq!(
            (status, &object["status"]),
            (StatusCode::OK, &json!("deleting")),
            "{path}"
        );
        assert_eq!(
            sandbox.ask("DELETE", path, Value::Null).await.0,
            StatusCode::ACCEPTED,
            "{path}"
        );
        assert_eq!(sandbox.get(path).await.0, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(sandbox.get(APPS).await.1, json!([]));
}

#[tokio::test]
async fn a_new_environment_has_the_default_type_and_can_start_from_a_deployment() {
    let sandbox = Outside::start().await;
    let envs = format!("{SAMPLE}/envs");
    let (status, env) = sandbox.ask("POST", &envs, json!({"id": "qa", "name": "QA"})).await;
    assert_eq!((status, &env["type"]), (StatusCode::CREATED, &json!("development")));
    assert_eq!(env.get("last_deploy"), None);
    let again = json!({"id": "qa", "name": "QA"});
    assert_eq!(sandbox.ask("POST", &envs, again).await.0, StatusCode::CONFLICT);

    let (_, production) = sandbox.get(&format!("{envs}/production")).await;
    let from = production["last_deploy"]["id"].clone();
    let body = json!({"id": "copy", "name": "Copy", "type": "staging", "from_deploy_id": from});
    let (_, copy) = sandbox.ask("POST", &envs, body).await;
    assert_eq!((&copy["type"], &copy["from_deploy"]["id"]), (&json!("staging"), &from));

    let (_, renamed) = sandbox
        .ask("PATCH", &format!("{envs}/copy"), json!({"name": "C", "type": "x"}))
        .await;
    assert_eq!((&renamed["name"], &renamed["type"]), (&json!("C"), &json!("staging")));
    assert_eq!(
        each(&sandbox.get(&envs).await.1, "id"),
        ["copy", "development", "production", "qa"]
    );
}

#[tokio::test]
async fn the_last_environment_of_an_app_stays() {
    let sandbox = Outside::start().await;
    let env = |env: &str| format!("{SAMPLE}/envs/{env}");
    assert_eq!(
        sandbox.ask("DELETE", &env("production"), Value::Null).await.0,
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        sandbox.ask("DELETE", &env("development"), Value::Null).await.0,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(sandbox.get(&env("development")).await.0, StatusCode::OK);
}

#[tokio::test]
async fn an_env_type_in_use_is_409_with_the_environments_that_use_it() {
    let sandbox = Outside::start().await;
    let types = "/orgs/acme/env-types";
    let (status, body) = sandbox.ask("POST", types, json!({"id": "preview"})).await;
    assert_eq!(
        (status, body),
        (StatusCode::CREATED, json!({"id": "preview", "description": ""}))
    );
    assert_eq!(
        sandbox.ask("POST", types, json!({"id": "preview"})).await.0,
        StatusCode::CONFLICT
    );
    let preview = format!("{types}/preview");
    let (_, changed) = sandbox
        .ask("PATCH", &preview, json!({"description": "Short-lived"}))
        .await;
    assert_eq!(sandbox.get(&preview).await, (StatusCode::OK, changed));

    let env = json!({"id": "pr-1", "name": "PR 1", "type": "preview"});
    sandbox.ask("POST", &format!("{SAMPLE}/envs"), env).await;
    let (status, users) = sandbox.ask("DELETE", &preview, Value::Null).await;
    assert_eq!(
        (status, users),
        (
            StatusCode::CONFLICT,
            json!([{"app_id": "sample-app", "env_id": "pr-1"}])
        )
    );
    sandbox.ask("DELETE", &format!("{SAMPLE}/envs/pr-1"), Value::Null).await;
    assert_eq!(
        sandbox.ask("DELETE", &preview, Value::Null).await.0,
        StatusCode::NO_CONTENT
    );
    assert_eq!(sandbox.get(&preview).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn deltas_are_merged_deployed_and_found_in_the_set() {
    let sandbox = Outside::start().await;
    let deltas = format!("{SAMPLE}/deltas");
    let body =
        json!({"metadata": {"name": "one"}, "modules": {"add": {"web": {"spec": {"tag": "1"}}}, "remove": null}});
    let (status, delta) = sandbox.ask("POST", &deltas, body).await;
    assert_eq!(
        (status, &delta["metadata"]["created_by"]),
        (StatusCode::OK, &json!("s-1"))
    );
    let id = delta["id"].as_str().expect("an id");
    let one = format!("{deltas}/{id}");
    let patch = json!([{"modules": {"update": {"web": [{"op": "replace", "path": "/spec/tag", "value": "2"}]}}}]);
    assert_eq!(sandbox.ask("PATCH", &one, patch).await.0, StatusCode::OK);

    let deploys = format!("{SAMPLE}/envs/development/deploys");
    let first = sandbox.get(&deploys).await.1[0]["id"].clone();
    let (status, deploy) = sandbox
        .ask("POST", &deploys, json!({"delta_id": id, "comment": "c"}))
        .await;
    assert_eq!((status, &deploy["from_id"]), (StatusCode::CREATED, &first));
    assert_eq!(
        (&deploy["created_by"], &deploy["delta_id"]),
        (&json!("s-1"), &json!(id))
    );
    let (_, shown) = sandbox
        .get(&format!("{deploys}/{}", deploy["id"].as_str().expect("an id")))
        .await;
    assert_eq!(shown, deploy);
    let set_id = deploy["set_id"].as_str().expect("an id");
    let (_, set) = sandbox.get(&format!("{SAMPLE}/sets/{set_id}")).await;
    assert_eq!(set["modules"], json!({"web": {"spec": {"tag": "2"}}}));
    assert_eq!(each(&sandbox.get(&format!("{SAMPLE}/sets")).await.1, "id").len(), 2);

    let misfit = json!({"modules": {"remove": ["missing"]}});
    assert_eq!(
        sandbox.ask("PUT", &one, misfit).await,
        (StatusCode::NO_CONTENT, Value::Null)
    );
    let (status, _) = sandbox.ask("POST", &deploys, json!({"delta_id": id})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let (status, _) = sandbox.ask("POST", &deploys, json!({"set_id": set_id})).await;
    assert_eq!(status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_log_stream_stays_open_and_carries_the_next_deployment() {
    let sandbox = Outside::start().await;
    let env = format!("{SAMPLE}/envs/development");
    let (_, lines) = sandbox.get(&format!("{env}/logs")).await;
    assert_eq!(each(&lines, "level"), ["INFO"]);

    let request = sandbox.request("GET", &format!("{env}/logs"));
    let request = request
        .header("authorization", "Bearer upstream")
        .header("accept", "text/event-stream");
    let response = sandbox.send(request, "").await;
    assert_eq!(content_type(response.headers()), "text/event-stream");
    let mut stream = response.into_body();
    let event = stream
        .frame()
        .await
        .expect("an event")
        .expect("no error")
        .into_data()
        .expect("data");
    let first = format!("data: {}\n\n", lines[0]);
    assert_eq!(event, first.as_bytes());

    let set_id = sandbox.get(&format!("{SAMPLE}/sets")).await.1[0]["id"].clone();
    sandbox
        .ask("POST", &format!("{env}/deploys"), json!({"set_id": set_id}))
        .await;
    let event = stream
        .frame()
        .await
        .expect("an event")
        .expect("no error")
        .into_data()
        .expect("data");
    assert!(String::from_utf8_lossy(&event).contains("by s-1 succeeded"));

    sandbox.ask("DELETE", &env, Value::Null).await;
    assert!(stream.frame().await.is_none());
}
