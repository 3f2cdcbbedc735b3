//! Automation rules of an environment. They are kept, and never acted on.

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::Shared;
use super::problem::Problem;
use super::request::{InEnv, Payload, Stamp, new_id};

/// An automation rule.
#[derive(Clone, Serialize)]
pub(super) struct Rule {
    id: String,
    created_at: String,
    updated_at: String,
    #[serde(flatten)]
    terms: Terms,
}

/// What a rule says.
#[derive(Clone, Serialize, Deserialize)]
struct Terms {
    #[serde(rename = "type")]
    kind: Kind,
    #[serde(default)]
    active: bool,
    #[serde(default)]
    artefacts_filter: Vec<String>,
    #[serde(default)]
    exclude_artefacts_filter: bool,
    #[serde(default)]
    images_filter: Vec<String>,
    #[serde(default)]
    exclude_images_filter: bool,
    #[serde(default, rename = "match")]
    matched: String,
    #[serde(default)]
    match_ref: String,
    #[serde(default)]
    update_to: String,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Update,
}

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/apps/{app}/envs/{env}/rules", get(list).post(create))
        .route(
            "/apps/{app}/envs/{env}/rules/{rule}",
            get(show).put(replace).delete(delete),
        )
}

#[derive(Deserialize)]
struct At {
    app: String,
    env: String,
    rule: String,
}

async fn list(State(sandbox): State<Shared>, Path(at): Path<InEnv>) -> Result<Json<Vec<Rule>>, Problem> {
    let store = sandbox.store();
    Ok(Json(store.env(&at.app, &at.env)?.rules.values().cloned().collect()))
}

async fn create(
    State(sandbox): State<Shared>,
    Path(at): Path<InEnv>,
    stamp: Stamp,
    Payload(terms): Payload<Terms>,
) -> Result<(StatusCode, Json<Rule>), Problem> {
    let mut store = sandbox.store();
    let env = store.env_mut(&at.app, &at.env)?;
    let rule = Rule {
        id: new_id(),
        created_at: stamp.at.clone(),
        updated_at: stamp.at,
        terms,
    };
    env.rules.insert(rule.id.clone(), rule.clone());
    Ok((StatusCode::CREATED, Json(rule)))
}

async fn show(State(sandbox): State<Shared>, Path(at): Path<At>) -> Result<Json<Rule>, Problem> {
    let store = sandbox.store();
    let rule = store.env(&at.app, &at.env)?.rules.get(&at.rule);
    Ok(Json(rule.cloned().ok_or(MISSING)?))
}

async fn replace(
    State(sandbox): State<Shared>,
    Path(at): Path<At>,
    stamp: Stamp,
    Payload(terms): Payload<Terms>,
) -> Result<Json<Rule>, Problem> {
    let mut store = sandbox.store();
    let rules = &mut store.env_mut(&at.app, &at.env)?.rules;
    let rule = rules.get_mut(&at.rule).ok_or(MISSING)?;
    rule.terms = terms;
    rule.updated_at = stamp.at;
    Ok(Json(rule.clone()))
}

async fn delete(State(sandbox): State<Shared>, Path(at): Path<At>) -> Result<StatusCode, Problem> {
    let mut store = sandbox.store();
    let rules = &mut store.env_mut(&at.app, &at.env)?.rules;
    rules.remove(&at.rule).ok_or(MISSING)?;
    Ok(StatusCode::NO_CONTENT)
}

const MISSING: Problem = Problem::Missing("automation rule");
