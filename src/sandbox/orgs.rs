//! The one organisation.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::{Sandbox, Shared};

/// `GET /orgs`
pub(super) async fn list(State(sandbox): State<Shared>) -> Json<Value> {
    Json(json!([describe(&sandbox)]))
}

/// `GET /orgs/{org}`
pub(super) async fn show(State(sandbox): State<Shared>) -> Json<Value> {
    Json(describe(&sandbox))
}

fn describe(sandbox: &Sandbox) -> Value {
    let started = &sandbox.store().started;
    json!({
        "id": sandbox.settings.org,
        "name": sandbox.settings.org,
        "created_at": started.at,
        "created_by": started.by,
        "logo": {},
        "trial_expires_at": null,
    })
}
