//! The control thread: it follows the feed, and delivers acknowledgements, effects and decisions.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use engine::Compiler;
use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;

use crate::acknowledge::Acknowledger;
use crate::decision_log::{self, Ends, LogCounts, Report};
use crate::effects::{Arrivals, Reporter};
use crate::journal::JournalError;
use crate::kept::{Keeping, Kept, KeptComponents, KeptMetrics, TakenUp};
use crate::policies::{Components, Engines, Keeper, Plan, PolicyCounts};
use crate::shadow::ShadowPlans;
use crate::start::{StartError, start_thread};
use crate::sync::Follower;
use crate::upstream::Pool;
use crate::worker::Shared;

/// What the control thread has to itself.
pub(crate) struct Control {
    arrivals: Arrivals,
    engines: Arc<Engines>,
    /// What is served from until the feed is heard.
    taken_up: Option<TakenUp>,
    /// Where components of policies are kept.
    components: Option<KeptComponents>,
    /// To the workers.
    plans: Vec<mpsc::UnboundedSender<Plan>>,
    policies: Arc<PolicyCounts>,
    shadows: Arc<ShadowPlans>,
    reports: mpsc::Receiver<Report>,
    pub(crate) decisions: Arc<LogCounts>,
    /// Where requests come to.
    address: SocketAddr,
}

/// The other ends of what the control thread has.
pub(crate) struct Controlled {
    /// Of the workers, by their numbers.
    pub(crate) plans: Vec<mpsc::UnboundedReceiver<Plan>>,
    pub(crate) ends: Ends,
    pub(crate) policies: Arc<PolicyCounts>,
}

impl Control {
    /// Returns what the thread needs, and what the others have of it.
    pub(crate) fn new(
        arrivals: Arrivals,
        (engines, shared): (Arc<Engines>, &Shared),
        configured: watch::Receiver<Arc<Shared>>,
        address: SocketAddr,
    ) -> (Self, Controlled) {
        let workers = 0..shared.workers;
        let (plans, plans_of_workers) = workers.map(|_| mpsc::unbounded_channel()).unzip();
        let (reports, reported) = mpsc::channel(decision_log::REPORTS_MAX);
        let control = Self {
            arrivals,
            engines,
            taken_up: None,
            components: None,
            plans,
            policies: Arc::default(),
            shadows: Arc::default(),
            reports: reported,
            decisions: Arc::default(),
            address,
        };
        let ends = Ends {
            queue: Arc::clone(&shared.decisions),
            shadows: Arc::clone(&control.shadows),
            counts: Arc::clone(&control.decisions),
            reports,
            configured,
        };
        let policies = Arc::clone(&control.policies);
        (
            control,
            Controlled {
                plans: plans_of_workers,
                ends,
                policies,
            },
        )
    }

    /// Starts to keep what arrives, and takes over what was kept.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub(crate) fn keep(&mut self, kept: Option<Kept>) -> Result<Option<(Keeping, KeptMetrics)>, StartError> {
        let Some(kept) = kept else { return Ok(None) };
        self.components = Some(kept.components.clone());
        let (keeping, metrics, taken_up) = kept.start().map_err(StartError::Thread)?;
        self.taken_up = taken_up;
        Ok(Some((keeping, metrics)))
    }

    /// Starts the thread. It ends with the process: effects that it has not delivered are in the journal. Returns what ends
    /// when no decision is left to be told.
    ///
    /// # Errors
    /// When a thread cannot be started, or the journal cannot be read.
    pub(crate) fn start(self, configured: watch::Receiver<Arc<Shared>>) -> Result<Receiver<Infallible>, StartError> {
        let (opened, journal) = std::sync::mpsc::channel();
        let (delivering, delivered) = std::sync::mpsc::channel();
        start_thread("postern-control".to_owned(), move |runtime| {
            LocalSet::new().block_on(&runtime, self.run(configured, opened, delivering));
        })?;
        // The sender is dropped unsent only when the thread panicked.
        journal
            .recv()
            .map_err(|_panicked| StartError::Policies("the control thread panicked".to_owned()))??;
        Ok(delivered)
    }

    async fn run(
        self,
        configured: watch::Receiver<Arc<Shared>>,
        opened: Sender<Result<(), JournalError>>,
        delivering: Sender<Infallible>,
    ) {
        let shared = Arc::clone(&configured.borrow());
        let settings = &shared.settings;
        let admin = Pool::new(settings.admin.clone());
        let orchestrator = Pool::new(settings.orchestrator.clone());
        match Reporter::open(&settings.data, Rc::clone(&admin), orchestrator) {
            Ok(reporter) => {
                tokio::task::spawn_local(Rc::clone(&reporter).follow_orchestrator(configured.clone()));
                tokio::task::spawn_local(reporter.run(self.arrivals));
            }
            Err(error) => return drop(opened.send(Err(error))),
        }
        drop(opened.send(Ok(())));
        let delivery = decision_log::deliver(Rc::clone(&admin), self.reports, self.decisions);
        tokio::task::spawn_local(async move {
            delivery.await;
            drop(delivering);
        });
        let compiling = (Compiler::new(settings.policy_compiler.clone()), self.engines);
        let fetching = (Rc::clone(&admin), self.components);
        let components = Components::new(fetching, compiling, self.policies);
        let keys = settings.policy_keys.clone();
        let policies = Keeper::new(components, keys, self.plans, self.shadows);
        tokio::task::spawn_local(Rc::clone(&policies).follow_arrivals());
        let acknowledger = Rc::new(Acknowledger {
            configured: configured.clone(),
            policies: Rc::clone(&policies),
            admin: Rc::clone(&admin),
            address: self.address,
        });
        acknowledger.begin();
        if let Some(taken_up) = self.taken_up
            && let Err(error) = taken_up.serve(&shared.cache, &policies, &settings.clock).await
        {
            tracing::error!(%error, "the kept state cannot be served from");
        }
        let follower = Follower {
            cache: Arc::clone(&shared.cache),
            policies,
            admin,
            keys: settings.feed_keys.clone(),
            clock: settings.clock.clone(),
            acknowledger,
        };
        follower.run().await;
    }
}
