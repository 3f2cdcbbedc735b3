//! A worker's connections to an upstream's endpoints: which are kept, which are in use, and which endpoint is next.
//!
//! Each worker has its own, so nothing here is shared between threads. An HTTP/1.1 connection serves one request at a time
//! and goes back when the answer's body has ended; an HTTP/2 connection serves many.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::http2;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

use super::budget::Budget;
use super::connection::{Http1, Http2Connection, Resolved};
use super::metrics::{Gauge, Open};
use super::{Http2, Upstream};
use crate::body::RequestBody;

/// An upstream, with a worker's connections to it.
pub(crate) struct Pool {
    pub(crate) upstream: Upstream,
    pub(super) locals: Box<[Local]>,
    pub(super) budget: Budget,
    random: Cell<u64>,
}

/// What a worker has of one endpoint.
pub(super) struct Local {
    idle: RefCell<VecDeque<Idle>>,
    multiplexed: RefCell<Vec<Rc<Multiplexed>>>,
    /// Whether the newest connection speaks HTTP/2: the next will too.
    pub(super) http2: Cell<bool>,
    /// Held while such a connection is opened: all who wait can use the same.
    pub(super) connecting: Mutex<()>,
    pub(super) resolved: RefCell<Option<Resolved>>,
    /// Requests on their way, whose answers have not ended.
    in_flight: Cell<u32>,
    gauges: Arc<[Gauge]>,
    number: usize,
}

/// A connection in use. Dropped, it ends (HTTP/1.1) or goes on without us (HTTP/2).
pub(crate) struct Lease {
    pool: Rc<Pool>,
    endpoint: usize,
    /// `None` once it was handed back.
    pub(super) held: Option<Held>,
}

pub(super) enum Held {
    Http1(Http1),
    Http2(Rc<Multiplexed>),
}

/// An HTTP/2 connection.
pub(super) struct Multiplexed {
    pub(super) sender: RefCell<http2::SendRequest<RequestBody>>,
    connection: Rc<RefCell<Http2Connection>>,
    streams: Cell<usize>,
    since: Cell<Instant>,
}

struct Idle {
    connection: Http1,
    since: Instant,
}

impl Pool {
    /// Begins without connections. To be called where tasks can be spawned on this thread.
    pub(crate) fn new(upstream: Upstream) -> Rc<Self> {
        let endpoints = upstream.0.endpoints.len();
        let gauges = upstream.0.counts.join(endpoints);
        let http2 = upstream.0.config.http2 == Http2::PriorKnowledge;
        let locals = (0..endpoints).map(|number| Local::new(&gauges, number, http2));
        let pool = Rc::new(Self {
            locals: locals.collect(),
            budget: Budget::new(upstream.0.config.retries.budget_percent),
            // Never 0: a xorshift stays there.
            random: Cell::new(rand::random::<u64>() | 1),
            upstream,
        });
        let observer = Rc::downgrade(&pool);
        tokio::task::spawn_local(async move {
            loop {
                sleep(AGE_PAUSE).await;
                let Some(pool) = observer.upgrade() else { return };
                pool.budget.age();
                pool.locals.iter().for_each(Local::sweep);
            }
        });
        pool
    }

    /// Chooses an endpoint: the preferred one, if there is one; else of two good ones at random that were not tried, the one with less to do. When no good one is
    /// left, any that was not tried; when all were, any.
    ///
    /// Endpoints that were tried are the bits of a number.
    pub(super) fn choose(&self, tried: u64) -> usize {
        let endpoints = &self.upstream.0.endpoints;
        if endpoints.len() == 1 {
            return 0;
        }
        if let Some(preferred) = self.upstream.preferred().filter(|at| tried & (1 << at) == 0) {
            return preferred;
        }
        let now = Instant::now();
        let (mut all, mut good) = (0_u64, 0_u64);
        for (at, endpoint) in endpoints.iter().enumerate() {
            all |= 1 << at;
            good |= u64::from(endpoint.health.is_good(now)) << at;
        }
        let candidates = [good & !tried, all & !tried, all];
        let among = candidates.into_iter().find(|set| *set != 0).unwrap_or(all);
        let (first, second) = (self.pick(among), self.pick(among));
        if self.locals[second].in_flight.get() < self.locals[first].in_flight.get() {
            second
        } else {
            first
        }
    }

    /// Takes a kept connection to an endpoint.
    pub(super) fn take(self: &Rc<Self>, endpoint: usize, http1_only: bool) -> Option<Lease> {
        let local = &self.locals[endpoint];
        let multiplexed = if http1_only { None } else { local.take_multiplexed() };
        let held = multiplexed
            .map(Held::Http2)
            .or_else(|| local.take_idle().map(Held::Http1))?;
        Some(self.lease(endpoint, held))
    }

    pub(super) fn lease(self: &Rc<Self>, endpoint: usize, held: Held) -> Lease {
        let local = &self.locals[endpoint];
        local.in_flight.set(local.in_flight.get() + 1);
        let first = match &held {
            Held::Http1(_) => true,
            Held::Http2(connection) => connection.enter(),
        };
        if first {
            local.gauge().take();
        }
        Lease {
            pool: Rc::clone(self),
            endpoint,
            held: Some(held),
        }
    }

    /// Picks one of a set of bits that is not empty.
    fn pick(&self, among: u64) -> usize {
        let mut random = self.random.get();
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        self.random.set(random);
        let mut left = among;
        for _ in 0..(random >> 32) % u64::from(among.count_ones()) {
            left &= left - 1;
        }
        left.trailing_zeros() as usize
    }
}

impl Local {
    fn new(gauges: &Arc<[Gauge]>, number: usize, http2: bool) -> Self {
        Self {
            idle: RefCell::default(),
            multiplexed: RefCell::default(),
            http2: Cell::new(http2),
            connecting: Mutex::default(),
            resolved: RefCell::default(),
            in_flight: Cell::new(0),
            gauges: Arc::clone(gauges),
            number,
        }
    }

    /// Counts a connection as open while it lives.
    pub(super) fn count_open(&self) -> Open {
        Open::count(&self.gauges, self.number)
    }

    /// Keeps an HTTP/2 connection for all requests.
    pub(super) fn share(&self, connection: &Rc<Multiplexed>) {
        self.multiplexed.borrow_mut().push(Rc::clone(connection));
    }

    /// Does not use an HTTP/2 connection for more requests; those on it go on.
    pub(super) fn retire(&self, connection: &Rc<Multiplexed>) {
        self.multiplexed
            .borrow_mut()
            .retain(|other| !Rc::ptr_eq(other, connection));
    }

    fn gauge(&self) -> &Gauge {
        &self.gauges[self.number]
    }

    fn take_idle(&self) -> Option<Http1> {
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { connection, .. }) = idle.pop_back() {
            if connection.sender.is_ready() {
                return Some(connection);
            }
        }
        None
    }

    /// Returns a connection with room; when there are as many as may be, the one with the fewest streams: it will let
    /// them wait.
    fn take_multiplexed(&self) -> Option<Rc<Multiplexed>> {
        let mut connections = self.multiplexed.borrow_mut();
        if connections.is_empty() {
            return None;
        }
        connections.retain(|connection| !connection.sender.borrow().is_closed());
        let with_room = connections.iter().find(|connection| connection.has_room());
        let least = || connections.iter().min_by_key(|connection| connection.streams.get());
        with_room
            .or_else(|| (connections.len() >= MULTIPLEXED_MAX).then(least).flatten())
            .cloned()
    }

    fn keep(&self, connection: Http1) {
        let mut idle = self.idle.borrow_mut();
        let now = Instant::now();
        while idle
            .front()
            .is_some_and(|oldest| idle.len() >= IDLE_MAX || now - oldest.since > IDLE_TIME_MAX)
        {
            idle.pop_front();
        }
        idle.push_back(Idle { connection, since: now });
    }

    /// Ends what nobody has used for long.
    fn sweep(&self) {
        let now = Instant::now();
        self.idle
            .borrow_mut()
            .retain(|idle| now - idle.since <= IDLE_TIME_MAX && !idle.connection.sender.is_closed());
        self.multiplexed.borrow_mut().retain(|connection| {
            let unused = connection.streams.get() == 0 && now - connection.since.get() > IDLE_TIME_MAX;
            !unused && !connection.sender.borrow().is_closed()
        });
    }
}

impl Lease {
    /// Gives the connection back for the next request: the answer has been read to its end.
    pub(crate) fn hand_back(mut self) {
        let Some(Held::Http1(mut connection)) = self.held.take_if(|held| matches!(held, Held::Http1(_))) else {
            return;
        };
        let (pool, endpoint) = (Rc::clone(&self.pool), self.endpoint);
        if connection.sender.is_ready() {
            pool.locals[endpoint].keep(connection);
        } else if !connection.sender.is_closed() {
            tokio::task::spawn_local(async move {
                if let Ok(Ok(())) = timeout(READY_AGAIN, connection.sender.ready()).await {
                    pool.locals[endpoint].keep(connection);
                }
            });
        }
    }

    /// Sees to it that nobody takes the connection any more.
    pub(super) fn retire(&self) {
        if let Some(Held::Http2(connection)) = &self.held {
            self.pool.locals[self.endpoint].retire(connection);
        }
    }

    /// Longest time between two parts of the answer's body.
    pub(crate) fn idle(&self) -> Duration {
        self.pool.upstream.deadlines().idle
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let local = &self.pool.locals[self.endpoint];
        local.in_flight.set(local.in_flight.get() - 1);
        let last = match &self.held {
            Some(Held::Http1(_)) | None => true,
            Some(Held::Http2(connection)) => connection.leave(),
        };
        if last {
            local.gauge().give();
        }
    }
}

impl Multiplexed {
    pub(super) fn new(sender: http2::SendRequest<RequestBody>, connection: Rc<RefCell<Http2Connection>>) -> Rc<Self> {
        Rc::new(Self {
            sender: RefCell::new(sender),
            connection,
            streams: Cell::new(0),
            since: Cell::new(Instant::now()),
        })
    }

    /// Whether the upstream allows one more stream now.
    fn has_room(&self) -> bool {
        self.streams.get() < self.connection.borrow().current_max_send_streams()
    }

    /// Counts one more stream. Returns whether it is the only one.
    fn enter(&self) -> bool {
        self.streams.set(self.streams.get() + 1);
        self.streams.get() == 1
    }

    /// Counts one stream less. Returns whether it was the last.
    fn leave(&self) -> bool {
        self.streams.set(self.streams.get() - 1);
        self.since.set(Instant::now());
        self.streams.get() == 0
    }
}

/// Most idle connections that a worker keeps to one endpoint.
const IDLE_MAX: usize = 256;

/// Most HTTP/2 connections that a worker has to one endpoint: 800 streams, where an upstream allows the usual 100.
const MULTIPLEXED_MAX: usize = 8;

/// Longest time that a connection is kept idle; below the 75 s after which nginx closes one.
const IDLE_TIME_MAX: Duration = Duration::from_secs(60);

/// How often connections are looked for that have been idle for too long, and requests become past ones.
const AGE_PAUSE: Duration = Duration::from_secs(10);

/// How long a connection may take to be ready again after an answer.
const READY_AGAIN: Duration = Duration::from_secs(5);
