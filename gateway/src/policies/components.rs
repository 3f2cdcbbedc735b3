//! Components on their way from the admin service to the engines: asked for by digest, checked, compiled in a process of
//! their own, loaded for each worker. All of it is off the workers' threads. Which of them is in force is not known here.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use engine::{Class, Compiler, Engine, Limits, LoadError, Policy, Precompiled};
use feed::PolicyDigest;
use http::{Method, StatusCode};
use tokio::sync::{Notify, Semaphore};
use tokio::task::AbortHandle;
use tokio::time::sleep;

use super::metrics::{PolicyCounts, State};
use crate::body::RequestBody;
use crate::kept::KeptComponents;
use crate::refusal::Refusal;
use crate::upstream::Pool;

/// The engines of a process.
pub(crate) struct Engines {
    /// One for each worker, by its number.
    workers: Vec<Engine>,
    /// For what brings a language's runtime with it: memory for many such would be too much.
    script: OnceLock<Engine>,
    /// For watching, made when there is something to watch.
    watching: OnceLock<Engine>,
    /// Held while one of the latter two is made.
    making: Mutex<()>,
}

/// The components that are wanted.
pub(crate) struct Components {
    admin: Rc<Pool>,
    kept: Option<KeptComponents>,
    compiler: Compiler,
    engines: Arc<Engines>,
    wanted: RefCell<HashMap<PolicyDigest, Wanted>>,
    /// Compilations at once.
    places: Semaphore,
    arrived: Notify,
    counts: Arc<PolicyCounts>,
}

struct Wanted {
    loaded: Option<Arc<Loaded>>,
    /// Whether the last try failed.
    failing: bool,
    _fetching: Fetching,
}

/// The task that gets a component; it ends with this.
struct Fetching(AbortHandle);

/// A component as policies.
pub(crate) struct Loaded {
    /// One for each worker; the same for all of the class that shares an engine.
    workers: Vec<Arc<Policy>>,
    /// What one for watching is made from.
    precompiled: Precompiled,
    watching: OnceLock<Option<Arc<Policy>>>,
}

/// Why a component cannot be had.
#[derive(Debug, thiserror::Error)]
enum NotHad {
    #[error("the request failed: {}", .0.source.as_ref().map_or_else(|| .0.to_string(), ToString::to_string))]
    Request(#[source] Refusal),
    #[error("the admin service answered {0}")]
    Status(StatusCode),
    #[error("what came has the digest {0}")]
    Digest(PolicyDigest),
    #[error("it cannot be used: {0}")]
    Unusable(#[from] LoadError),
    #[error("no engine for it: {0}")]
    Engine(#[from] engine::StartError),
    #[error("the compilation panicked")]
    Panicked,
}

impl Engines {
    pub(crate) fn new(workers: Vec<Engine>) -> Arc<Self> {
        Arc::new(Self {
            workers,
            script: OnceLock::new(),
            watching: OnceLock::new(),
            making: Mutex::new(()),
        })
    }

    /// Returns the engine for watching policies of the small class.
    pub(crate) fn watching(&self) -> Result<&Engine, engine::StartError> {
        self.made(&self.watching, &Limits::small())
    }

    /// All threads may evaluate at once, and whoever vets a component in between.
    fn script(&self) -> Result<&Engine, engine::StartError> {
        let threads = u32::try_from(self.workers.len()).unwrap_or(u32::MAX);
        let limits = Limits {
            instances_max: threads.saturating_add(2),
            ..Limits::script()
        };
        self.made(&self.script, &limits)
    }

    fn made<'e>(&self, place: &'e OnceLock<Engine>, limits: &Limits) -> Result<&'e Engine, engine::StartError> {
        if let Some(engine) = place.get() {
            return Ok(engine);
        }
        // A panic while it was held left a place that is empty or full.
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        match place.get() {
            Some(engine) => Ok(engine),
            None => {
                let engine = Engine::new(limits)?;
                Ok(place.get_or_init(|| engine))
            }
        }
    }

    /// Loads a component for all workers. Blocks.
    fn load(&self, precompiled: Precompiled) -> Result<Loaded, NotHad> {
        let workers = match precompiled.class() {
            Class::Small => {
                let loaded = self.workers.iter().map(|engine| engine.load_precompiled(&precompiled));
                loaded
                    .map(|policy| Ok(Arc::new(policy?)))
                    .collect::<Result<_, LoadError>>()?
            }
            Class::Script => {
                let shared = Arc::new(self.script()?.load_precompiled(&precompiled)?);
                self.workers.iter().map(|_| Arc::clone(&shared)).collect()
            }
        };
        Ok(Loaded {
            workers,
            precompiled,
            watching: OnceLock::new(),
        })
    }
}

impl Components {
    pub(crate) fn new(
        (admin, kept): (Rc<Pool>, Option<KeptComponents>),
        (compiler, engines): (Compiler, Arc<Engines>),
        counts: Arc<PolicyCounts>,
    ) -> Rc<Self> {
        Rc::new(Self {
            admin,
            kept,
            compiler,
            engines,
            wanted: RefCell::default(),
            places: Semaphore::new(COMPILATIONS_MAX),
            arrived: Notify::new(),
            counts,
        })
    }

    /// Has these fetched, in this order, and forgets all others.
    pub(crate) fn want(self: &Rc<Self>, digests: &[PolicyDigest]) {
        let mut wanted = self.wanted.borrow_mut();
        let before = wanted.len();
        wanted.retain(|digest, _| digests.contains(digest));
        if let Some(kept) = self.kept.clone().filter(|_| wanted.len() < before) {
            let digests = digests.to_vec();
            tokio::task::spawn_blocking(move || kept.retain(&digests));
        }
        for digest in digests {
            wanted.entry(*digest).or_insert_with(|| {
                let fetching = tokio::task::spawn_local(Rc::clone(self).get(*digest));
                Wanted {
                    loaded: None,
                    failing: false,
                    _fetching: Fetching(fetching.abort_handle()),
                }
            });
        }
        self.counts.tell_states(wanted.values().map(Wanted::state));
    }

    /// Returns a component's policy for a worker, if it is there.
    pub(crate) fn of_worker(&self, digest: &PolicyDigest, worker: usize) -> Option<Arc<Policy>> {
        let loaded = self.loaded(digest)?;
        loaded.workers.get(worker).map(Arc::clone)
    }

    /// Returns a component's policy for watching, if it is there.
    pub(crate) fn for_watching(&self, digest: &PolicyDigest) -> Option<Arc<Policy>> {
        let loaded = self.loaded(digest)?;
        let made = loaded.watching.get_or_init(|| match loaded.precompiled.class() {
            Class::Small => {
                let policy = self.engines.watching().ok()?.load_precompiled(&loaded.precompiled);
                policy.ok().map(Arc::new)
            }
            Class::Script => loaded.workers.first().cloned(),
        });
        made.clone()
    }

    pub(crate) fn engines(&self) -> &Arc<Engines> {
        &self.engines
    }

    pub(crate) fn is_there(&self, digest: &PolicyDigest) -> bool {
        self.loaded(digest).is_some()
    }

    /// Returns those that are wanted and not there.
    pub(crate) fn lacking(&self) -> Vec<PolicyDigest> {
        let wanted = self.wanted.borrow();
        let lacking = wanted.iter().filter(|(_, wanted)| wanted.loaded.is_none());
        lacking.map(|(digest, _)| *digest).collect()
    }

    /// Waits until one has arrived. One that arrives while nobody waits is told to the next who does.
    pub(crate) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    fn loaded(&self, digest: &PolicyDigest) -> Option<Arc<Loaded>> {
        self.wanted.borrow().get(digest)?.loaded.clone()
    }

    /// Gets a component, however long that takes.
    async fn get(self: Rc<Self>, digest: PolicyDigest) {
        let mut pause = PAUSE_MIN;
        loop {
            let tried = self.try_to_get(digest).await;
            let failing = tried.is_err();
            match tried {
                Ok(loaded) => self.note(&digest, Some(Arc::new(loaded)), failing),
                Err(error) => {
                    tracing::warn!(%error, %digest, "a policy cannot be had");
                    self.note(&digest, None, failing);
                }
            }
            if !failing {
                return self.arrived.notify_one();
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn note(&self, digest: &PolicyDigest, loaded: Option<Arc<Loaded>>, failing: bool) {
        let mut wanted = self.wanted.borrow_mut();
        if let Some(own) = wanted.get_mut(digest) {
            own.loaded = loaded;
            own.failing = failing;
        }
        self.counts.tell_states(wanted.values().map(Wanted::state));
    }

    async fn fetch(&self, digest: &PolicyDigest) -> Result<Bytes, NotHad> {
        let path = format!("/policies/{digest}");
        let fetching = self
            .admin
            .fetch(Method::GET, &path, RequestBody::empty(), COMPONENT_BYTES_MAX);
        let (status, _, component) = fetching.await.map_err(NotHad::Request)?;
        if status == StatusCode::OK {
            Ok(component)
        } else {
            Err(NotHad::Status(status))
        }
    }

    async fn try_to_get(&self, digest: PolicyDigest) -> Result<Loaded, NotHad> {
        let _place = self.places.acquire().await;
        let kept = self.kept.clone();
        let reading = tokio::task::spawn_blocking(move || kept?.read(&digest));
        let (component, to_keep) = match reading.await.unwrap_or(None) {
            Some(component) => (Bytes::from(component), None),
            None => (self.fetch(&digest).await?, self.kept.clone()),
        };
        let (compiler, engines, counts) = (
            self.compiler.clone(),
            Arc::clone(&self.engines),
            Arc::clone(&self.counts),
        );
        let compiling = tokio::task::spawn_blocking(move || {
            let found = PolicyDigest::of(&component);
            if found != digest {
                return Err(NotHad::Digest(found));
            }
            let started = Instant::now();
            if let Some(kept) = to_keep {
                kept.write(&digest, &component);
            }
            let compiled = compiler.compile(&component).map_err(NotHad::from);
            let loaded = compiled.and_then(|precompiled| engines.load(precompiled));
            counts.compiled(started.elapsed(), loaded.is_ok());
            loaded
        });
        compiling.await.unwrap_or(Err(NotHad::Panicked))
    }
}

impl Wanted {
    fn state(&self) -> State {
        match (&self.loaded, self.failing) {
            (Some(_), _) => State::There,
            (None, true) => State::Failing,
            (None, false) => State::Coming,
        }
    }
}

impl Drop for Fetching {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Largest component that is read, in octets; what may be published is smaller.
const COMPONENT_BYTES_MAX: usize = 48 * 1024 * 1024;

/// Two at once: a component that takes long does not keep others waiting.
const COMPILATIONS_MAX: usize = 2;

const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(30);
