//! Names and descriptions that would be scripts; requests that come from elsewhere.

use serde_json::json;

use crate::harness::browser::Browser;
use crate::harness::client::Answer;
use crate::harness::postern::Postern;
use crate::harness::raw::{Cut, send_cut};

/// What runs where a text is taken for anything else.
const PAYLOADS: [&str; 40] = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\"><script>alert(1)</script>",
    "'><script>alert(1)</script>",
    "<svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<iframe srcdoc=\"<script>parent.alert(1)</script>\">",
    "<iframe src=javascript:alert(1)>",
    "javascript:alert(1)",
    "<a href=javascript:alert(1)>here</a>",
    "\" onmouseover=alert(1) x=\"",
    "' onmouseover=alert(1) x='",
    "\" autofocus onfocus=alert(1) x=\"",
    "\" style=animation-name:x onanimationstart=alert(1) x=\"",
    "</title><script>alert(1)</script>",
    "</textarea><script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "</option></select><img src=x onerror=alert(1)>",
    "<body onload=alert(1)>",
    "<details open ontoggle=alert(1)>",
    "<video><source onerror=alert(1)>",
    "<audio src=x onerror=alert(1)>",
    "<object data=javascript:alert(1)>",
    "<embed src=javascript:alert(1)>",
    "<math><mi xlink:href=javascript:alert(1)>x",
    "<form action=javascript:alert(1)><button>go",
    "<button formaction=javascript:alert(1)>go",
    "<input autofocus onfocus=alert(1)>",
    "<meta http-equiv=refresh content='0;url=javascript:alert(1)'>",
    "<base href=//evil.example>",
    "<link rel=stylesheet href=//evil.example>",
    "<style>@import '//evil.example'</style>",
    "{{7*7}}${alert(1)}#{alert(1)}",
    "{% raw %}<script>alert(1)</script>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "<img src=x:alert(alt) onerror=eval(src) alt=1>",
    "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">",
    "<!--><img src=x onerror=alert(1)>-->",
    "`;alert(1);//",
];

#[test]
fn payloads_in_every_text_field_are_text_and_run_nothing() {
    let postern = Postern::start("http://127.0.0.1:9");
    let administrator = postern.administrator();
    let mut users = Vec::new();
    for payload in PAYLOADS {
        let user = administrator.create_user(payload, "member");
        let token = json!({"id": payload.replace(['/', '%', '\\'], "|"), "type": "static", "description": payload});
        administrator.post(&format!("/users/{user}/tokens"), token).ok(200);
        users.push(user);
    }
    let browser = Browser::of(&postern);
    browser.sign_in(&postern, None);
    check(&browser, &PAYLOADS);
    for (payload, user) in PAYLOADS.iter().zip(&users) {
        browser.goto(&format!("/service-users/{user}"));
        assert_eq!(browser.text_of("h1"), *payload);
        check(&browser, &[payload, payload]);
    }
    // What a form says again, several at once: a page for each would take minutes.
    let user = &users[0];
    for text in together() {
        browser.goto(&format!("/service-users/{user}"));
        without_checks(&browser, "input[name=object]");
        browser.put("input[name=object]", &text);
        browser.press("Give role");
        assert_eq!(browser.value("Id of the app or env type"), text);
        check(&browser, &[]);
        browser.goto(&format!("/service-users/{user}/tokens/new"));
        browser.put("input[name=id]", &format!("{text}/"));
        browser.put("input[name=description]", &text);
        browser.press("Issue token");
        assert_eq!(browser.value("Description"), text);
        check(&browser, &[]);
        browser.goto("/service-users/new");
        without_checks(&browser, "input[name=name]");
        browser.put("input[name=name]", &text);
        browser.put("input[name=email]", &text);
        browser.press("Create service user");
        assert_eq!(browser.value("Name"), text);
        check(&browser, &[]);
    }
    // A search, and the end of a session.
    for payload in &PAYLOADS[..8] {
        browser.goto("/service-users");
        browser.put("input[name=q]", payload);
        browser.press("Search");
        assert_eq!(browser.value("Name, id or email"), *payload);
        check(&browser, &[payload]);
    }
    browser.goto("/service-users/new");
    browser.put("input[name=name]", PAYLOADS[2]);
    browser.choose("member");
    browser.forget_person();
    browser.press("Create service user");
    browser.assert_reads("Your session has ended");
    check(&browser, &[]);
}

/// Returns the payloads, as many in one text as a field takes.
fn together() -> Vec<String> {
    let mut texts = vec![String::new()];
    for payload in PAYLOADS {
        let last = texts.last_mut().expect("there is one");
        if last.len() + payload.len() < FIELD_CHARS_MAX {
            last.push_str(payload);
        } else {
            texts.push(payload.to_owned());
        }
    }
    texts
}

/// Longest name, less what is put behind it here.
const FIELD_CHARS_MAX: usize = 98;

/// Has the browser send a form whatever is in it.
fn without_checks(browser: &Browser, field: &str) {
    let script = format!("document.querySelector('{field}').form.noValidate = true");
    browser.run(&script, Vec::new());
}

/// Checks that a page shows texts as they are, and holds nothing that they would have made.
#[track_caller]
fn check(browser: &Browser, texts: &[&str]) {
    let page = browser.run("return document.body.textContent", Vec::new());
    let page = page.as_str().expect("a text");
    for text in texts {
        assert!(page.contains(text), "no {text} on {}", browser.path());
    }
    let made = browser.run(
        "return [...document.querySelectorAll('*')].filter((one) =>
            ['IFRAME', 'OBJECT', 'EMBED', 'BASE', 'STYLE', 'VIDEO', 'AUDIO', 'MATH'].includes(one.tagName)
            || (one.tagName.toLowerCase() === 'svg' && !one.closest('.plot'))
            || (one.tagName === 'SCRIPT' && !one.getAttribute('src')?.startsWith('/assets/'))
            || (one.tagName === 'IMG' && !one.getAttribute('src').startsWith('/assets/'))
            || [...one.attributes].some((own) => own.name.startsWith('on') || /^javascript:/i.test(own.value) && own.name !== 'value')
        ).map((one) => one.outerHTML)",
        Vec::new(),
    );
    assert_eq!(made, json!([]), "{}", browser.path());
}

#[test]
fn a_script_or_a_style_that_got_into_a_page_would_not_run() {
    let postern = Postern::start("http://127.0.0.1:9");
    let browser = Browser::of(&postern);
    browser.sign_in(&postern, None);
    let ran = browser.run(
        "window.ran = [];
         const script = document.createElement('script');
         try { script.text = 'window.ran.push(1)'; document.body.append(script); } catch { window.ran.push('refused'); }
         try { document.body.innerHTML = '<img src=x onerror=window.ran.push(2)>'; } catch { window.ran.push('refused'); }
         return window.ran",
        Vec::new(),
    );
    assert_eq!(ran, json!(["refused", "refused"]));
}

#[test]
fn a_change_that_another_site_asks_for_is_refused() {
    let postern = Postern::start("http://127.0.0.1:9");
    let url = postern.console_url();
    let browser = Browser::of(&postern);
    let cookie = browser.sign_in(&postern, None).cookie();
    let post = |fields: &[(&str, &str)]| {
        let own = [("Host", url.trim_start_matches("http://")), ("Cookie", &cookie)];
        let fields: Vec<_> = own.iter().chain(fields).copied().collect();
        ask(&postern, "POST /service-users", &fields, "name=evil&role=member").status
    };
    let same = ("Sec-Fetch-Site", "same-origin");
    let own = ("Origin", url.as_str());
    assert_eq!(
        post(&[("Origin", "https://evil.example"), ("Sec-Fetch-Site", "cross-site")]),
        403
    );
    assert_eq!(post(&[own, ("Sec-Fetch-Site", "cross-site")]), 403);
    assert_eq!(post(&[own, ("Sec-Fetch-Site", "same-site")]), 403);
    assert_eq!(post(&[("Origin", "null"), ("Sec-Fetch-Site", "cross-site")]), 403);
    assert_eq!(post(&[("Origin", "https://evil.example"), same]), 403);
    assert_eq!(post(&[same]), 403);
    assert_eq!(post(&[own]), 403);
    assert_eq!(post(&[own, own, same]), 403);
    assert_eq!(
        postern.administrator().get("/orgs/acme/service-users").ok(200)["total"],
        1
    );
    assert_eq!(post(&[own, same]), 303);
}

#[test]
fn a_link_changes_nothing_and_another_name_of_the_console_is_none() {
    let postern = Postern::start("http://127.0.0.1:9");
    let url = postern.console_url();
    let browser = Browser::of(&postern);
    let cookie = browser.sign_in(&postern, None).cookie();
    let own = [("Host", url.trim_start_matches("http://")), ("Cookie", &cookie)];
    for path in [
        "/sign-out",
        "/sessions/x/end",
        "/service-users/x/state",
        "/service-users/x/roles",
    ] {
        assert_eq!(ask(&postern, &format!("GET {path}"), &own, "").status, 405, "{path}");
    }
    for host in ["evil.example", "127.0.0.1"] {
        let asked = ask(
            &postern,
            "GET /service-users",
            &[("Host", host), ("Cookie", &cookie)],
            "",
        );
        assert_eq!(asked.status, 421, "{}", asked.shown());
    }
}

#[test]
fn every_answer_says_what_browsers_must_not_do_with_it() {
    let postern = Postern::start("http://127.0.0.1:9");
    let url = postern.console_url();
    for path in ["/", "/sign-in", "/nothing", "/assets/nothing"] {
        let answer = ask(
            &postern,
            &format!("GET {path}"),
            &[("Host", url.trim_start_matches("http://"))],
            "",
        );
        let policy = answer.field("content-security-policy").expect("it has one").to_owned();
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "frame-ancestors 'none'",
            "form-action 'self'",
            "base-uri 'none'",
            "require-trusted-types-for 'script'",
        ] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(answer.field(name), Some(value), "{path}: {}", answer.shown());
        }
    }
}

/// Asks the console with fields that no browser lets a page choose.
fn ask(postern: &Postern, line: &str, fields: &[(&str, &str)], body: &str) -> Answer {
    let mut request = format!(
        "{line} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in fields {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str(&format!("\r\n{body}"));
    let address = postern.console_url().replace("http://localhost", "127.0.0.1");
    let heard = send_cut(
        address.parse().expect("an address"),
        request.as_bytes(),
        Cut::Whole,
        false,
    );
    heard.answers.into_iter().next().expect("an answer")
}
