//! Apps.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::deletion::{Deletion, Status};
use super::deltas::Delta;
use super::envs::Env;
use super::pipelines::Pipelines;
use super::problem::Problem;
use super::request::{InApp, Payload, Stamp, check_id};
use super::sets::Sets;
use super::values::SharedValue;
use super::{Shared, env_types};

/// An app and all that belongs to it and goes with it. Environments, deltas and values are keyed by id.
pub(super) struct App {
    pub(super) name: String,
    pub(super) made: Stamp,
    pub(super) status: Status,
    pub(super) envs: BTreeMap<String, Env>,
    pub(super) deltas: BTreeMap<String, Delta>,
    pub(super) sets: Sets,
    pub(super) values: BTreeMap<String, SharedValue>,
    pub(super) pipelines: Pipelines,
}

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/apps", get(list).post(create))
        .route("/apps/{app}", get(show).patch(rename).delete(delete))
}

impl App {
    /// Returns an app without environments.
    pub(super) fn new(name: String, made: Stamp) -> Self {
        Self {
            name,
            status: Status::active(&made),
            made,
            envs: BTreeMap::new(),
            deltas: BTreeMap::new(),
            sets: Sets::default(),
            values: BTreeMap::new(),
            pipelines: Pipelines::default(),
        }
    }

    fn describe(&self, id: &str, org: &str) -> Value {
        let envs = self.envs.iter();
        let envs = envs.map(|(id, env)| json!({"id": id, "name": env.name, "type": env.env_type}));
        let mut fields = Map::from_iter([
            ("id".to_owned(), json!(id)),
            ("name".to_owned(), json!(self.name)),
            ("org_id".to_owned(), json!(org)),
            ("created_at".to_owned(), json!(self.made.at)),
            ("created_by".to_owned(), json!(self.made.by)),
            ("envs".to_owned(), envs.collect()),
        ]);
        self.status.describe(&mut fields);
        Value::Object(fields)
    }
}

#[derive(Deserialize)]
struct NewApp {
    id: String,
    name: String,
    env: Option<NewAppEnv>,
    skip_environment_creation: Option<bool>,
}

#[derive(Deserialize)]
struct NewAppEnv {
    id: String,
    name: String,
    #[serde(rename = "type")]
    env_type: String,
}

#[derive(Deserialize)]
struct Rename {
    name: String,
}

async fn list(State(sandbox): State<Shared>) -> Json<Value> {
    let store = sandbox.store();
    let apps = store.apps.iter();
    Json(apps.map(|(id, app)| app.describe(id, &sandbox.settings.org)).collect())
}

async fn create(
    State(sandbox): State<Shared>,
    stamp: Stamp,
    Payload(new): Payload<NewApp>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    check_id(&new.id)?;
    let mut store = sandbox.store();
    let mut app = App::new(new.name, stamp.clone());
    if !new.skip_environment_creation.unwrap_or(false) {
        let env = new.env.unwrap_or_else(NewAppEnv::development);
        check_id(&env.id)?;
        env_types::check_exists(&store, &env.env_type)?;
        app.envs.insert(env.id, Env::new(env.name, env.env_type, stamp));
    }
    if store.apps.contains_key(&new.id) {
        return Err(Problem::Taken("an application"));
    }
    let answer = app.describe(&new.id, &sandbox.settings.org);
    store.apps.insert(new.id, app);
    Ok((StatusCode::CREATED, Json(answer)))
}

impl NewAppEnv {
    fn development() -> Self {
        Self {
            id: env_types::DEFAULT.to_owned(),
            name: "Development".to_owned(),
            env_type: env_types::DEFAULT.to_owned(),
        }
    }
}

async fn show(State(sandbox): State<Shared>, Path(at): Path<InApp>) -> Result<Json<Value>, Problem> {
    let mut store = sandbox.store();
    let app = store.look_at_app(&at.app)?;
    Ok(Json(app.describe(&at.app, &sandbox.settings.org)))
}

async fn rename(
    State(sandbox): State<Shared>,
    Path(at): Path<InApp>,
    Payload(rename): Payload<Rename>,
) -> Result<Json<Value>, Problem> {
    let mut store = sandbox.store();
    let app = store.app_mut(&at.app)?;
    app.name = rename.name;
    Ok(Json(app.describe(&at.app, &sandbox.settings.org)))
}

async fn delete(State(sandbox): State<Shared>, Path(at): Path<InApp>, stamp: Stamp) -> Result<Deletion, Problem> {
    let mut store = sandbox.store();
    let app = store.look_at_app(&at.app)?;
    let deletion = app.status.begin_deletion(sandbox.settings.deletion_looks, &stamp);
    if deletion == Deletion::Done {
        store.apps.remove(&at.app);
    }
    Ok(deletion)
}
