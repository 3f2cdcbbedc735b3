//! Health and metrics, on a listener that callers do not reach.

use std::sync::Arc;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use gateway::Running;
use prometheus_client::registry::Registry;

/// Media type of the OpenMetrics text format 1.0.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Returns the routes `/livez`, `/readyz` and `/metrics`. Without a gateway the process is ready when it listens.
pub(super) fn routes(running: Option<Arc<Running>>, registry: Registry) -> Router {
    let registry = Arc::new(registry);
    Router::new()
        .route("/livez", get(async || Json(serde_json::json!({ "status": "live" }))))
        .route("/readyz", get(async move || readyz(running.as_deref())))
        .route("/metrics", get(async move || metrics(&registry)))
}

fn readyz(running: Option<&Running>) -> Response {
    match running.map_or(Ok(()), Running::ready) {
        Ok(()) => Json(serde_json::json!({
            "status": "ready",
            "revision": running.map(|running| running.cache().revision()),
        }))
        .into_response(),
        Err(why) => {
            let body = Json(serde_json::json!({ "status": "not-ready", "reason": why.to_string() }));
            (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
        }
    }
}

fn metrics(registry: &Registry) -> Response {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(_fmt) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
