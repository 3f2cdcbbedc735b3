//! What is typed, what is wrong with it, and who was faster.

use serde_json::json;

use super::roles::invite;
use super::story::create;
use crate::harness::browser::Browser;
use crate::harness::postern::Postern;

#[test]
fn what_is_wrong_stands_beside_the_field_and_what_was_typed_stays() {
    let postern = Postern::start("http://127.0.0.1:9");
    let browser = Browser::of(&postern);
    browser.sign_in(&postern, None);
    browser.press("New service user");
    browser.fill("Name", "ci");
    browser.fill("Email", "not an address");
    browser.choose("member");
    browser.press("Create service user");
    assert!(!browser.text_of("#email-error").is_empty());
    let focused = browser.run("return document.activeElement.id", Vec::new());
    assert_eq!(focused, "email");
    assert_eq!(
        (browser.value("Name").as_str(), browser.value("Email").as_str()),
        ("ci", "not an address")
    );
    assert_eq!(
        browser.run(
            "return document.querySelector('input[value=member]').checked",
            Vec::new()
        ),
        true
    );
    browser.fill("Email", "");
    browser.press("Create service user");
    browser.press("New token");
    browser.fill("Id", "a/b");
    browser.fill("Description", "kept");
    browser.press("Issue token");
    assert!(!browser.text_of("#id-error").is_empty());
    assert_eq!(
        (browser.value("Id").as_str(), browser.value("Description").as_str()),
        ("a/b", "kept")
    );
    browser.fill("Id", "good");
    browser.press("Issue token");
    browser.goto(&browser.path().replace("/tokens", "/tokens/new"));
    browser.fill("Id", "good");
    browser.press("Issue token");
    assert!(
        browser.text_of("#id-error").contains("has a token with this id"),
        "{}",
        browser.text()
    );
}

#[test]
fn a_token_ends_on_the_day_that_was_chosen_or_never() {
    let postern = Postern::start("http://127.0.0.1:9");
    let browser = Browser::of(&postern);
    browser.sign_in(&postern, None);
    create(&browser, "ci", "member");
    let home = browser.path();
    let user = home.trim_start_matches("/service-users/").to_owned();
    for (id, choice) in [("dated", "date"), ("endless", "never")] {
        browser.goto(&format!("{home}/tokens/new"));
        browser.fill("Id", id);
        browser.click(&format!("input[value={choice}]"));
        if choice == "date" {
            browser.put("input[name=date]", "2099-12-31");
        }
        browser.press("Issue token");
    }
    let administrator = postern.administrator();
    let end = |id: &str| administrator.get(&format!("/users/{user}/tokens/{id}")).ok(200)["expires_at"].clone();
    assert_eq!(end("dated"), "2099-12-31T23:59:59Z");
    assert_eq!(end("endless"), json!(null));
    browser.goto(&format!("{home}/tokens/new"));
    browser.fill("Id", "past");
    browser.click("input[value=date]");
    browser.run("document.forms[1].noValidate = true", Vec::new());
    browser.put("input[name=date]", "2001-01-01");
    browser.press("Issue token");
    assert!(!browser.text_of("#date-error").is_empty());
    assert_eq!(browser.value("Id"), "past");
}

#[test]
fn whoever_was_slower_is_told_who_changed_what_and_overwrites_nothing_unseen() {
    let postern = Postern::start("http://127.0.0.1:9");
    invite(&postern, "manager");
    let browser = Browser::of(&postern);
    let slow = browser.sign_in(&postern, None);
    create(&browser, "ci", "member");
    let home = browser.path();
    browser.press("Edit");
    browser.fill("Name", "ci of the slow one");
    let form = browser.open_tab();
    browser.sign_in(&postern, Some("manager@example.com"));
    browser.goto(&format!("{home}/edit"));
    browser.fill("Name", "ci of the fast one");
    browser.choose("artefactContributor");
    browser.press("Save changes");
    assert_eq!(browser.text_of("h1"), "ci of the fast one");
    browser.look_at(form);
    browser.become_person(&slow);
    browser.press("Save changes");
    browser.assert_reads("manager@example.com has changed this service user");
    browser.assert_reads("It is now called ci of the fast one and has the role artefactContributor.");
    assert_eq!(browser.value("Name"), "ci of the slow one");
    let name = || {
        let path = home.replace("/service-users", "/orgs/acme/service-users");
        postern.administrator().get(&path).ok(200)["name"].clone()
    };
    assert_eq!(name(), "ci of the fast one");
    browser.press("Save changes");
    assert_eq!(name(), "ci of the slow one");
}

#[test]
fn a_list_is_searched_narrowed_ordered_and_turned_by_addresses_that_can_be_shared() {
    let postern = Postern::start("http://127.0.0.1:9");
    let administrator = postern.administrator();
    for number in 0..60 {
        administrator.create_user(&format!("robot {number:02}"), "member");
    }
    administrator.create_user("100% of_it", "orgViewer");
    let browser = Browser::of(&postern);
    browser.sign_in(&postern, None);
    browser.assert_reads("1–50 of 62");
    browser.press("Next");
    browser.assert_reads("51–62 of 62");
    browser.back();
    browser.assert_reads("1–50 of 62");
    browser.fill("Name, id or email", "ROBOT 5");
    browser.press("Search");
    assert_eq!(browser.path(), "/service-users?q=ROBOT+5&role=&state=");
    assert_eq!(browser.count("tbody tr"), 10);
    browser.press("Name");
    assert!(
        browser.text_of("tbody tr:first-child").contains("robot 59"),
        "{}",
        browser.text()
    );
    browser.goto("/service-users?q=%25+of_");
    assert_eq!(browser.count("tbody tr"), 1);
    browser.goto("/service-users");
    browser.pick("select[name=role]", "orgViewer");
    assert_eq!(browser.count("tbody tr"), 1);
    browser.goto("/service-users?state=without-token&q=nobody+is+called+this");
    browser.assert_reads("No service user is like that");
}
