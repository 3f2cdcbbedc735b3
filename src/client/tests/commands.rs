//! What the commands send and print.

use clap::CommandFactory as _;
use serde_json::{Value, json};

use super::{Asked, Cli, Stub, TOKEN, parse};

const CI: &str = "s-d35b0d0e-8a53-40e9-a329-64e48b7e92e0";
const TWIN: &str = "s-00000000-0000-4000-8000-000000000001";

fn ci() -> Value {
    json!({
        "id": CI, "name": "ci", "type": "service", "role": "member", "created_at": "2023-01-01T00:00:00.000Z",
    })
}

fn users() -> Value {
    let twin = |name: &str| json!({"id": TWIN, "name": name, "type": "service"});
    let other = json!({"id": "s-00000000-0000-4000-8000-000000000002", "name": "twin", "type": "service"});
    json!([ci(), twin("twin"), other])
}

#[tokio::test]
async fn a_list_of_users_is_a_table_or_the_json_of_the_api() {
    let stub = Stub::start().await;
    stub.on("GET /orgs/acme/users", 200, json!([ci()]));
    let table = stub.run("user list").await.expect("an answer");
    let expected = [
        format!(
            "{:<40}{:<6}{:<9}{:<8}{:<7}{:<10}{}",
            "ID", "NAME", "TYPE", "ROLE", "EMAIL", "DISABLED", "CREATED"
        ),
        format!(
            "{CI:<40}{:<6}{:<9}{:<8}{:<7}{:<10}{}",
            "ci", "service", "member", "", "", "2023-01-01T00:00:00.000Z"
        ),
    ];
    assert_eq!(table.out.lines().collect::<Vec<_>>(), expected);
    assert_eq!(table.advice, "");
    let listed = stub.run("user list --json").await.expect("an answer");
    assert_eq!(serde_json::from_str::<Value>(&listed.out).expect("JSON"), json!([ci()]));
    let authorization = Some(format!("Bearer {TOKEN}"));
    let what = "GET /orgs/acme/users".to_owned();
    let body = Value::Null;
    assert_eq!(
        stub.asked()[0],
        Asked {
            what,
            authorization,
            body
        }
    );
}

#[tokio::test]
async fn a_new_user_is_shown_with_its_role_and_the_next_step() {
    let stub = Stub::start().await;
    let mut profile = ci();
    profile.as_object_mut().expect("an object").remove("role");
    stub.on("POST /orgs/acme/users", 200, profile);
    let created = stub
        .run("user create ci --role member --email ops@example.com")
        .await
        .expect("an answer");
    assert!(
        created.out.contains(CI) && created.out.contains("member"),
        "{}",
        created.out
    );
    assert!(created.advice.contains(&format!("postern token create {CI}")));
    assert_eq!(
        stub.asked()[0].body,
        json!({"name": "ci", "role": "member", "email": "ops@example.com"})
    );
}

#[tokio::test]
async fn a_user_is_shown_changed_and_deleted_by_id_without_a_look_up() {
    let stub = Stub::start().await;
    let path = format!("/orgs/acme/users/{CI}");
    stub.on(&format!("GET {path}"), 200, ci());
    stub.on(&format!("PATCH {path}"), 200, ci());
    stub.on(&format!("DELETE {path}"), 204, "");
    assert!(
        stub.run(&format!("user show {CI}"))
            .await
            .expect("an answer")
            .out
            .contains("service")
    );
    assert!(
        stub.run(&format!("user set-role {CI} manager"))
            .await
            .expect("an answer")
            .out
            .contains("member")
    );
    let deleted = stub.run(&format!("user delete {CI}")).await.expect("an answer");
    assert_eq!(deleted.out, format!("deleted {CI}\n"));
    assert_eq!(
        stub.run(&format!("user delete {CI} --json"))
            .await
            .expect("an answer")
            .out,
        ""
    );
    let paths = ["GET", "PATCH", "DELETE", "DELETE"].map(|method| format!("{method} {path}"));
    assert_eq!(stub.paths(), paths);
    assert_eq!(stub.asked()[1].body, json!({"role": "manager"}));
}

#[tokio::test]
async fn a_name_that_one_user_has_stands_for_its_id() {
    let stub = Stub::start().await;
    let delete = format!("DELETE /orgs/acme/users/{CI}");
    stub.on("GET /orgs/acme/users", 200, users()).on(&delete, 204, "");
    stub.run("user delete ci").await.expect("an answer");
    assert_eq!(stub.paths(), ["GET /orgs/acme/users".to_owned(), delete]);
}

#[tokio::test]
async fn a_name_that_nobody_or_several_have_changes_nothing() {
    let stub = Stub::start().await;
    stub.on("GET /orgs/acme/users", 200, users());
    let (code, message) = stub.fail("user delete nobody").await;
    assert_eq!(
        (code, message.as_str()),
        (1, "nobody in acme has the id or the name \"nobody\"")
    );
    let (code, message) = stub.fail("user delete twin").await;
    assert_eq!(code, 1);
    assert!(
        message.contains(TWIN) && message.contains("000000000002") && !message.contains(CI),
        "{message}"
    );
    assert!(stub.paths().iter().all(|path| path.starts_with("GET ")));
}

#[tokio::test]
async fn without_a_word_the_organisation_is_the_only_one_of_the_token() {
    let stub = Stub::start().await;
    let roles = json!({"/orgs/solo": "member", "/orgs/solo/apps/shop": "owner"});
    stub.on("GET /current-user", 200, json!({"roles": roles}));
    stub.on("GET /orgs/solo/users", 200, users());
    let delete = format!("DELETE /orgs/solo/users/{CI}");
    stub.on(&delete, 204, "");
    stub.run_words(&["user", "delete", "ci"]).await.expect("an answer");
    let paths = ["GET /current-user", "GET /orgs/solo/users", delete.as_str()];
    assert_eq!(stub.paths(), paths);

    for (roles, said) in [
        (json!({"/orgs/one": "member", "/orgs/two": "member"}), "one, two"),
        (json!({}), "no role"),
    ] {
        stub.on("GET /current-user", 200, json!({"roles": roles}));
        let Err(error) = stub.run_words(&["user", "list"]).await else {
            panic!("the organisation is not known");
        };
        assert_eq!(error.exit_code(), 64);
        assert!(
            error.to_string().contains("--org") && error.to_string().contains(said),
            "{error}"
        );
    }
}

#[tokio::test]
async fn roles_are_listed_granted_and_revoked_on_the_object_that_was_named() {
    let stub = Stub::start().await;
    for (flag, path) in [
        ("--app shop", "/orgs/acme/apps/shop/users"),
        ("--env-type production", "/orgs/acme/env-types/production/users"),
    ] {
        stub.on(&format!("GET {path}"), 200, json!([ci()]));
        stub.on(&format!("POST {path}"), 200, ci());
        stub.on(&format!("DELETE {path}/{CI}"), 204, "");
        assert!(
            stub.run(&format!("role list {flag}"))
                .await
                .expect("an answer")
                .out
                .contains(CI)
        );
        stub.run(&format!("role grant {CI} developer {flag}"))
            .await
            .expect("an answer");
        assert_eq!(
            stub.asked().last().expect("a request").body,
            json!({"id": CI, "role": "developer"})
        );
        let revoked = stub.run(&format!("role revoke {CI} {flag}")).await.expect("an answer");
        assert!(revoked.out.starts_with(&format!("revoked the role of {CI} on ")));
    }
    stub.on("GET /orgs/acme/users", 200, json!([ci()]));
    assert!(stub.run("role list").await.expect("an answer").out.contains("member"));
    assert_eq!(stub.paths().last().map(String::as_str), Some("GET /orgs/acme/users"));
}

#[tokio::test]
async fn a_new_token_is_alone_on_standard_output() {
    let stub = Stub::start().await;
    let path = format!("POST /users/{CI}/tokens");
    stub.on(&path, 200, json!({"token": "pstn_new", "type": "static"}));
    let created = stub
        .run(&format!("token create {CI} deploy --expires-in 90d --description d"))
        .await;
    let created = created.expect("an answer");
    assert_eq!(created.out, "pstn_new\n");
    assert!(!created.advice.is_empty() && !created.advice.contains("pstn_new"));
    let (mut out, mut advice) = (Vec::new(), Vec::new());
    created.print(&mut out, &mut advice).expect("it is printed");
    assert_eq!((out, advice), (b"pstn_new\n".to_vec(), created.advice.into_bytes()));
    let expected = json!({
        "id": "deploy", "type": "static", "description": "d", "expires_at": "2024-02-12T22:13:20Z",
    });
    assert_eq!(stub.asked()[0].body, expected);

    let json = stub
        .run(&format!("token create {CI} deploy --json"))
        .await
        .expect("an answer")
        .out;
    assert_eq!(serde_json::from_str::<Value>(&json).expect("JSON")["token"], "pstn_new");
    assert_eq!(stub.asked()[1].body, json!({"id": "deploy", "type": "static"}));
    stub.run(&format!("token create {CI} deploy --expires-at 2030-12-31T00:00:00Z"))
        .await
        .expect("an answer");
    assert_eq!(stub.asked()[2].body["expires_at"], "2030-12-31T00:00:00Z");
}

#[tokio::test]
async fn a_token_is_bound_to_the_certificate_of_a_file_and_shown_with_its_thumbprint() {
    let stub = Stub::start().await;
    let path = format!("/users/{CI}/tokens");
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate = rcgen::CertificateParams::default()
        .self_signed(&key)
        .expect("a certificate");
    let thumbprint = feed::Thumbprint::of_certificate(certificate.der()).to_string();
    let bound = json!({"id": "deploy", "type": "static", "cnf": {"x5t#S256": thumbprint}});
    stub.on(
        &format!("POST {path}"),
        200,
        json!({"token": "pstn_new", "type": "static"}),
    );
    stub.on(&format!("GET {path}"), 200, json!([bound]));
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), key.serialize_pem() + &certificate.pem()).expect("it is written");
    let shown = file.path().display();
    let created = stub
        .run(&format!("token create {CI} deploy --certificate {shown}"))
        .await;
    created.expect("an answer");
    assert_eq!(stub.asked()[0].body, bound);
    let listed = stub.run(&format!("token list {CI}")).await.expect("an answer").out;
    let mut last = listed.lines().last().expect("a row").split_whitespace().rev();
    assert_eq!((last.next(), last.next()), (Some("never"), Some(&*thumbprint)));

    std::fs::write(file.path(), key.serialize_pem()).expect("it is written");
    let (code, told) = stub
        .fail(&format!("token create {CI} deploy --certificate {shown}"))
        .await;
    assert_eq!((code, told), (64, format!("{shown} holds no usable certificate")));
}

#[tokio::test]
async fn tokens_are_listed_shown_and_revoked() {
    let stub = Stub::start().await;
    let path = format!("/users/{CI}/tokens");
    let token = |id: &str, expires_at: Value| {
        let mut token = json!({
            "id": id, "description": "", "type": "static", "created_by": "u", "created_at": "2023-01-01T00:00:00.000Z",
        });
        if !expires_at.is_null() {
            token["expires_at"] = expires_at;
        }
        token
    };
    let (forever, zero) = (token("a", Value::Null), token("b", json!("0001-01-01T00:00:00Z")));
    let ending = token("c d", json!("2030-12-31T00:00:00Z"));
    stub.on(&format!("GET {path}"), 200, json!([forever, zero, ending]));
    stub.on(&format!("GET {path}/c%20d"), 200, &ending);
    stub.on(&format!("DELETE {path}/c%20d"), 204, "");
    let listed = stub.run(&format!("token list {CI}")).await.expect("an answer").out;
    let ends: Vec<_> = listed
        .lines()
        .filter_map(|line| line.split_whitespace().last())
        .collect();
    assert_eq!(ends, ["EXPIRES", "never", "never", "2030-12-31T00:00:00Z"]);
    let shown = stub
        .run_words(&["token", "show", CI, "c d"])
        .await
        .expect("an answer")
        .out;
    assert_eq!(shown.lines().last(), listed.lines().last());
    let json = stub
        .run_words(&["token", "show", CI, "c d", "--json"])
        .await
        .expect("an answer")
        .out;
    assert_eq!(serde_json::from_str::<Value>(&json).expect("JSON"), ending);
    let revoked = stub
        .run_words(&["token", "revoke", CI, "c d"])
        .await
        .expect("an answer")
        .out;
    assert_eq!(revoked, format!("revoked c d of {CI}\n"));
}

#[test]
fn a_command_line_that_makes_no_sense_is_refused() {
    for line in [
        "user",
        "user create ci",
        "role grant ci developer",
        "role grant ci developer --app a --env-type b",
        "role revoke ci",
        "role list --app a --env-type b",
        "token create ci deploy --expires-at 2030-12-31T00:00:00Z --expires-in 1d",
        "token create ci",
        "user list --token pstn_x",
    ] {
        assert!(parse(&line.split(' ').collect::<Vec<_>>()).is_err(), "{line}");
    }
    Cli::command().debug_assert();
}

#[test]
fn the_help_of_every_command_has_an_example_and_shows_no_token() {
    for noun in Cli::command().get_subcommands_mut() {
        for command in noun.get_subcommands_mut() {
            let help = command.render_long_help().to_string();
            assert!(help.contains("Example:\n"), "{help}");
            assert!(help.contains("postern "), "{help}");
        }
    }
}
