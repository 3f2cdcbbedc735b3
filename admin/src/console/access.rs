//! `/service-users/{user}/access`: every operation on every object of a service user, and why each is allowed or not.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use engine::matrix::ANY;
use feed::Scope;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Console;
use super::ask::{Question, Refused, query, segment, text_of};
use super::decisions::Outcome;
use super::door::Person;
use super::service_user::ServiceUser;
use super::shell::{Shell, page};

/// What is looked for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Look {
    q: String,
    /// `allowed`, `refused` or anything.
    outcome: String,
}

/// A cell that is asked about.
#[derive(Debug, Deserialize)]
pub(super) struct Cell {
    operation: String,
    object: String,
}

#[derive(Debug, Template)]
#[template(path = "access.html")]
struct AccessPage {
    shell: Shell,
    user: ServiceUser,
    look: Look,
    /// Objects, as they are told and as they are called.
    objects: Vec<(String, String)>,
    rows: Vec<Row>,
    allowed: usize,
    left_out: u64,
}

/// An operation, and what comes of it on each object; nothing where it is not about such objects.
#[derive(Debug)]
struct Row {
    operation: String,
    permission: String,
    method: String,
    path: String,
    cells: Vec<Option<Answer>>,
}

#[derive(Debug, Clone)]
struct Answer {
    good: bool,
    word: String,
    by: String,
    why_href: String,
}

/// `GET /service-users/{user}/access`
pub(super) async fn read(
    State(console): State<Arc<Console>>,
    Extension(person): Extension<Person>,
    Path(user): Path<String>,
    Query(look): Query<Look>,
) -> Result<Response, Refused> {
    let user = console.service_user(&person, &user).await?;
    let path = format!("/orgs/{}/users/{}/access", person.member.org, user.id);
    let told = console.ask(&person, Question::get(path)).await?;
    let (shell, _) = console
        .shell(&person, format!("What {} may do", user.name), &[])
        .await?;
    let found: Vec<&Value> = told["rows"].as_array().into_iter().flatten().collect();
    let mut objects: Vec<String> = Vec::new();
    for row in &found {
        let object = text_of(row, "object");
        if !objects.contains(&object) {
            objects.push(object);
        }
    }
    let rows = rows(&found, &objects, &user.id);
    let allowed = |row: &Row| row.cells.iter().flatten().any(|cell| cell.good);
    Ok(page(&AccessPage {
        shell,
        allowed: rows.iter().filter(|row| allowed(row)).count(),
        rows: rows
            .into_iter()
            .filter(|row| match look.outcome.as_str() {
                "allowed" => allowed(row),
                "refused" => !allowed(row),
                _ => true,
            })
            .filter(|row| row.is_about(&look.q))
            .collect(),
        objects: objects.iter().map(|object| (object.clone(), called(object))).collect(),
        left_out: told["objects_left_out"].as_u64().unwrap_or_default(),
        user,
        look,
    }))
}

/// `GET /service-users/{user}/access/why`: the same as a decision of a gateway, on a request that nobody has sent.
pub(super) async fn why(
    State(console): State<Arc<Console>>,
    Extension(person): Extension<Person>,
    Path(user): Path<String>,
    Query(cell): Query<Cell>,
) -> Result<Response, Refused> {
    let user = console.service_user(&person, &user).await?;
    let catalogue = console.api.evaluator.catalogue();
    let operation = catalogue.by_id(&cell.operation).ok_or_else(Refused::absent)?;
    let scope: Scope = cell.object.parse().map_err(|_malformed| Refused::absent())?;
    let (app, env_type) = match &scope {
        Scope::Org { .. } => (ANY, ANY),
        Scope::App { app, .. } => (app.as_str(), ANY),
        Scope::EnvType { env_type, .. } => (ANY, env_type.as_str()),
    };
    let value = |name: &str| match name {
        "orgId" => person.member.org.clone(),
        "appId" => app.to_owned(),
        "envTypeId" | "envType" => env_type.to_owned(),
        _ => ANY.to_owned(),
    };
    let parameters: BTreeMap<String, String> = operation
        .parameter_names()
        .map(|name| (name.to_owned(), value(name)))
        .collect();
    // As in the matrix: on an app, what some env type of the service user completes is allowed.
    let held = |kind: &'static str| {
        user.roles
            .iter()
            .filter(move |(own, ..)| *own == kind)
            .map(|(_, id, _)| id.as_str())
    };
    let tried: Vec<(&str, Option<&str>)> = match (&scope, operation.env_types == catalogue::EnvTypes::None) {
        (_, true) => vec![(app, None)],
        (Scope::EnvType { .. }, false) => held("app").chain([ANY]).map(|app| (app, Some(env_type))).collect(),
        (Scope::Org { .. } | Scope::App { .. }, false) => held("env-type")
            .chain([ANY])
            .map(|env_type| (app, Some(env_type)))
            .collect(),
    };
    let mut told = Value::Null;
    for (app, env_type) in tried.into_iter().take(TRIED_MAX) {
        let mut parameters = parameters.clone();
        if let Some(named) = parameters.get_mut("appId") {
            app.clone_into(named);
        }
        let body = json!({
            "subject": user.id, "operation": operation.id, "parameters": parameters,
            "env_types": env_type.into_iter().collect::<Vec<_>>(),
        });
        let question = Question::post(format!("/orgs/{}/explanations", person.member.org), body);
        told = console.ask(&person, question).await?;
        if told["outcome"]["outcome"] == "allowed" {
            break;
        }
    }
    Ok(page(&console.decision_page(&person, &told, "Why").await?))
}

/// Returns the rows in the order of the catalogue, with a cell for each object.
fn rows(found: &[&Value], objects: &[String], user: &str) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let mut places = BTreeMap::new();
    for told in found {
        let (operation, object) = (text_of(told, "operation"), text_of(told, "object"));
        let place = *places.entry(operation.clone()).or_insert(rows.len());
        if place == rows.len() {
            rows.push(Row {
                permission: text_of(told, "permission"),
                method: text_of(told, "method"),
                path: text_of(told, "path"),
                cells: vec![None; objects.len()],
                operation: operation.clone(),
            });
        }
        let column = objects.iter().position(|own| *own == object);
        let outcome = Outcome::of(&json!({"outcome": told["outcome"]}));
        if let Some(cell) = column.and_then(|column| rows[place].cells.get_mut(column)) {
            let why = query(
                &format!("/service-users/{}/access/why", segment(user)),
                &[("operation", &operation), ("object", &object)],
            );
            *cell = Some(Answer {
                good: outcome.good,
                word: outcome.word,
                by: text_of(told, "by"),
                why_href: why,
            });
        }
    }
    rows
}

impl Row {
    fn is_about(&self, text: &str) -> bool {
        let text = text.trim().to_ascii_lowercase();
        let words = [&self.operation, &self.permission, &self.method, &self.path];
        words.iter().any(|word| word.to_ascii_lowercase().contains(&text))
    }
}

/// Returns what people call an object.
fn called(object: &str) -> String {
    match object.parse::<Scope>() {
        Ok(Scope::App { app, .. }) => format!("app {app}"),
        Ok(Scope::EnvType { env_type, .. }) => format!("env type {env_type}"),
        Ok(Scope::Org { .. }) | Err(_) => "organisation".to_owned(),
    }
}

/// Most env types, or apps, that are tried for what needs one of each.
const TRIED_MAX: usize = 20;
