//! The path of a request, from its head to the answer. Each step takes what the step before it proved.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use catalogue::{EnvTypes, Matched};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;

use crate::access_log::AccessRecord;
use crate::answer::{self, Answer};
use crate::authenticate::{authenticate, look_up};
use crate::authorize::{self, Asked, Asking, Permit, authorize, authorize_public};
use crate::body::{Body, Finished};
use crate::cache::Caller;
use crate::connection::{Connection, Origin};
use crate::facts::{self, Facts, GatheredBody};
use crate::forward::forward;
use crate::freshness;
use crate::grpc;
use crate::inputs::{self, Reading, Told};
use crate::load;
use crate::metrics::Outcome;
use crate::operation::{check_head, identify};
use crate::refusal::{Reason, Refusal};
use crate::streams::{Began, Registered};
use crate::tunnel::{Ends, Tunnel};
use crate::under_way::UnderWay;
use crate::upgrade;
use crate::worker::Worker;

/// Answers a request, whatever it is.
///
/// A request that may change something runs to its end even when its caller goes away: what the orchestrator has done
/// must reach the store. One that its connection has `refused` is refused.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    connection: Rc<Connection>,
    request: Request<Incoming>,
    refused: Option<Reason>,
) -> Response<Body> {
    if request.method().is_safe() {
        return handle(worker, connection, request, refused).await;
    }
    match tokio::task::spawn_local(handle(worker, connection, request, refused)).await {
        Ok(response) => response,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}

/// Answers a request, and sees to it that it is logged and counted once.
async fn handle(
    worker: Rc<Worker>,
    connection: Rc<Connection>,
    request: Request<Incoming>,
    refused: Option<Reason>,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let told = connection.fronted.then(|| told_origin(&worker, &connection, &parts));
    let origin = told.as_ref().unwrap_or(&connection.origin);
    let mut under_way = UnderWay::begin(&worker, &connection, origin, &parts);
    let received = Received {
        parts: &parts,
        connection: &connection,
        origin,
        at_ms: under_way.at_ms,
    };
    let mut registered = None;
    let answered = match refused {
        Some(reason) => Err(reason.into()),
        None => decide_and_forward(&worker, received, body, (&mut under_way, &mut registered)).await,
    };
    match answered {
        Ok(Answer::Whole(response)) => {
            let finished = Finished {
                bytes: response.body().len() as u64,
                complete: true,
            };
            let status = response.status().as_u16();
            under_way.end(Outcome::forwarded(status), status, finished);
            response.map(Body::full)
        }
        Ok(Answer::Streamed(response, lease)) => {
            let (status, idle) = (response.status().as_u16(), lease.idle());
            let stream = registered.as_ref().map(|own| Rc::clone(own.stream()));
            let offer = (parts.version == Version::HTTP_2).then(|| connection.offer());
            let finish = move |finished: Finished| {
                if finished.complete {
                    lease.hand_back();
                }
                tell_cut(&worker, registered.as_ref(), &mut under_way);
                under_way.end(Outcome::forwarded(status), status, finished);
            };
            response.map(|incoming| Body::streamed(incoming, idle, (stream, offer), finish))
        }
        Ok(Answer::Switched(response, tunnel)) => {
            let ends = (registered, Rc::clone(&connection));
            tokio::task::spawn_local(pass(worker, *tunnel, ends, under_way));
            response.map(Body::full)
        }
        Err(refusal) => {
            let outcome = Outcome::Refused(refusal.reason);
            under_way.detail = refusal.source.as_ref().map(ToString::to_string);
            tell_cut(&worker, registered.as_ref(), &mut under_way);
            under_way.guard = refusal.guard().map(Box::from);
            let message = grpc::is_call(&parts.headers).then(|| refusal.message().to_owned());
            let mut response = refusal.into_response(&under_way.decision_id());
            if let Some(message) = message {
                grpc::tell_status(&mut response, &message);
            }
            if outcome.is_unavailable() {
                tell_age(&worker, response.headers_mut());
            }
            let finished = Finished {
                bytes: 0,
                complete: true,
            };
            under_way.end(outcome, response.status().as_u16(), finished);
            response
        }
    }
}

/// Sees an upgraded connection to its end.
async fn pass(
    worker: Rc<Worker>,
    tunnel: Tunnel,
    (registered, connection): (Option<Registered>, Rc<Connection>),
    mut under_way: UnderWay,
) {
    let ends = Ends {
        registered: registered.as_ref(),
        phase: connection.phase.clone(),
        idle: worker.shared.settings.limits.upgrade_idle,
    };
    let (finished, ended) = tunnel.run(ends).await;
    under_way.detail = ended.err().map(|broken| broken.to_string());
    tell_cut(&worker, registered.as_ref(), &mut under_way);
    let status = StatusCode::SWITCHING_PROTOCOLS.as_u16();
    under_way.end(Outcome::forwarded(status), status, finished);
}

/// The head of a request, and what is known of its arrival.
#[derive(Clone, Copy)]
pub(crate) struct Received<'r> {
    pub(crate) parts: &'r Parts,
    pub(crate) connection: &'r Connection,
    pub(crate) origin: &'r Origin,
    /// When it arrived, in milliseconds since the Unix epoch.
    pub(crate) at_ms: i64,
}

impl<'r> Received<'r> {
    /// What a decision on it is made on, before anything was read of it.
    fn asked<'a>(&self, facts: &'a Facts, decision_id: (u64, u64)) -> Asked<'a>
    where
        'r: 'a,
    {
        Asked {
            facts,
            decision_id,
            at_ms: self.at_ms,
            source: self.origin.address,
            query: self.parts.uri.query(),
            told: None,
            bodiless: false,
            fields: Some(&self.parts.headers),
        }
    }
}

/// The steps: read, decide, forward, answer.
async fn decide_and_forward(
    worker: &Worker,
    received: Received<'_>,
    body: Incoming,
    (record, registered): (&mut AccessRecord, &mut Option<Registered>),
) -> Result<Answer, Refusal> {
    let parts = received.parts;
    load::check(worker, received.origin)?;
    check_head(parts, &worker.shared.settings, received.connection)?;
    if parts.uri.path() == JWKS_PATH && parts.method == Method::GET {
        return Ok(Answer::Whole(jwks(worker)));
    }
    let permitted = decide(worker, received, body, record).await?;
    *registered = permitted.registered;
    let (permit, registered) = (permitted.permit, registered.as_ref());
    record.role = permit.role().cloned();
    let upgrade = upgrade::asked(worker, &permit.operation().operation, parts, &permitted.body)?;
    let forwarded = forward(
        worker,
        &permit,
        received,
        (permitted.body, upgrade.as_ref()),
        registered,
    )
    .await?;
    let answering = answer::answer(worker, &permit, forwarded, upgrade);
    match registered {
        // Of an unsafe request the effects may be on their way to the store.
        Some(registered) => registered.unless_cut(answering, || parts.method.is_safe()).await,
        None => answering.await,
    }
}

/// A request that may be forwarded.
struct Permitted<'r> {
    permit: Permit<'r>,
    body: GatheredBody,
    /// Its place among the requests under way; none when it needs no rights.
    registered: Option<Registered>,
}

/// The steps of a decision: identify, authenticate, gather facts, authorize.
async fn decide<'r>(
    worker: &Worker,
    received: Received<'r>,
    body: Incoming,
    record: &mut AccessRecord,
) -> Result<Permitted<'r>, Refusal> {
    let Received {
        parts,
        origin,
        connection,
        at_ms,
    } = received;
    let shared = &worker.shared;
    let operation = identify(&shared.settings.catalogue, parts);
    if let Ok(operation) = &operation {
        record.operation = Some(operation.operation.clone());
        if operation.operation.public {
            let permit = authorize_public(operation.clone())?;
            return Ok(Permitted {
                permit,
                body: GatheredBody::Unread(body),
                registered: None,
            });
        }
    }
    let is_read = operation.as_ref().is_ok_and(|operation| operation.operation.is_read());
    // Whoever asks for what is no operation hears that, as long as anything is decided.
    freshness::check(shared, is_read || operation.is_err())?;
    let caller = authenticate(&shared.cache, &parts.headers, connection.certificate(), at_ms)
        .map_err(|refusal| load::slow_guesses(worker, origin, refusal))?;
    record.identify(&caller);
    load::check_rates(worker, &caller)?;
    let operation = operation?;
    let decision_id = record.decision_id;
    let gathered = Gathered {
        caller,
        facts: Facts::default(),
        told: None,
        body: GatheredBody::Unread(body),
    };
    if operation.operation.env_types == EnvTypes::None && !worker.policies.ask_for_inputs() {
        return permit(worker, received, (operation, decision_id), gathered);
    }
    // In a box of its own: most requests should not carry the room that this needs.
    let gathered = Box::pin(gather(worker, received, (&operation, decision_id), gathered)).await?;
    record.identify(&gathered.caller);
    freshness::check(shared, is_read)?;
    permit(worker, received, (operation, decision_id), gathered)
}

/// What a request is decided on, beside its head.
struct Gathered {
    caller: Caller,
    facts: Facts,
    /// What was read of it for policies.
    told: Option<Rc<Told>>,
    body: GatheredBody,
}

/// Authorizes and registers, with nothing awaited since the look-up of the caller ([`Streams::register`]).
///
/// [`Streams::register`]: crate::streams::Streams::register
fn permit<'r>(
    worker: &Worker,
    received: Received<'r>,
    (operation, decision_id): (Matched<'r>, (u64, u64)),
    gathered: Gathered,
) -> Result<Permitted<'r>, Refusal> {
    let Gathered {
        caller,
        facts,
        told,
        body,
    } = gathered;
    let bodiless = body.is_empty();
    let asked = Asked {
        told: told.as_deref(),
        bodiless,
        ..received.asked(&facts, decision_id)
    };
    let permit = authorize(worker, caller, operation, (&asked, told.clone()))?;
    let began = Began {
        facts,
        told,
        source: received.origin.address,
        bodiless,
        decision_id,
    };
    let registered = worker.streams.register(&permit, received.parts, began);
    Ok(Permitted {
        permit,
        body,
        registered,
    })
}

/// Gathers the facts that the operation needs, and the inputs that its policies ask for. That may take a while, so the caller
/// is looked up anew behind it: a token that was revoked meanwhile is refused.
async fn gather(
    worker: &Worker,
    received: Received<'_>,
    (operation, decision_id): (&Matched<'_>, (u64, u64)),
    mut gathered: Gathered,
) -> Result<Gathered, Refusal> {
    if operation.operation.env_types != EnvTypes::None {
        (gathered.caller, gathered.facts, gathered.body) = gather_facts(
            worker,
            gathered.caller,
            (operation, &received.asked(&gathered.facts, decision_id)),
            gathered.body,
        )
        .await?;
    }
    if worker.policies.ask_for_inputs() {
        let reading = Reading {
            parts: received.parts,
            operation,
        };
        let asked = Asked {
            bodiless: gathered.body.is_empty(),
            ..received.asked(&gathered.facts, decision_id)
        };
        let told;
        (gathered.caller, told, gathered.body) =
            inputs::gather(worker, gathered.caller, reading, &asked, gathered.body).await?;
        gathered.told = Some(told);
    }
    Ok(gathered)
}

async fn gather_facts(
    worker: &Worker,
    caller: Caller,
    (operation, asked): (&Matched<'_>, &Asked<'_>),
    body: GatheredBody,
) -> Result<(Caller, Facts, GatheredBody), Refusal> {
    if !authorize::facts_matter(worker, (&caller, operation, asked)) {
        return Err(authorize::not_allowed(worker, (&caller, operation, asked)));
    }
    let gathered = facts::gather(worker, operation, body).await;
    let caller = look_up(&worker.shared.cache, &caller.digest, worker.shared.unix_ms())?;
    match gathered {
        Ok((facts, body)) => Ok((caller, facts, body)),
        // That an environment does not exist is told only to those who may look.
        Err(refusal)
            if refusal.reason == Reason::EnvironmentUnknown && !may_read_app(worker, (&caller, operation, asked)) =>
        {
            Err(authorize::not_allowed(worker, (&caller, operation, asked)))
        }
        Err(refusal) => Err(refusal),
    }
}

fn may_read_app(worker: &Worker, (caller, operation, asked): Asking<'_>) -> bool {
    let read = worker.shared.settings.catalogue.by_id("getApplication");
    let (Some(read), Some(org), Some(app)) = (read, operation.org(), operation.app()) else {
        return false;
    };
    Matched::from_values(read, &[org, app]).is_some_and(|read| authorize::roles_allow(worker, (caller, &read, asked)))
}

/// The keys for `Postern-Identity`, as RFC 8615 well-known resource. They are public.
fn jwks(worker: &Worker) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(worker.shared.signer.jwks()));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/jwk-set+json"));
    response
}

/// Tells a caller whom we cannot serve now how old the data is, in whole seconds.
fn tell_age(worker: &Worker, fields: &mut HeaderMap) {
    let shared = &worker.shared;
    if let Some(age_ms) = shared.cache.freshness().age_ms(&shared.settings.clock) {
        fields.insert(DATA_AGE, HeaderValue::from(age_ms / 1000));
    }
}

/// Notes that a request ended because it was cut.
fn tell_cut(worker: &Worker, registered: Option<&Registered>, record: &mut AccessRecord) {
    if let Some(reason) = registered.and_then(Registered::ended_by) {
        worker.counters.cut(reason);
        record.detail = Some(reason.id().to_owned());
    }
}

const DATA_AGE: HeaderName = HeaderName::from_static("postern-data-age");

const JWKS_PATH: &str = "/.well-known/jwks.json";

/// Where a request comes from, as the front proxy says it; from the front proxy itself when it does not.
fn told_origin(worker: &Worker, connection: &Connection, parts: &Parts) -> Origin {
    let own = &connection.origin;
    let (address, secure) = worker.shared.settings.front.source(&parts.headers);
    Origin {
        address: address.unwrap_or(own.address),
        source: address.map_or_else(|| Arc::clone(&own.source), |address| worker.shared.sources.of(address)),
        secure: secure.unwrap_or(own.secure),
    }
}

impl AccessRecord {
    fn identify(&mut self, caller: &Caller) {
        self.subject = Some(caller.subject.clone());
        self.token = Some(caller.token.clone());
        self.revision = caller.revision;
    }
}
