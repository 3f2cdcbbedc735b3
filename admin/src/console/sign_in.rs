//! Coming and going: a link that the server's terminal prints lets a person in once.
//!
//! The secret of a link stands behind `#`, which browsers send to nobody. A button sends it, so that nothing which merely
//! looks at links uses them up.

use std::sync::Arc;

use askama::Template;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Extension, Json};
use feed::token::Kind;
use feed::{Digest, Scope, SubjectKind};
use http::header::{HeaderName, SET_COOKIE, USER_AGENT};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Console;
use super::ask::Refused;
use super::door::{COOKIE_NAME, Person, living};
use super::form::{Field, Typed};
use super::shell::page;
use crate::body::JsonBody;
use crate::error::ApiError;
use crate::roles::ADMINISTRATOR;
use crate::store::sessions::NewSession;
use crate::store::subjects::NewForm;
use crate::store::{Actor, AuditEntry, Invite, NewSubject, Subject};
use crate::trust;

/// For whom a link is wanted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LinkRequest {
    /// Address of a member of the first organisation; the administrator on the spot, if not given.
    email: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Next {
    #[serde(default)]
    next: String,
}

#[derive(Debug, Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    code: Field,
    next: String,
}

/// What is shown to whoever has sent a form after their session had ended.
#[derive(Debug, Template)]
#[template(path = "ended.html")]
struct EndedPage<'a> {
    path: &'a str,
    fields: &'a [(String, String)],
}

#[derive(Debug, Template)]
#[template(path = "again.html")]
struct AgainPage<'a> {
    path: &'a str,
}

/// `GET /sign-in`
pub(super) async fn form(Query(query): Query<Next>) -> Response {
    page(&SignInPage {
        code: Field::default(),
        next: local(&query.next).to_owned(),
    })
}

/// `POST /sign-in`: a link is used up, and a session begins, whatever the browser had before.
pub(super) async fn follow(State(console): State<Arc<Console>>, headers: HeaderMap, typed: Typed) -> Response {
    let next = local(typed.text("next")).to_owned();
    // People paste the whole link, too.
    let code = typed.text("code");
    let code = code.rsplit_once('#').map_or(code, |(_, code)| code);
    let browser = headers.get(USER_AGENT).and_then(|value| value.to_str().ok());
    match console.let_in(code, browser.unwrap_or_default()).await {
        Ok(Some(cookie)) => ([(SET_COOKIE, cookie)], Redirect::to(&next)).into_response(),
        Ok(None) => {
            console.counts.not_let_in();
            tracing::warn!("somebody tried to sign in with a link that is not good");
            let mut code = Field::default();
            code.refuse("This link was used before, or it is older than ten minutes. Ask for a new one.");
            (StatusCode::FORBIDDEN, page(&SignInPage { code, next })).into_response()
        }
        Err(error) => error.into_response(),
    }
}

/// `POST /sign-out`
pub(super) async fn leave(
    State(console): State<Arc<Console>>,
    Extension(person): Extension<Person>,
) -> Result<Response, Refused> {
    console.end_session(&person, &person.session.id).await?;
    let forgotten = format!("{COOKIE_NAME}=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0");
    let fields = [
        (SET_COOKIE, HeaderValue::try_from(forgotten).ok()),
        // What the browser holds of pages goes with the session.
        (
            HeaderName::from_static("clear-site-data"),
            Some(HeaderValue::from_static("\"cache\", \"storage\"")),
        ),
    ];
    let mut response = Redirect::to("/sign-in").into_response();
    for (name, value) in fields {
        response.headers_mut().extend(value.map(|value| (name, value)));
    }
    Ok(response)
}

/// `POST /sign-in-links`: for the command line, which proves that it can read the data directory.
pub(super) async fn make_link(
    State(console): State<Arc<Console>>,
    headers: HeaderMap,
    JsonBody(body): JsonBody<LinkRequest>,
) -> Result<Json<Value>, ApiError> {
    let digest = trust::presented(&headers, Kind::ConsoleKey).ok_or(ApiError::Unauthenticated)?;
    verify_slices_are_equal(digest.as_bytes(), console.key.as_bytes()).map_err(|_other| ApiError::Unauthenticated)?;
    let member = match body.email {
        Some(email) => console.member(&email).await?,
        None => console.administrator().await?,
    };
    let secret = console.api.random.secret(Kind::SignIn).map_err(ApiError::internal)?;
    let now_ms = console.api.clock.unix_ms();
    let ends_ms = now_ms.saturating_add(LINK_LIFETIME_MS);
    let whose = (member.org.as_str(), member.id.as_str());
    let inserted = console.api.store.insert_link(secret.digest(), whose, (now_ms, ends_ms));
    inserted.await?;
    tracing::info!(subject = member.id, "a link to sign in was made");
    Ok(Json(json!({
        "link": format!("{}/sign-in#{}", console.origin.text, secret.reveal()),
        "name": member.name,
        "org": member.org,
        "ends_in_minutes": LINK_LIFETIME_MS / 60_000,
    })))
}

/// Asks whoever has sent a form after the end of their session to sign in and send it again.
pub(super) fn ended(path: &str, typed: &Typed) -> Response {
    let (path, fields) = (local(path), typed.fields());
    (StatusCode::UNAUTHORIZED, page(&EndedPage { path, fields })).into_response()
}

/// Has the browser ask again, from a page of this console.
pub(super) fn come_again(path: &str) -> Response {
    page(&AgainPage { path: local(path) })
}

impl Console {
    /// Uses a link up and begins a session; returns the cookie that proves it. `None` when the link is not good.
    async fn let_in(&self, code: &str, browser: &str) -> Result<Option<HeaderValue>, ApiError> {
        let Ok(link) = Digest::of_presented(Kind::SignIn, code.as_bytes()) else {
            return Ok(None);
        };
        let secret = self.api.random.secret(Kind::Session).map_err(ApiError::internal)?;
        let id = self.api.random.uuid().map_err(ApiError::internal)?.to_string();
        let now_ms = self.api.clock.unix_ms();
        let browser: String = browser.chars().take(BROWSER_CHARS_MAX).collect();
        let new = NewSession {
            id: &id,
            digest: secret.digest(),
            browser: &browser,
            now_ms,
        };
        let Some(member) = self.api.store.follow_link(link, &new, living(now_ms)).await? else {
            return Ok(None);
        };
        self.welcome(&member, &id).await?;
        self.counts.signed_in();
        tracing::info!(subject = member, session = id, "somebody has signed in to the console");
        let text = format!(
            "{COOKIE_NAME}={}; Path=/; Secure; HttpOnly; SameSite=Strict",
            secret.reveal()
        );
        let mut cookie = HeaderValue::try_from(text).map_err(ApiError::internal)?;
        cookie.set_sensitive(true);
        Ok(Some(cookie))
    }

    /// A member who signs in has followed their invitation.
    async fn welcome(&self, member: &str, session: &str) -> Result<(), ApiError> {
        let found = self.api.store.view().await?.caller(member).await?;
        let Some(invited) = found.filter(|member| member.invite == Some(Invite::Pending)) else {
            return Ok(());
        };
        let actor = Actor::Subject {
            id: invited.id.clone(),
            token: session.to_owned(),
        };
        let mut change = self.api.store.change(actor).await?;
        change.accept_invitation(&invited).await?;
        let entry = AuditEntry {
            operation: "acceptInvitation",
            target: target(&invited.org, &invited.id),
            org: invited.org,
            before: Some(json!({"invite": "pending"})),
            after: Some(json!({"invite": "accepted"})),
        };
        change.commit(entry).await?;
        Ok(())
    }

    /// Returns the member with an address in the first organisation.
    async fn member(&self, email: &str) -> Result<Subject, ApiError> {
        let mut view = self.api.store.view().await?;
        let org = view.first_org().await?.ok_or(ApiError::NotFound)?;
        view.member_with_email(&org, email).await?.ok_or(ApiError::NotFound)
    }

    /// Returns the member that whoever works at the server's terminal is, and makes it when there is none: who can read
    /// the data directory administers the organisation already.
    async fn administrator(&self) -> Result<Subject, ApiError> {
        match self.member(ADMINISTRATOR_EMAIL).await {
            Err(ApiError::NotFound) => {}
            found => return found,
        }
        let id = self.api.random.uuid().map_err(ApiError::internal)?.to_string();
        let actor = Actor::Bootstrap {
            administrator: id.clone(),
        };
        let mut change = self.api.store.change(actor).await?;
        let org = change.view.first_org().await?.ok_or(ApiError::NotFound)?;
        // Another may have been faster.
        if let Some(found) = change.view.member_with_email(&org, ADMINISTRATOR_EMAIL).await? {
            return Ok(found);
        }
        let new = NewSubject {
            id: &id,
            org: &org,
            name: "Administrator",
            email: Some(ADMINISTRATOR_EMAIL),
            form: NewForm::Here,
        };
        change.insert_subject(&new).await?;
        let scope = Scope::org(&org);
        change.bind(&id, SubjectKind::Member, &scope, ADMINISTRATOR).await?;
        let entry = AuditEntry {
            operation: "openConsole",
            target: target(&org, &id),
            org: org.clone(),
            before: None,
            after: Some(json!({"type": "user", "email": ADMINISTRATOR_EMAIL, "role": ADMINISTRATOR})),
        };
        change.commit(entry).await?;
        let mut view = self.api.store.view().await?;
        view.subject(&id, &scope).await?.ok_or(ApiError::NotFound)
    }

    /// Ends a session of a person.
    pub(super) async fn end_session(&self, person: &Person, id: &str) -> Result<(), Refused> {
        let ended = self.api.store.end_session(&person.member.id, id).await;
        match ended {
            Ok(true) => {
                tracing::info!(
                    subject = person.member.id,
                    session = id,
                    "a session of the console was ended"
                );
                Ok(())
            }
            Ok(false) => Err(Refused::absent()),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a session could not be ended");
                Err(Refused::failed())
            }
        }
    }
}

fn target(org: &str, id: &str) -> String {
    format!("/orgs/{org}/users/{id}")
}

/// Returns a path of this console; nobody is sent elsewhere from here.
fn local(next: &str) -> &str {
    let own = next.starts_with('/') && !next[1..].starts_with(['/', '\\']) && !next.contains(char::is_control);
    if own { next } else { "/" }
}

/// How long a link lets somebody in.
const LINK_LIFETIME_MS: i64 = 10 * 60 * 1000;

/// Longest description of a browser that is kept.
const BROWSER_CHARS_MAX: usize = 300;

/// Address of the member that the server's terminal signs in.
const ADMINISTRATOR_EMAIL: &str = "administrator@localhost";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_to_another_site() {
        for (next, expected) in [
            ("/service-users?q=a", "/service-users?q=a"),
            ("//evil.example", "/"),
            ("/\\evil.example", "/"),
            ("https://evil.example", "/"),
            ("/\r\nSet-Cookie: a=b", "/"),
            ("", "/"),
        ] {
            assert_eq!(local(next), expected, "{next:?}");
        }
    }
}
