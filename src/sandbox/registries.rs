//! Container registries and their credentials: the one GET that returns a secret, a made-up one.

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Shared;
use super::problem::{Problem, RegistryProblem};
use super::request::{Named, Payload, Stamp};

/// A registry.
pub(super) struct Registry {
    registry: String,
    kind: String,
    enable_ci: bool,
    secrets: Value,
    credentials: Option<Credentials>,
    made: Stamp,
}

#[derive(Deserialize)]
struct Credentials {
    username: String,
    password: String,
}

/// The registry that every organisation has; it can be neither changed nor deleted.
pub(super) const BUILT_IN: &str = "humanitec";

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/registries", get(list).post(create))
        .route("/registries/{id}", get(show).patch(edit).delete(delete))
        .route("/registries/{id}/creds", get(show_credentials))
}

impl Registry {
    /// Returns the registry that every organisation has.
    pub(super) fn built_in(made: Stamp) -> Self {
        Self {
            registry: "registry.sandbox.test".to_owned(),
            kind: "basic".to_owned(),
            enable_ci: true,
            secrets: json!({}),
            credentials: Some(Credentials {
                username: "sandbox".to_owned(),
                password: "made-up-password-of-the-sandbox".to_owned(),
            }),
            made,
        }
    }

    fn describe(&self, id: &str) -> Value {
        json!({
            "id": id,
            "registry": self.registry,
            "type": self.kind,
            "enable_ci": self.enable_ci,
            "secrets": self.secrets,
            "created_at": self.made.at,
            "created_by": self.made.by,
        })
    }
}

#[derive(Deserialize)]
struct NewRegistry {
    id: String,
    registry: String,
    #[serde(rename = "type")]
    kind: String,
    enable_ci: Option<bool>,
    secrets: Option<Value>,
    creds: Option<Credentials>,
}

#[derive(Deserialize)]
struct Edit {
    registry: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    enable_ci: Option<bool>,
    secrets: Option<Value>,
    creds: Option<Credentials>,
}

async fn list(State(sandbox): State<Shared>) -> Json<Value> {
    let store = sandbox.store();
    let registries = store.registries.iter();
    Json(registries.map(|(id, registry)| registry.describe(id)).collect())
}

async fn create(
    State(sandbox): State<Shared>,
    stamp: Stamp,
    new: Result<Payload<NewRegistry>, Problem>,
) -> Result<(StatusCode, Json<Value>), RegistryProblem> {
    let Payload(new) = new?;
    if !KINDS.contains(&new.kind.as_str()) {
        return Err(Problem::Invalid(format!("{:?} is not a type of registry", new.kind)).into());
    }
    let mut store = sandbox.store();
    let mut known = store.registries.iter();
    if known.any(|(id, registry)| *id == new.id || registry.registry == new.registry) {
        return Err(Problem::Taken("a registry").into());
    }
    let registry = Registry {
        registry: new.registry,
        kind: new.kind,
        enable_ci: new.enable_ci.unwrap_or(false),
        secrets: new.secrets.unwrap_or_else(|| json!({})),
        credentials: new.creds,
        made: stamp,
    };
    let answer = registry.describe(&new.id);
    store.registries.insert(new.id, registry);
    Ok((StatusCode::CREATED, Json(answer)))
}

async fn show(State(sandbox): State<Shared>, Path(at): Path<Named>) -> Result<Json<Value>, RegistryProblem> {
    let store = sandbox.store();
    let registry = store.registries.get(&at.id).ok_or(MISSING)?;
    Ok(Json(registry.describe(&at.id)))
}

async fn edit(
    State(sandbox): State<Shared>,
    Path(at): Path<Named>,
    edit: Result<Payload<Edit>, Problem>,
) -> Result<Json<Value>, RegistryProblem> {
    let Payload(edit) = edit?;
    check_not_built_in(&at.id)?;
    let mut store = sandbox.store();
    let registry = store.registries.get_mut(&at.id).ok_or(MISSING)?;
    registry.registry = edit.registry.unwrap_or(std::mem::take(&mut registry.registry));
    registry.kind = edit.kind.unwrap_or(std::mem::take(&mut registry.kind));
    registry.secrets = edit.secrets.unwrap_or(registry.secrets.take());
    registry.enable_ci = edit.enable_ci.unwrap_or(registry.enable_ci);
    registry.credentials = edit.creds.or(registry.credentials.take());
    Ok(Json(registry.describe(&at.id)))
}

async fn delete(State(sandbox): State<Shared>, Path(at): Path<Named>) -> Result<StatusCode, RegistryProblem> {
    check_not_built_in(&at.id)?;
    sandbox.store().registries.remove(&at.id).ok_or(MISSING)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn show_credentials(
    State(sandbox): State<Shared>,
    Path(at): Path<Named>,
) -> Result<Json<Value>, RegistryProblem> {
    let store = sandbox.store();
    let registry = store.registries.get(&at.id).ok_or(MISSING)?;
    Ok(Json(match &registry.credentials {
        Some(credentials) => json!({
            "registry": registry.registry,
            "username": credentials.username,
            "password": credentials.password,
            "expires": null,
        }),
        None => json!({"registry": registry.registry, "secrets": registry.secrets}),
    }))
}

fn check_not_built_in(id: &str) -> Result<(), Problem> {
    if id == BUILT_IN {
        Err(Problem::Forbidden("the built-in registry stays as it is"))
    } else {
        Ok(())
    }
}

/// Types of registries in the API description.
const KINDS: [&str; 5] = ["public", "basic", "google_gcr", "amazon_ecr", "secret_ref"];

const MISSING: Problem = Problem::Missing("registry");
