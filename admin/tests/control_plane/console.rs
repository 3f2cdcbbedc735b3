//! Who gets into the console, for how long, and what comes of what they ask there. The pages themselves are looked at in a
//! browser, by the tests of the whole system.

use admin::Origin;
use axum::Router;
use axum::body::Body;
use feed::Record;
use http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HOST, LOCATION, ORIGIN, SET_COOKIE};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::consistency::assert_told_alike;
use crate::harness::{ORG, Plane};

const AT: &str = "https://console.example.com";

/// The console of a control plane, as a browser has it.
struct Console {
    routes: Router,
    key: String,
}

/// What came back.
struct Page {
    status: StatusCode,
    location: String,
    cookie: String,
    text: String,
}

impl Console {
    fn of(plane: &Plane) -> Self {
        let origin = Origin::parse(AT).expect("an origin");
        let routes = plane
            .admin
            .console(origin, "https://api.example.com")
            .expect("it is made");
        let key = std::fs::read_to_string(plane.file(admin::CONSOLE_KEY_FILE)).expect("it is there");
        Self {
            routes,
            key: key.trim().to_owned(),
        }
    }

    async fn send(&self, request: http::request::Builder, body: String) -> Page {
        let request = request.body(Body::from(body)).expect("a request");
        let Ok(answer) = self.routes.clone().oneshot(request).await;
        let field = |name: http::HeaderName| {
            let value = answer.headers().get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let (location, cookie) = (field(LOCATION), field(SET_COOKIE));
        let status = answer.status();
        let octets = answer.into_body().collect().await.expect("a body").to_bytes();
        Page {
            status,
            location,
            cookie: cookie.split(';').next().unwrap_or_default().to_owned(),
            text: String::from_utf8_lossy(&octets).into_owned(),
        }
    }

    async fn get(&self, path: &str, cookie: &str) -> Page {
        let request = Request::get(path)
            .header(HOST, "console.example.com")
            .header(COOKIE, cookie);
        self.send(request, String::new()).await
    }

    async fn post(&self, path: &str, cookie: &str, fields: &str) -> Page {
        let request = Request::post(path)
            .header(HOST, "console.example.com")
            .header(COOKIE, cookie)
            .header(ORIGIN, AT)
            .header("sec-fetch-site", "same-origin");
        self.send(request, fields.to_owned()).await
    }

    /// Asks for a link with a key.
    async fn ask_for_link(&self, key: &str, body: Value) -> Page {
        let request = Request::post("/sign-in-links")
            .header(AUTHORIZATION, format!("Bearer {key}"))
            .header(CONTENT_TYPE, "application/json");
        self.send(request, body.to_string()).await
    }

    /// Returns the code of a link.
    async fn code(&self, body: Value) -> String {
        let made = self.ask_for_link(&self.key, body).await;
        assert_eq!(made.status, StatusCode::OK, "{}", made.text);
        let made: Value = serde_json::from_str(&made.text).expect("JSON");
        let link = made["link"].as_str().expect("a link");
        let code = link
            .strip_prefix(&format!("{AT}/sign-in#"))
            .expect("a code behind the #");
        code.to_owned()
    }

    /// Signs somebody in; returns the cookie.
    async fn sign_in(&self, body: Value) -> String {
        let code = self.code(body).await;
        let signed_in = self.post("/sign-in", "", &format!("code={code}")).await;
        assert_eq!(signed_in.status, StatusCode::SEE_OTHER, "{}", signed_in.text);
        signed_in.cookie
    }

    async fn is_signed_in(&self, cookie: &str) -> bool {
        let page = self.get("/sessions", cookie).await;
        assert!(
            page.status == StatusCode::OK || page.location.starts_with("/sign-in"),
            "{}",
            page.text
        );
        page.status == StatusCode::OK
    }
}

const MINUTE_MS: i64 = 60 * 1000;

#[tokio::test]
async fn a_link_is_good_once_for_ten_minutes_and_for_whoever_has_the_key() {
    let plane = Plane::start().await;
    let console = Console::of(&plane);
    let code = console.code(json!({})).await;
    plane.clock.advance_ms(10 * MINUTE_MS - 1);
    let signed_in = console.post("/sign-in", "", &format!("code={code}")).await;
    assert_eq!(
        (signed_in.status, signed_in.location.as_str()),
        (StatusCode::SEE_OTHER, "/")
    );
    let again = console.post("/sign-in", "", &format!("code={code}")).await;
    assert_eq!((again.status, again.cookie.as_str()), (StatusCode::FORBIDDEN, ""));
    let late = console.code(json!({})).await;
    plane.clock.advance_ms(10 * MINUTE_MS);
    let late = console.post("/sign-in", "", &format!("code={late}")).await;
    assert_eq!(late.status, StatusCode::FORBIDDEN);
    for key in ["", "pstc_wrong", &plane.credential] {
        assert_eq!(
            console.ask_for_link(key, json!({})).await.status,
            StatusCode::UNAUTHORIZED,
            "{key}"
        );
    }
    let counts = plane.admin.console_counts();
    assert_eq!((counts.sign_ins, counts.sign_ins_refused), (1, 2));
}

#[tokio::test]
async fn a_session_ends_idle_after_twelve_hours_by_hand_and_with_its_member() {
    let plane = Plane::start().await;
    let console = Console::of(&plane);
    let idle = console.sign_in(json!({})).await;
    plane.clock.advance_ms(30 * MINUTE_MS);
    assert!(console.is_signed_in(&idle).await);
    plane.clock.advance_ms(30 * MINUTE_MS + 1);
    assert!(!console.is_signed_in(&idle).await);
    let used = console.sign_in(json!({})).await;
    for _ in 0..(12 * 60 / 20) {
        plane.clock.advance_ms(20 * MINUTE_MS);
        assert!(console.is_signed_in(&used).await);
    }
    plane.clock.advance_ms(1);
    assert!(!console.is_signed_in(&used).await);
    let left = console.sign_in(json!({})).await;
    let other = console.sign_in(json!({})).await;
    assert_eq!(console.post("/sign-out", &left, "").await.location, "/sign-in");
    assert!(!console.is_signed_in(&left).await);
    assert!(console.is_signed_in(&other).await);
    let jo = plane.member("jo@example.com", "member").await;
    let theirs = console.sign_in(json!({"email": "Jo@Example.com"})).await;
    assert!(console.is_signed_in(&theirs).await);
    let gone = format!("/orgs/{ORG}/users/{}", jo.subject);
    assert_eq!(
        plane.ask(&plane.root, "DELETE", &gone).await.status,
        StatusCode::NO_CONTENT
    );
    assert!(!console.is_signed_in(&theirs).await);
}

#[tokio::test]
async fn each_sign_in_makes_a_session_of_its_own_of_which_the_store_has_the_digest_alone() {
    let plane = Plane::start().await;
    let console = Console::of(&plane);
    let chosen = format!("__Host-postern=psts_{}", "a".repeat(49));
    let code = console.code(json!({})).await;
    let made = console.post("/sign-in", &chosen, &format!("code={code}")).await.cookie;
    assert!(made.starts_with("__Host-postern=psts_"), "{made}");
    assert_ne!(made, chosen);
    assert_ne!(console.sign_in(json!({})).await, made);
    let secret = made.trim_start_matches("__Host-postern=").to_owned();
    let rows = plane.number("SELECT count(*) FROM sessions").await;
    assert_eq!(rows, 2);
    let digest = Plane::hex("digest");
    let known = plane
        .text(&format!("SELECT {digest} FROM sessions ORDER BY created_ms LIMIT 1"))
        .await;
    assert_eq!(known.len(), 64);
    assert!(!known.contains(&secret));
    let twice = format!("{made}; {made}");
    assert!(!console.is_signed_in(&twice).await, "which of two cookies is meant?");
}

#[tokio::test]
async fn service_users_and_strangers_have_no_way_in() {
    let plane = Plane::start().await;
    let console = Console::of(&plane);
    let robot = plane.service_user("administrator").await;
    let body = json!({"email": "ci@example.com"});
    plane
        .send(
            &plane.root,
            "POST",
            &format!("/orgs/{ORG}/users"),
            json!({"name": "ci", "role": "member", "email": "ci@example.com"}),
        )
        .await
        .assert_ok();
    let asked = console.ask_for_link(&console.key, body).await;
    assert_eq!(asked.status, StatusCode::NOT_FOUND);
    let inserted = plane
        .sql(&format!(
            "INSERT INTO sessions (id, digest, subject, org, browser, created_ms, seen_ms)
             VALUES ('x', {}, '{}', '{ORG}', '', 0, 0)",
            Plane::random_octets(),
            robot.subject
        ))
        .await;
    assert!(inserted.is_err(), "the store takes a session of a service user");
}

#[tokio::test]
async fn following_a_link_accepts_the_invitation() {
    let plane = Plane::start().await;
    let console = Console::of(&plane);
    let invitations = format!("/orgs/{ORG}/invitations");
    let invited = json!({"email": "jo@example.com", "role": "manager"});
    plane.send(&plane.root, "POST", &invitations, invited).await.assert_ok();
    assert_eq!(
        plane
            .ask(&plane.root, "GET", &invitations)
            .await
            .body
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    console.sign_in(json!({"email": "jo@example.com"})).await;
    assert_eq!(plane.ask(&plane.root, "GET", &invitations).await.body, json!([]));
    let audited = plane
        .number("SELECT count(*) FROM audit_entries WHERE operation = 'acceptInvitation'")
        .await;
    assert_eq!(audited, 1);
}

#[tokio::test]
async fn whoever_opens_the_console_at_the_terminal_is_one_administrator() {
    let plane = Plane::start().await;
    let console = Console::of(&plane);
    console.sign_in(json!({})).await;
    console.sign_in(json!({})).await;
    let made = "SELECT count(*) FROM subjects WHERE kind = 'member' AND email = 'administrator@localhost'";
    assert_eq!(plane.number(made).await, 1);
    assert_eq!(
        plane
            .number("SELECT count(*) FROM audit_entries WHERE operation = 'openConsole'")
            .await,
        1
    );
}

#[tokio::test]
async fn a_change_in_the_console_is_audited_as_its_members() {
    let plane = Plane::start().await;
    let console = Console::of(&plane);
    let jo = plane.member("jo@example.com", "manager").await;
    let cookie = console.sign_in(json!({"email": "jo@example.com"})).await;
    let made = console
        .post("/service-users", &cookie, "name=ci&role=member&email=")
        .await;
    assert_eq!(made.status, StatusCode::SEE_OTHER, "{}", made.text);
    let user = made.location.trim_start_matches("/service-users/").to_owned();
    let who = "SELECT actor_subject FROM audit_entries WHERE operation = 'createServiceUserInOrg'";
    assert_eq!(plane.text(who).await, jo.subject);
    let issued = console
        .post(
            &format!("/service-users/{user}/tokens"),
            &cookie,
            "id=first&expiry=30&description=",
        )
        .await;
    assert_eq!(issued.status, StatusCode::OK, "{}", issued.text);
    assert!(issued.text.contains("pstn_"));
    let audit = format!("/orgs/{ORG}/audit?target=/orgs/{ORG}/users/{user}");
    let told = plane.ask(&plane.root, "GET", &audit).await;
    assert_eq!(told.body[0]["subject_name"], "jo@example.com");
    assert_eq!(told.body[0]["operation"], "createServiceUserInOrg");
}

#[tokio::test]
async fn roles_hold_in_the_console_from_the_next_request_on() {
    let plane = Plane::start().await;
    let console = Console::of(&plane);
    let jo = plane.member("jo@example.com", "manager").await;
    let cookie = console.sign_in(json!({"email": "jo@example.com"})).await;
    assert_eq!(console.get("/service-users", &cookie).await.status, StatusCode::OK);
    let path = format!("/orgs/{ORG}/users/{}", jo.subject);
    plane
        .send(&plane.root, "PATCH", &path, json!({"role": "member"}))
        .await
        .assert_ok();
    assert_eq!(
        console.get("/service-users", &cookie).await.status,
        StatusCode::FORBIDDEN
    );
    let made = console.post("/service-users", &cookie, "name=ci&role=member").await;
    assert_eq!(made.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn another_organisations_service_user_is_absent() {
    let plane = Plane::start().await;
    let console = Console::of(&plane);
    let theirs = plane.foreign_administrator().await;
    let cookie = console.sign_in(json!({})).await;
    for path in ["", "/edit", "/delete", "/tokens/new", "/tokens/main/revoke"] {
        let page = console
            .get(&format!("/service-users/{}{path}", theirs.subject), &cookie)
            .await;
        let absent = console.get(&format!("/service-users/s-nobody{path}"), &cookie).await;
        assert_eq!((page.status, &page.text), (absent.status, &absent.text), "{path}");
        assert_eq!(page.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn a_service_user_is_renamed_disabled_and_enabled_and_nobody_else_is() {
    let plane = Plane::start().await;
    let robot = plane.service_user("member").await;
    let path = format!("/orgs/{ORG}/users/{}", robot.subject);
    let renamed = plane
        .send(&plane.root, "PATCH", &path, json!({"name": "ci of the shop"}))
        .await;
    renamed.assert_ok();
    assert_eq!(
        (&renamed.body["name"], &renamed.body["role"]),
        (&json!("ci of the shop"), &json!("member"))
    );
    plane
        .send(&plane.root, "PATCH", &path, json!({"disabled": true}))
        .await
        .assert_ok();
    let one = plane
        .ask(
            &plane.root,
            "GET",
            &format!("/orgs/{ORG}/service-users/{}", robot.subject),
        )
        .await;
    assert_eq!(one.body["disabled"], true);
    let listed = plane
        .ask(&plane.root, "GET", &format!("/orgs/{ORG}/service-users?state=disabled"))
        .await;
    assert_eq!(listed.body["total"], 1);
    // However a gateway asks, it is told of no token, nor of one that is issued meanwhile.
    let tokens = format!("/users/{}/tokens", robot.subject);
    let another = json!({"id": "another", "type": "static"});
    plane.send(&plane.root, "POST", &tokens, another).await.assert_ok();
    assert_eq!(tokens_told(&plane, &robot.subject).await, Vec::<String>::new());
    assert_told_alike(&plane).await;
    plane
        .send(&plane.root, "PATCH", &path, json!({"disabled": false}))
        .await
        .assert_ok();
    assert_eq!(tokens_told(&plane, &robot.subject).await, ["main", "another"]);
    assert_told_alike(&plane).await;
    plane
        .send(&plane.root, "PATCH", &path, json!({}))
        .await
        .assert_refused(400, "invalid-field");
    let own = format!("/orgs/{ORG}/users/{}", plane.root.subject);
    plane
        .send(&plane.root, "PATCH", &own, json!({"disabled": true}))
        .await
        .assert_refused(403, "last-administrator");
    let jo = plane.member("jo@example.com", "manager").await;
    let member = format!("/orgs/{ORG}/users/{}", jo.subject);
    for body in [json!({"disabled": true}), json!({"name": "else"})] {
        plane
            .send(&plane.root, "PATCH", &member, body)
            .await
            .assert_refused(400, "invalid-field");
    }
    let above = plane.service_user("administrator").await;
    let above = format!("/orgs/{ORG}/users/{}", above.subject);
    plane
        .send(&jo, "PATCH", &above, json!({"disabled": true}))
        .await
        .assert_refused(403, "above-your-role");
}

/// Returns the ids of a service user's tokens that a gateway is told which knows nothing.
async fn tokens_told(plane: &Plane, subject: &str) -> Vec<String> {
    let (_, records) = plane.feed("").await.snapshot().await;
    let mut told = Vec::new();
    for record in records {
        if let Record::Token(token) = record
            && token.subject == subject
        {
            told.push(token.id);
        }
    }
    told
}
