//! What the Terraform provider does with a service user, call by call: exact codes, exact fields.

use serde_json::json;

use crate::harness::{ORG, Plane, assert_timestamp};

#[tokio::test]
async fn a_service_user_with_roles_and_a_token_is_made_changed_and_destroyed() {
    let plane = Plane::start().await;
    let root = &plane.root;

    let body = json!({"name": "test user", "role": "member", "email": "robots@example.com", "type": "service"});
    let user = plane.send(root, "POST", &format!("/orgs/{ORG}/users"), body).await;
    user.assert_ok();
    let id = user.body["id"].as_str().expect("an id").to_owned();
    assert!(id.starts_with("s-") && id.len() == 38, "{id}");
    assert_timestamp(&user.body["created_at"]);
    let profile = json!({"id": id, "name": "test user", "created_at": user.body["created_at"],
                         "type": "service", "email": "robots@example.com"});
    assert_eq!(user.body, profile);

    let path = format!("/orgs/{ORG}/users/{id}");
    let read = plane.ask(root, "GET", &path).await;
    read.assert_ok();
    let mut expected = profile.clone();
    expected["role"] = json!("member");
    assert_eq!(read.body, expected);

    let patched = plane
        .send(root, "PATCH", &path, json!({"role": "artefactContributor"}))
        .await;
    patched.assert_ok();
    expected["role"] = json!("artefactContributor");
    assert_eq!(patched.body, expected);
    assert_eq!(plane.ask(root, "GET", &path).await.body, expected);

    check_roles(&plane, &id).await;

    let tokens = format!("/users/{id}/tokens");
    let expires_at = "2030-04-30T19:47:01Z";
    let definition =
        json!({"id": "deployer", "type": "static", "description": "from Terraform", "expires_at": expires_at});
    let token = plane.send(root, "POST", &tokens, definition.clone()).await;
    token.assert_ok();
    assert!(
        token.body["token"]
            .as_str()
            .is_some_and(|text| text.starts_with("pstn_") && text.len() == 54)
    );
    let path_of_token = format!("{tokens}/deployer");
    let read = plane.ask(root, "GET", &path_of_token).await;
    read.assert_ok();
    assert_timestamp(&read.body["created_at"]);
    assert_eq!(
        read.body,
        json!({"id": "deployer", "type": "static", "description": "from Terraform", "expires_at": expires_at,
               "created_at": read.body["created_at"], "created_by": root.subject})
    );

    // A change of the description replaces the token: deleted, then made again with the same id.
    assert_eq!(plane.ask(root, "DELETE", &path_of_token).await.status, 204);
    plane.send(root, "POST", &tokens, definition).await.assert_ok();

    let destroyed = [
        path_of_token,
        format!("/orgs/{ORG}/apps/web/users/{id}"),
        format!("/orgs/{ORG}/env-types/production/users/{id}"),
        path.clone(),
    ];
    for path in destroyed {
        let answer = plane.ask(root, "DELETE", &path).await;
        assert_eq!(answer.status, 204, "{path}");
        assert!(answer.body.is_null() && answer.revision() > 0);
    }
    plane.ask(root, "GET", &path).await.assert_refused(404, "not-found");
}

#[tokio::test]
async fn a_group_is_made_read_changed_and_destroyed() {
    let plane = Plane::start().await;
    let root = &plane.root;
    let body = json!({"group_id": "engineers", "idp_id": "my-idp", "role": "member"});
    let group = plane.send(root, "POST", &format!("/orgs/{ORG}/groups"), body).await;
    group.assert_ok();
    assert_timestamp(&group.body["created_at"]);
    let id = group.body["id"].as_str().expect("an id").to_owned();
    assert!(id.starts_with("g-"), "{id}");
    assert_eq!(
        group.body,
        json!({"id": id, "group_id": "engineers", "idp_id": "my-idp", "role": "member",
               "created_at": group.body["created_at"]})
    );
    let path = format!("/orgs/{ORG}/users/{id}");
    let read = plane.ask(root, "GET", &path).await;
    read.assert_ok();
    assert_eq!(
        read.body,
        json!({"id": id, "name": "engineers", "type": "group", "idp_id": "my-idp", "role": "member",
               "created_at": group.body["created_at"]})
    );
    let changed = plane.send(root, "PATCH", &path, json!({"role": "orgViewer"})).await;
    changed.assert_ok();
    assert_eq!(changed.body["role"], "orgViewer");
    assert_eq!(plane.ask(root, "DELETE", &path).await.status, 204);
}

async fn check_roles(plane: &Plane, id: &str) {
    let root = &plane.root;
    for (place, first, second) in [
        ("apps/web", "developer", "owner"),
        ("env-types/production", "deployer", "deployer"),
    ] {
        let roles = format!("/orgs/{ORG}/{place}/users");
        let role = plane.send(root, "POST", &roles, json!({"id": id, "role": first})).await;
        role.assert_ok();
        assert_eq!(role.body["role"], first);
        let one = format!("{roles}/{id}");
        assert_eq!(plane.ask(root, "GET", &one).await.body, role.body);
        let changed = plane.send(root, "PATCH", &one, json!({"role": second})).await;
        changed.assert_ok();
        assert_eq!(changed.body["role"], second);
    }
}
