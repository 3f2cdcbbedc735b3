//! A worker: one thread with its own listener, policies and upstream connections, and what all workers share.
//!
//! A configuration that is read again makes new values of both. Each request takes the current worker once and keeps it
//! to its end, so that it sees one configuration; what must outlive a configuration is shared by old and new.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::{Semaphore, watch};

use crate::access_log::AccessQueue;
use crate::cache::Cache;
use crate::decisions::DecisionQueue;
use crate::effects::Effects;
use crate::facts::EnvTypesKnown;
use crate::fields::{ForwardedFields, NeverForwarded};
use crate::identity::{Identities, Signer};
use crate::limit::TokenAllowances;
use crate::metrics::Counters;
use crate::policies::InForce;
use crate::request_counts::{RequestCounts, WorkerCounts};
use crate::settings::Settings;
use crate::sources::Sources;
use crate::streams::Streams;
use crate::tls::ServerTls;
use crate::upstream::Pool;

/// What all workers share. Nothing in it is locked while work is done.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) tls: Option<Arc<ServerTls>>,
    pub(crate) cache: Arc<Cache>,
    pub(crate) sources: Arc<Sources>,
    pub(crate) token_allowances: Arc<TokenAllowances>,
    /// How many workers there are: limits of the whole are divided by it.
    pub(crate) workers: usize,
    pub(crate) signer: Arc<Signer>,
    pub(crate) forwarded_fields: ForwardedFields,
    pub(crate) env_types: Arc<EnvTypesKnown>,
    pub(crate) effects: Arc<Effects>,
    /// Places for upgraded connections.
    pub(crate) upgrades: Arc<Semaphore>,
    pub(crate) access_log: Arc<AccessQueue>,
    pub(crate) decisions: Arc<DecisionQueue>,
    /// Another number for each orchestrator, credential and set of authorities that was configured: connections are kept
    /// while it stays.
    pub(crate) orchestrator_version: u64,
}

/// What a worker has for itself.
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) policies: Rc<InForce>,
    pub(crate) orchestrator: Rc<Pool>,
    pub(crate) admin: Rc<Pool>,
    pub(crate) identities: Rc<Identities>,
    pub(crate) streams: Rc<Streams>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) requests: Arc<RequestCounts>,
    decision_ids: Rc<DecisionIds>,
}

/// The worker with the configuration in force, for connections to take one for each request.
#[derive(Clone)]
pub(crate) struct Current(Rc<Now>);

struct Now {
    worker: RefCell<Rc<Worker>>,
    draining: Cell<bool>,
}

/// Ids of decisions: random for the worker, counted within it.
struct DecisionIds {
    worker: u64,
    next: Cell<u64>,
}

impl Shared {
    /// Returns the time of day by which things end, in milliseconds since the Unix epoch.
    pub(crate) fn unix_ms(&self) -> i64 {
        self.cache.freshness().unix_ms(&self.settings.clock)
    }

    /// Returns the same with other settings. What was learnt of an orchestrator is forgotten with it.
    ///
    /// # Errors
    /// When a field that may never be forwarded is on the list.
    pub(crate) fn reconfigured(&self, settings: Settings, orchestrator_changed: bool) -> Result<Self, NeverForwarded> {
        Ok(Self {
            cache: Arc::clone(&self.cache),
            sources: Arc::clone(&self.sources),
            token_allowances: Arc::clone(&self.token_allowances),
            workers: self.workers,
            tls: self.tls.clone(),
            upgrades: Arc::clone(&self.upgrades),
            signer: Arc::clone(&self.signer),
            forwarded_fields: ForwardedFields::widened(settings.forwarded_fields.clone())?,
            env_types: if orchestrator_changed {
                Arc::new(EnvTypesKnown::new())
            } else {
                Arc::clone(&self.env_types)
            },
            effects: Arc::clone(&self.effects),
            access_log: Arc::clone(&self.access_log),
            decisions: Arc::clone(&self.decisions),
            orchestrator_version: self.orchestrator_version + u64::from(orchestrator_changed),
            settings,
        })
    }
}

impl Worker {
    pub(crate) fn new(
        shared: Arc<Shared>,
        policies: Rc<InForce>,
        counters: Arc<Counters>,
        requests: Arc<RequestCounts>,
    ) -> Self {
        Self {
            orchestrator: Pool::new(shared.settings.orchestrator.clone()),
            admin: Pool::new(shared.settings.admin.clone()),
            shared,
            policies,
            identities: Rc::new(Identities::new()),
            streams: Streams::new(),
            counters,
            requests,
            decision_ids: Rc::new(DecisionIds {
                worker: rand::random(),
                next: Cell::new(0),
            }),
        }
    }

    /// Returns an id for one more decision: the worker's part and the count.
    pub(crate) fn next_decision_id(&self) -> (u64, u64) {
        let count = self.decision_ids.next.get();
        self.decision_ids.next.set(count + 1);
        (self.decision_ids.worker, count)
    }

    /// Returns the worker with another configuration.
    fn reconfigured(&self, shared: Arc<Shared>, requests: Arc<RequestCounts>) -> Self {
        Self {
            orchestrator: if shared.orchestrator_version == self.shared.orchestrator_version {
                Rc::clone(&self.orchestrator)
            } else {
                Pool::new(shared.settings.orchestrator.clone())
            },
            admin: Rc::clone(&self.admin),
            shared,
            policies: Rc::clone(&self.policies),
            identities: Rc::clone(&self.identities),
            streams: Rc::clone(&self.streams),
            counters: Arc::clone(&self.counters),
            requests,
            decision_ids: Rc::clone(&self.decision_ids),
        }
    }
}

impl Current {
    pub(crate) fn new(worker: Worker) -> Self {
        Self(Rc::new(Now {
            worker: RefCell::new(Rc::new(worker)),
            draining: Cell::new(false),
        }))
    }

    /// Returns the worker for a request that begins now.
    pub(crate) fn get(&self) -> Rc<Worker> {
        Rc::clone(&self.0.worker.borrow())
    }

    /// Notes that connections are to end with the request that they serve, or serve next.
    pub(crate) fn drain(&self) {
        self.0.draining.set(true);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.0.draining.get()
    }

    /// Takes over each configuration that is sent, until no more can be.
    pub(crate) async fn follow(self, mut configured: watch::Receiver<Arc<Shared>>, counts: WorkerCounts) {
        while configured.changed().await.is_ok() {
            let shared = Arc::clone(&configured.borrow_and_update());
            let old = self.get();
            let requests = counts.go_on(&old.requests, &shared.settings.catalogue);
            self.0.worker.replace(Rc::new(old.reconfigured(shared, requests)));
        }
    }
}
