//! `/service-users`: the list of service users.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Console;
use super::ask::{Question, Refused, query};
use super::door::Person;
use super::moment::Moment;
use super::plot::Plot;
use super::shell::{Shell, page};

/// What is looked for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Look {
    q: String,
    role: String,
    state: String,
    sort: String,
    page: String,
}

#[derive(Debug, Template)]
#[template(path = "service_users.html")]
struct ListPage {
    shell: Shell,
    look: Look,
    may_create: bool,
    roles: Vec<String>,
    lines: Vec<Line>,
    columns: Vec<Column>,
    total: u64,
    first: u64,
    last: u64,
    before: Option<String>,
    after: Option<String>,
    ends: Option<Plot>,
}

/// A service user in the list.
#[derive(Debug)]
struct Line {
    id: String,
    name: String,
    email: String,
    role: String,
    disabled: bool,
    tokens: i64,
    ended: i64,
    next_end: Option<(Moment, String, bool)>,
    created: Option<Moment>,
}

/// The head of a column that the list can be ordered by.
#[derive(Debug)]
struct Column {
    text: &'static str,
    href: Option<String>,
    /// `ascending`, `descending` or nothing.
    order: &'static str,
}

/// `GET /`: whoever may not look at service users gets what they may.
pub(super) async fn front(
    State(console): State<Arc<Console>>,
    Extension(person): Extension<Person>,
) -> Result<Response, Refused> {
    let (shell, _) = console.shell(&person, "", &[]).await?;
    let first = shell.menu.first().map_or("/sessions", |entry| entry.href);
    Ok(Redirect::to(first).into_response())
}

/// `GET /service-users`
pub(super) async fn list(
    State(console): State<Arc<Console>>,
    Extension(person): Extension<Person>,
    Query(look): Query<Look>,
) -> Result<Response, Refused> {
    let org = &person.member.org;
    let number = look.page.parse().unwrap_or(1_u64).clamp(1, PAGES_MAX);
    let offset = (number - 1) * LINES;
    let question = Question::get(format!("/orgs/{org}/service-users")).with(&[
        ("q", &look.q),
        ("role", &look.role),
        ("state", &look.state),
        ("sort", &look.sort),
        ("offset", &offset.to_string()),
        ("limit", &LINES.to_string()),
    ]);
    let found = console.ask(&person, question).await?;
    let offers = [Question::post(format!("/orgs/{org}/users"), json!({}))];
    let (shell, may) = console.shell(&person, "Service users", &offers).await?;
    let ends = console
        .ask(&person, Question::get(format!("/orgs/{org}/token-ends")))
        .await?;
    let roles = console.role_names(&person, "org", "service-user").await?;
    let now_ms = console.api.clock.unix_ms();
    let total = found["total"].as_u64().unwrap_or_default();
    let lines = found["service_users"].as_array();
    let lines: Vec<Line> = lines.into_iter().flatten().map(|line| Line::of(line, now_ms)).collect();
    let last = offset + lines.len() as u64;
    Ok(page(&ListPage {
        may_create: may[0],
        // What is looked for narrows the list, not the plot.
        ends: (!look.is_narrowed() && number == 1).then(|| plot(&ends)).flatten(),
        columns: columns(&look),
        before: (number > 1).then(|| look.href(&look.sort, number - 1)),
        after: (last < total).then(|| look.href(&look.sort, number + 1)),
        first: (offset + 1).min(last),
        last,
        total,
        lines,
        roles,
        look,
        shell,
    }))
}

impl Look {
    fn is_narrowed(&self) -> bool {
        !(self.q.is_empty() && self.role.is_empty() && self.state.is_empty())
    }

    /// Returns the address of another page or order of what is looked for.
    fn href(&self, sort: &str, number: u64) -> String {
        let number = if number > 1 { number.to_string() } else { String::new() };
        let parameters = [
            ("q", self.q.as_str()),
            ("role", &self.role),
            ("state", &self.state),
            ("sort", sort),
            ("page", &number),
        ];
        query("/service-users", &parameters)
    }
}

impl Line {
    fn of(line: &Value, now_ms: i64) -> Self {
        let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        let next_end = line["next_end_at"].as_str().and_then(Moment::read);
        Self {
            id: text("id"),
            name: text("name"),
            email: text("email"),
            role: text("role"),
            disabled: line["disabled"].as_bool().unwrap_or_default(),
            tokens: line["tokens"].as_i64().unwrap_or_default(),
            ended: line["tokens_ended"].as_i64().unwrap_or_default(),
            next_end: next_end.map(|end| {
                let soon = end.days_left(now_ms) < SOON_DAYS;
                let relative = end.relative(now_ms);
                (end, relative, soon)
            }),
            created: line["created_at"].as_str().and_then(Moment::read),
        }
    }
}

/// Draws how many tokens end when; nothing when there is none.
fn plot(ends: &Value) -> Option<Plot> {
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let mut bars = vec![("ended".to_owned(), vec![number(&ends["ended"]), 0, 0])];
    let mut soon = 0;
    for within in ends["within_days"].as_array().into_iter().flatten() {
        let (days, tokens) = (within["days"].as_i64().unwrap_or_default(), number(&within["tokens"]));
        let label = if days < 365 {
            format!("in {days} days")
        } else {
            "in a year".to_owned()
        };
        if days <= SOON_DAYS {
            soon += tokens;
            bars.push((label, vec![0, tokens, 0]));
        } else {
            bars.push((label, vec![0, 0, tokens]));
        }
    }
    bars.push(("later".to_owned(), vec![0, 0, number(&ends["later"])]));
    bars.push(("never".to_owned(), vec![0, 0, number(&ends["never"])]));
    let summary = format!("{soon} within {SOON_DAYS} days, {} never", number(&ends["never"]));
    let meanings = [("bad", "ended"), ("warn", "end soon"), ("plain", "end later, or never")];
    Plot::of("When tokens end", summary, &meanings, bars)
}

/// Returns the heads of the columns: a click on one that the list is ordered by turns the order round.
fn columns(look: &Look) -> Vec<Column> {
    let sort = if look.sort.is_empty() { "name" } else { &look.sort };
    let column = |text: &'static str, name: &str| {
        let (order, next) = match sort.strip_prefix('-') {
            Some(by) if by == name => ("descending", name.to_owned()),
            None if sort == name => ("ascending", format!("-{name}")),
            Some(_) | None => ("", name.to_owned()),
        };
        Column {
            text,
            href: Some(look.href(&next, 1)),
            order,
        }
    };
    let tokens = Column {
        text: "Tokens",
        href: None,
        order: "",
    };
    vec![
        column("Name", "name"),
        column("Role", "role"),
        tokens,
        column("Next token ends", "ending"),
        column("Created", "created"),
    ]
}

/// How many service users a page shows.
const LINES: u64 = 50;

/// Pages beyond this are asked for by nobody.
const PAGES_MAX: u64 = 1_000_000;

/// A token that ends within so many days ends soon, as the API has it, too.
pub(super) const SOON_DAYS: i64 = 14;
