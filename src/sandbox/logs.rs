//! Container logs of an environment: as a list, and as a stream of events that stays open.
//!
//! A stream begins with the lines there are and gets one more for each deployment, so that whoever tests streaming
//! decides when the next event comes. It ends when its environment goes away, or when its reader falls
//! [`FOLLOWER_LINES_MAX`] lines behind.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use bytes::Bytes;
use http::HeaderMap;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use hyper::body::Frame;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::mpsc;

use super::Shared;
use super::problem::Problem;
use super::request::InEnv;

/// The newest lines of one environment, oldest first, and who waits for more.
#[derive(Default)]
pub(super) struct Logs {
    lines: VecDeque<Line>,
    followers: Vec<mpsc::Sender<Bytes>>,
}

#[derive(Serialize)]
struct Line {
    timestamp: String,
    level: &'static str,
    workload_id: &'static str,
    container_id: &'static str,
    payload: String,
}

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/apps/{app}/envs/{env}/logs", get(show))
}

impl Logs {
    /// Writes a line, at a time in RFC 3339.
    pub(super) fn write(&mut self, payload: String, at: &str) {
        let line = Line {
            timestamp: at.to_owned(),
            level: "INFO",
            workload_id: "sandbox",
            container_id: "sandbox",
            payload,
        };
        let event = line.event();
        self.followers
            .retain(|follower| follower.try_send(event.clone()).is_ok());
        self.lines.push_back(line);
        if self.lines.len() > LINES_MAX {
            self.lines.pop_front();
        }
    }

    fn follow(&mut self) -> Follower {
        let (follower, events) = mpsc::channel(FOLLOWER_LINES_MAX);
        for line in &self.lines {
            // There is room for every line that is kept.
            let _ = follower.try_send(line.event());
        }
        self.followers.push(follower);
        Follower { events }
    }
}

impl Line {
    fn event(&self) -> Bytes {
        let line = serde_json::json!(self);
        Bytes::from(format!("data: {line}\n\n"))
    }
}

/// The body of a stream: events as they come.
struct Follower {
    events: mpsc::Receiver<Bytes>,
}

impl hyper::body::Body for Follower {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let event = self.events.poll_recv(context);
        event.map(|event| event.map(|event| Ok(Frame::data(event))))
    }
}

/// Lines kept per environment.
const LINES_MAX: usize = 100;

/// Lines that may wait for one reader.
const FOLLOWER_LINES_MAX: usize = 2 * LINES_MAX;

async fn show(State(sandbox): State<Shared>, Path(at): Path<InEnv>, headers: HeaderMap) -> Result<Response, Problem> {
    let mut store = sandbox.store();
    let logs = &mut store.env_mut(&at.app, &at.env)?.logs;
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    if accept.is_some_and(|accept| accept.contains("text/event-stream")) {
        let headers = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store")];
        return Ok((headers, Body::new(logs.follow())).into_response());
    }
    let lines = logs.lines.iter().map(|line| serde_json::json!(line));
    Ok(Json(lines.collect::<Value>()).into_response())
}
