//! The shell: what surrounds every page, and the files that go with it, which are part of the binary.

use std::sync::LazyLock;

use askama::Template;
use aws_lc_rs::digest::{SHA256, digest};
use axum::extract::Path;
use axum::response::{Html, IntoResponse, Response};
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

use super::Console;
use super::ask::{Question, Refused};
use super::door::Person;

/// What surrounds a page.
#[derive(Debug)]
pub(super) struct Shell {
    pub title: String,
    pub org: String,
    pub name: String,
    pub menu: Vec<Entry>,
}

/// An entry of the menu.
#[derive(Debug)]
pub(super) struct Entry {
    pub href: &'static str,
    pub text: &'static str,
    /// `page` when it leads to this one, `true` when to one that this is below.
    pub current: &'static str,
}

/// What a page says when nothing came of what was asked.
#[derive(Debug, Template)]
#[template(path = "error.html")]
pub(super) struct ErrorPage<'a> {
    title: &'a str,
    message: String,
    reason: &'a str,
}

impl<'a> ErrorPage<'a> {
    pub(super) fn of(title: &'a str, refused: &'a Refused) -> Self {
        Self {
            title,
            message: refused.text(),
            reason: &refused.reason,
        }
    }
}

impl Console {
    /// Returns what surrounds a page for a person, and whether they may do what the page offers besides.
    pub(super) async fn shell(
        &self,
        person: &Person,
        title: impl Into<String>,
        offers: &[Question],
    ) -> Result<(Shell, Vec<bool>), Refused> {
        let org = &person.member.org;
        let title = title.into();
        let mut questions: Vec<Question> = MENU.iter().map(|item| Question::get(item.path(org))).collect();
        questions.extend_from_slice(offers);
        let mut may = self.may(person, &questions).await?;
        let offered = may.split_off(MENU.len());
        let entries = MENU.iter().zip(may).filter(|(_, may)| *may);
        let entries = entries.map(|(item, _)| Entry {
            href: item.href,
            text: item.text,
            current: match person.path.strip_prefix(item.href) {
                Some("") => "page",
                Some(below) if below.starts_with('/') => "true",
                Some(_) | None => "",
            },
        });
        let shell = Shell {
            menu: entries.collect(),
            title,
            org: org.clone(),
            name: person.member.name.clone(),
        };
        Ok((shell, offered))
    }
}

/// A page of the menu, and the list of the API that it shows.
struct MenuItem {
    text: &'static str,
    href: &'static str,
    /// Behind the organisation.
    list: &'static str,
}

impl MenuItem {
    fn path(&self, org: &str) -> String {
        format!("/orgs/{org}/{}", self.list)
    }
}

const MENU: [MenuItem; 6] = [
    item("Service users", "/service-users", "service-users"),
    item("Members", "/members", "users"),
    item("Roles and policies", "/policies", "policies"),
    item("Decisions", "/decisions", "decisions"),
    item("Audit log", "/audit", "audit"),
    item("Gateways", "/gateways", "gateways"),
];

const fn item(text: &'static str, href: &'static str, list: &'static str) -> MenuItem {
    MenuItem { text, href, list }
}

/// Makes a page of its template.
pub(super) fn page(template: &impl Template) -> Response {
    match template.render() {
        Ok(text) => Html(text).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be written");
            http::StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// `GET /assets/{name}`
pub(super) async fn asset(Path(name): Path<String>) -> Response {
    let (content_type, octets) = if name == style() {
        ("text/css; charset=utf-8", STYLE)
    } else if name == script() {
        ("text/javascript; charset=utf-8", SCRIPT)
    } else if name == ICON_NAME {
        ("image/svg+xml", ICON)
    } else {
        return Refused::absent().into_response();
    };
    // The names change with what is in the files.
    let fields = [
        (CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (
            CACHE_CONTROL,
            HeaderValue::from_static("public, max-age=31536000, immutable"),
        ),
    ];
    (fields, octets).into_response()
}

/// Returns the name of the style sheet.
pub(super) fn style() -> &'static str {
    &STYLE_NAME
}

/// Returns the name of the script.
pub(super) fn script() -> &'static str {
    &SCRIPT_NAME
}

const STYLE: &str = include_str!("assets/console.css");
const SCRIPT: &str = include_str!("assets/console.js");
const ICON: &str = include_str!("assets/icon.svg");

/// Browsers keep it for a year: a new picture needs a new name.
const ICON_NAME: &str = "icon-1.svg";

static STYLE_NAME: LazyLock<String> = LazyLock::new(|| named("css", STYLE));
static SCRIPT_NAME: LazyLock<String> = LazyLock::new(|| named("js", SCRIPT));

fn named(ending: &str, content: &str) -> String {
    let digest = digest(&SHA256, content.as_bytes());
    let start: String = digest.as_ref()[..8]
        .iter()
        .map(|octet| format!("{octet:02x}"))
        .collect();
    format!("console-{start}.{ending}")
}
