//! `/sessions`: the browsers in which a person has signed in.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};

use super::Console;
use super::ask::Refused;
use super::door::{Person, living};
use super::moment::Moment;
use super::shell::{Shell, page};
use crate::store::StoreError;
use crate::store::sessions::Session;

#[derive(Debug, Template)]
#[template(path = "sessions.html")]
struct SessionsPage {
    shell: Shell,
    sessions: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    id: String,
    browser: String,
    began: Moment,
    seen: String,
    this: bool,
}

/// `GET /sessions`
pub(super) async fn list(
    State(console): State<Arc<Console>>,
    Extension(person): Extension<Person>,
) -> Result<Response, Refused> {
    let now_ms = console.api.clock.unix_ms();
    let found = console.sessions(&person, now_ms).await.map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "sessions could not be read");
        Refused::failed()
    })?;
    let (shell, _) = console.shell(&person, "Your sessions", &[]).await?;
    let line = |session: Session| Line {
        this: session.id == person.session.id,
        browser: browser(&session.browser),
        began: Moment::of_ms(session.created_ms),
        seen: Moment::of_ms(session.seen_ms).relative(now_ms),
        id: session.id,
    };
    Ok(page(&SessionsPage {
        shell,
        sessions: found.into_iter().map(line).collect(),
    }))
}

/// `POST /sessions/{session}/end`
pub(super) async fn end(
    State(console): State<Arc<Console>>,
    Extension(person): Extension<Person>,
    Path(session): Path<String>,
) -> Result<Response, Refused> {
    console.end_session(&person, &session).await?;
    Ok(Redirect::to("/sessions").into_response())
}

impl Console {
    async fn sessions(&self, person: &Person, now_ms: i64) -> Result<Vec<Session>, StoreError> {
        let mut view = self.api.store.view().await?;
        view.sessions(&person.member.id, living(now_ms)).await
    }
}

/// Returns what people call a browser, of what it says it is.
fn browser(user_agent: &str) -> String {
    let first = |names: &[(&str, &'static str)]| {
        let found = names.iter().find(|(mark, _)| user_agent.contains(mark));
        found.map(|(_, name)| *name)
    };
    // Most say that they are the one that was there before them: the newest come first.
    let program = first(&[
        ("Edg/", "Edge"),
        ("Firefox/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
    ]);
    let system = first(&[
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Windows", "Windows"),
        ("Mac OS X", "macOS"),
        ("Linux", "Linux"),
    ]);
    match (program, system) {
        (Some(program), Some(system)) => format!("{program} on {system}"),
        (Some(one), None) | (None, Some(one)) => one.to_owned(),
        (None, None) => "An unknown browser".to_owned(),
    }
}
