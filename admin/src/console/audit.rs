//! `/audit`: who changed what, and all of it as a file.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use serde::Deserialize;
use serde_json::Value;

use super::Console;
use super::ask::{Question, Refused, pretty, query, segment, text_of};
use super::door::Person;
use super::moment::Moment;
use super::shell::{Shell, page};

/// What is looked for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Look {
    actor: String,
    operation: String,
    target: String,
    before: String,
}

#[derive(Debug, Template)]
#[template(path = "audit.html")]
struct AuditPage {
    shell: Shell,
    look: Look,
    lines: Vec<Line>,
    older: Option<String>,
    export: String,
}

#[derive(Debug)]
struct Line {
    revision: u64,
    at: Option<Moment>,
    who: String,
    /// Where all that the same actor has changed is shown.
    who_href: Option<String>,
    operation: String,
    target: String,
    target_href: Option<String>,
    /// What was so before, and what is so since, as JSON; empty: nothing.
    before: String,
    after: String,
}

/// `GET /audit`
pub(super) async fn list(
    State(console): State<Arc<Console>>,
    Extension(person): Extension<Person>,
    Query(look): Query<Look>,
) -> Result<Response, Refused> {
    let entries = console.entries(&person, &look, LINES).await?;
    let (shell, _) = console.shell(&person, "Audit log", &[]).await?;
    let last = entries.last().and_then(|entry| entry["revision"].as_u64());
    let older = (entries.len() == LINES).then_some(last).flatten();
    Ok(page(&AuditPage {
        older: older.map(|revision| look.href("/audit", &revision.to_string())),
        export: look.href("/audit/export", ""),
        lines: entries
            .iter()
            .map(|entry| Line::of(entry, &person.member.org))
            .collect(),
        look,
        shell,
    }))
}

/// `GET /audit/export`: a line of JSON for each entry, the newest first.
pub(super) async fn export(
    State(console): State<Arc<Console>>,
    Extension(person): Extension<Person>,
    Query(mut look): Query<Look>,
) -> Result<Response, Refused> {
    let mut lines = String::new();
    for _ in 0..EXPORT_PARTS_MAX {
        let entries = console.entries(&person, &look, EXPORT_PART).await?;
        for entry in &entries {
            lines.push_str(&entry.to_string());
            lines.push('\n');
        }
        match entries.last().and_then(|entry| entry["revision"].as_u64()) {
            Some(revision) if entries.len() == EXPORT_PART => look.before = revision.to_string(),
            Some(_) | None => break,
        }
    }
    let fields = [
        (CONTENT_TYPE, "application/x-ndjson"),
        (CONTENT_DISPOSITION, "attachment; filename=\"audit.jsonl\""),
    ];
    Ok((fields, lines).into_response())
}

impl Console {
    async fn entries(&self, person: &Person, look: &Look, limit: usize) -> Result<Vec<Value>, Refused> {
        let question = Question::get(format!("/orgs/{}/audit", person.member.org)).with(&[
            ("actor", &look.actor),
            ("operation", &look.operation),
            ("target", &look.target),
            ("before", &look.before),
            ("limit", &limit.to_string()),
        ]);
        let mut found = self.ask(person, question).await?;
        found.as_array_mut().map(std::mem::take).ok_or_else(Refused::failed)
    }
}

impl Look {
    fn is_narrowed(&self) -> bool {
        !(self.actor.is_empty() && self.operation.is_empty() && self.target.is_empty() && self.before.is_empty())
    }

    fn href(&self, path: &str, before: &str) -> String {
        query(
            path,
            &[
                ("actor", &self.actor),
                ("operation", &self.operation),
                ("target", &self.target),
                ("before", before),
            ],
        )
    }
}

impl Line {
    fn of(entry: &Value, org: &str) -> Self {
        let (subject, target) = (text_of(entry, "subject"), text_of(entry, "target"));
        let who = match (text_of(entry, "subject_name"), subject.is_empty()) {
            (name, _) if !name.is_empty() => name,
            (_, false) => subject.clone(),
            _ => text_of(entry, "actor"),
        };
        let told = |name: &str| pretty(&entry[name]);
        let user = target
            .strip_prefix(&format!("/orgs/{org}/users/"))
            .or(target.strip_prefix("/users/"));
        let user = user
            .and_then(|rest| rest.split('/').next())
            .filter(|user| user.starts_with("s-"));
        Self {
            revision: entry["revision"].as_u64().unwrap_or_default(),
            at: entry["at"].as_str().and_then(Moment::read),
            who,
            who_href: (!subject.is_empty()).then(|| query("/audit", &[("actor", &subject)])),
            operation: text_of(entry, "operation"),
            target_href: user.map(|user| format!("/service-users/{}", segment(user))),
            before: told("before"),
            after: told("after"),
            target,
        }
    }
}

/// How many entries a page shows.
const LINES: usize = 50;

/// How many entries are read at once for a file, as many as the API tells; and how often at most: 50,000 are some 20 MB.
const EXPORT_PART: usize = 1000;
const EXPORT_PARTS_MAX: usize = 50;
