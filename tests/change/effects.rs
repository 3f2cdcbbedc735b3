//! What happens at the orchestrator and bears on roles reaches the store, at least once and in time.

use std::sync::Mutex;
use std::sync::mpsc;

use serde_json::{Value, json};

use crate::harness::caller::Roles;
use crate::harness::client::{Client, Request, connect};
use crate::harness::eventually;
use crate::harness::postern::{Halves, Postern};
use crate::harness::sandbox::Sandbox;
use crate::harness::upstream::{Reply, Upstream};

const SHOP: &str = "/orgs/acme/apps/shop";

fn create_shop(caller: &Client) {
    caller
        .post("/orgs/acme/apps", json!({"id": "shop", "name": "Shop"}))
        .ok(201);
}

/// Returns who holds a role on an object, with the role.
fn holders(administrator: &Client, object: &str) -> Vec<(String, String)> {
    let listed = administrator.get(&format!("{object}/users")).ok(200);
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let listed = listed.as_array().expect("a list").iter();
    listed
        .map(|holder| (text(&holder["id"]), text(&holder["role"])))
        .collect()
}

#[test]
fn whoever_creates_an_app_owns_it_on_the_next_request() {
    let sandbox = Sandbox::start();
    let postern = Postern::start(&sandbox.url());
    let administrator = postern.administrator();
    let manager = administrator.with_org_role("manager");
    for round in 0..20 {
        let app = format!("app-{round}");
        manager
            .client
            .post("/orgs/acme/apps", json!({"id": app, "name": "An app"}))
            .ok(201);
        assert_eq!(
            manager.client.get(&format!("/orgs/acme/apps/{app}")).status,
            200,
            "round {round}"
        );
        let held = holders(&administrator, &format!("/orgs/acme/apps/{app}"));
        assert_eq!(held, [(manager.id.clone(), "owner".to_owned())]);
    }
}

#[test]
fn an_app_that_could_not_be_created_has_no_owner() {
    let sandbox = Sandbox::start();
    let postern = Postern::start(&sandbox.url());
    let administrator = postern.administrator();
    let manager = administrator.with_org_role("manager");
    let taken = manager
        .client
        .post("/orgs/acme/apps", json!({"id": "sample-app", "name": "Mine"}));
    assert_eq!(taken.status, 409, "{}", taken.shown());
    postern.assert_refused(&manager.client.get("/orgs/acme/apps/sample-app"), "not-allowed");
}

#[test]
fn the_roles_on_an_app_go_with_it_and_do_not_come_back_with_its_name() {
    let sandbox = Sandbox::start();
    let postern = Postern::start(&sandbox.url());
    let administrator = postern.administrator();
    create_shop(&administrator);
    let viewer = administrator.service_user(Roles {
        org: "member",
        apps: &[("shop", "viewer")],
        deploys_to: &[],
    });
    viewer.client.get(SHOP).ok(200);
    administrator.delete(SHOP).ok(204);
    assert_eq!(viewer.client.get(SHOP).status, 403);
    create_shop(&administrator);
    postern.assert_refused(&viewer.client.get(SHOP), "not-allowed");
    let own = administrator.get("/current-user").ok(200);
    let own = own["id"].as_str().expect("an id").to_owned();
    assert_eq!(holders(&administrator, SHOP), [(own, "owner".to_owned())]);
}

#[test]
fn the_roles_on_an_env_type_go_with_it() {
    let sandbox = Sandbox::start();
    let postern = Postern::start(&sandbox.url());
    let administrator = postern.administrator();
    let create = || {
        administrator
            .post("/orgs/acme/env-types", json!({"id": "qa", "description": ""}))
            .ok(201)
    };
    create();
    let ci = administrator.service_user(Roles {
        org: "member",
        apps: &[],
        deploys_to: &["qa"],
    });
    assert_eq!(
        holders(&administrator, "/orgs/acme/env-types/qa"),
        [(ci.id, "deployer".to_owned())]
    );
    administrator.delete("/orgs/acme/env-types/qa").ok(204);
    create();
    assert_eq!(holders(&administrator, "/orgs/acme/env-types/qa"), []);
}

#[test]
fn a_deletion_that_takes_its_time_is_believed_when_the_object_is_gone() {
    let gone = std::sync::Arc::new(Mutex::new(false));
    let state = std::sync::Arc::clone(&gone);
    let upstream = Upstream::start(
        move |received| match (received.method.as_str(), received.target.as_str()) {
            ("DELETE", _) => Reply::empty(202),
            ("GET", SHOP) if *state.lock().expect("held shortly") => Reply::json(404, &json!({})),
            ("GET", "/orgs/acme/apps/shop/envs") => Reply::json(200, &json!([])),
            _ => Reply::json(200, &json!({"id": "shop", "status": "deleting"})),
        },
    );
    let postern = Postern::start(&upstream.url());
    let administrator = postern.administrator();
    let viewer = administrator.service_user(Roles {
        org: "member",
        apps: &[("shop", "viewer")],
        deploys_to: &[],
    });
    administrator.delete(SHOP).ok(202);
    // Whoever deletes it may take long: until it is gone, its roles are what they were.
    eventually("the first look", || (upstream.count("GET", SHOP) > 0).then_some(()));
    viewer.client.get(SHOP).ok(200);
    *gone.lock().expect("held shortly") = true;
    eventually("the end of the roles", || {
        holders(&administrator, SHOP).is_empty().then_some(())
    });
    eventually("its arrival", || (viewer.client.get(SHOP).status == 403).then_some(()));
}

#[test]
fn the_sandboxs_slow_deletions_end_the_roles_too() {
    let sandbox = Sandbox::with(&["--slow-deletions", "1"]);
    let postern = Postern::start(&sandbox.url());
    let administrator = postern.administrator();
    create_shop(&administrator);
    administrator.delete(SHOP).ok(202);
    eventually("the end of the roles", || {
        holders(&administrator, SHOP).is_empty().then_some(())
    });
}

#[test]
fn an_app_made_while_the_admin_service_is_away_gets_its_owner_when_it_is_back() {
    let sandbox = Sandbox::start();
    let halves = Halves::start(&sandbox.url(), &[]);
    let manager = halves.administrator().with_org_role("manager");
    let halves = halves.kill_admin();
    create_shop(&manager.client);
    let halves = halves.start_admin();
    eventually("the role", || (manager.client.get(SHOP).status == 200).then_some(()));
    let held = eventually("the admin service", || {
        Some(halves.administrator().get(&format!("{SHOP}/users"))).filter(|a| a.status == 200)
    });
    assert_eq!(held.ok(200)[0]["id"], manager.id.as_str());
}

#[test]
fn an_effect_outlives_the_gateway_that_saw_it() {
    let sandbox = Sandbox::start();
    let halves = Halves::start(&sandbox.url(), &[]);
    let manager = halves.administrator().with_org_role("manager");
    let halves = halves.kill_admin();
    create_shop(&manager.client);
    let halves = halves.kill_and_restart_gateway().start_admin();
    halves.wait_until_ready();
    let manager = halves.with_token(&manager.token);
    eventually("the role", || (manager.get(SHOP).status == 200).then_some(()));
}

#[test]
fn an_app_whose_creator_hung_up_before_the_answer_gets_its_owner() {
    let (go_on, told) = mpsc::channel::<()>();
    let told = Mutex::new(told);
    let upstream = Upstream::start(move |received| match received.method.as_str() {
        "POST" => {
            told.lock().expect("one asks").recv().expect("the test goes on");
            Reply::json(201, &json!({"id": "shop"}))
        }
        _ => Reply::json(200, &json!({"id": "shop"})),
    });
    let postern = Postern::start(&upstream.url());
    let administrator = postern.administrator();
    let manager = administrator.with_org_role("manager");
    let mut stream = connect(postern.address);
    let create = Request::new("POST", "/orgs/acme/apps").json(&json!({"id": "shop", "name": "Shop"}));
    let create = create.keeping_the_connection();
    std::io::Write::write_all(&mut stream, &manager.client.octets(create)).expect("it takes requests");
    eventually("the request", || {
        (upstream.count("POST", "/orgs/acme/apps") > 0).then_some(())
    });
    drop(stream);
    // Postern has seen the end of the connection once it has answered another request behind it.
    administrator.get("/orgs/acme/env-types").ok(200);
    go_on.send(()).expect("somebody asks");
    eventually("the role", || (manager.client.get(SHOP).status == 200).then_some(()));
}

#[test]
fn a_success_whose_body_cannot_be_read_is_not_told_as_one() {
    let upstream = Upstream::start(|received| match received.method.as_str() {
        "POST" => Reply::Answer(201, Vec::new(), b"<html>created</html>".to_vec()),
        _ => Reply::json(200, &json!([])),
    });
    let postern = Postern::start(&upstream.url());
    let answer = postern
        .administrator()
        .post("/orgs/acme/apps", json!({"id": "shop", "name": "Shop"}));
    postern.assert_refused(&answer, "upstream-failed");
}
