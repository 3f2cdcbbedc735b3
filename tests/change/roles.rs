//! Roles on apps and env types, as the Terraform provider makes, reads, changes and deletes them.

use serde_json::{Value, json};

use crate::harness::postern::Postern;

const PLACES: [(&str, &str, Option<&str>); 2] = [
    ("/orgs/acme/apps/shop/users", "viewer", Some("developer")),
    ("/orgs/acme/env-types/development/users", "deployer", None),
];

#[test]
fn a_role_is_given_read_changed_and_taken_as_terraform_expects() {
    let postern = Postern::start("http://127.0.0.1:9");
    let administrator = postern.administrator();
    let id = administrator.create_user("ci", "member");
    for (place, role, other) in PLACES {
        let held = format!("{place}/{id}");
        assert_eq!(administrator.get(&held).status, 404);
        let given = administrator.post(place, json!({"id": id, "role": role})).ok(200);
        assert_eq!(
            (&given["id"], &given["role"], &given["type"]),
            (&json!(id), &json!(role), &json!("service"))
        );
        for field in ["name", "created_at"] {
            assert!(given[field].is_string(), "{given}");
        }
        assert_eq!(administrator.get(&held).ok(200), given);
        assert_eq!(administrator.get(place).ok(200), json!([given]));
        // Giving what is held already is no error: a repeated apply finds what it wants.
        assert_eq!(
            administrator.post(place, json!({"id": id, "role": role})).ok(200),
            given
        );
        let role = other.unwrap_or(role);
        assert_eq!(administrator.patch(&held, json!({"role": role})).ok(200)["role"], role);
        assert_eq!(administrator.delete(&held).ok(204), Value::Null);
        assert_eq!(administrator.get(&held).status, 404);
        assert_eq!(administrator.patch(&held, json!({"role": role})).status, 404);
        assert_eq!(administrator.delete(&held).status, 404);
    }
}

#[test]
fn a_role_of_another_kind_of_object_or_of_none_cannot_be_given() {
    let postern = Postern::start("http://127.0.0.1:9");
    let administrator = postern.administrator();
    let id = administrator.create_user("ci", "member");
    for (place, role) in [
        ("/orgs/acme/apps/shop/users", "deployer"),
        ("/orgs/acme/apps/shop/users", "administrator"),
        ("/orgs/acme/apps/shop/users", "artefactContributor"),
        ("/orgs/acme/env-types/development/users", "owner"),
        ("/orgs/acme/env-types/development/users", "nothing"),
    ] {
        assert_eq!(
            administrator.post(place, json!({"id": id, "role": role})).status,
            400,
            "{role} at {place}"
        );
    }
    let absent = json!({"id": "s-00000000-0000-4000-8000-000000000000", "role": "viewer"});
    assert_eq!(administrator.post("/orgs/acme/apps/shop/users", absent).status, 404);
}

#[test]
fn only_a_service_user_can_be_an_artefact_contributor() {
    let postern = Postern::start("http://127.0.0.1:9");
    let administrator = postern.administrator();
    let human = json!({"email": "jo@example.com", "role": "artefactContributor"});
    assert_eq!(administrator.post("/orgs/acme/invitations", human).status, 400);
    let group = json!({"group_id": "team", "idp_id": "default", "role": "artefactContributor"});
    assert_eq!(administrator.post("/orgs/acme/groups", group).status, 400);
    administrator
        .post(
            "/orgs/acme/invitations",
            json!({"email": "jo@example.com", "role": "member"}),
        )
        .ok(200);
    let listed = administrator.get("/orgs/acme/users?type=user").ok(200);
    let human = listed
        .as_array()
        .expect("a list")
        .iter()
        .find(|user| user["type"] == "user")
        .expect("they are there");
    let human = human["id"].as_str().expect("an id");
    let given = administrator.patch(
        &format!("/orgs/acme/users/{human}"),
        json!({"role": "artefactContributor"}),
    );
    assert_eq!(given.status, 400, "{}", given.shown());
    // A token for a human would be a way in that nobody signs in by.
    let token = administrator.post(&format!("/users/{human}/tokens"), json!({"id": "x", "type": "static"}));
    assert_eq!(token.status, 400, "{}", token.shown());
}

#[test]
fn an_owner_gives_roles_on_their_app_only() {
    let postern = Postern::start("http://127.0.0.1:9");
    let administrator = postern.administrator();
    let owner = administrator.with_org_role("member");
    administrator.give_app_role("shop", &owner.id, "owner");
    let other = administrator.create_user("other", "member");
    owner
        .client
        .post("/orgs/acme/apps/shop/users", json!({"id": other, "role": "owner"}))
        .ok(200);
    let elsewhere = owner
        .client
        .post("/orgs/acme/apps/bank/users", json!({"id": owner.id, "role": "viewer"}));
    postern.assert_refused(&elsewhere, "not-allowed");
    let deployer = json!({"id": owner.id, "role": "deployer"});
    let on_env_type = owner.client.post("/orgs/acme/env-types/development/users", deployer);
    postern.assert_refused(&on_env_type, "not-allowed");
}
