//! Shared values, of an app and of an environment; an environment sees its app's values under its own.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::routing::{get, put};
use axum::{Json, Router};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Shared;
use super::problem::Problem;
use super::request::{Payload, Stamp};
use super::store::Store;

/// A shared value.
pub(super) struct SharedValue {
    description: String,
    content: Content,
    created_at: String,
    updated_at: String,
}

/// What a value holds.
enum Content {
    Plain(String),
    /// A secret is taken and never shown again, so it is not even kept.
    Secret,
}

pub(super) fn routes() -> Router<Shared> {
    let all = || get(list).post(create).delete(delete_all);
    let one = || put(replace).patch(edit).delete(delete);
    Router::new()
        .route("/apps/{app}/values", all())
        .route("/apps/{app}/values/{key}", one())
        .route("/apps/{app}/envs/{env}/values", all())
        .route("/apps/{app}/envs/{env}/values/{key}", one())
}

#[derive(Deserialize)]
struct NewValue {
    key: String,
    description: String,
    value: Option<String>,
    is_secret: Option<bool>,
}

#[derive(Deserialize)]
struct Replacement {
    description: Option<String>,
    value: Option<String>,
    is_secret: Option<bool>,
}

#[derive(Deserialize)]
struct Edit {
    description: Option<String>,
    value: Option<String>,
}

impl SharedValue {
    fn new(description: String, value: Option<String>, is_secret: Option<bool>, stamp: Stamp) -> Self {
        let content = match is_secret {
            Some(true) => Content::Secret,
            Some(false) | None => Content::Plain(value.unwrap_or_default()),
        };
        Self {
            description,
            content,
            created_at: stamp.at.clone(),
            updated_at: stamp.at,
        }
    }

    fn describe(&self, place: &Place, key: &str) -> Value {
        let (value, store, secret_key) = match &self.content {
            Content::Plain(value) => (value.as_str(), None, None),
            Content::Secret => ("", Some("sandbox"), Some(key)),
        };
        json!({
            "key": key,
            "description": self.description,
            "value": value,
            "is_secret": secret_key.is_some(),
            "secret_key": secret_key,
            "secret_store_id": store,
            "secret_version": secret_key.map(|_| "1"),
            "source": if place.env.is_some() { "env" } else { "app" },
            "created_at": self.created_at,
            "updated_at": self.updated_at,
        })
    }
}

/// The app or the environment whose values are meant.
#[derive(Deserialize)]
struct Place {
    app: String,
    env: Option<String>,
}

#[derive(Deserialize)]
struct At {
    key: String,
}

impl Place {
    fn own_values<'a>(&self, store: &'a mut Store) -> Result<&'a mut BTreeMap<String, SharedValue>, Problem> {
        match &self.env {
            Some(env) => Ok(&mut store.env_mut(&self.app, env)?.values),
            None => Ok(&mut store.app_mut(&self.app)?.values),
        }
    }
}

async fn list(State(sandbox): State<Shared>, Path(place): Path<Place>) -> Result<Json<Value>, Problem> {
    let mut store = sandbox.store();
    let of_app = Place {
        app: place.app.clone(),
        env: None,
    };
    let mut seen = BTreeMap::new();
    for level in [&of_app, &place] {
        let values = level.own_values(&mut store)?.iter();
        seen.extend(values.map(|(key, value)| (key.clone(), value.describe(level, key))));
    }
    Ok(Json(seen.into_values().collect()))
}

async fn create(
    State(sandbox): State<Shared>,
    Path(place): Path<Place>,
    stamp: Stamp,
    Payload(new): Payload<NewValue>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let admitted = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    if new.key.is_empty() || !new.key.bytes().all(admitted) {
        return Err(Problem::Invalid(format!("{:?} is not a valid key", new.key)));
    }
    let mut store = sandbox.store();
    let values = place.own_values(&mut store)?;
    if values.contains_key(&new.key) {
        return Err(Problem::Taken("a shared value"));
    }
    let value = SharedValue::new(new.description, new.value, new.is_secret, stamp);
    let answer = value.describe(&place, &new.key);
    values.insert(new.key, value);
    Ok((StatusCode::CREATED, Json(answer)))
}

async fn replace(
    State(sandbox): State<Shared>,
    Path(place): Path<Place>,
    Path(at): Path<At>,
    stamp: Stamp,
    Payload(new): Payload<Replacement>,
) -> Result<Json<Value>, Problem> {
    let mut store = sandbox.store();
    let value = place.own_values(&mut store)?.get_mut(&at.key).ok_or(MISSING)?;
    let created_at = std::mem::take(&mut value.created_at);
    *value = SharedValue::new(new.description.unwrap_or_default(), new.value, new.is_secret, stamp);
    value.created_at = created_at;
    Ok(Json(value.describe(&place, &at.key)))
}

async fn edit(
    State(sandbox): State<Shared>,
    Path(place): Path<Place>,
    Path(at): Path<At>,
    stamp: Stamp,
    Payload(edit): Payload<Edit>,
) -> Result<Json<Value>, Problem> {
    let mut store = sandbox.store();
    let value = place.own_values(&mut store)?.get_mut(&at.key).ok_or(MISSING)?;
    if let Some(description) = edit.description {
        value.description = description;
    }
    if let (Content::Plain(content), Some(new)) = (&mut value.content, edit.value) {
        *content = new;
    }
    value.updated_at = stamp.at;
    Ok(Json(value.describe(&place, &at.key)))
}

async fn delete(
    State(sandbox): State<Shared>,
    Path(place): Path<Place>,
    Path(at): Path<At>,
) -> Result<StatusCode, Problem> {
    let mut store = sandbox.store();
    place.own_values(&mut store)?.remove(&at.key).ok_or(MISSING)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn delete_all(State(sandbox): State<Shared>, Path(place): Path<Place>) -> Result<StatusCode, Problem> {
    place.own_values(&mut sandbox.store())?.clear();
    Ok(StatusCode::NO_CONTENT)
}

const MISSING: Problem = Problem::Missing("shared value");
