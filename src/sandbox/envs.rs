//! Environments.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::automation::Rule;
use super::deletion::{Deletion, Status};
use super::deploys::Deploy;
use super::logs::Logs;
use super::problem::Problem;
use super::request::{InApp, InEnv, Payload, Stamp, check_id};
use super::values::SharedValue;
use super::{Shared, env_types};

/// An environment. Its type never changes; deployments are kept oldest first, rules and values by id.
pub(super) struct Env {
    pub(super) name: String,
    pub(super) env_type: String,
    pub(super) made: Stamp,
    pub(super) status: Status,
    pub(super) from: Option<Deploy>,
    pub(super) deploys: Vec<Deploy>,
    pub(super) values: BTreeMap<String, SharedValue>,
    pub(super) rules: BTreeMap<String, Rule>,
    pub(super) logs: Logs,
}

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/apps/{app}/envs", get(list).post(create))
        .route("/apps/{app}/envs/{env}", get(show).patch(rename).delete(delete))
}

impl Env {
    /// Returns an environment in which nothing was deployed yet.
    pub(super) fn new(name: String, env_type: String, made: Stamp) -> Self {
        Self {
            name,
            env_type,
            status: Status::active(&made),
            made,
            from: None,
            deploys: Vec::new(),
            values: BTreeMap::new(),
            rules: BTreeMap::new(),
            logs: Logs::default(),
        }
    }

    /// Returns the deployment that the next one builds on.
    pub(super) fn base(&self) -> Option<&Deploy> {
        self.deploys.last().or(self.from.as_ref())
    }

    fn describe(&self, id: &str) -> Value {
        let mut fields = Map::from_iter([
            ("id".to_owned(), json!(id)),
            ("name".to_owned(), json!(self.name)),
            ("type".to_owned(), json!(self.env_type)),
            ("created_at".to_owned(), json!(self.made.at)),
            ("created_by".to_owned(), json!(self.made.by)),
        ]);
        self.status.describe(&mut fields);
        if let Some(from) = &self.from {
            fields.insert("from_deploy".to_owned(), json!(from));
        }
        if let Some(last) = self.deploys.last() {
            fields.insert("last_deploy".to_owned(), json!(last));
        }
        Value::Object(fields)
    }
}

#[derive(Deserialize)]
struct NewEnv {
    id: String,
    name: String,
    #[serde(rename = "type")]
    env_type: Option<String>,
    from_deploy_id: Option<String>,
}

#[derive(Deserialize)]
struct Rename {
    name: Option<String>,
}

async fn list(State(sandbox): State<Shared>, Path(at): Path<InApp>) -> Result<Json<Value>, Problem> {
    let store = sandbox.store();
    let envs = store.app(&at.app)?.envs.iter();
    Ok(Json(envs.map(|(id, env)| env.describe(id)).collect()))
}

async fn create(
    State(sandbox): State<Shared>,
    Path(at): Path<InApp>,
    stamp: Stamp,
    Payload(new): Payload<NewEnv>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    check_id(&new.id)?;
    let mut store = sandbox.store();
    let env_type = new.env_type.unwrap_or_else(|| env_types::DEFAULT.to_owned());
    store.app(&at.app)?;
    env_types::check_exists(&store, &env_type)?;
    let app = store.app_mut(&at.app)?;
    let mut env = Env::new(new.name, env_type, stamp);
    if let Some(from) = new.from_deploy_id {
        let mut deploys = app.envs.values().flat_map(|env| &env.deploys);
        let found = deploys.find(|deploy| deploy.id == from);
        env.from = Some(found.cloned().ok_or_else(|| no_deploy(&from))?);
    }
    if app.envs.contains_key(&new.id) {
        return Err(Problem::Taken("an environment"));
    }
    let answer = env.describe(&new.id);
    app.envs.insert(new.id, env);
    Ok((StatusCode::CREATED, Json(answer)))
}

async fn show(State(sandbox): State<Shared>, Path(at): Path<InEnv>) -> Result<Json<Value>, Problem> {
    let mut store = sandbox.store();
    let env = store.look_at_env(&at.app, &at.env)?;
    Ok(Json(env.describe(&at.env)))
}

async fn rename(
    State(sandbox): State<Shared>,
    Path(at): Path<InEnv>,
    Payload(rename): Payload<Rename>,
) -> Result<Json<Value>, Problem> {
    let mut store = sandbox.store();
    let env = store.env_mut(&at.app, &at.env)?;
    if let Some(name) = rename.name {
        env.name = name;
    }
    Ok(Json(env.describe(&at.env)))
}

async fn delete(State(sandbox): State<Shared>, Path(at): Path<InEnv>, stamp: Stamp) -> Result<Deletion, Problem> {
    let mut store = sandbox.store();
    store.look_at_env(&at.app, &at.env)?;
    let app = store.app_mut(&at.app)?;
    if app.envs.len() == 1 {
        let message = "the last environment of an application cannot be deleted";
        return Err(Problem::Invalid(message.to_owned()));
    }
    let env = store.env_mut(&at.app, &at.env)?;
    let deletion = env.status.begin_deletion(sandbox.settings.deletion_looks, &stamp);
    if deletion == Deletion::Done {
        store.app_mut(&at.app)?.envs.remove(&at.env);
    }
    Ok(deletion)
}

fn no_deploy(id: &str) -> Problem {
    Problem::Invalid(format!("there is no deployment {id:?} in this application"))
}
