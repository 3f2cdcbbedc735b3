//! Env types.

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Shared;
use super::problem::Problem;
use super::request::{Named, Payload, check_id};
use super::store::Store;

/// An env type.
pub(super) struct EnvType {
    pub(super) description: String,
}

/// The env type, and the id, of the environment that comes with a new app.
pub(super) const DEFAULT: &str = "development";

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/env-types", get(list).post(create))
        .route("/env-types/{id}", get(show).patch(edit).delete(delete))
}

/// Checks that an environment may have this type.
///
/// # Errors
/// [`Problem::Invalid`].
pub(super) fn check_exists(store: &Store, id: &str) -> Result<(), Problem> {
    if store.env_types.contains_key(id) {
        Ok(())
    } else {
        Err(Problem::Invalid(format!("there is no environment type {id:?}")))
    }
}

impl EnvType {
    fn describe(&self, id: &str) -> Value {
        json!({"id": id, "description": self.description})
    }
}

#[derive(Deserialize)]
struct NewEnvType {
    id: String,
    description: Option<String>,
}

#[derive(Deserialize)]
struct Edit {
    description: Option<String>,
}

async fn list(State(sandbox): State<Shared>) -> Json<Value> {
    let store = sandbox.store();
    let env_types = store.env_types.iter();
    Json(env_types.map(|(id, env_type)| env_type.describe(id)).collect())
}

async fn create(
    State(sandbox): State<Shared>,
    Payload(new): Payload<NewEnvType>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    check_id(&new.id)?;
    let mut store = sandbox.store();
    if store.env_types.contains_key(&new.id) {
        return Err(Problem::Taken("an environment type"));
    }
    let env_type = EnvType {
        description: new.description.unwrap_or_default(),
    };
    let answer = env_type.describe(&new.id);
    store.env_types.insert(new.id, env_type);
    Ok((StatusCode::CREATED, Json(answer)))
}

async fn show(State(sandbox): State<Shared>, Path(at): Path<Named>) -> Result<Json<Value>, Problem> {
    let store = sandbox.store();
    let env_type = store.env_types.get(&at.id).ok_or(MISSING)?;
    Ok(Json(env_type.describe(&at.id)))
}

async fn edit(
    State(sandbox): State<Shared>,
    Path(at): Path<Named>,
    Payload(edit): Payload<Edit>,
) -> Result<Json<Value>, Problem> {
    let mut store = sandbox.store();
    let env_type = store.env_types.get_mut(&at.id).ok_or(MISSING)?;
    if let Some(description) = edit.description {
        env_type.description = description;
    }
    Ok(Json(env_type.describe(&at.id)))
}

async fn delete(State(sandbox): State<Shared>, Path(at): Path<Named>) -> Result<StatusCode, Problem> {
    let mut store = sandbox.store();
    let users: Vec<_> = users(&store, &at.id).collect();
    if !users.is_empty() {
        return Err(Problem::InUse(Value::Array(users)));
    }
    store.env_types.remove(&at.id).ok_or(MISSING)?;
    Ok(StatusCode::NO_CONTENT)
}

fn users<'a>(store: &'a Store, env_type: &'a str) -> impl Iterator<Item = Value> + 'a {
    store.apps.iter().flat_map(move |(app_id, app)| {
        let envs = app.envs.iter().filter(move |(_, env)| env.env_type == env_type);
        envs.map(move |(env_id, _)| json!({"app_id": app_id, "env_id": env_id}))
    })
}

const MISSING: Problem = Problem::Missing("environment type");
