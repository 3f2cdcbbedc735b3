//! The smaller families: artefacts, images, registries, values, rules, pipelines, and what is only read.

use http::StatusCode;
use serde_json::{Value, json};

use super::{Outside, answer, each};

const SAMPLE: &str = "/orgs/acme/apps/sample-app";

#[tokio::test]
async fn versions_of_one_artefact_are_gathered_and_deleted_with_it() {
    let sandbox = Outside::start().await;
    let versions = "/orgs/acme/artefact-versions";
    let body = |version: &str| {
        json!({
            "type": "container", "name": "registry.sandbox.test/acme/web", "version": version,
            "ref": "refs/heads/main", "commit": "884bccaa807ea27cc1997a7492a3b6279fd7bd55",
        })
    };
    let (status, one) = sandbox.ask("POST", versions, body("1")).await;
    assert_eq!(
        (status, &one["created_by"], &one["archived"]),
        (StatusCode::OK, &json!("s-1"), &json!(false))
    );
    let (_, two) = sandbox.ask("POST", versions, body("2")).await;
    assert_eq!(one["artefact_id"], two["artefact_id"]);
    let (status, _) = sandbox
        .ask("POST", &format!("{versions}?dry_run=true"), body("3"))
        .await;
    assert_eq!(status, StatusCode::NO_CONTENT);

    let id = one["id"].as_str().expect("an id");
    assert_eq!(
        sandbox.get(&format!("{versions}/{id}")).await,
        (StatusCode::OK, one.clone())
    );
    let artefact = format!("/orgs/acme/artefacts/{}", one["artefact_id"].as_str().expect("an id"));
    let archive = json!({"archived": true});
    let (_, archived) = sandbox
        .ask("PATCH", &format!("{artefact}/versions/{id}"), archive)
        .await;
    assert_eq!(archived["archived"], true);
    let (_, listed) = sandbox.get(&format!("{artefact}/versions?archived=false")).await;
    assert_eq!(each(&listed, "version"), ["2"]);
    assert_eq!(
        each(&sandbox.get("/orgs/acme/artefacts?type=container").await.1, "type"),
        ["container"]
    );
    assert_eq!(sandbox.get("/orgs/acme/artefacts?type=workload").await.1, json!([]));

    assert_eq!(
        sandbox.ask("DELETE", &artefact, Value::Null).await.0,
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        sandbox.ask("DELETE", &artefact, Value::Null).await.0,
        StatusCode::NOT_FOUND
    );
    assert_eq!(sandbox.get(versions).await.1, json!([]));
}

#[tokio::test]
async fn a_workload_is_registered_by_a_form() {
    let sandbox = Outside::start().await;
    let form = "--b\r\nContent-Disposition: form-data; name=\"type\"\r\n\r\nworkload\r\n\
                --b\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nweb\r\n\
                --b\r\nContent-Disposition: form-data; name=\"spec\"; filename=\"score.yaml\"\r\n\r\na: 1\r\n--b--\r\n";
    let send = async |body: &'static str| {
        let request = sandbox.request("POST", "/orgs/acme/artefact-versions");
        let request = request.header("authorization", "Bearer upstream");
        let request = request.header("content-type", "multipart/form-data; boundary=b");
        answer(sandbox.send(request, body).await).await
    };
    let (status, version) = send(form).await;
    assert_eq!(
        (status, &version["type"], &version["name"]),
        (StatusCode::OK, &json!("workload"), &json!("web"))
    );
    assert_eq!(send("--b\r\n").await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_build_makes_its_image_whose_id_may_hold_an_encoded_slash() {
    let sandbox = Outside::start().await;
    let image = "/orgs/acme/images/team%2Fweb";
    let build = json!({"branch": "main", "commit": "abcdef", "image": "r/team/web:1", "tags": ["1"]});
    let (status, _) = sandbox.ask("POST", &format!("{image}/builds"), build).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(sandbox.get(image).await.1["id"], "team/web");
    assert_eq!(
        each(&sandbox.get(&format!("{image}/builds")).await.1, "commit"),
        ["abcdef"]
    );
    assert_eq!(each(&sandbox.get("/orgs/acme/images").await.1, "id"), ["team/web"]);
}

#[tokio::test]
async fn registries_give_credentials_and_the_built_in_one_stays() {
    let sandbox = Outside::start().await;
    let registries = "/orgs/acme/registries";
    let (status, credentials) = sandbox.get(&format!("{registries}/humanitec/creds")).await;
    assert_eq!(status, StatusCode::OK);
    assert!(credentials["username"].is_string() && credentials["password"].is_string());
    let (status, body) = sandbox
        .ask("DELETE", &format!("{registries}/humanitec"), Value::Null)
        .await;
    assert_eq!(
        (status, body.as_object().map(serde_json::Map::len)),
        (StatusCode::FORBIDDEN, Some(1))
    );

    let creds = json!({"username": "u", "password": "p"});
    let own = json!({"id": "own", "registry": "r.example", "type": "basic", "creds": creds});
    let (status, registry) = sandbox.ask("POST", registries, own.clone()).await;
    assert_eq!((status, registry.get("creds")), (StatusCode::CREATED, None));
    assert_eq!(sandbox.ask("POST", registries, own).await.0, StatusCode::CONFLICT);
    let path = format!("{registries}/own");
    assert_eq!(sandbox.get(&format!("{path}/creds")).await.1["password"], "p");
    let (_, edited) = sandbox.ask("PATCH", &path, json!({"enable_ci": true})).await;
    assert_eq!(
        (&edited["enable_ci"], &edited["registry"]),
        (&json!(true), &json!("r.example"))
    );
    assert_eq!(
        sandbox.ask("DELETE", &path, Value::Null).await.0,
        StatusCode::NO_CONTENT
    );
    assert_eq!(each(&sandbox.get(registries).await.1, "id"), ["humanitec"]);
}

#[tokio::test]
async fn an_environment_sees_the_values_of_its_app_under_its_own() {
    let sandbox = Outside::start().await;
    let app = format!("{SAMPLE}/values");
    let env = format!("{SAMPLE}/envs/development/values");
    let value = |key: &str, value: &str| json!({"key": key, "value": value, "description": ""});
    assert_eq!(
        sandbox.ask("POST", &app, value("A", "app")).await.0,
        StatusCode::CREATED
    );
    assert_eq!(
        sandbox.ask("POST", &app, value("A", "app")).await.0,
        StatusCode::CONFLICT
    );
    assert_eq!(
        sandbox.ask("POST", &app, value("B", "app")).await.0,
        StatusCode::CREATED
    );
    assert_eq!(
        sandbox.ask("POST", &env, value("A", "env")).await.0,
        StatusCode::CREATED
    );
    assert_eq!(each(&sandbox.get(&env).await.1, "value"), ["env", "app"]);
    assert_eq!(each(&sandbox.get(&env).await.1, "source"), ["env", "app"]);
    let key = format!("{env}/A");
    let (_, edited) = sandbox.ask("PATCH", &key, json!({"value": "new"})).await;
    assert_eq!(edited["value"], "new");
    let (_, replaced) = sandbox
        .ask("PUT", &key, json!({"description": "d", "value": "put"}))
        .await;
    assert_eq!(
        (&replaced["value"], &replaced["description"]),
        (&json!("put"), &json!("d"))
    );
    assert_eq!(sandbox.ask("DELETE", &key, Value::Null).await.0, StatusCode::NO_CONTENT);
    assert_eq!(sandbox.ask("PATCH", &key, json!({})).await.0, StatusCode::NOT_FOUND);
    assert_eq!(each(&sandbox.get(&env).await.1, "value"), ["app", "app"]);
    assert_eq!(sandbox.ask("DELETE", &app, Value::Null).await.0, StatusCode::NO_CONTENT);
    assert_eq!(sandbox.get(&env).await.1, json!([]));
}

#[tokio::test]
async fn a_secret_value_is_never_shown() {
    let sandbox = Outside::start().await;
    let body = json!({"key": "S", "value": "hidden", "description": "", "is_secret": true});
    let (_, secret) = sandbox.ask("POST", &format!("{SAMPLE}/values"), body).await;
    assert_eq!((&secret["value"], &secret["is_secret"]), (&json!(""), &json!(true)));
    assert!(
        !sandbox
            .get(&format!("{SAMPLE}/values"))
            .await
            .1
            .to_string()
            .contains("hidden")
    );
}

#[tokio::test]
async fn automation_rules_are_kept_per_environment() {
    let sandbox = Outside::start().await;
    let rules = format!("{SAMPLE}/envs/development/rules");
    let body = json!({"type": "update", "active": true, "match_ref": "refs/heads/main"});
    let (status, rule) = sandbox.ask("POST", &rules, body).await;
    assert_eq!((status, &rule["active"]), (StatusCode::CREATED, &json!(true)));
    let one = format!("{rules}/{}", rule["id"].as_str().expect("an id"));
    assert_eq!(sandbox.get(&one).await, (StatusCode::OK, rule.clone()));
    let (_, replaced) = sandbox.ask("PUT", &one, json!({"type": "update"})).await;
    assert_eq!((&replaced["active"], &replaced["id"]), (&json!(false), &rule["id"]));
    assert_eq!(
        sandbox.get(&format!("{SAMPLE}/envs/production/rules")).await.1,
        json!([])
    );
    assert_eq!(sandbox.ask("DELETE", &one, Value::Null).await.0, StatusCode::NO_CONTENT);
    assert_eq!(sandbox.get(&one).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_approval_is_answered_once_under_its_own_run() {
    let sandbox = Outside::start().await;
    let (_, approvals) = sandbox.get(&format!("{SAMPLE}/approvals")).await;
    assert_eq!(each(&approvals, "env_id"), ["production"]);
    let text = |field: &str| approvals[0][field].as_str().expect("a text");
    let path = |run: &str| {
        let (pipeline, job, id) = (text("pipeline_id"), text("job_id"), text("id"));
        format!("{SAMPLE}/pipelines/{pipeline}/runs/{run}/jobs/{job}/approvals/{id}")
    };
    let own = path(text("run_id"));
    assert_eq!(sandbox.get(&path("other")).await.0, StatusCode::NOT_FOUND);
    assert_eq!(sandbox.get(&own).await, (StatusCode::OK, approvals[0].clone()));
    let (status, approved) = sandbox.ask("POST", &format!("{own}/approve"), Value::Null).await;
    assert_eq!((status, &approved["approved_by"]), (StatusCode::OK, &json!("s-1")));
    assert_eq!(
        sandbox.ask("POST", &format!("{own}/deny"), Value::Null).await.0,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(sandbox.get(&own).await.1["status"], "approved");
}

#[tokio::test]
async fn pipeline_runs_name_their_app_and_a_deployment_request_deploys() {
    let sandbox = Outside::start().await;
    assert_eq!(
        each(&sandbox.get("/orgs/acme/pipelines").await.1, "app_id"),
        ["sample-app"]
    );
    assert_eq!(
        each(&sandbox.get("/orgs/acme/pipeline-runs").await.1, "app_id"),
        ["sample-app"]
    );
    let runs = format!("{SAMPLE}/pipelines/sample-pipeline/runs");
    let (status, run) = sandbox.ask("POST", &runs, json!({"inputs": {"a": 1}})).await;
    assert_eq!((status, &run["inputs"]), (StatusCode::CREATED, &json!({"a": 1})));
    let (_, shown) = sandbox
        .get(&format!("{runs}/{}", run["id"].as_str().expect("an id")))
        .await;
    assert_eq!(shown, run);

    let set_id = sandbox.get(&format!("{SAMPLE}/sets")).await.1[0]["id"].clone();
    let request = json!({"trigger": "deployment_request", "env_id": "production", "set_id": set_id});
    let (status, run) = sandbox.ask("POST", &format!("{SAMPLE}/pipeline-runs"), request).await;
    assert_eq!((status, &run["env_ids"]), (StatusCode::CREATED, &json!(["production"])));
    let (_, deploys) = sandbox.get(&format!("{SAMPLE}/envs/production/deploys")).await;
    assert_eq!(each(&deploys, "created_by"), ["s-1", "sandbox"]);
    sandbox.ask("DELETE", SAMPLE, Value::Null).await;
    assert_eq!(sandbox.get("/orgs/acme/pipeline-runs").await.1, json!([]));
}

#[tokio::test]
async fn resource_types_definitions_and_events_can_be_read() {
    let sandbox = Outside::start().await;
    assert_eq!(
        each(&sandbox.get("/orgs/acme/resources/types").await.1, "type"),
        ["postgres", "dns"]
    );
    assert_eq!(
        each(&sandbox.get("/orgs/acme/resources/defs").await.1, "org_id"),
        ["acme"]
    );
    assert_eq!(
        each(&sandbox.get("/orgs/acme/events").await.1, "type"),
        ["created", "deleted"]
    );
}
