//! Coming and going.

use serde_json::json;

use crate::harness::browser::{Browser, sign_in_link};
use crate::harness::postern::Postern;

#[test]
fn a_link_signs_in_once() {
    let postern = Postern::start("http://127.0.0.1:9");
    let browser = Browser::of(&postern);
    browser.goto("/service-users?q=ci");
    assert_eq!(browser.path(), "/sign-in?next=%2Fservice-users%3Fq%3Dci");
    let link = sign_in_link(&postern, None);
    browser.goto_url(&link);
    let code = link.split_once('#').expect("it is behind the #").1;
    let seen = browser.run("return location.href + document.title", Vec::new());
    assert!(
        !seen.as_str().expect("a text").contains(code),
        "it stays in the address: {seen}"
    );
    browser.press("Sign in");
    assert_eq!(browser.path(), "/service-users");
    browser.forget_person();
    browser.goto("/sign-in");
    browser.goto_url(&link);
    browser.press("Sign in");
    browser.assert_reads("This link was used before");
    browser.goto("/service-users");
    assert_eq!(browser.path(), "/sign-in?next=%2Fservice-users");
    assert_eq!(postern.metric("postern_console_sign_ins_total"), 1.0);
    assert_eq!(postern.metric("postern_console_sign_ins_refused_total"), 1.0);
}

#[test]
fn whoever_signs_in_gets_to_where_they_wanted() {
    let postern = Postern::start("http://127.0.0.1:9");
    let browser = Browser::of(&postern);
    browser.goto("/service-users?q=deep");
    let link = sign_in_link(&postern, None);
    browser.fill("Sign-in link", &link);
    browser.press("Sign in");
    assert_eq!(browser.path(), "/service-users?q=deep");
}

#[test]
fn the_cookie_is_out_of_reach_of_scripts_and_of_other_sites() {
    let postern = Postern::start("http://127.0.0.1:9");
    let browser = Browser::of(&postern);
    browser.sign_in(&postern, None);
    assert_eq!(browser.run("return document.cookie", Vec::new()), "");
    let cookies = browser.command("Network.getAllCookies", json!({}));
    let cookie = &cookies["cookies"][0];
    assert_eq!(cookies["cookies"].as_array().map(Vec::len), Some(1), "{cookies}");
    assert_eq!(
        (
            &cookie["secure"],
            &cookie["httpOnly"],
            &cookie["sameSite"],
            &cookie["path"],
            &cookie["session"]
        ),
        (&json!(true), &json!(true), &json!("Strict"), &json!("/"), &json!(true)),
        "{cookie}"
    );
}

#[test]
fn a_session_is_listed_ended_from_another_one_and_left() {
    let postern = Postern::start("http://127.0.0.1:9");
    let browser = Browser::of(&postern);
    let first = browser.sign_in(&postern, None);
    let second = browser.sign_in(&postern, None);
    browser.press("Your sessions");
    assert_eq!(browser.count("tbody tr"), 2);
    browser.assert_reads("Chrome on Linux this one");
    browser.press("End the session of Chrome on Linux");
    assert_eq!(browser.count("tbody tr"), 1);
    browser.become_person(&first);
    browser.goto("/sessions");
    assert_eq!(browser.path(), "/sign-in?next=%2Fsessions");
    browser.become_person(&second);
    browser.goto("/sessions");
    browser.press("Sign out");
    assert_eq!(browser.path(), "/sign-in");
    browser.become_person(&second);
    browser.goto("/sessions");
    assert_eq!(browser.path(), "/sign-in?next=%2Fsessions", "it lives on in the store");
}

#[test]
fn nothing_that_was_typed_is_lost_when_the_session_ends_meanwhile() {
    let postern = Postern::start("http://127.0.0.1:9");
    let browser = Browser::of(&postern);
    let ends = browser.sign_in(&postern, None);
    browser.press("New service user");
    browser.fill("Name", "Typed for <ages> & \"more\"");
    browser.choose("member");
    let form = browser.open_tab();
    let lives = browser.sign_in(&postern, None);
    browser.goto("/sessions");
    browser.press("End the session of Chrome on Linux");
    browser.look_at(form);
    browser.become_person(&ends);
    browser.press("Create service user");
    browser.assert_reads("Your session has ended");
    browser.become_person(&lives);
    browser.press("I have signed in: continue");
    assert_eq!(browser.text_of("h1"), "Typed for <ages> & \"more\"");
}
