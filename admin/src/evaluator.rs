//! The evaluator: the engine as the control plane uses it. It vets what is to be published, and asks policies what a
//! subject may do, as a gateway would.
//!
//! All of it takes time: it runs off the threads that wait for others, a bounded number of turns at once.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use catalogue::Catalogue;
use engine::signature::{SignatureError, Statement, TrustedKeys};
use engine::{Class, Compiler, Engine, GuardEntry, Layout, Limits, Memory, Policy, PolicySet, RoleEntry};
use feed::policy::PolicySignature;
use feed::{PolicyDigest, PolicyKind};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;

use crate::OpenError;
use crate::error::ApiError;
use crate::manifest::Manifest;
use crate::roles::RoleCatalogue;
use crate::store::history::PoliciesThen;
use crate::store::{Store, StoredPolicy, StoredVersion};

/// The engine, and the policies that it has loaded.
pub(crate) struct Evaluator {
    small: Engine,
    script: Engine,
    compiler: Compiler,
    trusted_keys: TrustedKeys,
    built_in: BTreeMap<String, (Arc<Policy>, &'static [u8])>,
    /// The built-in roles. Held while a set is arranged from it, never while one is asked.
    set: Mutex<PolicySet>,
    /// Held for a moment only.
    loaded: Mutex<BTreeMap<PolicyDigest, Arc<Policy>>>,
    /// Replaced whole when the configuration is read again; held for a moment only.
    catalogue: Mutex<Arc<Catalogue>>,
    turns: Arc<Semaphore>,
    vettings: Arc<Semaphore>,
}

/// What vetting has found out about a component.
#[derive(Debug, Clone)]
pub(crate) struct Vetted {
    pub name: String,
    pub version: semver::Version,
    pub kind: PolicyKind,
    pub digest: PolicyDigest,
    pub class: &'static str,
    pub manifest: Manifest,
}

impl Evaluator {
    /// Starts the engine and loads the built-in roles.
    ///
    /// # Errors
    /// [`OpenError::Engine`].
    pub(crate) fn start(
        compiler: Compiler,
        trusted_keys: TrustedKeys,
        catalogue: Arc<Catalogue>,
    ) -> Result<Self, OpenError> {
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| OpenError::Engine(error);
        let small = Engine::new(&Limits::small()).map_err(|error| failed(error.into()))?;
        let script = Engine::new(&Limits::script()).map_err(|error| failed(error.into()))?;
        let mut built_in = BTreeMap::new();
        for component in engine::builtin::COMPONENTS {
            let policy = small.load(component).map_err(|error| failed(error.into()))?;
            built_in.insert(policy.name().to_owned(), (Arc::new(policy), component));
        }
        let policies = built_in.values().map(|(policy, _)| Arc::clone(policy));
        let set = PolicySet::new(policies, Memory::default());
        Ok(Self {
            set: Mutex::new(set),
            small,
            script,
            compiler,
            trusted_keys,
            built_in,
            loaded: Mutex::default(),
            catalogue: Mutex::new(catalogue),
            turns: Arc::new(Semaphore::new(TURNS)),
            vettings: Arc::new(Semaphore::new(VETTINGS)),
        })
    }

    /// Returns the built-in roles with what their policies say of themselves.
    pub(crate) fn roles(&self) -> RoleCatalogue {
        let roles = self.built_in.iter();
        RoleCatalogue::new(roles.map(|(name, (policy, _))| (name.clone(), Manifest::of(policy.manifest()))))
    }

    /// Returns the policies of the built-in roles and their components, by name.
    pub(crate) fn built_in(&self) -> impl Iterator<Item = (&Policy, &'static [u8])> {
        self.built_in
            .values()
            .map(|(policy, component)| (&**policy, *component))
    }

    /// Returns the policy of a built-in role and its component.
    pub(crate) fn built_in_role(&self, name: &str) -> Option<(&Policy, &'static [u8])> {
        self.built_in
            .get(name)
            .map(|(policy, component)| (&**policy, *component))
    }

    /// Tells of other operations from now on.
    pub(crate) fn replace_catalogue(&self, catalogue: Arc<Catalogue>) {
        *lock(&self.catalogue) = catalogue;
    }

    /// Returns the operations that there are.
    pub(crate) fn catalogue(&self) -> Arc<Catalogue> {
        Arc::clone(&lock(&self.catalogue))
    }

    /// Returns the right to have a component vetted.
    ///
    /// # Errors
    /// [`ApiError::Busy`] when too many are being vetted.
    pub(crate) fn vetting_turn(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        let turn = Arc::clone(&self.vettings).try_acquire_owned();
        turn.map_err(|_none_left| ApiError::Busy)
    }

    /// Vets a component, and gives it back.
    ///
    /// # Cancel safety
    /// A caller that goes away does not end it: the turn is held until the work is done.
    pub(crate) async fn vet(
        self: &Arc<Self>,
        component: Vec<u8>,
        turn: OwnedSemaphorePermit,
    ) -> Result<(Vec<u8>, Vetted), ApiError> {
        let evaluator = Arc::clone(self);
        let work = spawn_blocking(move || {
            let vetted = engine::vet(&evaluator.compiler, &component, &evaluator.catalogue());
            drop(turn);
            vetted.map(|vetted| (component, vetted))
        });
        let (component, vetted) = work.await.map_err(ApiError::internal)?.map_err(|problems| {
            let problems = problems.iter().map(ToString::to_string).collect();
            ApiError::ComponentRefused { problems }
        })?;
        let vetted = Vetted {
            name: vetted.manifest.name.clone(),
            version: vetted.manifest.version.clone(),
            kind: vetted.manifest.kind,
            digest: vetted.digest,
            class: vetted.class.name(),
            manifest: Manifest::of(&vetted.manifest),
        };
        Ok((component, vetted))
    }

    /// Checks who signed a component. Without trusted keys, anybody or nobody may have.
    pub(crate) fn check_signature(
        &self,
        org: &str,
        vetted: &Vetted,
        signature: Option<&PolicySignature>,
    ) -> Result<(), ApiError> {
        if self.trusted_keys.is_empty() {
            return Ok(());
        }
        let version = vetted.version.to_string();
        let statement = Statement {
            org,
            name: &vetted.name,
            version: &version,
            digest: vetted.digest,
        };
        self.trusted_keys
            .verify(&statement, signature)
            .map_err(|error| match error {
                SignatureError::Unsigned => ApiError::PolicyUnsigned,
                SignatureError::UnknownKey(_) | SignatureError::Invalid(_) => ApiError::PolicySignatureInvalid,
            })
    }

    /// Returns whether a version is signed with a trusted key; `None` when it is not signed.
    pub(crate) fn verified(&self, policy: &StoredPolicy, version: &StoredVersion) -> Option<bool> {
        let signature = version.signature.as_ref()?;
        let number = version.version.to_string();
        let statement = Statement {
            org: &policy.org,
            name: &policy.name,
            version: &number,
            digest: version.digest,
        };
        let trusted = !self.trusted_keys.is_empty();
        Some(trusted && self.trusted_keys.verify(&statement, Some(signature)).is_ok())
    }

    /// Has policies asked: the built-in ones and those of an organisation at one revision.
    ///
    /// # Errors
    /// [`ApiError::RevisionTooOld`] when a component of them is no longer there.
    pub(crate) async fn ask<T: Send + 'static>(
        self: &Arc<Self>,
        store: &Store,
        policies: PoliciesThen,
        work: impl FnOnce(&PolicySet, &Catalogue) -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let turn = turn.map_err(ApiError::internal)?;
        let mut loaded = BTreeMap::new();
        for digest in policies.digests() {
            loaded.insert(digest, self.loaded(store, digest).await?);
        }
        let evaluator = Arc::clone(self);
        let work = spawn_blocking(move || {
            let layout = layout(&policies, &loaded);
            let set = lock(&evaluator.set).arranged(&layout);
            let answer = work(&set, &evaluator.catalogue());
            drop(turn);
            answer
        });
        work.await.map_err(ApiError::internal)
    }

    /// Returns a policy of the store; `None` when this machine cannot compile it now.
    async fn loaded(self: &Arc<Self>, store: &Store, digest: PolicyDigest) -> Result<Option<Arc<Policy>>, ApiError> {
        if let Some(policy) = lock(&self.loaded).get(&digest) {
            return Ok(Some(Arc::clone(policy)));
        }
        let component = store.view().await?.component(digest).await?;
        let component = component.ok_or(ApiError::RevisionTooOld)?;
        let evaluator = Arc::clone(self);
        // Kept by the work itself: a caller who does not wait for it finds it done when asking again.
        let work = spawn_blocking(move || evaluator.load(&component).map(|policy| evaluator.keep(digest, policy)));
        match work.await.map_err(ApiError::internal)? {
            Ok(policy) => Ok(Some(policy)),
            Err(error) => {
                tracing::warn!(%digest, error = &error as &dyn std::error::Error, "a policy could not be loaded");
                Ok(None)
            }
        }
    }

    fn keep(&self, digest: PolicyDigest, policy: Policy) -> Arc<Policy> {
        let policy = Arc::new(policy);
        let mut all = lock(&self.loaded);
        if all.len() >= LOADED_MAX {
            all.clear();
        }
        all.insert(digest, Arc::clone(&policy));
        policy
    }

    fn load(&self, component: &[u8]) -> Result<Policy, engine::LoadError> {
        let precompiled = self.compiler.compile(component)?;
        let engine = match precompiled.class() {
            Class::Small => &self.small,
            Class::Script => &self.script,
        };
        engine.load_precompiled(&precompiled)
    }
}

impl fmt::Debug for Evaluator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Evaluator(..)")
    }
}

/// How many requests are answered by asking policies at once; each keeps a core busy.
const TURNS: usize = 2;

/// How many components are vetted at once; each keeps a core busy, and is up to 80 MiB with its base64.
const VETTINGS: usize = 2;

/// Most policies that are kept loaded. Beyond them, they are loaded anew when they are asked.
const LOADED_MAX: usize = 256;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that holds one of these locks leaves its value half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn layout(policies: &PoliciesThen, loaded: &BTreeMap<PolicyDigest, Option<Arc<Policy>>>) -> Layout {
    let found = |digest: PolicyDigest| loaded.get(&digest).cloned().flatten();
    let roles = policies
        .policies
        .values()
        .filter(|policy| policy.kind == PolicyKind::Role);
    let roles = roles.map(|policy| RoleEntry {
        org: policy.org.clone(),
        role: policy.name.clone(),
        policy: found(policy.active.digest),
        fallback: policy.fallback.as_ref().and_then(|fallback| found(fallback.digest)),
        settings: policy.settings.as_deref().map(Arc::from),
    });
    let mut guards: Vec<_> = policies.guards.values().collect();
    guards.sort_by_key(|guard| (&guard.scope, guard.position, &guard.org, &guard.id));
    let guards = guards.into_iter().map(|guard| {
        let policy = policies.policies.get(&(guard.org.clone(), guard.policy.clone()));
        let fallback = policy.and_then(|policy| policy.fallback.as_ref());
        GuardEntry {
            id: guard.id.clone(),
            scope: guard.scope.clone(),
            policy: policy.and_then(|policy| found(policy.active.digest)),
            fallback: fallback.and_then(|fallback| found(fallback.digest)),
            settings: guard.settings.as_deref().map(Arc::from),
        }
    });
    Layout {
        roles: roles.collect(),
        guards: guards.collect(),
    }
}
