//! What gateways ask and report: `GET /feed`, `POST /feed/ack`, `POST /feed/enrol`, `POST /effects`, `GET /policies/{digest}`,
//! `POST /decisions`, `POST /shadow`.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use feed::token::Kind;
use feed::{Acknowledgement, Clock, Digest, EffectReport, Enrolled, Enrolment};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use crate::body::JsonBody;
use crate::error::ApiError;
use crate::fleet::{Fleet, Peer};
use crate::gateways::Gateways;
use crate::roles::RoleCatalogue;
use crate::store::decisions::Decisions;
use crate::store::{Actor, AuditEntry, Store};
use crate::trust;
use coding::Coding;
use stream::{Asked, Position, Teller};

mod announcer;
mod coding;
mod effects;
mod policies;
mod ring;
mod stream;

pub(crate) use announcer::Announcer;

/// What the feed's handlers need.
#[derive(Debug, Clone)]
pub(crate) struct FeedApi {
    pub announcer: Arc<Announcer>,
    pub store: Arc<Store>,
    pub decisions: Arc<Decisions>,
    pub clock: Clock,
    pub roles: Arc<RoleCatalogue>,
    pub gateways: Arc<Gateways>,
    pub feeds: Arc<Feeds>,
    pub fleet: Arc<Fleet>,
}

/// The feeds that are open, and what announces to them. They end with it, at the latest.
#[derive(Debug)]
pub(crate) struct Feeds(Mutex<Option<Open>>);

#[derive(Debug, Default)]
struct Open {
    feeds: JoinSet<()>,
    /// Those of gateways with a credential of their own, by its digest.
    of_enrolled: HashMap<Digest, Vec<AbortHandle>>,
    announcing: JoinSet<()>,
}

/// Returns the routes for gateways.
pub(crate) fn routes(api: FeedApi) -> Router {
    Router::new()
        .route("/feed", get(follow))
        .route("/feed/ack", post(acknowledge))
        .route("/effects", post(apply_effect))
        .route("/policies/{digest}", get(policies::component))
        .route("/decisions", post(policies::decisions))
        .route("/shadow", post(policies::shadow))
        .with_state(api)
}

#[derive(Deserialize)]
struct FollowQuery {
    after: Option<u64>,
    store: Option<String>,
    #[serde(default)]
    nonce: String,
}

/// Returns the route for gateways that have no credential yet.
pub(crate) fn enrolment_routes(api: FeedApi) -> Router {
    Router::new().route("/feed/enrol", post(enrol)).with_state(api)
}

/// `POST /feed/enrol`: whoever has an enrolment token gives a gateway its credential, once.
async fn enrol(
    State(api): State<FeedApi>,
    headers: HeaderMap,
    JsonBody(Enrolment { credential }): JsonBody<Enrolment>,
) -> Result<Json<Enrolled>, ApiError> {
    let token = trust::presented(&headers, Kind::Enrolment).ok_or(ApiError::Unauthenticated)?;
    // Looked at before anything is locked: anybody may ask.
    let now_ms = api.clock.unix_ms();
    if !api.store.view().await?.may_enrol((token, credential), now_ms).await? {
        return Err(ApiError::Unauthenticated);
    }
    let mut change = api.store.change(Actor::Gateway { creator: None }).await?;
    let name = change.enrol_gateway(token, credential).await?;
    let name = name.ok_or(ApiError::Unauthenticated)?;
    let org = change.view.first_org().await?.unwrap_or_default();
    let entry = AuditEntry {
        operation: "gateway-enrolled",
        target: format!("/orgs/{org}/gateways/{name}"),
        org,
        before: None,
        after: Some(json!({ "gateway": name })),
    };
    change.commit(entry).await?;
    api.fleet.refresh().await?;
    tracing::info!(gateway = name, "a gateway has enrolled");
    Ok(Json(Enrolled { gateway: name }))
}

async fn follow(
    State(api): State<FeedApi>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    query: Result<Query<FollowQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(query) = query.map_err(|_malformed| ApiError::Field {
        name: "after",
        rule: "a revision",
    })?;
    if !is_nonce(&query.nonce) {
        return Err(ApiError::Field {
            name: "nonce",
            rule: "at most 64 letters, digits, `-` and `_`",
        });
    }
    let position = query
        .after
        .zip(query.store)
        .map(|(revision, store)| Position { store, revision });
    let (sender, receiver) = mpsc::channel::<Bytes>(CHUNKS_AHEAD);
    let asked = Asked {
        position,
        nonce: query.nonce,
    };
    let coding = Coding::of(&headers);
    let teller = Teller::new(Arc::clone(&api.announcer), sender, coding);
    api.feeds.spawn(&peer, teller.run(asked))?;
    let chunks = futures_util::stream::unfold(receiver, async |mut receiver| {
        let chunk = receiver.recv().await?;
        Some((Ok::<_, Infallible>(chunk), receiver))
    });
    let mut response = Response::new(Body::from_stream(chunks));
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    fields.insert(VARY, HeaderValue::from_static("accept-encoding"));
    if let Some(name) = coding.name() {
        fields.insert(CONTENT_ENCODING, name);
    }
    Ok(response)
}

async fn acknowledge(
    State(api): State<FeedApi>,
    Extension(peer): Extension<Peer>,
    JsonBody(mut report): JsonBody<Acknowledgement>,
) -> Result<StatusCode, ApiError> {
    match peer {
        // What it calls itself does not matter.
        Peer::Enrolled { name, .. } => report.gateway = name,
        Peer::Sharing if api.fleet.is_enrolled(&report.gateway) => {
            return Err(ApiError::Field {
                name: "gateway",
                rule: "a name that no enrolled gateway has",
            });
        }
        Peer::Sharing => {}
    }
    let taken = api.gateways.acknowledge(report, api.clock.unix_ms());
    taken.map(|()| StatusCode::NO_CONTENT).ok_or(ApiError::MalformedBody)
}

async fn apply_effect(
    State(api): State<FeedApi>,
    JsonBody(report): JsonBody<EffectReport>,
) -> Result<Json<Value>, ApiError> {
    let revision = effects::apply(&api.store, &api.roles, &report).await?;
    Ok(Json(json!({ "revision": revision })))
}

fn is_nonce(text: &str) -> bool {
    let allowed = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
    text.len() <= NONCE_BYTES_MAX && text.bytes().all(allowed)
}

impl Feeds {
    /// Returns the owner of feeds to come.
    pub(crate) fn open() -> Self {
        Self(Mutex::new(Some(Open::default())))
    }

    /// Ends all feeds, and refuses new ones.
    pub(crate) async fn close(&self) {
        let open = self.lock().take();
        if let Some(mut open) = open {
            open.feeds.shutdown().await;
            open.announcing.shutdown().await;
        }
    }

    /// Counts the open feeds.
    pub(crate) fn count(&self) -> usize {
        self.lock().as_mut().map_or(0, |open| {
            while open.feeds.try_join_next().is_some() {}
            open.feeds.len()
        })
    }

    fn announce(&self, announcing: impl Future<Output = ()> + Send + 'static) {
        if let Some(open) = self.lock().as_mut() {
            open.announcing.spawn(announcing);
        }
    }

    /// Ends the feeds of a gateway.
    pub(crate) fn end(&self, credential: Digest) {
        let handles = self
            .lock()
            .as_mut()
            .and_then(|open| open.of_enrolled.remove(&credential));
        handles.into_iter().flatten().for_each(|feed| feed.abort());
    }

    fn spawn(&self, peer: &Peer, feed: impl Future<Output = ()> + Send + 'static) -> Result<(), ApiError> {
        let mut open = self.lock();
        let open = open.as_mut().ok_or(ApiError::Busy)?;
        while open.feeds.try_join_next().is_some() {}
        if open.feeds.len() >= FEEDS_MAX {
            return Err(ApiError::Busy);
        }
        let handle = open.feeds.spawn(feed);
        if let Peer::Enrolled { credential, .. } = peer {
            let own = open.of_enrolled.entry(*credential).or_default();
            own.retain(|feed| !feed.is_finished());
            own.push(handle);
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Open>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Most feeds open at once; each gateway has one.
const FEEDS_MAX: usize = 1000;

/// How many chunks of about 200 KiB wait for a gateway that reads slowly.
const CHUNKS_AHEAD: usize = 2;

/// Longest nonce: gateways send 32 octets as text.
const NONCE_BYTES_MAX: usize = 64;
