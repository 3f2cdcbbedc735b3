//! Policies through the gateway and the real binary: published, bound, told of, and there after a kill.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::harness::client::{Answer, Client};
use crate::harness::components::tester;
use crate::harness::postern::Postern;

fn publish(client: &Client, component: &[u8]) -> Answer {
    client.post("/orgs/acme/policies", json!({"component": STANDARD.encode(component)}))
}

#[test]
fn a_role_that_was_published_and_bound_is_there_after_a_kill() {
    let postern = Postern::start("http://127.0.0.1:9");
    let administrator = postern.administrator();
    let published = publish(&administrator, &tester("1.0.0")).ok(201);
    assert_eq!(published["active"]["version"], "1.0.0");
    let robot = administrator.create_user("ci", "member");
    administrator.give_app_role("shop", &robot, "tester");
    let path = format!("/orgs/acme/users/{robot}/access");
    let access = administrator.get(&path).ok(200);
    let postern = postern.kill_and_restart();
    let administrator = postern.administrator();
    let policy = administrator.get("/orgs/acme/policies/tester").ok(200);
    assert_eq!(policy["versions"], published["versions"]);
    assert_eq!(policy["holders"], 1);
    assert_eq!(administrator.get(&path).ok(200), access);
    let rows = access["rows"].as_array().expect("an array");
    let by_tester = |row: &&Value| row["by"] == "tester" && row["outcome"] == "allowed";
    let read: Vec<&Value> = rows.iter().filter(by_tester).map(|row| &row["operation"]).collect();
    assert!(read.contains(&&json!("getApplication")), "{read:?}");
    let component = administrator.get("/orgs/acme/policies/tester/versions/1.0.0/component");
    assert_eq!((component.status, component.body), (200, tester("1.0.0")));
}

#[test]
fn a_policy_may_be_longer_than_other_bodies_and_is_vetted_before_anything_is_written() {
    let postern = Postern::start("http://127.0.0.1:9");
    let administrator = postern.administrator();
    let refused = publish(&administrator, &vec![0; 4 << 20]);
    assert_eq!(refused.refusal(), (400, "component-refused".to_owned()));
    let list = administrator.get("/orgs/acme/policies").ok(200);
    let list = list.as_array().expect("an array");
    assert!(list.iter().all(|policy| policy["builtin"] == true));
}

#[test]
fn what_is_refused_to_a_manager_changes_nothing() {
    let postern = Postern::start("http://127.0.0.1:9");
    let administrator = postern.administrator();
    let manager = administrator.with_org_role("manager").client;
    let refused = publish(&manager, &tester("1.0.0"));
    assert_eq!(refused.refusal(), (403, "not-allowed".to_owned()));
    assert_eq!(
        manager.get("/orgs/acme/policies/tester").refusal(),
        (404, "not-found".to_owned())
    );
    publish(&administrator, &tester("1.0.0")).ok(201);
    assert_eq!(manager.get("/orgs/acme/policies/tester").ok(200)["name"], "tester");
    let body = json!({"fallback": true});
    assert_eq!(
        manager.patch("/orgs/acme/policies/tester", body.clone()).refusal(),
        (403, "not-allowed".to_owned())
    );
    assert_eq!(
        administrator.patch("/orgs/acme/policies/tester", body).ok(200)["fallback"],
        true
    );
    administrator.delete("/orgs/acme/policies/tester").ok(204);
}
