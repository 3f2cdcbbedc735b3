//! The whole story, as an administrator lives it who has read no manual.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::harness::browser::Browser;
use crate::harness::client::Client;
use crate::harness::eventually;
use crate::harness::postern::Postern;
use crate::harness::refusal::assert_refused;
use crate::harness::upstream::Upstream;

#[test]
fn a_service_user_gets_a_token_that_works_until_it_is_revoked() {
    let upstream = Upstream::answering(200, json!([]));
    let postern = Postern::start(&upstream.url());
    let browser = Browser::of(&postern);
    browser.sign_in(&postern, None);
    assert_eq!(browser.path(), "/service-users");
    create(&browser, "CI of the shop", "member");
    give_role(&browser, "developer", "shop");
    give_role(&browser, "deployer", "development");
    browser.assert_reads("App shop");
    browser.assert_reads("Env type development");
    let secret = issue(&browser, "github", "asked for by Jo");
    assert!(secret.starts_with("pstn_"), "{secret}");
    let ci = postern.with_token(&secret);
    assert_eq!(ci.get("/current-user").ok(200)["name"], "CI of the shop");
    assert_eq!(ci.get("/orgs/acme/env-types").status, 200);
    assert_eq!(run(&browser.text_of("#curl"))["name"], "CI of the shop");
    assert!(
        browser
            .text_of("#terraform")
            .contains(&format!("http://{}", postern.address))
    );
    browser.press("I have copied it");
    browser.assert_reads("asked for by Jo");
    browser.press("Revoke github");
    browser.assert_reads("refused with 401");
    browser.press("Revoke token");
    browser.assert_reads("Every gateway refuses it.");
    assert_refused(&ci.get("/current-user"), "token-unknown");
    browser.press("Back to CI of the shop");
    browser.assert_reads("It has no token");
}

#[test]
fn a_disabled_service_user_is_refused_until_it_is_enabled_and_a_deleted_one_for_good() {
    let postern = Postern::start("http://127.0.0.1:9");
    let user = postern.administrator().create_user("ci", "member");
    let ci = postern.with_token(&postern.administrator().create_token(&user, "first"));
    let browser = Browser::of(&postern);
    browser.sign_in(&postern, None);
    browser.press("ci");
    browser.press("Disable");
    browser.assert_reads("Gateways refuse all its tokens");
    wait_for(&ci, 401);
    browser.press("Enable");
    browser.assert_does_not_read("Gateways refuse all its tokens");
    wait_for(&ci, 200);
    browser.press("Delete");
    browser.fill("Type its name to go on", "cd");
    browser.press("Delete service user");
    browser.assert_reads("This is not its name.");
    browser.fill("Type its name to go on", "ci");
    browser.press("Delete service user");
    assert_eq!(browser.path(), "/service-users");
    assert_eq!(
        browser.count("section[aria-label='Service users'] tbody tr"),
        1,
        "{}",
        browser.text()
    );
    wait_for(&ci, 401);
}

#[test]
fn a_secret_is_nowhere_once_its_page_was_left() {
    let postern = Postern::start("http://127.0.0.1:9");
    let browser = Browser::of(&postern);
    browser.sign_in(&postern, None);
    create(&browser, "ci", "member");
    let secret = issue(&browser, "first", "");
    browser.press("I have copied it");
    let left = || {
        let state = browser.run(
            "return JSON.stringify([document.documentElement.outerHTML, location.href, history.state,
                Object.entries(localStorage), Object.entries(sessionStorage), document.cookie,
                performance.getEntries().map((entry) => entry.name)])",
            Vec::new(),
        );
        state.as_str().expect("a text").to_owned()
    };
    assert!(!left().contains(&secret));
    browser.back();
    // What the browser has in the place of the answer to a form is a page of its own, which scripts of tests do not reach.
    let page = json!({"expression": "document.documentElement.outerHTML", "returnByValue": true});
    let shown = browser.command("Runtime.evaluate", page).to_string();
    assert!(!shown.contains(&secret), "the back button shows it: {shown}");
    browser.goto("/service-users");
    assert!(!left().contains(&secret));
    for directory in [postern.directory(), browser.profile()] {
        for file in files(directory) {
            // The browser writes some files anew while we look.
            let Ok(content) = std::fs::read(&file) else { continue };
            let found = content.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{}", file.display());
        }
    }
    let printed = [postern.process.stdout.so_far(), postern.process.stderr.so_far()].concat();
    assert!(!printed.contains(&secret), "{printed}");
}

/// Creates a service user in the browser, and looks at it.
pub(super) fn create(browser: &Browser, name: &str, role: &str) {
    browser.goto("/service-users");
    browser.press("New service user");
    browser.fill("Name", name);
    browser.choose(role);
    browser.press("Create service user");
    assert_eq!(browser.text_of("h1"), name);
}

/// Issues a token of the service user that is looked at, and returns the secret.
pub(super) fn issue(browser: &Browser, id: &str, description: &str) -> String {
    browser.press("New token");
    browser.fill("Id", id);
    browser.fill("Description", description);
    browser.choose("30 days");
    browser.press("Issue token");
    browser.assert_reads("it is shown this once");
    browser.text_of("#secret")
}

/// Waits until the feed has told the gateway: only a revocation waits for that itself.
fn wait_for(caller: &Client, status: u16) {
    eventually("the next answer", || {
        (caller.get("/current-user").status == status).then_some(())
    });
}

fn give_role(browser: &Browser, role: &str, object: &str) {
    browser.pick("select[name=choice]", role);
    browser.fill("Id of the app or env type", object);
    browser.press("Give role");
    assert_eq!(browser.count(".error"), 0, "{}", browser.text());
}

/// Runs a line in a shell; returns what it prints, which is JSON.
fn run(line: &str) -> serde_json::Value {
    let ended = Command::new("bash").args(["-euc", line]).output().expect("bash exists");
    assert!(
        ended.status.success(),
        "{line}: {}",
        String::from_utf8_lossy(&ended.stderr)
    );
    serde_json::from_slice(&ended.stdout).expect("JSON")
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    paths
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .collect()
}
