//! What gateways ask and report: `GET /feed`, `POST /feed/ack`, `POST /effects`, `GET /policies/{digest}`,
//! `POST /decisions`, `POST /shadow`.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use feed::{Acknowledgement, Clock, EffectReport};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::body::JsonBody;
use crate::error::ApiError;
use crate::gateways::Gateways;
use crate::roles::RoleCatalogue;
use crate::store::Store;
use crate::store::decisions::Decisions;
use stream::{Position, Teller};

mod effects;
mod policies;
mod stream;

/// What the feed's handlers need.
#[derive(Debug, Clone)]
pub(crate) struct FeedApi {
    pub store: Arc<Store>,
    pub decisions: Arc<Decisions>,
    pub clock: Clock,
    pub roles: Arc<RoleCatalogue>,
    pub gateways: Arc<Gateways>,
    pub feeds: Arc<Feeds>,
}

/// The feeds that are open. They end with it, at the latest.
#[derive(Debug)]
pub(crate) struct Feeds(Mutex<Option<JoinSet<()>>>);

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
}

async fn follow(
    State(api): State<FeedApi>,
    query: Result<Query<FollowQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(query) = query.map_err(|_malformed| ApiError::Field {
        name: "after",
        rule: "a revision",
    })?;
    let position = query
        .after
        .zip(query.store)
        .map(|(revision, store)| Position { store, revision });
    let (sender, receiver) = mpsc::channel::<Bytes>(CHUNKS_AHEAD);
    let teller = Teller::new(Arc::clone(&api.store), api.clock.clone(), sender);
    api.feeds.spawn(teller.run(position))?;
    let chunks = futures_util::stream::unfold(receiver, async |mut receiver| {
        let chunk = receiver.recv().await?;
        Some((Ok::<_, Infallible>(chunk), receiver))
    });
    let mut response = Response::new(Body::from_stream(chunks));
    let kind = HeaderValue::from_static("application/x-ndjson");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}

async fn acknowledge(
    State(api): State<FeedApi>,
    JsonBody(report): JsonBody<Acknowledgement>,
) -> Result<StatusCode, ApiError> {
    let taken = api.gateways.acknowledge(&report, api.clock.unix_ms());
    taken.map(|()| StatusCode::NO_CONTENT).ok_or(ApiError::MalformedBody)
}

async fn apply_effect(
    State(api): State<FeedApi>,
    JsonBody(report): JsonBody<EffectReport>,
) -> Result<Json<Value>, ApiError> {
    let revision = effects::apply(&api.store, &api.roles, &report).await?;
    Ok(Json(json!({ "revision": revision })))
}

impl Feeds {
    /// Returns the owner of feeds to come.
    pub(crate) fn open() -> Self {
        Self(Mutex::new(Some(JoinSet::new())))
    }

    /// Ends all feeds, and refuses new ones.
    pub(crate) async fn close(&self) {
        let feeds = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut feeds) = feeds {
            feeds.shutdown().await;
        }
    }

    /// Counts the open feeds.
    pub(crate) fn count(&self) -> usize {
        let mut feeds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        feeds.as_mut().map_or(0, |feeds| {
            while feeds.try_join_next().is_some() {}
            feeds.len()
        })
    }

    fn spawn(&self, feed: impl Future<Output = ()> + Send + 'static) -> Result<(), ApiError> {
        let mut feeds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let feeds = feeds.as_mut().ok_or(ApiError::Busy)?;
        while feeds.try_join_next().is_some() {}
        if feeds.len() >= FEEDS_MAX {
            return Err(ApiError::Busy);
        }
        feeds.spawn(feed);
        Ok(())
    }
}

/// Most feeds open at once; each gateway has one.
const FEEDS_MAX: usize = 1000;

/// How many chunks of about 200 KiB wait for a gateway that reads slowly.
const CHUNKS_AHEAD: usize = 2;
