//! Health and metrics, on a listener that callers do not reach.

use std::sync::Arc;

use axum::extract::Query;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use gateway::Running;
use gateway::freshness::Serves;
use prometheus_client::registry::Registry;
use serde::Deserialize;

/// Media type of the OpenMetrics text format 1.0.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Returns the routes `/livez`, `/readyz` and `/metrics`. Without a gateway the process is ready when it listens.
pub(super) fn routes(running: Option<Arc<Running>>, registry: Registry) -> Router {
    let registry = Arc::new(registry);
    Router::new()
        .route("/livez", get(async || Json(serde_json::json!({ "status": "live" }))))
        .route(
            "/readyz",
            get(async move |Query(wanted)| readyz(running.as_deref(), &wanted)),
        )
        .route("/metrics", get(async move || metrics(&registry)))
}

/// What whoever asks `/readyz` wants to hear of.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// What must be served for the answer to be yes; anything, if it is not said.
    serves: Option<Operations>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Operations {
    Everything,
    Reads,
}

fn readyz(running: Option<&Running>, wanted: &Wanted) -> Response {
    let Some(running) = running else {
        return Json(serde_json::json!({ "status": "ready" })).into_response();
    };
    let serves = running.ready();
    let (status, code) = match serves {
        Ok(Serves::Everything) => ("ready", StatusCode::OK),
        Ok(_) if wanted.serves == Some(Operations::Everything) => ("degraded", StatusCode::SERVICE_UNAVAILABLE),
        Ok(_) => ("degraded", StatusCode::OK),
        Err(_) => ("not-ready", StatusCode::SERVICE_UNAVAILABLE),
    };
    let body = Json(serde_json::json!({
        "status": status,
        "reason": serves.err().map(|why| why.to_string()),
        "serves": serves.unwrap_or(Serves::Nothing).name(),
        "revision": running.cache().revision(),
        "data_age_ms": running.data_age_ms(),
        "kept_state": running.keeps().map(|can| if can { "written" } else { "failing" }),
    }));
    (code, body).into_response()
}

fn metrics(registry: &Registry) -> Response {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(_fmt) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
