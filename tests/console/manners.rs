//! Keyboard, narrow and wide, light and dark, assistive technology, long names, ten thousand rows.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};

use super::story::create;
use crate::harness::browser::Browser;
use crate::harness::postern::Postern;

#[test]
fn every_page_works_for_assistive_technology_on_narrow_and_wide_screens_light_and_dark() {
    let postern = Postern::start("http://127.0.0.1:9");
    let administrator = postern.administrator();
    let long = "x".repeat(100);
    let arabic = "خدمة البناء للمتجر";
    administrator.create_user(&long, "member");
    let ci = administrator.create_user(arabic, "member");
    administrator.create_token(&ci, "first");
    administrator.give_app_role("shop", &ci, "developer");
    let browser = Browser::of(&postern);
    browser.goto("/sign-in");
    check_all(&browser);
    browser.sign_in(&postern, None);
    for path in pages(&ci) {
        browser.goto(&path);
        check_all(&browser);
    }
    browser.goto(&format!("/service-users/{ci}/tokens/new"));
    browser.fill("Id", "second");
    browser.press("Issue token");
    check_all(&browser);
    browser.goto(&format!("/service-users/{ci}/tokens/second/revoke"));
    browser.press("Revoke token");
    check_all(&browser);
}

/// Pages that can be looked at without changing anything.
fn pages(user: &str) -> Vec<String> {
    let own = ["", "/edit", "/delete", "/tokens/new", "/tokens/first/revoke", "/access"];
    let own = own.map(|end| format!("/service-users/{user}{end}"));
    let others = [
        "/service-users",
        "/service-users?q=nobody",
        "/service-users/new",
        "/sessions",
        "/members",
        "/policies",
        "/policies/deployer",
        "/decisions",
        "/audit",
        "/gateways",
        "/nothing",
    ];
    others.into_iter().map(str::to_owned).chain(own).collect()
}

/// Has a page looked at, in all the ways that it is shown.
fn check_all(browser: &Browser) {
    for scheme in ["light", "dark"] {
        browser.prefer(scheme);
        assert_accessible(browser, scheme);
    }
    for width in [360, 1600] {
        browser.resize(width, 900);
        let wide = browser.run("return document.documentElement.scrollWidth", Vec::new());
        assert!(
            wide.as_u64() <= Some(u64::from(width)),
            "{} is {wide} wide at {width}",
            browser.path()
        );
    }
    browser.resize(360, 900);
    assert_accessible(browser, "narrow");
    browser.resize(1280, 900);
}

/// Has axe-core look for what keeps people from using a page.
fn assert_accessible(browser: &Browser, shown: &str) {
    browser.run(axe(), Vec::new());
    let found = browser.run_until_called(
        "const done = arguments[0];
         axe.run().then(({violations}) => done(violations.filter((one) => ['serious', 'critical'].includes(one.impact))
             .map((one) => [one.id, ...one.nodes.map((node) => node.html + ' ' + node.failureSummary)])))",
        Vec::new(),
    );
    assert_eq!(found, json!([]), "{} ({shown})", browser.path());
}

/// Returns the source of axe-core.
fn axe() -> &'static str {
    static SOURCE: OnceLock<String> = OnceLock::new();
    SOURCE.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("axe-core");
        let source = folder.join("node_modules/axe-core/axe.min.js");
        let package = folder.join("node_modules/axe-core/package.json");
        let version = |text: String| {
            serde_json::from_str::<Value>(&text)
                .ok()
                .map(|package| package["version"].clone())
        };
        let there = std::fs::read_to_string(package).ok().and_then(version);
        if there != Some(json!(AXE_VERSION)) {
            std::fs::create_dir_all(&folder).expect("a directory");
            let mut npm = Command::new("npm");
            npm.args([
                "install",
                "--no-save",
                "--no-audit",
                "--no-fund",
                "--ignore-scripts",
                "--prefix",
            ]);
            npm.arg(&folder).arg(format!("axe-core@{AXE_VERSION}"));
            let ended = npm.output().expect("npm is installed");
            assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        }
        std::fs::read_to_string(source).expect("it was installed")
    })
}

const AXE_VERSION: &str = "4.10.3";

#[test]
fn a_service_user_is_made_without_a_mouse() {
    let postern = Postern::start("http://127.0.0.1:9");
    let browser = Browser::of(&postern);
    browser.sign_in(&postern, None);
    browser.run("document.activeElement.blur()", Vec::new());
    assert_eq!(browser.tab(), "Skip to the content");
    browser.enter();
    assert_eq!(browser.tab(), "New service user");
    browser.enter();
    assert_eq!(browser.path(), "/service-users/new");
    browser.fill("Name", "by keys");
    let mut at = String::new();
    for _ in 0..4 {
        at = browser.tab();
        if at == "Create service user" {
            break;
        }
        browser.space();
    }
    assert_eq!(at, "Create service user");
    browser.enter();
    assert_eq!(browser.text_of("h1"), "by keys");
}

#[test]
fn times_are_in_the_zone_of_the_viewer_with_the_exact_utc_in_the_title() {
    let postern = Postern::start("http://127.0.0.1:9");
    let browser = Browser::of(&postern);
    browser.command("Emulation.setTimezoneOverride", json!({"timezoneId": "Asia/Kathmandu"}));
    browser.sign_in(&postern, None);
    create(&browser, "ci", "member");
    let created = browser.run(
        "const time = document.querySelector('time');
         const zone = new Intl.DateTimeFormat(undefined, {dateStyle: 'medium', timeStyle: 'short', timeZone: 'Asia/Kathmandu'});
         return [time.textContent, zone.format(new Date(time.dateTime)), time.title]",
        Vec::new(),
    );
    assert_eq!(created[0], created[1]);
    assert!(created[2].as_str().expect("a text").ends_with(" UTC"), "{created}");
    browser.command("Emulation.setTimezoneOverride", json!({"timezoneId": ""}));
}

#[test]
fn everything_but_the_copy_buttons_works_without_scripts() {
    let postern = Postern::start("http://127.0.0.1:9");
    let browser = Browser::of(&postern);
    browser.sign_in(&postern, None);
    browser.command("Emulation.setScriptExecutionDisabled", json!({"value": true}));
    browser.goto("/service-users");
    browser.press_where_scripts_do_not_run("New service user");
    browser.fill("Name", "plain");
    browser.choose("member");
    browser.press_where_scripts_do_not_run("Create service user");
    let heading = browser.text_of("h1");
    browser.command("Emulation.setScriptExecutionDisabled", json!({"value": false}));
    assert_eq!(heading, "plain");
}
