//! A worker: one thread with its own listener, policies and upstream connections, and what all workers share.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use engine::PolicySet;
use tokio::sync::Semaphore;

use crate::access_log::AccessQueue;
use crate::cache::Cache;
use crate::effects::Effects;
use crate::facts::EnvTypesKnown;
use crate::fields::ForwardedFields;
use crate::identity::{Identities, Signer};
use crate::limit::TokenAllowances;
use crate::metrics::Counters;
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
    pub(crate) token_allowances: TokenAllowances,
    /// How many workers there are: limits of the whole are divided by it.
    pub(crate) workers: usize,
    pub(crate) signer: Signer,
    pub(crate) forwarded_fields: ForwardedFields,
    pub(crate) env_types: EnvTypesKnown,
    pub(crate) effects: Effects,
    /// Places for upgraded connections.
    pub(crate) upgrades: Arc<Semaphore>,
    pub(crate) access_log: Arc<AccessQueue>,
}

/// What a worker has for itself.
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) policies: PolicySet,
    pub(crate) orchestrator: Rc<Pool>,
    pub(crate) admin: Rc<Pool>,
    pub(crate) identities: Identities,
    pub(crate) streams: Rc<Streams>,
    pub(crate) counters: Arc<Counters>,
    decision_ids: DecisionIds,
}

/// Ids of decisions: random for the worker, counted within it.
struct DecisionIds {
    worker: u64,
    next: Cell<u64>,
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>, policies: PolicySet, counters: Arc<Counters>) -> Self {
        Self {
            orchestrator: Pool::new(shared.settings.orchestrator.clone()),
            admin: Pool::new(shared.settings.admin.clone()),
            shared,
            policies,
            identities: Identities::new(),
            streams: Streams::new(),
            counters,
            decision_ids: DecisionIds {
                worker: rand::random(),
                next: Cell::new(0),
            },
        }
    }

    /// Returns an id for one more decision: the worker's part and the count.
    pub(crate) fn next_decision_id(&self) -> (u64, u64) {
        let count = self.decision_ids.next.get();
        self.decision_ids.next.set(count + 1);
        (self.decision_ids.worker, count)
    }
}
