//! Who is shown what, and what the server says when it is asked nevertheless.

use serde_json::json;

use crate::harness::browser::Browser;
use crate::harness::postern::Postern;

#[test]
fn each_role_sees_what_it_may_do() {
    let postern = Postern::start("http://127.0.0.1:9");
    let administrator = postern.administrator();
    let ci = administrator.create_user("ci", "member");
    let top = administrator.create_user("top", "administrator");
    administrator.create_token(&ci, "first");
    let browser = Browser::of(&postern);
    for (role, lists, creates, edits) in [
        ("administrator", true, true, true),
        ("manager", true, true, true),
        ("orgViewer", true, false, false),
        ("member", false, false, false),
    ] {
        invite(&postern, role);
        browser.forget_person();
        browser.sign_in(&postern, Some(&address(role)));
        let menu = browser.text_of("nav.menu");
        assert_eq!(menu.contains("Service users"), lists, "{role}: {menu}");
        browser.goto("/service-users");
        let offered = |what: &str| browser.source().contains(what);
        assert_eq!(offered(">New service user<"), creates, "{role}");
        browser.goto(&format!("/service-users/{ci}"));
        assert_eq!(offered(">Edit<"), edits, "{role}");
        assert_eq!(offered(">New token<"), edits, "{role}");
        browser.goto("/service-users/new");
        assert_eq!(offered(">Create service user<"), creates, "{role}");
        assert_eq!(
            browser.text().contains("None of your roles allows this."),
            !creates,
            "{role}"
        );
    }
    browser.forget_person();
    browser.sign_in(&postern, Some(&address("manager")));
    browser.goto("/service-users/new");
    assert!(
        !browser.source().contains("value=\"administrator\""),
        "a manager gives no role above their own"
    );
    browser.goto(&format!("/service-users/{top}/tokens/new"));
    browser.fill("Id", "mine");
    browser.press("Issue token");
    browser.assert_reads("This needs rights that your own role does not have.");
    assert_eq!(browser.count("#secret"), 0);
}

#[test]
fn what_a_page_does_not_offer_is_refused_when_it_is_sent_nevertheless() {
    let postern = Postern::start("http://127.0.0.1:9");
    let ci = postern.administrator().create_user("ci", "member");
    invite(&postern, "orgViewer");
    let browser = Browser::of(&postern);
    browser.sign_in(&postern, Some(&address("orgViewer")));
    for (path, fields) in [
        ("/service-users".to_owned(), "name=evil&role=member"),
        (
            format!("/service-users/{ci}"),
            "name=evil&role=administrator&seen-name=ci&seen-role=member",
        ),
        (format!("/service-users/{ci}/state"), "disabled=true"),
        (format!("/service-users/{ci}/delete"), "name=ci"),
        (format!("/service-users/{ci}/tokens"), "id=evil&expiry=never"),
        (format!("/service-users/{ci}/roles"), "choice=app:owner&object=shop"),
    ] {
        let status = browser.run_until_called(
            "const [path, body, done] = arguments;
             const headers = {'content-type': 'application/x-www-form-urlencoded'};
             fetch(path, {method: 'POST', body, headers}).then((answer) => done(answer.status))",
            vec![path.as_str().into(), fields.into()],
        );
        assert!(
            [403, 422].contains(&status.as_u64().unwrap_or_default()),
            "{path}: {status}"
        );
    }
    let users = postern.administrator().get("/orgs/acme/service-users").ok(200);
    assert_eq!(users["total"], 2, "{users}");
    let ci = postern
        .administrator()
        .get(&format!("/orgs/acme/service-users/{ci}"))
        .ok(200);
    assert_eq!((&ci["name"], &ci["disabled"]), (&json!("ci"), &json!(false)));
    assert_eq!(ci["roles"].as_array().map(Vec::len), Some(1), "{ci}");
}

fn address(role: &str) -> String {
    format!("{}@example.com", role.to_lowercase())
}

/// Invites a member with a role.
pub(super) fn invite(postern: &Postern, role: &str) {
    let invitation = json!({"email": address(role), "role": role});
    let invited = postern.administrator().post("/orgs/acme/invitations", invitation);
    assert!((200..300).contains(&invited.status), "{}", invited.shown());
}
