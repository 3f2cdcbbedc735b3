//! Images and their builds: the older way for CI to register what it made, which is still used.

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::Shared;
use super::problem::Problem;
use super::request::{Named, Payload, Stamp};

/// An image; builds are kept oldest first.
#[derive(Clone, Serialize)]
pub(super) struct Image {
    id: String,
    source: &'static str,
    added_at: String,
    builds: Vec<Build>,
}

#[derive(Clone, Serialize)]
struct Build {
    image: String,
    branch: String,
    commit: String,
    tags: Vec<String>,
    added_at: String,
}

#[derive(Deserialize)]
struct NewBuild {
    image: Option<String>,
    branch: Option<String>,
    commit: Option<String>,
    tags: Option<Vec<String>>,
}

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/images", get(list))
        .route("/images/{id}", get(show))
        .route("/images/{id}/builds", get(list_builds).post(add_build))
}

async fn list(State(sandbox): State<Shared>) -> Json<Vec<Image>> {
    Json(sandbox.store().images.values().cloned().collect())
}

async fn show(State(sandbox): State<Shared>, Path(at): Path<Named>) -> Result<Json<Image>, Problem> {
    let store = sandbox.store();
    Ok(Json(store.images.get(&at.id).cloned().ok_or(MISSING)?))
}

async fn list_builds(State(sandbox): State<Shared>, Path(at): Path<Named>) -> Result<Json<Vec<Build>>, Problem> {
    let store = sandbox.store();
    Ok(Json(store.images.get(&at.id).ok_or(MISSING)?.builds.clone()))
}

async fn add_build(
    State(sandbox): State<Shared>,
    Path(at): Path<Named>,
    stamp: Stamp,
    Payload(new): Payload<NewBuild>,
) -> StatusCode {
    let build = Build {
        image: new.image.unwrap_or_default(),
        branch: new.branch.unwrap_or_default(),
        commit: new.commit.unwrap_or_default(),
        tags: new.tags.unwrap_or_default(),
        added_at: stamp.at.clone(),
    };
    let mut store = sandbox.store();
    let image = store.images.entry(at.id.clone()).or_insert_with(|| Image {
        id: at.id,
        source: "sandbox",
        added_at: stamp.at,
        builds: Vec::new(),
    });
    image.builds.push(build);
    StatusCode::NO_CONTENT
}

const MISSING: Problem = Problem::Missing("image");
