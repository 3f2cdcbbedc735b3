//! Facts: what a decision needs and the path does not hold. Today that is the env types that an operation concerns.
//!
//! The type of an environment is asked of the orchestrator once and remembered; concurrent requests for it ask once. A
//! fact that cannot be had is never guessed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use catalogue::{EnvTypes, Matched};
use http::{Method, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use serde::Deserialize;
use tokio::sync::OnceCell;
use tokio::time::timeout;

use crate::body::RequestBody;
use crate::bounded::Bounded;
use crate::json_body;
use crate::refusal::{Reason, Refusal};
use crate::upstream::Pool;
use crate::worker::Worker;

/// Env types that an operation concerns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// In the order in which they were found, each once.
    pub(crate) env_types: Vec<Arc<str>>,
}

/// Types of environments, as the orchestrator told them. Shared by all workers.
pub(crate) struct EnvTypesKnown(Mutex<Bounded<Environment, Arc<Known>>>);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Environment {
    org: String,
    app: String,
    env: String,
}

struct Known {
    since_ms: i64,
    /// `None`: no such environment.
    env_type: OnceCell<Option<Arc<str>>>,
}

/// Finds the env types that an operation concerns. The body goes on unchanged, whether or not it was read.
pub(crate) async fn gather(
    worker: &Worker,
    operation: &Matched<'_>,
    body: GatheredBody,
) -> Result<(Facts, GatheredBody), Refusal> {
    let org = operation.org().unwrap_or_default();
    let app = operation.app().unwrap_or_default();
    let env_types = match operation.operation.env_types {
        EnvTypes::None => return Ok((Facts::default(), body)),
        EnvTypes::Path => vec![of_environment(worker, org, app, operation.raw("envId").unwrap_or_default()).await?],
        EnvTypes::App => of_app(worker, org, app).await?,
        EnvTypes::Approval => {
            let environment: ApprovalAnswer = ask(&worker.orchestrator, &approval_path(operation))
                .await?
                .ok_or(Reason::EnvironmentUnknown)?;
            vec![of_environment(worker, org, app, &environment.env_id).await?]
        }
        EnvTypes::BodyType => {
            let body = read(worker, body).await?;
            let env_type = json_body::environment_type(&body)?;
            let env_type = env_type.unwrap_or_else(|| worker.shared.settings.default_env_type.clone());
            return Ok((Facts::of(vec![env_type.into()]), GatheredBody::Read(body)));
        }
        EnvTypes::BodyEnvironment => {
            let body = read(worker, body).await?;
            let mut env_types = Vec::new();
            for env in json_body::environments(&body)? {
                env_types.push(of_environment(worker, org, app, &env).await?);
            }
            return Ok((Facts::of(env_types), GatheredBody::Read(body)));
        }
    };
    Ok((Facts::of(env_types), body))
}

/// A request body after facts were looked for in it.
pub(crate) enum GatheredBody {
    Unread(Incoming),
    Read(Bytes),
}

impl GatheredBody {
    /// Returns whether it is known that there is none.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Unread(incoming) => incoming.is_end_stream(),
            Self::Read(bytes) => bytes.is_empty(),
        }
    }
}

impl Facts {
    fn of(mut env_types: Vec<Arc<str>>) -> Self {
        env_types.sort();
        env_types.dedup();
        Self { env_types }
    }
}

impl EnvTypesKnown {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Bounded::new(KNOWN_MAX)))
    }

    /// Forgets the type of an environment: it was deleted, and another may take its name.
    pub(crate) fn forget(&self, org: &str, app: &str, env: &str) {
        let gone = Environment {
            org: org.to_owned(),
            app: app.to_owned(),
            env: env.to_owned(),
        };
        self.with(|known| known.retain(|environment| *environment != gone));
    }

    /// Forgets the types of all environments of an app.
    pub(crate) fn forget_app(&self, org: &str, app: &str) {
        self.with(|known| known.retain(|environment| environment.org != org || environment.app != app));
    }

    fn entry(&self, environment: &Environment, now_ms: i64) -> Arc<Known> {
        self.with(|known| {
            if let Some(entry) = known.get(environment)
                && now_ms - entry.since_ms < KNOWN_MS_MAX
            {
                return Arc::clone(entry);
            }
            let entry = Arc::new(Known {
                since_ms: now_ms,
                env_type: OnceCell::new(),
            });
            known.insert(environment.clone(), Arc::clone(&entry));
            entry
        })
    }

    fn with<R>(&self, act: impl FnOnce(&mut Bounded<Environment, Arc<Known>>) -> R) -> R {
        // Held for one look-up; a panic in between leaves a map that is still whole.
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[derive(Deserialize)]
struct EnvironmentAnswer {
    #[serde(rename = "type")]
    env_type: String,
}

#[derive(Deserialize)]
struct ApprovalAnswer {
    env_id: String,
}

async fn of_environment(worker: &Worker, org: &str, app: &str, env: &str) -> Result<Arc<str>, Refusal> {
    if !catalogue::segment::is_identifier(env) {
        return Err(Reason::EnvironmentUnknown.into());
    }
    let environment = Environment {
        org: org.to_owned(),
        app: app.to_owned(),
        env: env.to_owned(),
    };
    let known = &worker.shared.env_types;
    let entry = known.entry(&environment, worker.shared.settings.clock.elapsed_ms());
    let ask = || async {
        let answer: Option<EnvironmentAnswer> =
            ask(&worker.orchestrator, &format!("/orgs/{org}/apps/{app}/envs/{env}")).await?;
        Ok::<_, Refusal>(answer.map(|answer| Arc::from(answer.env_type)))
    };
    match entry.env_type.get_or_try_init(ask).await? {
        Some(env_type) => Ok(Arc::clone(env_type)),
        None => {
            // An environment that does not exist may be made at any moment.
            known.forget(org, app, env);
            Err(Reason::EnvironmentUnknown.into())
        }
    }
}

/// The types of all environments that an app has now. Not remembered: environments come and go.
async fn of_app(worker: &Worker, org: &str, app: &str) -> Result<Vec<Arc<str>>, Refusal> {
    let answer: Option<Vec<EnvironmentAnswer>> =
        ask(&worker.orchestrator, &format!("/orgs/{org}/apps/{app}/envs")).await?;
    // No such app: it has no environments, and whoever may delete it will hear that from the orchestrator.
    Ok(answer
        .unwrap_or_default()
        .into_iter()
        .map(|environment| environment.env_type.into())
        .collect())
}

fn approval_path(operation: &Matched<'_>) -> String {
    let path = operation.path();
    // `…/approvals/{approvalId}/approve`: the approval itself is one segment up.
    path.rsplit_once('/')
        .map_or_else(String::new, |(approval, _)| approval.to_owned())
}

/// Asks the orchestrator for something, as ourselves. `None` when it does not exist.
async fn ask<T: for<'de> Deserialize<'de>>(orchestrator: &std::rc::Rc<Pool>, path: &str) -> Result<Option<T>, Refusal> {
    let unavailable =
        |source: Box<dyn std::error::Error + Send + Sync>| Refusal::caused_by(Reason::FactUnavailable, source);
    let asking = timeout(
        ASK_TIME_MAX,
        orchestrator.fetch(Method::GET, path, RequestBody::empty(), ANSWER_BYTES_MAX),
    );
    let answered = asking.await.map_err(|elapsed| unavailable(elapsed.into()))?;
    let (status, _, body) = answered.map_err(|refusal| unavailable(refusal.into()))?;
    match status {
        StatusCode::OK => serde_json::from_slice(&body)
            .map(Some)
            .map_err(|error| unavailable(error.into())),
        StatusCode::NOT_FOUND => Ok(None),
        other => Err(unavailable(format!("the orchestrator answered {other}").into())),
    }
}

/// Reads a body whole, within its limits.
pub(crate) async fn read(worker: &Worker, body: GatheredBody) -> Result<Bytes, Refusal> {
    let body = match body {
        GatheredBody::Unread(body) => body,
        GatheredBody::Read(bytes) => return Ok(bytes),
    };
    let limits = worker.shared.settings.limits;
    let reading = timeout(
        limits.body_timeout,
        Limited::new(body, limits.read_body_bytes_max).collect(),
    );
    let read = reading
        .await
        .map_err(|elapsed| Refusal::caused_by(Reason::BodyTimeout, elapsed))?;
    let collected = read.map_err(|error| {
        let reason = if error.is::<LengthLimitError>() {
            Reason::BodyTooLarge
        } else {
            Reason::RequestAmbiguous
        };
        Refusal::caused_by(reason, error)
    })?;
    Ok(collected.to_bytes())
}

/// Environments whose type is remembered at most.
const KNOWN_MAX: usize = 10_000;

/// How long a type is remembered: an environment that was deleted and made anew past this gateway is seen by then.
const KNOWN_MS_MAX: i64 = 60_000;

/// Longest time to get one fact.
const ASK_TIME_MAX: Duration = Duration::from_secs(10);

/// Longest answer that is read for a fact, in octets: 10,000 environments of 400 octets.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
