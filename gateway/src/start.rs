//! Start and end of a gateway: bind everything, compile everything, then serve; drain, then stop. In between, other
//! settings may be put in force, whole.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use engine::{Engine, PolicySet};
use prometheus_client::registry::Registry;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, watch};
use tokio::task::LocalSet;

use crate::accept::{self, Phase};
use crate::access_log::Writer;
use crate::cache::Cache;
use crate::control::Control;
use crate::decision_log::{DecisionWriter, LogCounts, Rotating};
use crate::decisions::DecisionQueue;
use crate::effects::{Arrivals, Effects};
use crate::facts::EnvTypesKnown;
use crate::fields::{ForwardedFields, NeverForwarded};
use crate::freshness::Serves;
use crate::identity::{KeyError, Signer};
use crate::journal::JournalError;
use crate::kept::{Keeping, Kept, KeptMetrics};
use crate::limit::TokenAllowances;
use crate::listeners::{self, Listeners, Sharing};
use crate::metrics::{Counters, GatewayMetrics};
use crate::policies::{Engines, InForce, PolicyCounts};
use crate::request_counts::{AllRequests, WorkerCounts};
use crate::settings::Settings;
use crate::sources::Sources;
use crate::streams;
use crate::tls::{ServerTls, TlsFileError, Watcher};
use crate::worker::{Current, Shared, Worker};

/// A gateway whose sockets are bound and whose policies are compiled.
pub struct Gateway {
    shared: Arc<Shared>,
    workers: Vec<(TcpListener, PolicySet, Arc<Counters>)>,
    engines: Arc<Engines>,
    kept: Option<Kept>,
    sharing: Sharing,
    log: Option<Writer>,
    decision_file: Option<Rotating>,
    arrivals: Arrivals,
    address: SocketAddr,
}

/// A gateway that serves.
pub struct Running {
    configured: watch::Sender<Arc<Shared>>,
    counters: Vec<Arc<Counters>>,
    requests: Arc<AllRequests>,
    policies: Arc<PolicyCounts>,
    decisions: Arc<LogCounts>,
    kept: Option<KeptMetrics>,
    phase: watch::Sender<Phase>,
    threads: Mutex<Threads>,
    /// Workers that accept connections.
    accepting: Arc<AtomicUsize>,
    address: SocketAddr,
}

/// Settings that are put in force while requests run.
pub struct Reconfiguration {
    /// All settings. Of [`Running::settings`], name, data, admin service, access log and clock must be taken over, and
    /// what decides how many workers, connections and verdicts there are; they belong to a start.
    pub settings: Settings,
    /// Whether the orchestrator is another, or is spoken to with another credential or other authorities. If not, the
    /// connections to it are kept.
    pub orchestrator_changed: bool,
}

/// The threads that have to be waited for, until they have been.
struct Threads {
    workers: Vec<JoinHandle<()>>,
    watcher: Option<Watcher>,
    log: Option<Writer>,
    decisions: Option<DecisionWriter>,
    keeping: Option<Keeping>,
    /// Ends when the admin service has been told of all decisions, as far as it takes them.
    delivered: std::sync::mpsc::Receiver<Infallible>,
}

/// Why a gateway cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be bound.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What happened.
        source: std::io::Error,
    },
    /// The certificates of the listener cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsFileError),
    /// The identity key cannot be had.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The effects journal cannot be had.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A field that may never be forwarded is on the list.
    #[error(transparent)]
    Field(#[from] NeverForwarded),
    /// The access log cannot be opened.
    #[error("the access log cannot be opened: {0}")]
    Log(std::io::Error),
    /// There cannot be a place for the kept state.
    #[error("the kept state cannot be opened: {0}")]
    Kept(std::io::Error),
    /// The decision log cannot be opened.
    #[error("the decision log cannot be opened: {0}")]
    DecisionLog(std::io::Error),
    /// The policies cannot be loaded.
    #[error("the role policies cannot be loaded: {0}")]
    Policies(String),
    /// A thread cannot be started.
    #[error("a thread cannot be started: {0}")]
    Thread(std::io::Error),
}

/// Why a gateway is not ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// No snapshot has arrived yet.
    #[error("no snapshot has arrived yet")]
    NoData,
    /// The data is older than it may be.
    #[error("the data is too old")]
    DataTooOld,
    /// Not all workers accept connections yet.
    #[error("connections are not accepted yet")]
    NotAccepting,
    /// It is finishing what runs.
    #[error("draining")]
    Draining,
}

impl Gateway {
    /// Opens every file and compiles every policy. Nothing is served yet.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn new(settings: Settings, listeners: Listeners) -> Result<Self, StartError> {
        let Listeners {
            listeners,
            sharing,
            address,
        } = listeners;
        let tls = settings
            .tls
            .clone()
            .map(|tls| ServerTls::open(tls, settings.clock.clone()));
        let tls = tls.transpose()?.map(Arc::new);
        let (access_log, log) = Writer::start(&settings.access_log).map_err(StartError::Log)?;
        let (effects, arrivals) = Effects::channel();
        let memory = if settings.remember_verdicts {
            engine::Memory::default()
        } else {
            engine::Memory::Off
        };
        let listeners_count = listeners.len().max(1);
        let cache = Arc::new(Cache::new());
        let opening = Kept::start_opening(&settings, &cache);
        let decision_file = Rotating::open(&settings.decision_log).map_err(StartError::DecisionLog)?;
        let (engines, policies): (Vec<_>, Vec<_>) = compile(listeners.len(), memory)?.into_iter().unzip();
        let workers = listeners.into_iter().zip(policies);
        let workers = workers
            .map(|(listener, set)| (listener, set, Counters::new()))
            .collect();
        let shared = Arc::new(Shared {
            tls,
            cache,
            sources: Sources::new(),
            token_allowances: Arc::new(TokenAllowances::default()),
            workers: listeners_count,
            signer: Arc::new(Signer::open(&settings.data.join("identity-key"))?),
            forwarded_fields: ForwardedFields::widened(settings.forwarded_fields.clone())?,
            env_types: Arc::new(EnvTypesKnown::new()),
            effects: Arc::new(effects),
            upgrades: Arc::new(Semaphore::new(settings.limits.upgrades_max.min(Semaphore::MAX_PERMITS))),
            access_log,
            decisions: DecisionQueue::new(),
            orchestrator_version: 0,
            settings,
        });
        let kept = opening.map(|opening| {
            opening
                .join()
                .unwrap_or_else(|_panic| Err(std::io::ErrorKind::Other.into()))
        });
        Ok(Self {
            shared,
            workers,
            engines: Engines::new(engines),
            kept: kept.transpose().map_err(StartError::Kept)?,
            sharing,
            log,
            decision_file,
            arrivals,
            address,
        })
    }

    /// Returns the address that requests come to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts the threads: one for each worker, and one that follows the feed and delivers effects.
    ///
    /// # Errors
    /// When a thread cannot be started, or the journal cannot be read.
    pub fn start(self) -> Result<Running, StartError> {
        let (phase, phases) = watch::channel(Phase::Serve);
        let counters: Vec<Arc<Counters>> = self
            .workers
            .iter()
            .map(|(_, _, counters)| Arc::clone(counters))
            .collect();
        let (configured, configurations) = watch::channel(Arc::clone(&self.shared));
        let engines = (self.engines, &*self.shared);
        let (mut control, controlled) = Control::new(self.arrivals, engines, configurations.clone(), self.address);
        let (mut plans, ends, policies) = (controlled.plans, controlled.ends, controlled.policies);
        let (keeping, kept) = control.keep(self.kept)?.unzip();
        let decisions = Arc::clone(&control.decisions);
        let delivered = control.start(configurations.clone())?;
        let requests = Arc::<AllRequests>::default();
        let accepting = Arc::new(AtomicUsize::new(0));
        let mut workers = Vec::new();
        for (number, (listener, builtin, counters)) in self.workers.into_iter().enumerate() {
            let (plans, put_aside) = (plans.remove(0), policies.worker());
            let (shared, phases) = (Arc::clone(&self.shared), phases.clone());
            let (configurations, counts) = (configurations.clone(), WorkerCounts(Arc::clone(&requests)));
            let (name, accepts) = (format!("postern-worker-{number}"), Arc::clone(&accepting));
            workers.push(start_thread(name, move |runtime| {
                let serving = async move {
                    let cache = Arc::clone(&shared.cache);
                    let requests = counts.begin(&shared.settings.catalogue);
                    let policies = InForce::new(builtin);
                    tokio::task::spawn_local(Rc::clone(&policies).follow(plans, put_aside));
                    let worker = Current::new(Worker::new(shared, policies, counters, requests));
                    tokio::task::spawn_local(worker.clone().follow(configurations, counts));
                    tokio::task::spawn_local(streams::watch(worker.clone()));
                    let mut told = phases.clone();
                    tokio::select! {
                        () = listeners::await_data(&listener, self.sharing, &cache) => {}
                        _ = told.wait_for(|phase| *phase != Phase::Serve) => {}
                    }
                    accepts.fetch_add(1, Ordering::Relaxed);
                    accept::accept(worker, (listener, self.sharing), phases).await;
                };
                LocalSet::new().block_on(&runtime, serving);
            })?);
        }
        let interval = self.shared.settings.files_watch_interval;
        let tls = self.shared.tls.as_ref();
        let watcher = tls.map(|tls| Watcher::start(Arc::clone(tls), interval)).transpose();
        let threads = Mutex::new(Threads {
            workers,
            watcher: watcher.map_err(StartError::Thread)?,
            log: self.log,
            decisions: Some(DecisionWriter::start(self.decision_file, ends).map_err(StartError::Thread)?),
            keeping,
            delivered,
        });
        Ok(Running {
            configured,
            counters,
            requests,
            policies,
            decisions,
            kept,
            phase,
            threads,
            accepting,
            address: self.address,
        })
    }
}

impl Running {
    /// Returns the address that requests come to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns what is known of the store.
    pub fn cache(&self) -> Arc<Cache> {
        Arc::clone(&self.configured.borrow().cache)
    }

    /// Returns the settings in force.
    pub fn settings(&self) -> Settings {
        self.configured.borrow().settings.clone()
    }

    /// Puts other settings in force: requests that begin from now on see all of them, those that run none.
    ///
    /// # Errors
    /// [`StartError::Field`]; the old settings stay in force.
    pub fn reconfigure(&self, new: Reconfiguration) -> Result<(), StartError> {
        let Reconfiguration {
            mut settings,
            orchestrator_changed,
        } = new;
        let old = Arc::clone(&self.configured.borrow());
        if settings.catalogue.operations() == old.settings.catalogue.operations() {
            // What is counted by operation goes on as it is.
            settings.catalogue = Arc::clone(&old.settings.catalogue);
        }
        let shared = old.reconfigured(settings, orchestrator_changed)?;
        self.configured.send_replace(Arc::new(shared));
        Ok(())
    }

    /// Has the access log's file opened anew: it may have been renamed.
    pub fn reopen_access_log(&self) {
        self.configured.borrow().access_log.reopen();
    }

    /// Returns the TLS of the listener; `None` when it speaks none.
    pub fn tls(&self) -> Option<Arc<ServerTls>> {
        self.configured.borrow().tls.clone()
    }

    /// Returns which requests can be decided, if any.
    ///
    /// # Errors
    /// Why none can.
    pub fn ready(&self) -> Result<Serves, NotReady> {
        let shared = Arc::clone(&self.configured.borrow());
        let settings = &shared.settings;
        if *self.phase.borrow() != Phase::Serve {
            return Err(NotReady::Draining);
        }
        let freshness = shared.cache.freshness();
        match (
            shared.cache.store(),
            freshness.serves(&settings.clock, &settings.limits.data_age),
        ) {
            (None, _) | (_, None) => Err(NotReady::NoData),
            (_, Some(Serves::Nothing)) => Err(NotReady::DataTooOld),
            // Whoever waits for this to end another gateway on the same address would leave nobody to listen.
            _ if self.accepting.load(Ordering::Relaxed) < self.counters.len() => Err(NotReady::NotAccepting),
            (Some(_), Some(serves)) => Ok(serves),
        }
    }

    /// Returns whether the state for the next start can be written; `None` when none is kept.
    pub fn keeps(&self) -> Option<bool> {
        self.kept.as_ref().map(|kept| !kept.is_failing())
    }

    /// Returns how old the data is, in milliseconds. `None` before any has arrived.
    pub fn data_age_ms(&self) -> Option<i64> {
        let shared = Arc::clone(&self.configured.borrow());
        shared.cache.freshness().age_ms(&shared.settings.clock)
    }

    /// Adds the gateway's metrics to a registry.
    pub fn register_metrics(&self, registry: &mut Registry) {
        let shared = Arc::clone(&self.configured.borrow());
        registry.register_collector(Box::new(GatewayMetrics {
            requests: Arc::clone(&self.requests),
            access_log: Arc::clone(&shared.access_log),
            cache: Arc::clone(&shared.cache),
            clock: shared.settings.clock.clone(),
            sources: Arc::clone(&shared.sources),
            tls: shared.tls.clone(),
            workers: self.counters.clone(),
            policies: Arc::clone(&self.policies),
            decisions: (Arc::clone(&shared.decisions), Arc::clone(&self.decisions)),
            kept: self.kept.clone(),
            configured: self.configured.subscribe(),
        }));
    }

    /// Says that nothing new is taken, from now until the end.
    pub fn begin_drain(&self, time_max: Duration) {
        self.phase
            .send_replace(Phase::Drain(tokio::time::Instant::now() + time_max));
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever follows on the directory has the kept state from here on.
        threads.keeping.iter().for_each(Keeping::end);
    }

    /// Waits until what runs has finished, at most the time given to [`Running::begin_drain`], and writes the log's end.
    /// Blocks.
    pub fn join(&self) {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for worker in threads.workers.drain(..) {
            if worker.join().is_err() {
                tracing::error!("a worker panicked");
            }
        }
        if let Some(watcher) = threads.watcher.take() {
            watcher.stop();
        }
        if let Some(keeping) = threads.keeping.take() {
            keeping.join();
        }
        if let Some(decisions) = threads.decisions.take() {
            decisions.finish();
            if threads.delivered.recv_timeout(DELIVERY_MAX) == Err(RecvTimeoutError::Timeout) {
                tracing::warn!("the admin service has not been told of the last decisions; the decision log has them");
            }
        }
        if let Some(log) = threads.log.take() {
            log.finish();
        }
    }
}

/// Each worker has an engine of its own: they share nothing that two threads would contend for.
fn compile(workers: usize, memory: engine::Memory) -> Result<Vec<(Engine, PolicySet)>, StartError> {
    let compile_one = || {
        let engine =
            Engine::new(&engine::Limits::default()).map_err(|error| StartError::Policies(error.to_string()))?;
        let set = PolicySet::builtin(&engine, memory).map_err(|error| StartError::Policies(error.to_string()))?;
        Ok((engine, set))
    };
    std::thread::scope(|scope| {
        let compiling: Vec<_> = (0..workers).map(|_| scope.spawn(compile_one)).collect();
        let joined = compiling.into_iter().map(|thread| {
            thread
                .join()
                .unwrap_or_else(|_panic| Err(StartError::Policies("the compiler panicked".to_owned())))
        });
        joined.collect()
    })
}

/// How long an end waits for the admin service to be told of the last decisions.
const DELIVERY_MAX: Duration = Duration::from_secs(1);

pub(crate) fn start_thread(
    name: String,
    run: impl FnOnce(Runtime) + Send + 'static,
) -> Result<JoinHandle<()>, StartError> {
    let runtime = Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(StartError::Thread)?;
    std::thread::Builder::new()
        .name(name)
        .spawn(move || run(runtime))
        .map_err(StartError::Thread)
}
