//! Resource types and definitions, and the events that webhooks can wait for: a few of each, to be read.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::Shared;

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/resources/types", get(list_types))
        .route("/resources/defs", get(list_definitions))
        .route("/events", get(list_events))
}

async fn list_types() -> Json<Value> {
    let types = [
        ("postgres", "Postgres", "datastore", "direct"),
        ("dns", "DNS", "dns", "indirect"),
    ];
    let types = types.iter().map(|(id, name, category, usage)| {
        json!({
            "type": id,
            "name": name,
            "category": category,
            "use": usage,
            "inputs_schema": {},
            "outputs_schema": {},
        })
    });
    Json(types.collect())
}

async fn list_definitions(State(sandbox): State<Shared>) -> Json<Value> {
    let started = &sandbox.store().started;
    Json(json!([{
        "id": "sandbox-postgres",
        "name": "sandbox-postgres",
        "org_id": sandbox.settings.org,
        "type": "postgres",
        "driver_type": "humanitec/static",
        "active_version_id": "01234567-89ab-cdef-0123-456789abcdef",
        "criteria": [],
        "in_place_driver_change": false,
        "is_default": false,
        "is_deleted": false,
        "created_at": started.at,
        "created_by": started.by,
    }]))
}

async fn list_events() -> Json<Value> {
    let events = ["created", "deleted"]
        .map(|what| json!({"scope": "environment", "type": what, "properties": ["app_id", "env_id"]}));
    Json(Value::from(events.to_vec()))
}
