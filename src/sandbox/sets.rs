//! Deployment sets: what an environment should look like, named by their content.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Shared;
use super::deltas::Change;
use super::json_patch;
use super::problem::Problem;
use super::request::InApp;

/// The sets of one app, by id.
#[derive(Default)]
pub(super) struct Sets(BTreeMap<String, Set>);

/// One deployment set.
#[derive(Clone, Serialize)]
pub(super) struct Set {
    pub(super) id: String,
    modules: Map<String, Value>,
    shared: Value,
    version: u32,
}

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/apps/{app}/sets", get(list))
        .route("/apps/{app}/sets/{set}", get(show))
}

impl Sets {
    pub(super) fn contains(&self, id: &str) -> bool {
        self.0.contains_key(id)
    }

    /// Applies a change to a set (or to nothing), keeps the result and returns its id.
    ///
    /// # Errors
    /// [`Problem::Invalid`] when the change does not fit the set.
    pub(super) fn derive(&mut self, base: Option<&str>, change: &Change) -> Result<String, Problem> {
        let base = base.and_then(|id| self.0.get(id)).cloned();
        let set = base.unwrap_or_else(Set::empty).changed(change).ok_or_else(misfit)?;
        let id = set.id.clone();
        self.0.insert(id.clone(), set);
        Ok(id)
    }
}

impl Set {
    fn empty() -> Self {
        Self {
            id: "0".to_owned(),
            modules: Map::new(),
            shared: Value::Object(Map::new()),
            version: 0,
        }
    }

    fn changed(mut self, change: &Change) -> Option<Self> {
        self.modules.extend(change.modules.add.clone());
        for name in &change.modules.remove {
            self.modules.remove(name)?;
        }
        for (name, actions) in &change.modules.update {
            json_patch::apply(self.modules.get_mut(name)?, actions)?;
        }
        json_patch::apply(&mut self.shared, &change.shared)?;
        // Unkeyed, so that one content has one id in every run.
        let mut hasher = DefaultHasher::new();
        serde_json::to_string(&(&self.modules, &self.shared))
            .ok()?
            .hash(&mut hasher);
        self.id = format!("{:016x}", hasher.finish());
        Some(self)
    }
}

#[derive(Deserialize)]
struct At {
    app: String,
    set: String,
}

async fn list(State(sandbox): State<Shared>, Path(at): Path<InApp>) -> Result<Json<Vec<Set>>, Problem> {
    let store = sandbox.store();
    Ok(Json(store.app(&at.app)?.sets.0.values().cloned().collect()))
}

async fn show(State(sandbox): State<Shared>, Path(at): Path<At>) -> Result<Json<Set>, Problem> {
    let store = sandbox.store();
    let set = store.app(&at.app)?.sets.0.get(&at.set);
    Ok(Json(set.cloned().ok_or(Problem::MissingText("deployment set"))?))
}

fn misfit() -> Problem {
    Problem::Invalid("the delta does not fit the state of the environment".to_owned())
}
