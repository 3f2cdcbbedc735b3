//! Service users, as the Terraform provider makes, reads, changes and deletes them.

use serde_json::{Value, json};

use crate::harness::caller::Roles;
use crate::harness::client::Request;
use crate::harness::postern::Postern;

const USERS: &str = "/orgs/acme/users";

/// Returns the names of an object's members, sorted.
fn members(value: &Value) -> Vec<&str> {
    value
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect()
}

#[test]
fn a_service_user_is_created_read_changed_and_deleted_as_terraform_expects() {
    let postern = Postern::start("http://127.0.0.1:9");
    let administrator = postern.administrator();
    let body = json!({"name": "Circle CI", "role": "member", "email": "ci@example.com"});
    let created = administrator.post(USERS, body).ok(200);
    assert_eq!(members(&created), ["created_at", "email", "id", "name", "type"]);
    assert_eq!(created["type"], "service");
    assert_eq!(
        (&created["name"], &created["email"]),
        (&json!("Circle CI"), &json!("ci@example.com"))
    );
    let id = created["id"].as_str().expect("an id");
    let uuid = id.strip_prefix("s-").expect("the id tells the kind");
    assert!(uuid::Uuid::try_parse(uuid).is_ok() && uuid.len() == 36, "{id}");
    let created_at = created["created_at"].as_str().expect("a time");
    assert!(
        chrono::DateTime::parse_from_rfc3339(created_at).is_ok() && created_at.ends_with('Z'),
        "{created_at}"
    );

    let user = format!("{USERS}/{id}");
    let read = administrator.get(&user).ok(200);
    assert_eq!(members(&read), ["created_at", "email", "id", "name", "role", "type"]);
    assert_eq!(
        (&read["role"], &read["created_at"]),
        (&json!("member"), &created["created_at"])
    );
    let changed = administrator.patch(&user, json!({"role": "manager"})).ok(200);
    assert_eq!(changed["role"], "manager");
    assert_eq!(administrator.get(&user).ok(200), changed);
    assert_eq!(administrator.delete(&user).ok(204), Value::Null);
    assert_eq!(administrator.get(&user).status, 404);
    assert_eq!(administrator.delete(&user).status, 404);
}

#[test]
fn two_service_users_may_have_one_name_and_an_email_is_left_out_when_there_is_none() {
    let postern = Postern::start("http://127.0.0.1:9");
    let administrator = postern.administrator();
    let create = || {
        administrator
            .post(USERS, json!({"name": "test user", "role": "member"}))
            .ok(200)
    };
    let (first, second) = (create(), create());
    assert_ne!(first["id"], second["id"]);
    assert_eq!(first.get("email"), None);
}

#[test]
fn a_list_of_users_can_be_told_by_kind() {
    let postern = Postern::start("http://127.0.0.1:9");
    let administrator = postern.administrator();
    administrator.create_user("ci", "member");
    let group = json!({"group_id": "team", "idp_id": "default", "role": "member"});
    let group = administrator.post("/orgs/acme/groups", group).ok(200);
    assert!(
        group["created_at"].is_string() && group["idp_id"] == "default",
        "{group}"
    );
    administrator
        .post(
            "/orgs/acme/invitations",
            json!({"email": "jo@example.com", "role": "member"}),
        )
        .ok(200);
    let kinds = |query: &str| {
        let listed = administrator.get(&format!("{USERS}{query}")).ok(200);
        let mut kinds: Vec<String> = listed
            .as_array()
            .expect("a list")
            .iter()
            .map(|user| user["type"].as_str().expect("a type").to_owned())
            .collect();
        kinds.sort();
        kinds
    };
    // The administrator of the first start is a service user.
    assert_eq!(kinds(""), ["group", "service", "service", "user"]);
    assert_eq!(kinds("?type=user"), ["service", "service", "user"]);
    assert_eq!(kinds("?type=group"), ["group"]);
}

#[test]
fn bad_bodies_are_refused_and_change_nothing() {
    let postern = Postern::start("http://127.0.0.1:9");
    let administrator = postern.administrator();
    let before = administrator.get(USERS).ok(200);
    let bodies = [
        "",
        "[]",
        "{",
        "{}",
        r#"{"name": "ci"}"#,
        r#"{"role": "member"}"#,
        r#"{"name": "", "role": "member"}"#,
        r#"{"name": 7, "role": "member"}"#,
        r#"{"name": "a\u0000b", "role": "member"}"#,
        r#"{"name": "ci", "role": "owner"}"#,
        r#"{"name": "ci", "role": "Member"}"#,
        r#"{"name": "ci", "role": "nothing"}"#,
        r#"{"name": "ci", "role": "member", "email": "nobody"}"#,
    ];
    for body in bodies {
        let request = Request::new("POST", USERS)
            .field("Content-Type", "application/json")
            .body(body);
        let answer = administrator.send(request);
        assert_eq!(answer.status, 400, "{body}: {}", answer.shown());
        let error = answer.json();
        assert!(error["error"].is_string() && error["message"].is_string(), "{error}");
    }
    assert_eq!(administrator.get(USERS).ok(200), before);
}

#[test]
fn fields_that_are_not_the_callers_to_set_are_ignored() {
    let postern = Postern::start("http://127.0.0.1:9");
    let administrator = postern.administrator();
    let body = json!({
        "name": "ci", "role": "member", "id": "s-mine", "type": "user", "org_id": "other", "created_by": "x",
        "created_at": "2000-01-01T00:00:00Z",
    });
    let created = administrator.post(USERS, body).ok(200);
    assert_eq!(created["type"], "service");
    assert!(
        created["id"] != "s-mine" && created["created_at"] != "2000-01-01T00:00:00Z",
        "{created}"
    );
    let user = format!("{USERS}/{}", created["id"].as_str().expect("an id"));
    let changed = administrator
        .patch(
            &user,
            json!({"role": "manager", "email": "other@example.com", "type": "user"}),
        )
        .ok(200);
    assert_eq!(
        (&changed["email"], &changed["type"]),
        (&created["email"], &json!("service"))
    );
}

#[test]
fn the_last_administrator_stays() {
    let postern = Postern::start("http://127.0.0.1:9");
    let administrator = postern.administrator();
    let own = administrator.get("/current-user").ok(200);
    let own = format!("{USERS}/{}", own["id"].as_str().expect("an id"));
    for answer in [
        administrator.delete(&own),
        administrator.patch(&own, json!({"role": "member"})),
    ] {
        assert_eq!(
            answer.refusal(),
            (403, "last-administrator".to_owned()),
            "{}",
            answer.shown()
        );
    }
    let second = administrator.with_org_role("administrator");
    second.client.delete(&own).ok(204);
    let refused = administrator.get("/current-user");
    postern.assert_refused(&refused, "token-unknown");
}

#[test]
fn a_caller_is_told_who_they_are() {
    let postern = Postern::start("http://127.0.0.1:9");
    let roles = Roles {
        org: "member",
        apps: &[("shop", "viewer")],
        deploys_to: &["development"],
    };
    let ci = postern.administrator().service_user(roles);
    let own = ci.client.get("/current-user").ok(200);
    assert_eq!((&own["id"], &own["type"]), (&json!(ci.id), &json!("service")));
    let roles = json!({
        "/orgs/acme": "member",
        "/orgs/acme/apps/shop": "viewer",
        "/orgs/acme/env-types/development": "deployer",
    });
    assert_eq!(own["roles"], roles);
    assert!(own["properties"].is_object() && own["created_at"].is_string(), "{own}");
}

#[test]
fn permissions_are_told_by_object() {
    let postern = Postern::start("http://127.0.0.1:9");
    let administrator = postern.administrator();
    let roles = Roles {
        org: "artefactContributor",
        apps: &[("shop", "viewer")],
        deploys_to: &[],
    };
    let ci = administrator.service_user(roles);
    let told = administrator.get(&format!("{USERS}/{}/perms", ci.id)).ok(200);
    let on = |object: &str| {
        told["objects"][object]["permissions"]
            .as_array()
            .expect("a list")
            .clone()
    };
    assert!(on("/orgs/acme").contains(&json!("registry.creds.read")), "{told}");
    assert!(!on("/orgs/acme").contains(&json!("app.create")), "{told}");
    assert!(on("/orgs/acme/apps/shop").contains(&json!("app.read")), "{told}");
    assert!(!on("/orgs/acme/apps/shop").contains(&json!("app.update")), "{told}");
}
