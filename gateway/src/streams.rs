//! Requests that are under way, so that a change of rights reaches those that were permitted before it.
//!
//! A request is registered with its worker from its permit to the end of its answer. When the store's revision moves on, and
//! when a token expires, those whose token or subject changed are decided again, and all when policies or guards did: on the
//! facts and inputs of their first decision, but for the time, which is now. What is no longer allowed is cut; everything
//! else goes on untouched. How a request ends when it is cut is known to whoever
//! moves its octets, not here. When the data has become too old for what a request does, it is cut as well.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use feed::Digest;
use http::Method;
use http::request::Parts;
use http::uri::PathAndQuery;
use tokio::time::{sleep, timeout};

use crate::authenticate::look_up;
use crate::authorize::{Asked, Permit, authorize};
use crate::facts::Facts;
use crate::freshness::{self, Serves};
use crate::inputs::Told;
use crate::refusal::{Reason, Refusal};
use crate::worker::{Current, Worker};

/// The requests of one worker that are under way.
pub(crate) struct Streams {
    slots: RefCell<Slots>,
    /// No registered token expires before this time, in milliseconds since the Unix epoch.
    earliest_expiry_ms: Cell<i64>,
}

/// A request under way: what is needed to decide it again, and whether it has been cut.
pub(crate) struct Stream {
    digest: Digest,
    method: Method,
    /// What of the target its operation is found by.
    target: Option<PathAndQuery>,
    facts: Facts,
    /// What its policies were told beside that.
    told: Option<Rc<Told>>,
    source: IpAddr,
    bodiless: bool,
    /// Whether its operation can only read.
    is_read: bool,
    decision_id: (u64, u64),
    expires_ms: i64,
    /// The revision that had last changed the token or the subject when the request was last decided.
    changed: Cell<u64>,
    /// Number of the policies that last decided it.
    policies: Cell<u64>,
    cut: Cell<Option<Reason>>,
    obeyed: Cell<bool>,
    wakers: [Cell<Option<Waker>>; 2],
}

/// What a request was first decided on, beside its head.
pub(crate) struct Began {
    pub(crate) facts: Facts,
    pub(crate) told: Option<Rc<Told>>,
    pub(crate) source: IpAddr,
    /// Whether it is known to have no body.
    pub(crate) bodiless: bool,
    pub(crate) decision_id: (u64, u64),
}

/// Who waits to hear that a stream has been cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Whoever waits for the answer or passes it on.
    Answer = 0,
    /// Whoever passes the request's body on.
    Upload = 1,
}

/// A place in the registry, given up when this is dropped.
pub(crate) struct Registered {
    streams: Rc<Streams>,
    at: usize,
    stream: Rc<Stream>,
}

#[derive(Default)]
struct Slots {
    streams: Vec<Option<Rc<Stream>>>,
    free: Vec<usize>,
}

impl Streams {
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(Self {
            slots: RefCell::default(),
            earliest_expiry_ms: Cell::new(i64::MAX),
        })
    }

    /// Registers a request that was permitted; `None` when it needs no rights.
    ///
    /// Nothing may be awaited between the look-up of the caller and this: then a change that the caller does not have is
    /// yet to be met by [`watch`] on this thread, and none can slip through in between.
    pub(crate) fn register(self: &Rc<Self>, permit: &Permit<'_>, parts: &Parts, began: Began) -> Option<Registered> {
        let (caller, policies) = permit.caller().zip(permit.policies())?;
        let Began {
            facts,
            told,
            source,
            bodiless,
            decision_id,
        } = began;
        let stream = Rc::new(Stream {
            told,
            source,
            bodiless,
            is_read: permit.operation().operation.is_read(),
            decision_id,
            policies: Cell::new(policies),
            digest: caller.digest,
            method: parts.method.clone(),
            target: parts.uri.path_and_query().cloned(),
            facts,
            expires_ms: caller.token.expires_ms(),
            changed: Cell::new(caller.changed),
            cut: Cell::new(None),
            obeyed: Cell::new(false),
            wakers: Default::default(),
        });
        self.expect_expiry(stream.expires_ms);
        let at = self.slots.borrow_mut().insert(Rc::clone(&stream));
        Some(Registered {
            streams: Rc::clone(self),
            at,
            stream,
        })
    }

    fn expect_expiry(&self, expires_ms: i64) {
        self.earliest_expiry_ms
            .set(self.earliest_expiry_ms.get().min(expires_ms));
    }

    /// Returns what is in a slot; `None` behind the last one.
    fn slot(&self, at: usize) -> Option<Option<Rc<Stream>>> {
        self.slots.borrow().streams.get(at).cloned()
    }
}

impl Stream {
    /// Why it was cut, if it was.
    pub(crate) fn cut(&self) -> Option<Reason> {
        self.cut.get()
    }

    /// Whether its method may change nothing (RFC 9110 §9.2.1).
    pub(crate) fn is_safe(&self) -> bool {
        self.method.is_safe()
    }

    /// Waits for the cut. Whoever gets the reason has to end what it does.
    pub(crate) fn poll_cut(&self, side: Side, context: &Context<'_>) -> Poll<Reason> {
        if let Some(reason) = self.cut.get() {
            return Poll::Ready(reason);
        }
        let waker = &self.wakers[side as usize];
        let kept = waker.take().filter(|kept| kept.will_wake(context.waker()));
        waker.set(Some(kept.unwrap_or_else(|| context.waker().clone())));
        Poll::Pending
    }

    /// Notes that it ended because it was cut.
    pub(crate) fn obey(&self) {
        self.obeyed.set(true);
    }

    /// Cuts it, for good.
    fn cut_for(&self, reason: Reason) {
        self.cut.set(Some(reason));
        for waker in self.wakers.iter().filter_map(Cell::take) {
            waker.wake();
        }
    }
}

impl Registered {
    pub(crate) fn stream(&self) -> &Rc<Stream> {
        &self.stream
    }

    /// Why the request ended early, if it did because it was cut.
    pub(crate) fn ended_by(&self) -> Option<Reason> {
        self.stream.cut.get().filter(|_| self.stream.obeyed.get())
    }

    /// Works on, unless the request is cut while `may_end` holds.
    pub(crate) async fn unless_cut<T>(
        &self,
        work: impl Future<Output = Result<T, Refusal>>,
        may_end: impl Fn() -> bool,
    ) -> Result<T, Refusal> {
        let mut work = pin!(work);
        poll_fn(|context| {
            // Before the work: an upload that was cut fails, and not because of the upstream.
            if let Poll::Ready(reason) = self.stream.poll_cut(Side::Answer, context)
                && may_end()
            {
                self.stream.obey();
                return Poll::Ready(Err(reason.into()));
            }
            work.as_mut().poll(context)
        })
        .await
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.streams.slots.borrow_mut().remove(self.at);
    }
}

impl Slots {
    fn insert(&mut self, stream: Rc<Stream>) -> usize {
        if let Some(at) = self.free.pop() {
            self.streams[at] = Some(stream);
            return at;
        }
        self.streams.push(Some(stream));
        self.streams.len() - 1
    }

    fn remove(&mut self, at: usize) {
        self.streams[at] = None;
        self.free.push(at);
    }
}

/// Cuts what is no longer allowed, for as long as the worker runs.
pub(crate) async fn watch(current: Current) {
    let mut revisions = current.get().shared.cache.revisions();
    let mut served = None;
    loop {
        // The machine's clock may be set, so the time of an expiry is looked for and not slept until.
        let worker = current.get();
        let changed = async {
            tokio::select! {
                published = revisions.changed() => published,
                () = worker.policies.changed() => Ok(()),
            }
        };
        let changed = timeout(EXPIRY_PAUSE, changed).await;
        let worker = current.get();
        match changed {
            Ok(Ok(())) => worker.policies.published(worker.shared.cache.revision()),
            Ok(Err(_gone)) => return,
            Err(_elapsed) if worker.streams.earliest_expiry_ms.get() <= worker.shared.unix_ms() => {}
            Err(_elapsed) if serves(&worker) > served => {}
            Err(_elapsed) => {
                served = serves(&worker);
                continue;
            }
        }
        served = serves(&worker);
        decide_again(&worker).await;
        sleep(LOOK_PAUSE).await;
    }
}

/// What may be decided on the data as old as it is.
fn serves(worker: &Worker) -> Option<Serves> {
    let settings = &worker.shared.settings;
    let freshness = worker.shared.cache.freshness();
    freshness.serves(&settings.clock, &settings.limits.data_age)
}

/// Looks at all requests under way, some at a time, so that others are served in between.
async fn decide_again(worker: &Worker) {
    let streams = &worker.streams;
    streams.earliest_expiry_ms.set(i64::MAX);
    let (mut at, mut work) = (0, 0);
    while let Some(slot) = streams.slot(at) {
        if let Some(stream) = slot.filter(|stream| stream.cut().is_none()) {
            match is_still_allowed(worker, &stream) {
                Ok(Looked::Unchanged) => streams.expect_expiry(stream.expires_ms),
                Ok(Looked::Decided) => {
                    work += DECISION_WORK;
                    streams.expect_expiry(stream.expires_ms);
                }
                Err(refusal) => stream.cut_for(refusal.reason),
            }
        }
        at += 1;
        work += 1;
        if work >= AT_A_TIME {
            work = 0;
            tokio::task::yield_now().await;
        }
    }
}

/// What a look at a stream took.
enum Looked {
    Unchanged,
    Decided,
}

fn is_still_allowed(worker: &Worker, stream: &Stream) -> Result<Looked, Refusal> {
    let shared = &worker.shared;
    freshness::check(shared, stream.is_read)?;
    let now_ms = shared.unix_ms();
    let caller = look_up(&shared.cache, &stream.digest, now_ms)?;
    let (changed, policies) = (caller.changed, worker.policies.at(caller.revision).number);
    if (changed, policies) == (stream.changed.get(), stream.policies.get()) {
        return Ok(Looked::Unchanged);
    }
    let path = stream.target.as_ref().map_or("", PathAndQuery::path);
    let found = shared.settings.catalogue.identify(stream.method.as_str(), path);
    let operation = found.map_err(|_gone| Reason::OperationUnknown)?;
    let asked = Asked {
        facts: &stream.facts,
        decision_id: stream.decision_id,
        at_ms: now_ms,
        source: stream.source,
        query: stream.target.as_ref().and_then(PathAndQuery::query),
        told: stream.told.as_deref(),
        bodiless: stream.bodiless,
        fields: None,
    };
    authorize(worker, caller, operation, (&asked, None))?;
    stream.changed.set(changed);
    stream.policies.set(policies);
    Ok(Looked::Decided)
}

/// How late an expiry, or the age of the data, may be noticed.
const EXPIRY_PAUSE: Duration = Duration::from_millis(50);

/// Shortest time between two looks at all requests: a look at 10,000 takes about 1 ms, and changes may come in thousands.
const LOOK_PAUSE: Duration = Duration::from_millis(5);

/// Looks at requests before others are served: about 50 µs.
const AT_A_TIME: usize = 256;

/// A decision takes as long as some looks.
const DECISION_WORK: usize = 15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_used_again() {
        let streams = Streams::new();
        let stream = || {
            Rc::new(Stream {
                digest: Digest::from_bytes([0; 32]),
                method: Method::GET,
                target: None,
                facts: Facts::default(),
                told: None,
                source: IpAddr::from([127, 0, 0, 1]),
                bodiless: true,
                is_read: true,
                decision_id: (0, 0),
                policies: Cell::new(0),
                expires_ms: i64::MAX,
                changed: Cell::new(1),
                cut: Cell::new(None),
                obeyed: Cell::new(false),
                wakers: Default::default(),
            })
        };
        for _ in 0..100 {
            let places: Vec<usize> = (0..10).map(|_| streams.slots.borrow_mut().insert(stream())).collect();
            places.into_iter().for_each(|at| streams.slots.borrow_mut().remove(at));
        }
        assert_eq!(streams.slots.borrow().streams.len(), 10);
        assert!(streams.slots.borrow().streams.iter().all(Option::is_none));
    }
}
