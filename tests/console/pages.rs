//! What else there is to look at: decisions, what a service user may do, changes, gateways, members, policies.

use serde_json::{Value, json};

use crate::harness::browser::Browser;
use crate::harness::components::tester;
use crate::harness::eventually;
use crate::harness::postern::Postern;

#[test]
fn each_cell_of_the_matrix_tells_why() {
    let postern = Postern::start("http://127.0.0.1:9");
    let administrator = postern.administrator();
    let ci = administrator.create_user("ci", "member");
    administrator.give_app_role("shop", &ci, "developer");
    administrator.give_deployer("development", &ci);
    let browser = Browser::of(&postern);
    browser.sign_in(&postern, None);
    browser.goto(&format!("/service-users/{ci}"));
    browser.press("What it may do");
    let objects = browser.text_of("thead");
    for object in ["organisation", "app shop", "env type development"] {
        assert!(objects.contains(object), "{objects}");
    }
    browser.goto(&format!("/service-users/{ci}/access?q=createDeployment"));
    browser.press("✓ deployer: why?");
    browser.assert_reads("Allowed by deployer.");
    browser.assert_reads("role deployer on the env type");
    browser.goto(&format!(
        "/service-users/{ci}/access?q=createApplication&outcome=refused"
    ));
    assert_eq!(browser.count("tbody tr"), 1);
    browser.press("✗ not allowed: why?");
    browser.assert_reads("not allowed: no role allows it.");
}

#[test]
fn a_refusal_is_among_the_decisions_and_can_be_asked_about() {
    let postern = Postern::start("http://127.0.0.1:9");
    let administrator = postern.administrator();
    let ci = administrator.create_user("ci", "member");
    let client = postern.with_token(&administrator.create_token(&ci, "first"));
    assert_eq!(
        client.post("/orgs/acme/apps", json!({"id": "x", "name": "x"})).status,
        403
    );
    eventually("the decision", || {
        let told = administrator
            .get("/orgs/acme/decisions?operation=createApplication")
            .ok(200);
        (told.as_array().map(Vec::len) == Some(1)).then_some(())
    });
    let browser = Browser::of(&postern);
    browser.sign_in(&postern, None);
    browser.goto(&format!("/decisions?subject={ci}&outcome=not-allowed"));
    let list = "section[aria-label=Decisions] tbody";
    assert_eq!(browser.count(&format!("{list} tr")), 1);
    assert!(browser.text_of(list).contains("ci"), "it is called by its name");
    browser.press("createApplication");
    browser.assert_reads("Asked again now, it would be the same.");
    administrator
        .patch(&format!("/orgs/acme/users/{ci}"), json!({"role": "manager"}))
        .ok(200);
    browser.goto(&browser.path());
    browser.assert_reads("Asked again now, it would be allowed: by manager.");
    browser.goto("/decisions?outcome=denied");
    browser.assert_reads("No decisions like that");
}

#[test]
fn a_page_of_decisions_that_is_live_is_asked_for_again() {
    let postern = Postern::start("http://127.0.0.1:9");
    let administrator = postern.administrator();
    let ci = administrator.create_user("ci", "member");
    let client = postern.with_token(&administrator.create_token(&ci, "first"));
    let browser = Browser::of(&postern);
    browser.sign_in(&postern, None);
    browser.goto("/decisions");
    browser.press("Live");
    assert_eq!(
        client.post("/orgs/acme/apps", json!({"id": "x", "name": "x"})).status,
        403
    );
    eventually("the decision on the page", || {
        browser.reads("createApplication").then_some(())
    });
    browser.press("Live: stop");
    assert_eq!(browser.path(), "/decisions");
}

#[test]
fn the_audit_log_tells_who_changed_what_and_can_be_taken_away() {
    let postern = Postern::start("http://127.0.0.1:9");
    let administrator = postern.administrator();
    let ci = administrator.create_user("ci", "member");
    for number in 0..60 {
        administrator.create_token(&ci, &format!("token-{number}"));
    }
    let browser = Browser::of(&postern);
    browser.sign_in(&postern, None);
    browser.goto("/audit");
    browser.press("Older changes");
    browser.assert_reads("createServiceUserInOrg");
    browser.goto(&format!("/audit?target=/orgs/acme/users/{ci}"));
    assert_eq!(browser.count("tbody tr"), 1);
    browser.assert_reads("bootstrap-administrator");
    browser.click("details summary");
    browser.assert_reads("\"role\": \"member\"");
    let lines = browser.run_until_called(
        "const done = arguments[0];
         fetch('/audit/export?operation=createUserToken').then((answer) => answer.text()).then(done)",
        Vec::new(),
    );
    let lines: Vec<Value> = lines
        .as_str()
        .expect("a text")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines.len(), 60);
    assert!(
        lines.iter().all(|line| line["operation"] == "createUserToken"),
        "{lines:?}"
    );
}

#[test]
fn gateways_are_told_with_how_far_they_are() {
    let postern = Postern::start("http://127.0.0.1:9");
    let browser = Browser::of(&postern);
    browser.sign_in(&postern, None);
    eventually("a gateway at the newest revision", || {
        browser.goto("/gateways");
        browser.text().contains("All gateways are at revision").then_some(())
    });
    assert!(browser.text_of("tbody").contains("live"), "{}", browser.text());
}

#[test]
fn a_member_is_invited_signs_in_gets_another_role_and_is_removed() {
    let postern = Postern::start("http://127.0.0.1:9");
    let browser = Browser::of(&postern);
    let administrator = browser.sign_in(&postern, None);
    browser.press("Members");
    browser.fill("Email", "not an address");
    browser.press("Invite");
    assert!(!browser.text_of("#email-error").is_empty());
    assert_eq!(browser.value("Email"), "not an address");
    browser.fill("Email", "jo@example.com");
    browser.press("Invite");
    assert!(browser.text_of("tbody").contains("invited"), "{}", browser.text());
    browser.sign_in(&postern, Some("jo@example.com"));
    assert_eq!(browser.text_of("nav.menu"), "", "a member may look at nothing here");
    browser.become_person(&administrator);
    browser.goto("/members");
    assert!(!browser.text_of("tbody").contains("invited"), "{}", browser.text());
    browser.press("jo@example.com");
    browser.pick("select[name=role]", "manager");
    browser.press("Give role");
    assert!(browser.text_of("tbody").contains("manager"), "{}", browser.text());
    browser.press("jo@example.com");
    browser.press("Remove jo@example.com");
    browser.assert_does_not_read("jo@example.com");
    browser.click("tbody a");
    assert!(
        !browser.source().contains("value=\"artefactContributor\""),
        "it is for service users only"
    );
    browser.press("Remove Administrator");
    assert_eq!(
        browser.path(),
        "/sign-in?next=%2Fmembers",
        "whoever removes themselves is out"
    );
}

#[test]
fn a_version_is_published_watched_put_in_force_and_rolled_back() {
    let postern = Postern::start("http://127.0.0.1:9");
    let administrator = postern.administrator();
    let active = || administrator.get("/orgs/acme/policies/tester").ok(200)["active"]["version"].clone();
    let browser = Browser::of(&postern);
    browser.sign_in(&postern, None);
    browser.press("Roles and policies");
    let files = tempfile::tempdir().expect("a directory");
    for (name, content) in [
        ("none.wasm", b"none".to_vec()),
        ("1.wasm", tester("1.0.0")),
        ("2.wasm", tester("1.1.0")),
    ] {
        std::fs::write(files.path().join(name), content).expect("it is written");
        browser.goto("/policies");
        browser.attach("input[name=component]", &files.path().join(name));
        browser.press("Publish");
        let refused = browser.text().contains("The component cannot be a policy.");
        assert_eq!(refused, name == "none.wasm", "{}", browser.text());
    }
    assert_eq!(browser.path(), "/policies/tester");
    browser.press("Watch 1.1.0");
    browser.assert_reads("No decision would have been another one.");
    browser.press("Stop watching");
    browser.press("Put in force 1.1.0");
    assert_eq!(active(), "1.1.0");
    browser.press("Roll back to 1.0.0");
    assert_eq!(active(), "1.0.0");
    browser.goto("/policies/viewer");
    browser.assert_reads("built in");
    assert_eq!(browser.count("main form"), 0);
}
