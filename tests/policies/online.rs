//! The commands about policies against a running Postern, in the order in which a change is made.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::components::guest;
use crate::harness::eventually;
use crate::harness::postern::{ORG, Postern};
use crate::harness::terminal::Terminal;
use crate::harness::upstream::Upstream;
use crate::policies::workshop::Workshop;

/// A folder with components, and somebody who publishes them.
struct Author {
    folder: TempDir,
    terminal: Terminal,
}

impl Author {
    fn at(postern: &Postern) -> Self {
        Self {
            folder: tempfile::tempdir().expect("a directory"),
            terminal: Terminal::of_administrator(postern),
        }
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, content).expect("it is written");
        path.to_str().expect("a text").to_owned()
    }

    /// Makes a service user that may deploy, with a role on an app.
    fn caller(&self, role: &str) {
        self.terminal.done(&["user", "create", "ci", "--role", "member"]);
        self.terminal.done(&["role", "grant", "ci", role, "--app", "shop"]);
        self.terminal
            .done(&["role", "grant", "ci", "deployer", "--env-type", "development"]);
    }

    fn policy(&self, arguments: &[&str]) -> String {
        self.terminal.done(&[&["policy"], arguments].concat())
    }

    fn json(&self, arguments: &[&str]) -> Value {
        self.terminal.json(&[&["policy"], arguments].concat())
    }

    fn refused(&self, arguments: &[&str]) -> String {
        self.terminal.refused(&[&["policy"], arguments].concat())
    }
}

/// Returns a built-in role under another name, which makes it a role of its own. Names and versions have one length each.
fn role(builtin: &str, name: &str, version: &str) -> Vec<u8> {
    let file = Path::new("policies/builtin").join(builtin).with_extension("wasm");
    let component = fs::read(file).expect("it is built in");
    replaced(component, &format!("{builtin}1.1.0"), &format!("{name}{version}"))
}

/// Returns a guard that refuses the permission which its settings name.
fn freeze(version: &str) -> Vec<u8> {
    replaced(guest("obeys_settings"), "freeze1.0.0", &format!("freeze{version}"))
}

fn replaced(mut component: Vec<u8>, text: &str, other: &str) -> Vec<u8> {
    assert_eq!(text.len(), other.len(), "{text} and {other}");
    let at = component
        .windows(text.len())
        .position(|window| window == text.as_bytes());
    let at = at.unwrap_or_else(|| panic!("the component says {text}"));
    component[at..at + text.len()].copy_from_slice(other.as_bytes());
    component
}

/// A key of these tests alone.
const PRIVATE_KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEIIF50tp8Osre2RKwefKZlpcuizNTeByuocTb3u+6KU9S\n\
    -----END PRIVATE KEY-----\n";
const TRUSTED_KEY: &str = "ci=ZPJvDCdsSA6Cq1GQJbuekNlOkbHNvrUQzHUkjLtHz7M";

/// Settings of [`freeze`].
const FROZEN: &str = r#"{"permission": "app.delete"}"#;

#[test]
fn a_role_is_published_given_compared_promoted_rolled_back_and_removed() {
    let postern = Postern::start("http://127.0.0.1:9");
    let author = Author::at(&postern);
    let old = author.file("old.wasm", guest("reader_one"));
    let new = author.file("new.wasm", guest("reader_two"));
    assert!(author.policy(&["publish", &old]).contains("reader"));
    author.caller("reader");
    author.policy(&["publish", &new]);
    let shown = author.json(&["inspect", "reader"]);
    assert_eq!(
        (&shown["active"]["version"], &shown["holders"]),
        (&json!("1.0.0"), &json!(1))
    );

    let diff = author.policy(&["diff", "ci", "--policy", "reader", "--version", "2.0.0"]);
    assert!(diff.starts_with("this change gives ci "), "{diff}");
    assert!(
        diff.lines()
            .any(|line| line.starts_with('+') && line.contains("/orgs/acme/apps/shop")),
        "{diff}"
    );
    let before = author.json(&["access", "ci"]);
    author.policy(&["promote", "reader", "2.0.0"]);
    let after = author.json(&["access", "ci"]);
    assert_ne!(before["rows"], after["rows"]);
    let from = before["revision"].to_string();
    assert!(
        author
            .policy(&["diff", "ci", "--from", &from])
            .starts_with("this change gives ci ")
    );
    author.policy(&["rollback", "reader"]);
    let back = author.json(&["access", "ci"]);
    assert_eq!(before["rows"], back["rows"]);

    let refused = author.refused(&["remove", "reader"]);
    assert!(
        refused.contains("role-in-use") && refused.contains("1 hold it"),
        "{refused}"
    );
    author.policy(&["remove", "reader", "--bindings", "viewer"]);
    let held = author.terminal.json(&["role", "list", "--app", "shop"]);
    assert_eq!(held[0]["role"], "viewer");
}

#[test]
fn a_guard_is_published_attached_set_and_detached() {
    let postern = Postern::start("http://127.0.0.1:9");
    let author = Author::at(&postern);
    let component = author.file("freeze.wasm", freeze("1.0.0"));
    author.policy(&["publish", &component]);
    let settings = author.file("settings.json", FROZEN);
    let wrong = author.file("wrong.json", "{}");
    let refused = author.refused(&["attach", "freeze", "--settings", &wrong]);
    assert!(
        refused.contains("settings-invalid") && refused.contains("permission"),
        "{refused}"
    );
    author.policy(&["attach", "freeze", "--app", "shop", "--settings", &settings]);
    let guards = author.json(&["guards"]);
    assert_eq!(guards[0]["scope"], format!("/orgs/{ORG}/apps/shop"));
    let id = guards[0]["id"].as_str().expect("an id");
    let other = author.file("other.json", r#"{"permission": "app.read"}"#);
    author.policy(&["settings", "--guard", id, &other]);
    assert_eq!(author.json(&["guards"])[0]["settings"]["permission"], "app.read");
    let refused = author.refused(&["remove", "freeze"]);
    assert!(refused.contains("policy-attached") && refused.contains(id), "{refused}");
    author.policy(&["detach", id]);
    author.policy(&["remove", "freeze"]);
    assert_eq!(author.json(&["guards"]), json!([]));
}

#[test]
fn what_would_be_decided_is_explained_without_a_request() {
    let postern = Postern::start("http://127.0.0.1:9");
    let author = Author::at(&postern);
    let component = author.file("freeze.wasm", freeze("1.0.0"));
    author.policy(&["publish", &component]);
    author.policy(&["attach", "freeze", "--settings", &author.file("settings.json", FROZEN)]);
    author.caller("owner");
    let explain = [
        "explain",
        "--subject",
        "ci",
        "--operation",
        "deleteApplication",
        "--parameter",
        "appId=shop",
    ];
    let explained = author.policy(&explain);
    for line in [
        "owner on the app",
        "role owner, held on the app",
        "outcome    denied by guard freeze: frozen",
    ] {
        assert!(explained.contains(line), "{line}: {explained}");
    }
    let listed = author.json(&["access", "ci"]);
    let rows = listed["rows"].as_array().expect("rows");
    let row = rows
        .iter()
        .find(|row| row["operation"] == "deleteApplication" && row["object"] == "/orgs/acme/apps/shop");
    assert_eq!(
        row.map(|row| (&row["outcome"], &row["by"])),
        Some((&json!("denied"), &json!("freeze")))
    );
}

#[test]
fn a_component_is_signed_as_it_is_published_and_one_that_is_not_is_refused() {
    let key = tempfile::tempdir().expect("a directory");
    let pem = key.path().join("ci.pem");
    fs::write(&pem, PRIVATE_KEY).expect("it is written");
    let postern = Postern::with("http://127.0.0.1:9", &["--policy-trusted-keys", TRUSTED_KEY]);
    let author = Author::at(&postern);
    let component = author.file("reader.wasm", role("viewer", "reader", "1.2.0"));
    let refused = author.refused(&["publish", &component]);
    assert!(
        refused.contains("policy-unsigned") && refused.contains("--sign-key"),
        "{refused}"
    );
    let sign = ["publish", &component, "--sign-key", pem.to_str().expect("a text")];
    let refused = author.refused(&[&sign[..], &["--key-name", "other"]].concat());
    assert!(refused.contains("policy-signature-invalid"), "{refused}");
    author.policy(&sign);
    let active = &author.json(&["inspect", "reader"])["active"];
    assert_eq!(
        (&active["signed_by"], &active["signature_verified"]),
        (&json!("ci"), &json!(true))
    );
}

#[test]
fn a_signature_that_no_trusted_key_vouches_for_is_shown_as_unverified() {
    let key = tempfile::tempdir().expect("a directory");
    let pem = key.path().join("ci.pem");
    fs::write(&pem, PRIVATE_KEY).expect("it is written");
    let postern = Postern::start("http://127.0.0.1:9");
    let author = Author::at(&postern);
    let component = author.file("reader.wasm", role("viewer", "reader", "1.2.0"));
    author.policy(&["publish", &component, "--sign-key", pem.to_str().expect("a text")]);
    let shown = author.policy(&["inspect", "reader"]);
    assert!(shown.contains("ci (unverified)"), "{shown}");
}

#[test]
fn a_refused_request_is_explained_by_its_decision_and_recorded_for_replay() {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::start(&upstream.url());
    let author = Author::at(&postern);
    let component = author.file("freeze.wasm", freeze("1.0.0"));
    author.policy(&["publish", &component]);
    author.policy(&["attach", "freeze", "--settings", &author.file("settings.json", FROZEN)]);
    let refused = eventually("the guard in force", || {
        let answer = postern.administrator().delete(&format!("/orgs/{ORG}/apps/shop"));
        (answer.status == 403).then(|| answer.json())
    });
    let id = refused["details"]["decision_id"]
        .as_str()
        .expect("a decision id")
        .to_owned();
    let explained = eventually("the decision on record", || {
        let ended = author.terminal.run(&["policy", "explain", &id]);
        (ended.code == Some(0)).then_some(ended.stdout)
    });
    for line in [
        &format!("decision {id}"),
        "operation  deleteApplication",
        "denied by guard freeze: frozen",
    ] {
        assert!(explained.contains(line), "{line}: {explained}");
    }
    let listed = author.json(&["decisions", "--outcome", "denied"]);
    assert!(
        listed
            .as_array()
            .is_some_and(|listed| listed.iter().any(|one| one["id"] == *id)),
        "{listed}"
    );
    let recorded: Value = serde_json::from_str(&author.policy(&["record", &id])).expect("JSON");
    let digest = recorded["answers"]
        .as_array()
        .and_then(|answers| answers.last()?["policy"].as_str());
    let folder = author.folder.path().join("components");
    author.policy(&["components", folder.to_str().expect("a text")]);
    let file = folder
        .join(digest.expect("a component was asked"))
        .with_extension("wasm");
    assert_eq!(fs::read(file).expect("it is there"), freeze("1.0.0"));
}

#[test]
fn what_a_role_allows_is_told_without_anybody_who_holds_it() {
    let postern = Postern::start("http://127.0.0.1:9");
    let author = Author::at(&postern);
    let allowed = |table: &Value| -> Vec<String> {
        let rows = table["rows"].as_array().expect("rows").iter();
        let rows = rows.filter(|row| row["outcome"] == "allowed");
        rows.map(|row| format!("{} {}", row["operation"], row["object"]))
            .collect()
    };
    author.terminal.done(&["user", "create", "ci", "--role", "member"]);
    author.terminal.done(&["role", "grant", "ci", "viewer", "--app", "any"]);
    let held = author.json(&["access", "ci"]);
    let on_app = |row: &String| row.contains("/apps/any");
    let of_holder: Vec<String> = allowed(&held).into_iter().filter(on_app).collect();
    let of_role = author.json(&["access", "--role", "viewer@app"]);
    assert!(!of_holder.is_empty());
    assert_eq!(allowed(&of_role), of_holder);

    // A component that is nowhere yet, against the version that is in force, and against another file.
    let (old, new) = (
        author.file("old.wasm", guest("reader_one")),
        author.file("new.wasm", guest("reader_two")),
    );
    author.policy(&["publish", &old]);
    author.policy(&["publish", &new]);
    let online = author.policy(&["diff", "--role", "reader@app", "--versions", "reader:2.0.0"]);
    assert!(online.starts_with("this change gives reader@app "), "{online}");
    let offline = ["diff", "--role", "reader@app", "--policies", &old, "--with", &new];
    let mut alone = crate::harness::process::postern([&["policy"], &offline[..]].concat());
    let alone = alone.output().expect("it can be run");
    let alone = String::from_utf8(alone.stdout).expect("text");
    assert_eq!(alone.lines().next(), online.lines().next());
    let said = author.refused(&["access", "--role", "viewer@env-type"]);
    assert!(said.contains("can be held on"), "{said}");
}

#[test]
fn a_role_that_must_have_settings_is_published_with_them_or_not_at_all() {
    let postern = Postern::start("http://127.0.0.1:9");
    let author = Author::at(&postern);
    let schema = r#"{"type":"object","properties":{"act":{"type":"string"}}}"#;
    let demanding = r#"{"type":"object","required":["act"]}"#;
    let demanding = format!("{demanding:width$}", width = schema.len());
    let component = replaced(guest("acts_as_set"), schema, &demanding);
    let file = author.file("acts.wasm", component);
    let refused = author.refused(&["publish", &file]);
    assert!(refused.contains("act"), "{refused}");
    let settings = author.file("settings.json", r#"{"act": "none"}"#);
    author.policy(&["publish", &file, "--settings", &settings]);
    let listed = author.json(&["list"]);
    let own = listed
        .as_array()
        .expect("a list")
        .iter()
        .find(|policy| policy["builtin"] == false);
    assert_eq!(own.expect("it is there")["settings"], json!({"act": "none"}));
}

#[test]
fn the_version_before_stands_in_for_one_that_fails_when_the_operator_says_so() {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::start(&upstream.url());
    let (author, workshop) = (Author::at(&postern), Workshop::new());
    workshop.made_of_c("guard", "ticket", &[]);
    let traps = (
        "return POSTERN_TEXT(\"deletions need a ticket: send the header x-change-ticket\");",
        "__builtin_trap();",
    );
    workshop.made_of_c_in("second", ("guard", "ticket"), &[("\"0.1.0\"", "\"0.2.0\""), traps]);
    let file = |folder: &str| {
        workshop
            .path(folder)
            .join("ticket.wasm")
            .to_str()
            .expect("a text")
            .to_owned()
    };
    author.policy(&["publish", &file("ticket")]);
    author.policy(&["attach", "ticket"]);
    author.policy(&["publish", &file("second"), "--activate"]);
    let delete = || postern.administrator().delete(&format!("/orgs/{ORG}/apps/shop"));
    postern.assert_refused(&delete(), "policy-fault");
    author.policy(&["fallback", "ticket", "on"]);
    let refused = delete();
    postern.assert_refused(&refused, "guard-denied");
    assert!(
        refused.ok(403)["message"]
            .as_str()
            .is_some_and(|reason| reason.contains("ticket"))
    );
    author.policy(&["fallback", "ticket", "off"]);
    postern.assert_refused(&delete(), "policy-fault");
}
