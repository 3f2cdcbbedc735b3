//! The built-in roles at their work, against the sandbox orchestrator.

use serde_json::json;

use crate::harness::caller::Roles;
use crate::harness::client::Request;
use crate::harness::postern::Postern;
use crate::harness::sandbox::Sandbox;

#[test]
fn a_pipeline_with_three_roles_at_once_pushes_and_deploys_and_may_not_deploy_to_production() {
    let sandbox = Sandbox::start();
    let postern = Postern::start(&sandbox.url());
    let ci = postern.administrator().service_user(Roles {
        org: "artefactContributor",
        apps: &[("sample-app", "developer")],
        deploys_to: &["development"],
    });
    let credentials = ci.client.get("/orgs/acme/registries/humanitec/creds").ok(200);
    assert!(
        credentials["username"].is_string() && credentials["password"].is_string(),
        "{credentials}"
    );
    let container = json!({
        "name": "registry.humanitec.io/acme/web", "type": "container",
        "version": "1.0.0", "ref": "refs/heads/main", "commit": "0123abcd",
    });
    let pushed = ci.client.post("/orgs/acme/artefact-versions", container).ok(200);
    assert_eq!(pushed["name"], "registry.humanitec.io/acme/web");
    let parts = [
        ("type", "workload"),
        ("name", "acme/web"),
        ("ref", "refs/heads/main"),
        ("version", "1.0.0"),
    ];
    let mut form: String = parts.map(|(name, value)| part(name, "", value)).concat();
    form.push_str(&part(
        "spec",
        "; filename=\"score.yaml\"",
        "apiVersion: score.dev/v1b1\nmetadata:\n  name: web\n",
    ));
    let form = Request::new("POST", "/orgs/acme/artefact-versions")
        .field("Content-Type", "multipart/form-data; boundary=BOUNDARY")
        .body(format!("{form}--BOUNDARY--\r\n"));
    assert_eq!(ci.client.send(form).ok(200)["type"], "workload");

    let app = "/orgs/acme/apps/sample-app";
    let delta =
        json!({"metadata": {"name": "next"}, "modules": {"add": {"web": {"profile": "humanitec/default-module"}}}});
    let delta = ci.client.post(&format!("{app}/deltas"), delta);
    assert!(matches!(delta.status, 200 | 201), "{}", delta.shown());
    let delta = delta.json();
    let id = delta["id"]
        .as_str()
        .or(delta.as_str())
        .expect("it has an id")
        .to_owned();
    let deploy = json!({"delta_id": id, "comment": "from the pipeline"});
    let deployed = ci
        .client
        .post(&format!("{app}/envs/development/deploys"), deploy.clone())
        .ok(201);
    assert_eq!(deployed["delta_id"], id.as_str(), "{deployed}");
    let refused = ci.client.post(&format!("{app}/envs/production/deploys"), deploy);
    postern.assert_refused(&refused, "not-allowed");
    let run = |env: &str| json!({"trigger": "deployment_request", "inputs": {}, "env_id": env, "delta_id": id});
    let refused = ci.client.post(&format!("{app}/pipeline-runs"), run("production"));
    postern.assert_refused(&refused, "not-allowed");
    ci.client
        .post(&format!("{app}/pipeline-runs"), run("development"))
        .ok(201);
}

fn part(name: &str, more: &str, value: &str) -> String {
    format!("--BOUNDARY\r\nContent-Disposition: form-data; name=\"{name}\"{more}\r\n\r\n{value}\r\n")
}

#[test]
fn an_artefact_contributor_does_nothing_but_contribute() {
    let sandbox = Sandbox::start();
    let postern = Postern::start(&sandbox.url());
    let ci = postern.administrator().with_org_role("artefactContributor");
    ci.client.get("/orgs/acme/registries/humanitec/creds").ok(200);
    for target in [
        "/orgs/acme/apps/sample-app",
        "/orgs/acme/users",
        "/orgs/acme/registries",
    ] {
        postern.assert_refused(&ci.client.get(target), "not-allowed");
    }
    let app = ci.client.post("/orgs/acme/apps", json!({"id": "shop", "name": "Shop"}));
    postern.assert_refused(&app, "not-allowed");
}

#[test]
fn a_manager_makes_service_users_and_apps_and_sees_no_app_of_others() {
    let sandbox = Sandbox::start();
    let postern = Postern::start(&sandbox.url());
    let manager = postern.administrator().with_org_role("manager");
    let ci = manager.client.with_org_role("artefactContributor");
    ci.client.get("/orgs/acme/registries/humanitec/creds").ok(200);
    postern.assert_refused(&manager.client.get("/orgs/acme/apps/sample-app"), "not-allowed");
    manager
        .client
        .post("/orgs/acme/apps", json!({"id": "shop", "name": "Shop"}))
        .ok(201);
    manager.client.get("/orgs/acme/apps/shop").ok(200);
}

#[test]
fn a_manager_neither_makes_nor_changes_nor_speaks_for_an_administrator() {
    let postern = Postern::start("http://127.0.0.1:9");
    let administrator = postern.administrator();
    let manager = administrator.with_org_role("manager");
    let other = administrator.with_org_role("administrator");
    let user = format!("/orgs/acme/users/{}", other.id);
    let answers = [
        manager
            .client
            .post("/orgs/acme/users", json!({"name": "x", "role": "administrator"})),
        manager.client.patch(
            &format!("/orgs/acme/users/{}", manager.id),
            json!({"role": "administrator"}),
        ),
        manager.client.patch(&user, json!({"role": "member"})),
        manager.client.delete(&user),
        manager.client.post(
            &format!("/users/{}/tokens", other.id),
            json!({"id": "x", "type": "static"}),
        ),
        manager.client.delete(&format!("/users/{}/tokens/first", other.id)),
        manager.client.get(&format!("/users/{}/tokens", other.id)),
    ];
    for answer in answers {
        assert_eq!(answer.status, 403, "{}", answer.shown());
    }
    other.client.get("/current-user").ok(200);
}

#[test]
fn a_viewer_reads_an_owner_writes_and_an_org_viewer_reads_everywhere_but_secrets() {
    let sandbox = Sandbox::start();
    let postern = Postern::start(&sandbox.url());
    let administrator = postern.administrator();
    let app = "/orgs/acme/apps/sample-app";
    let on_app = |role| {
        administrator.service_user(Roles {
            org: "member",
            apps: &[("sample-app", role)],
            deploys_to: &[],
        })
    };
    let (viewer, owner) = (on_app("viewer"), on_app("owner"));
    viewer.client.get(app).ok(200);
    postern.assert_refused(&viewer.client.patch(app, json!({"name": "x"})), "not-allowed");
    let value = json!({"key": "K", "value": "v", "is_secret": false, "description": ""});
    postern.assert_refused(
        &viewer.client.post(&format!("{app}/values"), value.clone()),
        "not-allowed",
    );
    owner.client.patch(app, json!({"name": "Renamed"})).ok(200);
    owner.client.post(&format!("{app}/values"), value).ok(201);
    owner
        .client
        .post(&format!("{app}/users"), json!({"id": viewer.id, "role": "developer"}))
        .ok(200);
    let looking = administrator.with_org_role("orgViewer");
    looking.client.get(app).ok(200);
    looking.client.get("/orgs/acme/users").ok(200);
    postern.assert_refused(&looking.client.patch(app, json!({"name": "x"})), "not-allowed");
    postern.assert_refused(
        &looking.client.get("/orgs/acme/registries/humanitec/creds"),
        "not-allowed",
    );
}
