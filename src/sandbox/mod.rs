//! The sandbox: a small platform orchestrator in memory, for `postern demo` and for tests of the whole system.
//!
//! It stands at the far end of a request, where the operator's orchestrator would: it keeps state, answers with the
//! status codes and fields of the API description, and refuses whoever does not present the one credential it was
//! given. So a call that arrives proves that the gateway put the credential in, and a call that carries anything else
//! is refused. It knows nothing of tokens, roles or policies, and whatever it does not imitate is 404.
//!
//! # Layout
//! - [`store`]: what it keeps; `seed` puts the first objects in.
//! - [`request`]: what handlers take in; [`problem`]: how they say no.
//! - One file per family of resources: its part of the state, its routes, its handlers.
//!
//! Nothing here waits: an object that is deleted slowly goes away when it has been looked at often enough, and the
//! stream of log lines moves when something is deployed.

mod apps;
mod artefacts;
mod automation;
mod deletion;
mod deltas;
mod deploys;
mod env_types;
mod envs;
mod images;
mod json_patch;
mod logs;
mod multipart;
mod orgs;
mod pipelines;
mod problem;
mod registries;
mod request;
mod resources;
mod seed;
mod sets;
mod store;
#[cfg(test)]
mod tests;
mod values;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use feed::Clock;
use http::header::AUTHORIZATION;

use problem::Problem;
use store::Store;

/// What the sandbox is told when it is started.
#[derive(Clone)]
pub(crate) struct Settings {
    /// The one organisation it has.
    pub(crate) org: String,
    /// The bearer credential that every request must carry.
    pub(crate) credential: String,
    /// How many looks (GET or DELETE of the object itself) a deleted app or environment outlives after it was answered
    /// 202. `None` deletes at once and answers 204.
    pub(crate) deletion_looks: Option<u32>,
    /// Where the times it writes come from.
    pub(crate) clock: Clock,
}

/// Returns the sandbox as a router, seeded: env types `development`, `staging` and `production`, and the app
/// `sample-app` with the environments `development` and `production`. Each call makes a sandbox of its own.
pub(crate) fn router(settings: Settings) -> Router {
    let store = Mutex::new(Store::seeded(&settings));
    let sandbox = Arc::new(Sandbox { settings, store });
    Router::new()
        .route("/orgs", axum::routing::get(orgs::list))
        .nest(
            "/orgs/{org}",
            in_org().layer(from_fn_with_state(sandbox.clone(), only_own_org)),
        )
        .fallback(problem::no_such_path)
        .method_not_allowed_fallback(problem::no_such_path)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn_with_state(sandbox.clone(), only_with_credential))
        .with_state(sandbox)
}

/// One running sandbox.
struct Sandbox {
    settings: Settings,
    store: Mutex<Store>,
}

type Shared = Arc<Sandbox>;

impl Sandbox {
    fn store(&self) -> MutexGuard<'_, Store> {
        // A handler that panicked left the store as it was or as it should be: every change is made after its checks.
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("org", &self.org)
            .field("deletion_looks", &self.deletion_looks)
            .finish_non_exhaustive()
    }
}

/// Longest body that is read. A little more than the gateway reads itself, so that its limit is the one that shows.
const BODY_BYTES_MAX: usize = 8 << 20;

fn in_org() -> Router<Shared> {
    Router::new()
        .route("/", axum::routing::get(orgs::show))
        .merge(apps::routes())
        .merge(artefacts::routes())
        .merge(automation::routes())
        .merge(deltas::routes())
        .merge(deploys::routes())
        .merge(env_types::routes())
        .merge(envs::routes())
        .merge(images::routes())
        .merge(logs::routes())
        .merge(pipelines::routes())
        .merge(registries::routes())
        .merge(resources::routes())
        .merge(sets::routes())
        .merge(values::routes())
}

async fn only_with_credential(State(sandbox): State<Shared>, request: Request, next: Next) -> Response {
    let mut presented = request.headers().get_all(AUTHORIZATION).iter();
    let expected = format!("Bearer {}", sandbox.settings.credential);
    match (presented.next(), presented.next()) {
        (Some(value), None) if value.as_bytes() == expected.as_bytes() => next.run(request).await,
        _ => Problem::Unauthorised.into_response(),
    }
}

async fn only_own_org(
    State(sandbox): State<Shared>,
    path: axum::extract::Path<request::Org>,
    request: Request,
    next: Next,
) -> Response {
    if path.org == sandbox.settings.org {
        next.run(request).await
    } else {
        Problem::ForeignOrg.into_response()
    }
}
