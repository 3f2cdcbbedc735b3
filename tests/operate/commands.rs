//! The commands that ask a running Postern, as people and scripts use them.

use serde_json::{Value, json};

use crate::harness::held::Refusing;
use crate::harness::postern::Postern;
use crate::harness::process::{Process, postern, run};
use crate::harness::terminal::Terminal;

#[test]
fn a_service_user_is_made_listed_shown_changed_and_deleted() {
    let postern = Postern::start("http://127.0.0.1:9");
    let terminal = Terminal::of_administrator(&postern);
    let table = terminal.done(&[
        "user",
        "create",
        "ci",
        "--role",
        "artefactContributor",
        "--email",
        "ci@example.com",
    ]);
    for word in ["NAME", "ci", "artefactContributor", "ci@example.com"] {
        assert!(table.contains(word), "{word}: {table}");
    }
    let shown = terminal.json(&["user", "show", "ci"]);
    assert_eq!((&shown["name"], &shown["type"]), (&json!("ci"), &json!("service")));
    let id = shown["id"].as_str().expect("an id");
    assert!(terminal.done(&["user", "list"]).contains(id));
    assert_eq!(terminal.json(&["user", "list"]).as_array().map(Vec::len), Some(2));
    terminal.done(&["user", "set-role", "ci", "member"]);
    assert_eq!(terminal.json(&["user", "show", id])["role"], "member");
    terminal.done(&["user", "rename", "ci", "ci of the shop"]);
    terminal.done(&["user", "disable", "ci of the shop"]);
    assert_eq!(terminal.json(&["user", "show", id])["disabled"], true);
    terminal.done(&["user", "enable", id]);
    assert_eq!(terminal.json(&["user", "show", id])["disabled"], json!(null));
    terminal.done(&["user", "rename", id, "ci"]);
    terminal.done(&["user", "delete", "ci"]);
    let gone = terminal.run(&["user", "show", "ci"]);
    assert_eq!(gone.code, Some(1), "{}", gone.stderr);
    assert!(gone.stderr.contains("\"ci\""), "{}", gone.stderr);
}

#[test]
fn a_token_is_printed_by_the_command_that_makes_it_and_by_no_other() {
    let postern = Postern::start("http://127.0.0.1:9");
    let terminal = Terminal::of_administrator(&postern);
    terminal.done(&["user", "create", "ci", "--role", "member"]);
    let arguments = [
        "token",
        "create",
        "ci",
        "first",
        "--description",
        "for CI",
        "--expires-at",
        "2123-04-05T06:07:08Z",
    ];
    let created = terminal.run(&arguments);
    assert_eq!(created.code, Some(0), "{}", created.stderr);
    let token = created.stdout.trim();
    assert!(
        token.starts_with("pstn_") && !token.contains(char::is_whitespace),
        "{token}"
    );
    assert!(!created.stderr.contains(token));
    postern.with_token(token).get("/current-user").ok(200);
    let table = terminal.done(&["token", "list", "ci"]);
    for word in ["first", "for CI", "2123-04-05T06:07:08Z"] {
        assert!(table.contains(word), "{word}: {table}");
    }
    assert_eq!(
        terminal.json(&["token", "show", "ci", "first"])["expires_at"],
        "2123-04-05T06:07:08Z"
    );
    let lasting = terminal.run(&["token", "create", "ci", "second", "--expires-in", "90d", "--json"]);
    let lasting: Value = serde_json::from_str(&lasting.stdout).expect("JSON");
    postern
        .with_token(lasting["token"].as_str().expect("a secret"))
        .get("/current-user")
        .ok(200);
    terminal.done(&["token", "revoke", "ci", "first"]);
    postern.assert_refused(&postern.with_token(token).get("/current-user"), "token-unknown");
}

#[test]
fn roles_are_granted_listed_and_revoked() {
    let postern = Postern::start("http://127.0.0.1:9");
    let terminal = Terminal::of_administrator(&postern);
    terminal.done(&["user", "create", "ci", "--role", "member"]);
    terminal.done(&["role", "grant", "ci", "developer", "--app", "shop"]);
    terminal.done(&["role", "grant", "ci", "deployer", "--env-type", "development"]);
    let held = terminal.json(&["role", "list", "--app", "shop"]);
    assert_eq!(
        (&held[0]["name"], &held[0]["role"]),
        (&json!("ci"), &json!("developer"))
    );
    assert!(
        terminal
            .done(&["role", "list", "--env-type", "development"])
            .contains("deployer")
    );
    assert_eq!(terminal.json(&["role", "list"]).as_array().map(Vec::len), Some(2));
    terminal.done(&["role", "revoke", "ci", "--app", "shop"]);
    assert_eq!(terminal.json(&["role", "list", "--app", "shop"]), json!([]));
}

#[test]
fn a_command_that_is_refused_or_cannot_ask_says_why_with_a_code() {
    let postern = Postern::start("http://127.0.0.1:9");
    let administrator = Terminal::of_administrator(&postern);
    let member = Terminal {
        token: postern.administrator().with_org_role("member").token,
        url: administrator.url.clone(),
    };
    let refused = member.run(&["user", "list"]);
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    assert!(refused.stderr.contains("not-allowed"), "{}", refused.stderr);
    let stranger = Terminal {
        token: "nonsense".to_owned(),
        url: administrator.url.clone(),
    };
    let refused = stranger.run(&["user", "list"]);
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    assert!(!refused.stderr.contains("nonsense"), "{}", refused.stderr);
    let gone = Refusing::bind();
    let nobody = Terminal {
        url: gone.url(),
        token: administrator.token.clone(),
    };
    assert_eq!(nobody.run(&["user", "list"]).code, Some(69));
    let silent = Process::spawn(postern_without_token(&administrator.url)).ended();
    assert_eq!(silent.code, Some(64), "{}", silent.stderr);
    assert!(silent.stderr.contains("POSTERN_TOKEN"), "{}", silent.stderr);
}

fn postern_without_token(url: &str) -> std::process::Command {
    let mut command = postern(["user", "list"]);
    command.env("POSTERN_URL", url);
    command
}

#[test]
fn the_help_of_policies_names_every_command_and_each_says_how_it_is_used() {
    let help = run(["policy", "--help"]);
    assert_eq!(help.code, Some(0), "{}", help.stderr);
    for command in [
        "publish",
        "push",
        "pull",
        "list",
        "inspect",
        "shadow",
        "promote",
        "rollback",
        "remove",
        "attach",
        "guards",
        "detach",
        "settings",
        "fallback",
        "access",
        "diff",
        "explain",
        "decisions",
        "record",
        "components",
    ] {
        let listed = help
            .stdout
            .lines()
            .any(|line| line.split_whitespace().next() == Some(command));
        assert!(listed, "{command}: {}", help.stdout);
        let own = run(["policy", command, "--help"]);
        let example = format!("postern policy {command}");
        assert!(
            own.code == Some(0) && own.stdout.contains(&example),
            "{command}: {}",
            own.stdout
        );
    }
}

#[test]
fn a_command_about_policies_that_cannot_ask_says_why_with_a_code() {
    let no_token = run(["policy", "list", "--org", "acme"]);
    assert_eq!(no_token.code, Some(64));
    assert!(no_token.stderr.contains("POSTERN_TOKEN"), "{}", no_token.stderr);
    let nobody = Terminal {
        url: "http://127.0.0.1:9".to_owned(),
        token: "any".to_owned(),
    };
    assert_eq!(nobody.run(&["policy", "list", "--org", "acme"]).code, Some(69));
    assert_eq!(nobody.run(&["policy", "publish", "no-such-file.wasm"]).code, Some(74));
    assert_eq!(nobody.run(&["policy", "shadow", "freeze"]).code, Some(64));
}

#[test]
fn a_command_ends_without_a_word_when_nobody_reads_what_it_prints() {
    let postern_ = Postern::start("http://127.0.0.1:9");
    let administrator = Terminal::of_administrator(&postern_);
    for arguments in [&["config", "example"][..], &["user", "list"]] {
        let mut command = postern(arguments);
        command.env("POSTERN_URL", &administrator.url);
        command.env("POSTERN_TOKEN", &administrator.token);
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let ended = command.stdout(writer).output().expect("it can be run");
        assert_eq!(ended.status.code(), Some(141), "{arguments:?}");
        assert_eq!(String::from_utf8_lossy(&ended.stderr), "", "{arguments:?}");
    }
}
