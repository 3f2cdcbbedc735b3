//! Deployments. They succeed at once: the sandbox runs nothing.

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::Shared;
use super::deltas::Change;
use super::problem::Problem;
use super::request::{InEnv, Payload, Stamp, new_id};
use super::store::Store;

/// A deployment.
#[derive(Clone, Serialize)]
pub(super) struct Deploy {
    pub(super) id: String,
    env_id: String,
    comment: String,
    created_at: String,
    created_by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    delta_id: Option<String>,
    set_id: String,
    /// The deployment this one was based on; empty for the first.
    from_id: String,
    mode: &'static str,
    export_file: &'static str,
    export_status: &'static str,
    status: &'static str,
    status_changed_at: String,
}

/// What is to be deployed: a delta, or else a set.
#[derive(Default, Deserialize)]
pub(super) struct DeployRequest {
    pub(super) delta_id: Option<String>,
    pub(super) set_id: Option<String>,
    pub(super) comment: Option<String>,
}

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/apps/{app}/envs/{env}/deploys", get(list).post(create))
        .route("/apps/{app}/envs/{env}/deploys/{deploy}", get(show))
}

/// Deploys into an environment, and writes a line to its log.
///
/// # Errors
/// [`Problem::Missing`] without the environment; [`Problem::Invalid`] without a delta or set, or when it does not fit.
pub(super) fn deploy(store: &mut Store, at: &InEnv, stamp: Stamp, request: DeployRequest) -> Result<Deploy, Problem> {
    let base = store.env(&at.app, &at.env)?.base().cloned();
    let app = store.app_mut(&at.app)?;
    let set_id = match (&request.delta_id, request.set_id) {
        (Some(delta), _) => {
            let delta = app.deltas.get(delta).ok_or_else(|| missing("delta", delta))?;
            let base_set = base.as_ref().map(|base| base.set_id.as_str());
            app.sets.derive(base_set, &delta.change)?
        }
        (None, Some(set)) if app.sets.contains(&set) => set,
        (None, Some(set)) => return Err(missing("set", &set)),
        (None, None) => return Err(Problem::Invalid("delta_id or set_id is required".to_owned())),
    };
    let deploy = Deploy {
        id: new_id(),
        env_id: at.env.clone(),
        comment: request.comment.unwrap_or_default(),
        created_at: stamp.at.clone(),
        created_by: stamp.by.clone(),
        delta_id: request.delta_id,
        set_id,
        from_id: base.map(|base| base.id).unwrap_or_default(),
        mode: "full",
        export_file: "",
        export_status: "",
        status: "succeeded",
        status_changed_at: stamp.at.clone(),
    };
    let env = store.env_mut(&at.app, &at.env)?;
    env.logs.write(
        format!("deployment {} by {} succeeded", deploy.id, deploy.created_by),
        &stamp.at,
    );
    env.deploys.push(deploy.clone());
    Ok(deploy)
}

/// Deploys nothing at all, so that an environment has a deployment to start from.
///
/// # Errors
/// As [`deploy`].
pub(super) fn deploy_empty_set(store: &mut Store, at: &InEnv, stamp: Stamp) -> Result<Deploy, Problem> {
    let set_id = store.app_mut(&at.app)?.sets.derive(None, &Change::default())?;
    let request = DeployRequest {
        set_id: Some(set_id),
        comment: Some("First deployment".to_owned()),
        ..DeployRequest::default()
    };
    deploy(store, at, stamp, request)
}

#[derive(Deserialize)]
struct At {
    app: String,
    env: String,
    deploy: String,
}

async fn list(State(sandbox): State<Shared>, Path(at): Path<InEnv>) -> Result<Json<Vec<Deploy>>, Problem> {
    let store = sandbox.store();
    let newest_first = store.env(&at.app, &at.env)?.deploys.iter().rev();
    Ok(Json(newest_first.cloned().collect()))
}

async fn create(
    State(sandbox): State<Shared>,
    Path(at): Path<InEnv>,
    stamp: Stamp,
    Payload(request): Payload<DeployRequest>,
) -> Result<(StatusCode, Json<Deploy>), Problem> {
    let deploy = deploy(&mut sandbox.store(), &at, stamp, request)?;
    Ok((StatusCode::CREATED, Json(deploy)))
}

async fn show(State(sandbox): State<Shared>, Path(at): Path<At>) -> Result<Json<Deploy>, Problem> {
    let store = sandbox.store();
    let mut deploys = store.env(&at.app, &at.env)?.deploys.iter();
    let deploy = deploys.find(|deploy| deploy.id == at.deploy);
    Ok(Json(deploy.cloned().ok_or(Problem::Missing("deployment"))?))
}

fn missing(what: &str, id: &str) -> Problem {
    Problem::Invalid(format!("there is no {what} {id:?} in this application"))
}
