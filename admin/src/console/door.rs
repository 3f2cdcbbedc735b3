//! The door: which person a browser has signed in, found anew for each request.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use feed::token::Kind;
use feed::{Digest, SubjectKind};
use http::header::{COOKIE, HeaderName};
use http::{HeaderMap, Method};

use super::Console;
use super::ask::{Refused, segment};
use super::fence::only;
use super::form::{Typed, Upload};
use super::sign_in;
use crate::error::ApiError;
use crate::store::Subject;
use crate::store::sessions::{Living, Session};

/// Who has signed in.
#[derive(Debug, Clone)]
pub(super) struct Person {
    /// As the store has them now, with their role on the organisation.
    pub member: Subject,
    pub session: Session,
    /// The address that the request came from.
    pub source: Option<String>,
    /// The path that was asked for.
    pub path: String,
}

/// Lets people pass who have signed in, and hands on who they are. Others are asked to sign in; what they have sent is
/// kept for afterwards.
pub(super) async fn require_person(
    State(console): State<Arc<Console>>,
    mut request: Request,
    next: Next,
) -> Result<Response, Refused> {
    let source = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let source = source.map(|ConnectInfo(address)| address.ip().to_string());
    match console.person(request.headers(), source).await {
        Ok(Some(mut person)) => {
            request.uri().path().clone_into(&mut person.path);
            request.extensions_mut().insert(person);
            Ok(next.run(request).await)
        }
        Ok(None) => turn_away(request).await,
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "a session could not be looked up"
            );
            Err(Refused::failed())
        }
    }
}

async fn turn_away(request: Request) -> Result<Response, Refused> {
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str())
        .to_owned();
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        if Upload::is_in(request.headers()) {
            // A file stays where it is: it is chosen again.
            return Ok(Redirect::to("/sign-in").into_response());
        }
        let typed = Typed::read(request).await?;
        return Ok(sign_in::ended(&path, &typed));
    }
    // A browser that follows a link of another site leaves the cookie out. Asked from a page of ours, it sends it.
    let site = HeaderName::from_static("sec-fetch-site");
    if only(request.headers(), &site) == Some("cross-site") {
        return Ok(sign_in::come_again(&path));
    }
    Ok(Redirect::to(&format!("/sign-in?next={}", segment(&path))).into_response())
}

impl Console {
    async fn person(&self, headers: &HeaderMap, source: Option<String>) -> Result<Option<Person>, ApiError> {
        let Some(digest) = presented(headers) else {
            return Ok(None);
        };
        let now_ms = self.api.clock.unix_ms();
        let mut view = self.api.store.view().await?;
        let Some(session) = view.session(digest, living(now_ms)).await? else {
            return Ok(None);
        };
        let member = view.caller(&session.subject).await?;
        drop(view);
        // The store has no session of anybody else; whoever changes that must not let service users in here.
        let Some(member) = member.filter(|member| member.kind == SubjectKind::Member) else {
            return Ok(None);
        };
        if now_ms.saturating_sub(session.seen_ms) >= SEEN_STEP_MS {
            self.api.store.see_session(&session.id, now_ms).await?;
        }
        Ok(Some(Person {
            member,
            session,
            source,
            path: String::new(),
        }))
    }
}

/// Returns the digest of the session that a browser presents.
fn presented(headers: &HeaderMap) -> Option<Digest> {
    let cookies = only(headers, &COOKIE)?;
    let mut values = cookies.split("; ").filter_map(|cookie| {
        let (name, value) = cookie.split_once('=')?;
        (name == COOKIE_NAME).then_some(value)
    });
    let value = values.next()?;
    let alone = values.next().is_none();
    let digest = Digest::of_presented(Kind::Session, value.as_bytes()).ok();
    digest.filter(|_| alone)
}

/// Returns which sessions live at a moment.
pub(super) fn living(now_ms: i64) -> Living {
    Living {
        created_ms_min: now_ms.saturating_sub(LIFETIME_MS),
        seen_ms_min: now_ms.saturating_sub(IDLE_MS),
    }
}

/// The prefix has browsers refuse the cookie unless it is `Secure`, of this host alone and for all paths.
pub(super) const COOKIE_NAME: &str = "__Host-postern";

/// A session ends this long after its last request.
const IDLE_MS: i64 = 30 * 60 * 1000;

/// A session ends this long after its beginning.
const LIFETIME_MS: i64 = 12 * 60 * 60 * 1000;

/// How exactly the last request is noted: it bounds how often the store is written for it.
const SEEN_STEP_MS: i64 = 60 * 1000;
