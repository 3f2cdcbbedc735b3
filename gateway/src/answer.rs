//! Answers that need us: lists cut to what the caller may see, and successes that bear on roles and facts.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use catalogue::{Effect, Filter, Matched, Server};
use feed::{Creator, ObjectEffect, Scope};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, ETAG};
use http::response::Parts;
use http::{HeaderValue, Response, StatusCode};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::timeout;

use crate::authorize::Permit;
use crate::cache::Caller;
use crate::effects::Happened;
use crate::fields;
use crate::forward::UpstreamAnswer;
use crate::json_body;
use crate::refusal::{Reason, Refusal};
use crate::tunnel::Tunnel;
use crate::upgrade::{self, Upgrade};
use crate::upstream::Lease;
use crate::worker::Worker;

/// What goes back to the caller.
pub(crate) enum Answer {
    /// Held whole.
    Whole(Response<Bytes>),
    /// On its way from the upstream.
    Streamed(Response<Incoming>, Lease),
    /// The last one in HTTP: the connection speaks another protocol from then on.
    Switched(Response<Bytes>, Box<Tunnel>),
}

/// Makes of an upstream's answer what the caller gets, and waits until its effects have arrived here.
pub(crate) async fn answer(
    worker: &Worker,
    permit: &Permit<'_>,
    mut answer: UpstreamAnswer,
    upgrade: Option<Upgrade>,
) -> Result<Answer, Refusal> {
    if answer.response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let (response, tunnel) = upgrade::agree(upgrade, answer)?;
        return Ok(Answer::Switched(response, Box::new(tunnel)));
    }
    let operation = &permit.operation().operation;
    if operation.server == Server::Admin {
        // The caller was authenticated here: it is us whom the admin service does not know, or not yet again.
        if answer.response.status() == StatusCode::UNAUTHORIZED {
            return Err(Reason::AdminUnavailable.into());
        }
        reach_revision(worker, &answer.response).await;
    }
    fields::clean_answer(answer.response.headers_mut());
    let status = answer.response.status();
    if let (Some(filter), Some(_), StatusCode::OK) = (&operation.filter, permit.caller(), status) {
        // In a box of its own, as the next: most requests should not carry the room that this needs.
        return Box::pin(cut(worker, permit, (filter, answer))).await;
    }
    if let (Some(effect), Some(caller)) = (operation.effect, permit.caller()) {
        return Box::pin(take_effect(worker, permit.operation(), caller, (effect, answer))).await;
    }
    Ok(Answer::Streamed(answer.response, answer.connection))
}

/// A change that the admin service has made holds for the next request through this gateway: wait until it is here.
async fn reach_revision(worker: &Worker, response: &Response<Incoming>) {
    let field = response.headers().get(feed::frame::REVISION_FIELD);
    let revision = field
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse().ok());
    if let Some(revision) = revision
        && timeout(REACH_TIME_MAX, worker.shared.cache.reached(revision))
            .await
            .is_err()
    {
        tracing::warn!(revision, "a change was made but has not arrived by the feed");
    }
}

/// Leaves of a list what the caller may see.
async fn cut(
    worker: &Worker,
    permit: &Permit<'_>,
    (filter, answer): (&Filter, UpstreamAnswer),
) -> Result<Answer, Refusal> {
    let (mut parts, body) = answer.read(LIST_BYTES_MAX).await?;
    let unreadable = |error| Refusal::caused_by(Reason::UpstreamFailed, error);
    let encoded = parts
        .headers
        .get(CONTENT_ENCODING)
        .is_some_and(|coding| coding != "identity");
    if encoded {
        return Err(Refusal::caused_by(
            Reason::UpstreamFailed,
            "a list came in a content coding that was not asked for",
        ));
    }
    let elements: Vec<&RawValue> = serde_json::from_slice(&body).map_err(unreadable)?;
    let (Filter::App(name) | Filter::Org(name)) = filter;
    let mut kept = Vec::with_capacity(body.len());
    let mut seen: HashMap<String, bool> = HashMap::new();
    for element in elements {
        // Nothing can be told to be visible by an id that is not there.
        let id = json_body::member(element.get(), name)
            .map_err(unreadable)?
            .unwrap_or_default();
        let visible = *seen
            .entry(id)
            .or_insert_with_key(|id| may_see(worker, permit, (filter, id)));
        if visible {
            kept.push(if kept.is_empty() { b'[' } else { b',' });
            kept.extend_from_slice(element.get().as_bytes());
        }
    }
    kept.extend_from_slice(if kept.is_empty() { b"[]" } else { b"]" });
    parts.headers.remove(ETAG);
    parts.headers.remove(CONTENT_ENCODING);
    Ok(whole(parts, kept.into()))
}

fn may_see(worker: &Worker, permit: &Permit<'_>, (filter, id): (&Filter, &str)) -> bool {
    let catalogue = &worker.shared.settings.catalogue;
    let read = match filter {
        Filter::App(_) => catalogue
            .by_id("getApplication")
            .zip(permit.operation().org())
            .and_then(|(read, org)| Matched::from_values(read, &[org, id])),
        Filter::Org(_) => catalogue
            .by_id("getOrganization")
            .and_then(|read| Matched::from_values(read, &[id])),
    };
    read.is_some_and(|read| permit.also_allows(worker, &read))
}

/// Tells the store, and forgets facts, before the caller hears of the success.
async fn take_effect(
    worker: &Worker,
    operation: &Matched<'_>,
    caller: &Caller,
    (effect, answer): (Effect, UpstreamAnswer),
) -> Result<Answer, Refusal> {
    let status = answer.response.status();
    let created = matches!(status, StatusCode::OK | StatusCode::CREATED);
    let gone = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_FOUND);
    let org = operation.org().unwrap_or_default();
    let app = operation.app().unwrap_or_default();
    let effects = &worker.shared.effects;
    match effect {
        Effect::AppCreated | Effect::EnvTypeCreated if created => {
            let (parts, body) = answer.read(CREATED_BYTES_MAX).await?;
            let Created { id } =
                serde_json::from_slice(&body).map_err(|error| Refusal::caused_by(Reason::UpstreamFailed, error))?;
            let effect = if effect == Effect::AppCreated {
                worker.shared.env_types.forget_app(org, &id);
                let creator = Creator {
                    subject: caller.subject.id.to_string(),
                    role: OWNER.to_owned(),
                };
                ObjectEffect::Created {
                    scope: Scope::app(org, &id),
                    creator: Some(creator),
                }
            } else {
                ObjectEffect::Created {
                    scope: Scope::env_type(org, &id),
                    creator: None,
                }
            };
            effects.report(&worker.shared.cache, Happened::Certain(effect)).await;
            return Ok(whole(parts, body));
        }
        Effect::AppDeleted => {
            worker.shared.env_types.forget_app(org, app);
            report_deletion(worker, Scope::app(org, app), operation, (gone, status)).await;
        }
        Effect::EnvTypeDeleted => {
            let env_type = operation.env_type().unwrap_or_default();
            report_deletion(worker, Scope::env_type(org, env_type), operation, (gone, status)).await;
        }
        Effect::EnvDeleted => worker
            .shared
            .env_types
            .forget(org, app, operation.raw("envId").unwrap_or_default()),
        Effect::AppCreated | Effect::EnvTypeCreated => {}
    }
    Ok(Answer::Streamed(answer.response, answer.connection))
}

/// 204 and 404 say that the object is gone; another success says that it will be, which is believed when it is seen.
async fn report_deletion(worker: &Worker, scope: Scope, operation: &Matched<'_>, (gone, status): (bool, StatusCode)) {
    let happened = if gone {
        Happened::Certain(ObjectEffect::Deleted { scope })
    } else if status.is_success() {
        Happened::DeletionBegun {
            scope,
            path: operation.path(),
        }
    } else {
        return;
    };
    worker.shared.effects.report(&worker.shared.cache, happened).await;
}

fn whole(mut parts: Parts, body: Bytes) -> Answer {
    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    Answer::Whole(Response::from_parts(parts, body))
}

#[derive(Deserialize)]
struct Created {
    id: String,
}

/// The role of an app's creator.
const OWNER: &str = "owner";

/// Longest time that an answer is held back for its change to arrive by the feed.
const REACH_TIME_MAX: Duration = Duration::from_secs(2);

/// Longest list that is cut, in octets: 20,000 apps of 800 octets.
const LIST_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Longest answer to a creation that is read, in octets.
const CREATED_BYTES_MAX: usize = 1024 * 1024;
