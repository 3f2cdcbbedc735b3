//! Tokens, as the Terraform provider makes, reads, replaces and deletes them.

use serde_json::{Value, json};

use crate::harness::client::Request;
use crate::harness::postern::Postern;

#[test]
fn a_token_is_created_read_and_replaced_as_terraform_expects() {
    let postern = Postern::start("http://127.0.0.1:9");
    let administrator = postern.administrator();
    let id = administrator.create_user("ci", "member");
    let tokens = format!("/users/{id}/tokens");
    let body = json!({"id": "ci", "type": "static", "description": "for CI", "expires_at": "2123-04-05T06:07:08Z"});
    let answer = administrator.post(&tokens, body.clone());
    let created = answer.ok(200);
    assert_eq!(created.as_object().map(serde_json::Map::len), Some(2), "{created}");
    assert_eq!(created["type"], "static");
    assert_eq!(answer.field("cache-control"), Some("no-store"));
    let secret = created["token"].as_str().expect("a secret");
    assert!(secret.len() == 54 && secret.starts_with("pstn_"), "{}", secret.len());
    assert!(secret[5..].bytes().all(|octet| octet.is_ascii_alphanumeric()));

    let token = format!("{tokens}/ci");
    let read = administrator.get(&token).ok(200);
    let own = administrator.get("/current-user").ok(200);
    assert_eq!(
        (&read["id"], &read["type"], &read["description"]),
        (&json!("ci"), &json!("static"), &json!("for CI"))
    );
    assert_eq!(
        (&read["expires_at"], &read["created_by"]),
        (&json!("2123-04-05T06:07:08Z"), &own["id"])
    );
    assert!(read["created_at"].is_string() && read.get("token").is_none(), "{read}");
    assert_eq!(administrator.get(&tokens).ok(200), json!([read]));

    postern.with_token(secret).get("/current-user").ok(200);
    assert_eq!(administrator.post(&tokens, body.clone()).status, 409);
    assert_eq!(administrator.delete(&token).ok(204), Value::Null);
    assert_eq!(administrator.get(&token).status, 404);
    assert_eq!(administrator.delete(&token).status, 404);
    let again = administrator.post(&tokens, body).ok(200)["token"]
        .as_str()
        .expect("a secret")
        .to_owned();
    assert_ne!(again, secret);
    postern.with_token(&again).get("/current-user").ok(200);
    assert_eq!(postern.with_token(secret).get("/current-user").status, 401);
}

#[test]
fn an_expiry_comes_back_octet_for_octet_and_none_is_left_out() {
    let postern = Postern::start("http://127.0.0.1:9");
    let administrator = postern.administrator();
    let id = administrator.create_user("ci", "member");
    let tokens = format!("/users/{id}/tokens");
    for (name, expires_at) in [
        ("whole", "2123-04-05T06:07:08Z"),
        ("zero", "2123-04-05T06:07:08.000Z"),
        ("part", "2123-04-05T06:07:08.120Z"),
    ] {
        administrator
            .post(&tokens, json!({"id": name, "type": "static", "expires_at": expires_at}))
            .ok(200);
        assert_eq!(
            administrator.get(&format!("{tokens}/{name}")).ok(200)["expires_at"],
            expires_at
        );
    }
    administrator.create_token(&id, "never");
    let never = administrator.get(&format!("{tokens}/never")).ok(200);
    assert_eq!((never.get("expires_at"), &never["description"]), (None, &json!("")));
}

#[test]
fn a_definition_that_cannot_be_is_refused() {
    let postern = Postern::start("http://127.0.0.1:9");
    let administrator = postern.administrator();
    let id = administrator.create_user("ci", "member");
    let tokens = format!("/users/{id}/tokens");
    let long = "x".repeat(101);
    let bodies = [
        json!({}),
        json!({"id": "a"}),
        json!({"type": "static"}),
        json!({"id": "a", "type": "jwt"}),
        json!({"id": "", "type": "static"}),
        json!({"id": "a/b", "type": "static"}),
        json!({"id": "..", "type": "static"}),
        json!({"id": "a\nb", "type": "static"}),
        json!({"id": long, "type": "static"}),
        json!({"id": "a", "type": "static", "expires_at": "tomorrow"}),
        json!({"id": "a", "type": "static", "expires_at": "2001-01-01T00:00:00Z"}),
        json!({"id": "a", "type": "static", "expires_at": "2123-02-30T00:00:00Z"}),
        json!({"id": "a", "type": "static", "expires_at": "2123-01-01T00:00:00+00:00"}),
    ];
    for body in bodies {
        let answer = administrator.post(&tokens, body.clone());
        assert_eq!(answer.status, 400, "{body}: {}", answer.shown());
    }
    assert_eq!(administrator.get(&tokens).ok(200), json!([]));
    administrator.create_token(&id, &"x".repeat(100));
}

#[test]
fn a_token_id_of_any_printable_characters_can_be_found_again() {
    let postern = Postern::start("http://127.0.0.1:9");
    let administrator = postern.administrator();
    let id = administrator.create_user("ci", "member");
    let tokens = format!("/users/{id}/tokens");
    for (name, encoded) in [
        ("a b", "a%20b"),
        ("名", "%E5%90%8D"),
        ("a?b#c", "a%3Fb%23c"),
        ("a.b", "a.b"),
        ("a+b", "a+b"),
    ] {
        administrator.create_token(&id, name);
        let path = format!("{tokens}/{encoded}");
        assert_eq!(administrator.get(&path).ok(200)["id"], name);
        administrator.delete(&path).ok(204);
    }
}

#[test]
fn a_token_has_no_rights_of_its_own() {
    let postern = Postern::start("http://127.0.0.1:9");
    let administrator = postern.administrator();
    let ci = administrator.with_org_role("member");
    let body = json!({"id": "x", "type": "static", "role": "administrator", "scopes": ["*"]});
    let token = administrator.post(&format!("/users/{}/tokens", ci.id), body).ok(200);
    let caller = postern.with_token(token["token"].as_str().expect("a secret"));
    postern.assert_refused(&caller.get("/orgs/acme/users"), "not-allowed");
}

#[test]
fn a_token_cannot_be_patched() {
    let postern = Postern::start("http://127.0.0.1:9");
    let administrator = postern.administrator();
    let ci = administrator.with_org_role("member");
    let patch = Request::new("PATCH", &format!("/users/{}/tokens/first", ci.id)).json(&json!({}));
    postern.assert_refused(&administrator.send(patch), "method-not-allowed");
}
