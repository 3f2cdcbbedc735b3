//! Deployment deltas: changes that wait to be deployed.

use std::collections::BTreeMap;

use axum::extract::{Path, Query, State};
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Shared;
use super::json_patch::Action;
use super::problem::Problem;
use super::request::{InApp, Payload, Stamp, new_id};

/// A deployment delta.
#[derive(Clone, Serialize)]
pub(super) struct Delta {
    id: String,
    metadata: Metadata,
    #[serde(flatten)]
    pub(super) change: Change,
}

/// What a delta does to a set.
#[derive(Clone, Default, Serialize)]
pub(super) struct Change {
    pub(super) modules: Modules,
    pub(super) shared: Vec<Action>,
}

/// What a delta does to the modules of a set.
#[derive(Clone, Default, Serialize)]
pub(super) struct Modules {
    pub(super) add: Map<String, Value>,
    pub(super) remove: Vec<String>,
    pub(super) update: BTreeMap<String, Vec<Action>>,
}

#[derive(Clone, Serialize)]
struct Metadata {
    archived: bool,
    created_at: String,
    created_by: String,
    last_modified_at: String,
    contributers: Vec<String>,
    shared: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    env_id: Option<String>,
}

/// A delta as clients send it; they leave fields out or send null for what they do not set.
#[derive(Deserialize)]
pub(super) struct DeltaRequest {
    metadata: Option<MetadataRequest>,
    modules: Option<ModulesRequest>,
    shared: Option<Vec<Action>>,
}

#[derive(Default, Deserialize)]
struct MetadataRequest {
    name: Option<String>,
    env_id: Option<String>,
    archived: Option<bool>,
    shared: Option<bool>,
}

#[derive(Default, Deserialize)]
struct ModulesRequest {
    add: Option<Map<String, Value>>,
    remove: Option<Vec<String>>,
    update: Option<BTreeMap<String, Vec<Action>>>,
}

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/apps/{app}/deltas", get(list).post(create))
        .route("/apps/{app}/deltas/{delta}", get(show).patch(merge).put(replace))
}

impl Delta {
    /// Returns an empty delta.
    pub(super) fn new(stamp: Stamp) -> Self {
        Self {
            id: new_id(),
            metadata: Metadata {
                archived: false,
                created_at: stamp.at.clone(),
                last_modified_at: stamp.at,
                contributers: vec![stamp.by.clone()],
                created_by: stamp.by,
                shared: false,
                name: None,
                env_id: None,
            },
            change: Change::default(),
        }
    }

    /// Lays one more change over this one.
    pub(super) fn merge(&mut self, request: DeltaRequest, stamp: &Stamp) {
        let metadata = request.metadata.unwrap_or_default();
        self.metadata.archived = metadata.archived.unwrap_or(self.metadata.archived);
        self.metadata.shared = metadata.shared.unwrap_or(self.metadata.shared);
        self.metadata.name = metadata.name.or(self.metadata.name.take());
        self.metadata.env_id = metadata.env_id.or(self.metadata.env_id.take());
        self.metadata.last_modified_at.clone_from(&stamp.at);
        if !self.metadata.contributers.contains(&stamp.by) {
            self.metadata.contributers.push(stamp.by.clone());
        }
        let modules = request.modules.unwrap_or_default();
        self.change.modules.add.extend(modules.add.unwrap_or_default());
        self.change.modules.remove.extend(modules.remove.unwrap_or_default());
        for (module, actions) in modules.update.unwrap_or_default() {
            self.change.modules.update.entry(module).or_default().extend(actions);
        }
        self.change.shared.extend(request.shared.unwrap_or_default());
    }
}

#[derive(Deserialize)]
struct At {
    app: String,
    delta: String,
}

#[derive(Deserialize)]
struct Wanted {
    archived: Option<bool>,
    env: Option<String>,
}

async fn list(
    State(sandbox): State<Shared>,
    Path(at): Path<InApp>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Vec<Delta>>, Problem> {
    let store = sandbox.store();
    let deltas = store.app(&at.app)?.deltas.values();
    let deltas = deltas.filter(|delta| {
        wanted
            .archived
            .is_none_or(|archived| delta.metadata.archived == archived)
            && (wanted.env.is_none() || delta.metadata.env_id == wanted.env)
    });
    Ok(Json(deltas.cloned().collect()))
}

async fn create(
    State(sandbox): State<Shared>,
    Path(at): Path<InApp>,
    stamp: Stamp,
    Payload(request): Payload<DeltaRequest>,
) -> Result<Json<Delta>, Problem> {
    let mut store = sandbox.store();
    let app = store.app_mut(&at.app)?;
    let mut delta = Delta::new(stamp.clone());
    delta.merge(request, &stamp);
    app.deltas.insert(delta.id.clone(), delta.clone());
    Ok(Json(delta))
}

async fn show(State(sandbox): State<Shared>, Path(at): Path<At>) -> Result<Json<Delta>, Problem> {
    let store = sandbox.store();
    let delta = store.app(&at.app)?.deltas.get(&at.delta);
    Ok(Json(delta.cloned().ok_or(MISSING)?))
}

async fn merge(
    State(sandbox): State<Shared>,
    Path(at): Path<At>,
    stamp: Stamp,
    Payload(requests): Payload<Vec<DeltaRequest>>,
) -> Result<Json<Delta>, Problem> {
    let mut store = sandbox.store();
    let delta = store.app_mut(&at.app)?.deltas.get_mut(&at.delta).ok_or(MISSING)?;
    for request in requests {
        delta.merge(request, &stamp);
    }
    Ok(Json(delta.clone()))
}

async fn replace(
    State(sandbox): State<Shared>,
    Path(at): Path<At>,
    stamp: Stamp,
    Payload(request): Payload<DeltaRequest>,
) -> Result<StatusCode, Problem> {
    let mut store = sandbox.store();
    let delta = store.app_mut(&at.app)?.deltas.get_mut(&at.delta).ok_or(MISSING)?;
    delta.change = Change::default();
    delta.merge(request, &stamp);
    Ok(StatusCode::NO_CONTENT)
}

const MISSING: Problem = Problem::MissingText("deployment delta");
