//! Pipelines of an app, their runs, and the approvals that runs wait for.
//!
//! Three of the lists span the organisation or the app and name the app or the environment in each item; who may see
//! which item is decided in front of the sandbox.

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::deploys::{self, DeployRequest};
use super::problem::Problem;
use super::request::{InApp, InEnv, Payload, Stamp, new_id};
use super::store::Store;
use super::{Sandbox, Shared};

/// Pipelines, runs and approvals of one app; runs are kept oldest first.
#[derive(Default)]
pub(super) struct Pipelines {
    pipelines: Vec<Pipeline>,
    runs: Vec<Run>,
    approvals: Vec<Approval>,
}

#[derive(Clone, Serialize)]
struct Pipeline {
    id: String,
    etag: String,
    org_id: String,
    app_id: String,
    name: String,
    status: &'static str,
    version: String,
    created_at: String,
    trigger_types: [&'static str; 2],
}

#[derive(Clone, Serialize)]
struct Run {
    id: String,
    etag: String,
    org_id: String,
    app_id: String,
    env_ids: Vec<String>,
    pipeline_id: String,
    pipeline_version: String,
    status: &'static str,
    status_message: &'static str,
    created_at: String,
    created_by: String,
    run_as: String,
    timeout_seconds: u32,
    trigger: &'static str,
    inputs: Map<String, Value>,
    waiting_for: Map<String, Value>,
}

#[derive(Clone, Serialize)]
struct Approval {
    id: String,
    org_id: String,
    app_id: String,
    pipeline_id: String,
    run_id: String,
    job_id: &'static str,
    env_id: String,
    message: &'static str,
    created_at: String,
    status: Answer,
    #[serde(skip_serializing_if = "Option::is_none")]
    approved_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    approved_at: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Waiting,
    Approved,
    Denied,
}

pub(super) fn routes() -> Router<Shared> {
    let approval = "/apps/{app}/pipelines/{pipeline}/runs/{run}/jobs/{job}/approvals/{approval}";
    Router::new()
        .route("/pipelines", get(list_in_org))
        .route("/pipeline-runs", get(list_runs_in_org))
        .route("/apps/{app}/pipelines", get(list_in_app))
        .route("/apps/{app}/pipeline-runs", post(trigger))
        .route("/apps/{app}/pipelines/{pipeline}/runs", get(list_runs).post(run))
        .route("/apps/{app}/pipelines/{pipeline}/runs/{run}", get(show_run))
        .route("/apps/{app}/approvals", get(list_approvals))
        .route(approval, get(show_approval))
        .route(&format!("{approval}/approve"), post(approve))
        .route(&format!("{approval}/deny"), post(deny))
}

impl Pipelines {
    /// Returns one pipeline with one run, which waits for an approval to go on in an environment.
    pub(super) fn sample(org: &str, at: &InEnv, stamp: &Stamp) -> Self {
        let pipeline = Pipeline {
            id: "sample-pipeline".to_owned(),
            etag: new_id(),
            org_id: org.to_owned(),
            app_id: at.app.clone(),
            name: "Sample pipeline".to_owned(),
            status: "active",
            version: new_id(),
            created_at: stamp.at.clone(),
            trigger_types: [PIPELINE_CALL, DEPLOYMENT_REQUEST],
        };
        let run = Run {
            status: "waiting",
            env_ids: vec![at.env.clone()],
            ..pipeline.run(PIPELINE_CALL, Map::new(), stamp)
        };
        let approval = Approval {
            id: new_id(),
            org_id: org.to_owned(),
            app_id: at.app.clone(),
            pipeline_id: pipeline.id.clone(),
            run_id: run.id.clone(),
            job_id: "deploy",
            env_id: at.env.clone(),
            message: "Deploy?",
            created_at: stamp.at.clone(),
            status: Answer::Waiting,
            approved_by: None,
            approved_at: None,
        };
        Self {
            pipelines: vec![pipeline],
            runs: vec![run],
            approvals: vec![approval],
        }
    }

    fn pipeline(&self, id: &str) -> Result<&Pipeline, Problem> {
        let mut pipelines = self.pipelines.iter();
        pipelines.find(|pipeline| pipeline.id == id).ok_or(NO_PIPELINE)
    }
}

impl Pipeline {
    /// Returns a run that is over already.
    fn run(&self, trigger: &'static str, inputs: Map<String, Value>, stamp: &Stamp) -> Run {
        Run {
            id: new_id(),
            etag: new_id(),
            org_id: self.org_id.clone(),
            app_id: self.app_id.clone(),
            env_ids: Vec::new(),
            pipeline_id: self.id.clone(),
            pipeline_version: self.version.clone(),
            status: "succeeded",
            status_message: "",
            created_at: stamp.at.clone(),
            created_by: stamp.by.clone(),
            run_as: stamp.by.clone(),
            timeout_seconds: RUN_SECONDS_MAX,
            trigger,
            inputs,
            waiting_for: Map::new(),
        }
    }
}

#[derive(Deserialize)]
struct At {
    app: String,
    pipeline: String,
}

#[derive(Deserialize)]
struct AtRun {
    app: String,
    pipeline: String,
    run: String,
}

#[derive(Deserialize)]
struct AtApproval {
    app: String,
    pipeline: String,
    run: String,
    job: String,
    approval: String,
}

#[derive(Deserialize)]
struct NewRun {
    inputs: Map<String, Value>,
}

/// A request to deploy, which the app's first pipeline carries out.
#[derive(Deserialize)]
struct Trigger {
    trigger: String,
    env_id: Option<String>,
    environment: Option<String>,
    delta_id: Option<String>,
    set_id: Option<String>,
    comment: Option<String>,
}

async fn list_in_org(State(sandbox): State<Shared>) -> Json<Vec<Pipeline>> {
    let store = sandbox.store();
    Json(
        store
            .apps
            .values()
            .flat_map(|app| app.pipelines.pipelines.clone())
            .collect(),
    )
}

async fn list_runs_in_org(State(sandbox): State<Shared>) -> Json<Vec<Run>> {
    let store = sandbox.store();
    Json(store.apps.values().flat_map(|app| app.pipelines.runs.clone()).collect())
}

async fn list_in_app(State(sandbox): State<Shared>, Path(at): Path<InApp>) -> Result<Json<Vec<Pipeline>>, Problem> {
    Ok(Json(sandbox.store().app(&at.app)?.pipelines.pipelines.clone()))
}

async fn list_runs(State(sandbox): State<Shared>, Path(at): Path<At>) -> Result<Json<Vec<Run>>, Problem> {
    let store = sandbox.store();
    let pipelines = &store.app(&at.app)?.pipelines;
    pipelines.pipeline(&at.pipeline)?;
    let runs = pipelines.runs.iter().filter(|run| run.pipeline_id == at.pipeline);
    Ok(Json(runs.cloned().collect()))
}

async fn show_run(State(sandbox): State<Shared>, Path(at): Path<AtRun>) -> Result<Json<Run>, Problem> {
    let store = sandbox.store();
    let mut runs = store.app(&at.app)?.pipelines.runs.iter();
    let run = runs.find(|run| run.id == at.run && run.pipeline_id == at.pipeline);
    Ok(Json(run.cloned().ok_or(Problem::Missing("pipeline run"))?))
}

async fn run(
    State(sandbox): State<Shared>,
    Path(at): Path<At>,
    stamp: Stamp,
    Payload(new): Payload<NewRun>,
) -> Result<(StatusCode, Json<Run>), Problem> {
    let mut store = sandbox.store();
    let pipelines = &mut store.app_mut(&at.app)?.pipelines;
    let run = pipelines.pipeline(&at.pipeline)?.run(PIPELINE_CALL, new.inputs, &stamp);
    pipelines.runs.push(run.clone());
    Ok((StatusCode::CREATED, Json(run)))
}

async fn trigger(
    State(sandbox): State<Shared>,
    Path(at): Path<InApp>,
    stamp: Stamp,
    Payload(trigger): Payload<Trigger>,
) -> Result<(StatusCode, Json<Run>), Problem> {
    if trigger.trigger != DEPLOYMENT_REQUEST {
        return Err(Problem::Invalid(format!("{:?} is not a trigger", trigger.trigger)));
    }
    let env = trigger.env_id.or(trigger.environment);
    let env = env.ok_or_else(|| Problem::Invalid("env_id is required".to_owned()))?;
    let mut store = sandbox.store();
    let pipeline = store.app(&at.app)?.pipelines.pipelines.first().cloned();
    let pipeline = pipeline.ok_or(NO_PIPELINE)?;
    let request = DeployRequest {
        delta_id: trigger.delta_id,
        set_id: trigger.set_id,
        comment: trigger.comment,
    };
    let place = InEnv { app: at.app, env };
    deploys::deploy(&mut store, &place, stamp.clone(), request)?;
    let inputs = Map::from_iter([("env_id".to_owned(), Value::String(place.env.clone()))]);
    let run = Run {
        env_ids: vec![place.env],
        ..pipeline.run(DEPLOYMENT_REQUEST, inputs, &stamp)
    };
    store.app_mut(&place.app)?.pipelines.runs.push(run.clone());
    Ok((StatusCode::CREATED, Json(run)))
}

async fn list_approvals(State(sandbox): State<Shared>, Path(at): Path<InApp>) -> Result<Json<Vec<Approval>>, Problem> {
    Ok(Json(sandbox.store().app(&at.app)?.pipelines.approvals.clone()))
}

async fn show_approval(State(sandbox): State<Shared>, Path(at): Path<AtApproval>) -> Result<Json<Approval>, Problem> {
    let mut store = sandbox.store();
    Ok(Json(approval(&mut store, &at)?.clone()))
}

async fn approve(
    State(sandbox): State<Shared>,
    Path(at): Path<AtApproval>,
    stamp: Stamp,
) -> Result<Json<Approval>, Problem> {
    decide(&sandbox, &at, Answer::Approved, stamp)
}

async fn deny(
    State(sandbox): State<Shared>,
    Path(at): Path<AtApproval>,
    stamp: Stamp,
) -> Result<Json<Approval>, Problem> {
    decide(&sandbox, &at, Answer::Denied, stamp)
}

fn decide(sandbox: &Sandbox, at: &AtApproval, answer: Answer, stamp: Stamp) -> Result<Json<Approval>, Problem> {
    let mut store = sandbox.store();
    let approval = approval(&mut store, at)?;
    if approval.status != Answer::Waiting {
        return Err(Problem::Invalid("the approval was answered already".to_owned()));
    }
    approval.status = answer;
    approval.approved_by = Some(stamp.by);
    approval.approved_at = Some(stamp.at);
    Ok(Json(approval.clone()))
}

fn approval<'a>(store: &'a mut Store, at: &AtApproval) -> Result<&'a mut Approval, Problem> {
    let mut approvals = store.app_mut(&at.app)?.pipelines.approvals.iter_mut();
    let approval = approvals.find(|approval| {
        approval.id == at.approval
            && approval.pipeline_id == at.pipeline
            && approval.run_id == at.run
            && approval.job_id == at.job
    });
    approval.ok_or(Problem::Missing("approval request"))
}

/// The trigger of a run that somebody starts by name.
const PIPELINE_CALL: &str = "pipeline_call";

/// The trigger of a run that deploys.
const DEPLOYMENT_REQUEST: &str = "deployment_request";

/// What the API description's example has.
const RUN_SECONDS_MAX: u32 = 3600;

const NO_PIPELINE: Problem = Problem::Missing("pipeline");
