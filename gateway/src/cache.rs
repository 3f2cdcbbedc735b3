//! The cache: subjects, their roles and their tokens, as the store had them at one revision.
//!
//! Readers take no lock that is held during work, and every answer is as of one revision: each entry carries the revision
//! that last changed it, and an entry newer than the published revision makes the reader look again. Since all changes up
//! to a revision are applied before it is published, entries that are all at most that old are together what the store
//! held at that revision.

mod image;

use std::cmp::Ordering;
use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{self, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};
use dashmap::DashMap;
use feed::{Digest, Record, Scope, SubjectKind, Thumbprint};
use tokio::sync::watch;

use crate::freshness::Freshness;
use crate::kept::Arrivals;
use crate::limit::{Allowance, Rate};
use crate::policies::Desired;

pub use image::NotAnImage;
pub(crate) use image::change_part;

/// What gateways know of the store.
pub struct Cache {
    /// Replaced whole by a snapshot, changed in place by a change.
    tables: ArcSwap<Tables>,
    published: watch::Sender<u64>,
    freshness: Freshness,
    /// The revision that may be confirmed.
    confirmable: watch::Sender<u64>,
    /// The way to the disk, when what is here is kept.
    kept: OnceLock<Arc<Arrivals>>,
    /// What was confirmed before there was anything here.
    floor: OnceLock<(String, u64)>,
}

/// A token and its subject, both as of one revision.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who asks.
    pub subject: Arc<Subject>,
    /// Digest of the token.
    pub digest: Digest,
    /// The token, without its secret.
    pub token: Arc<Token>,
    /// The revision that last changed the token or the subject.
    pub changed: u64,
    /// The revision at which they were looked up.
    pub revision: u64,
}

/// A subject and its roles.
#[derive(Debug)]
pub struct Subject {
    /// Id.
    pub id: Arc<str>,
    /// What it is.
    pub kind: SubjectKind,
    /// The organisation it belongs to.
    pub org: Arc<str>,
    /// Its role on the organisation.
    pub org_role: Option<Arc<str>>,
    /// Apps and the roles on them, sorted.
    app_roles: Box<[(Box<str>, Arc<str>)]>,
    /// Env types and the roles on them, sorted.
    env_type_roles: Box<[(Box<str>, Arc<str>)]>,
    /// The revision that last changed it.
    changed: u64,
}

/// Why there is no caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoCaller {
    /// No snapshot has arrived yet.
    NoData,
    /// The token is not known.
    Unknown,
    /// The token is past its expiry.
    Expired,
}

/// A batch that must not be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stale {
    /// The snapshot is of another store, or of an earlier life of ours: its revisions cannot be compared with ours.
    #[error("the snapshot is of store {found}, this gateway follows {own}")]
    OtherStore {
        /// The store this gateway follows.
        own: String,
        /// The store of the snapshot.
        found: String,
    },
    /// The revision would go back, or leave one out.
    #[error("revision {found} cannot follow revision {own}")]
    Revision {
        /// The revision this gateway is at.
        own: u64,
        /// The revision offered.
        found: u64,
    },
}

/// A snapshot on its way in, built aside until it is complete.
pub struct Snapshot(Tables);

struct Tables {
    store: String,
    revision: AtomicU64,
    /// The revision that is being applied, or was last.
    begun: AtomicU64,
    tokens: DashMap<Digest, Arc<Token>, BuildHasherDefault<DigestHasher>>,
    subjects: DashMap<Arc<str>, Arc<Slot>>,
    /// Names of organisations and roles, each once. Only whoever applies changes takes it.
    names: Mutex<HashSet<Arc<str>>>,
    /// Kept for whoever takes all of this up again: who decides has policies elsewhere.
    policies: Mutex<Desired>,
}

/// A token, as the cache keeps it: small, as there may be millions.
#[derive(Debug)]
pub struct Token {
    /// Id, unique for its subject.
    pub id: Box<str>,
    subject: Arc<Slot>,
    /// `i64::MAX` for never.
    expires_ms: i64,
    changed: u64,
    /// The client certificate that must come with it. Few tokens have one, so it does not take room in all.
    certificate: Option<Box<Thumbprint>>,
}

/// The place of a subject. Tokens point at it, so that a subject's change is one store, however many tokens it has.
#[derive(Debug, Default)]
struct Slot {
    subject: ArcSwapOption<Subject>,
    /// What it may still send; kept from one state of the subject to the next.
    allowance: Allowance,
}

/// Takes the first octets of a digest as its hash. They are as good as random, and nobody can choose them: only digests
/// of tokens that the admin service made are ever inserted.
#[derive(Default)]
struct DigestHasher(u64);

impl Cache {
    /// Returns a cache that knows nothing.
    pub fn new() -> Self {
        Self {
            tables: ArcSwap::from_pointee(Tables::empty(String::new(), 0)),
            published: watch::Sender::new(0),
            freshness: Freshness::new(),
            confirmable: watch::Sender::new(0),
            kept: OnceLock::new(),
            floor: OnceLock::new(),
        }
    }

    /// Finds the subject of a token, both as of one revision.
    ///
    /// # Errors
    /// [`NoCaller`], at the newest revision.
    pub fn caller(&self, digest: &Digest, now_ms: i64) -> Result<Caller, NoCaller> {
        loop {
            let tables = self.tables.load();
            let revision = tables.revision.load(atomic::Ordering::Acquire);
            if tables.store.is_empty() {
                return Err(NoCaller::NoData);
            }
            let token = Arc::clone(&*tables.tokens.get(digest).ok_or(NoCaller::Unknown)?);
            let subject = token.subject.subject.load_full().ok_or(NoCaller::Unknown)?;
            let changed = token.changed.max(subject.changed);
            if changed > revision {
                // The writer is between applying this change and publishing it: nanoseconds, unless it was preempted.
                std::thread::yield_now();
                continue;
            }
            if token.expires_ms <= now_ms {
                return Err(NoCaller::Expired);
            }
            return Ok(Caller {
                subject,
                digest: *digest,
                token,
                changed,
                revision,
            });
        }
    }

    /// Returns the organisation of a subject. An organisation never changes, so this is true at every revision at which
    /// the subject exists.
    pub fn organisation_of(&self, subject: &str) -> Option<Arc<str>> {
        let tables = self.tables.load();
        let slot = Arc::clone(&*tables.subjects.get(subject)?);
        slot.subject.load().as_ref().map(|subject| Arc::clone(&subject.org))
    }

    /// Returns the revision that has been applied; 0 before the first snapshot.
    pub fn revision(&self) -> u64 {
        *self.published.borrow()
    }

    /// Returns the revisions as they are applied.
    pub(crate) fn revisions(&self) -> watch::Receiver<u64> {
        self.published.subscribe()
    }

    /// Returns the store that is followed, once a snapshot has arrived.
    pub fn store(&self) -> Option<String> {
        let tables = self.tables.load();
        (!tables.store.is_empty()).then(|| tables.store.clone())
    }

    /// Returns how many tokens and subjects are known.
    pub fn sizes(&self) -> (usize, usize) {
        let tables = self.tables.load();
        (tables.tokens.len(), tables.subjects.len())
    }

    /// Waits until a revision has been applied.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn reached(&self, revision: u64) {
        // The sender lives in `self`, so the channel cannot be closed.
        let _ = self
            .published
            .subscribe()
            .wait_for(|published| *published >= revision)
            .await;
    }

    /// Begins a snapshot, which is built aside.
    pub fn begin_snapshot(store: String, revision: u64) -> Snapshot {
        Snapshot(Tables::empty(store, revision))
    }

    /// Replaces everything by a complete snapshot.
    ///
    /// # Errors
    /// [`Stale`] when it is of another store or older than what has been applied.
    pub fn replace(&self, snapshot: Snapshot) -> Result<(), Stale> {
        self.admits(&snapshot)?;
        let Snapshot(tables) = snapshot;
        let found = tables.revision.load(atomic::Ordering::Relaxed);
        self.tables.store(Arc::new(tables));
        self.published.send_replace(found);
        match self.kept.get() {
            Some(arrivals) => arrivals.push_whole(found),
            None => drop(self.confirmable.send_replace(found)),
        }
        Ok(())
    }

    /// Says whether a snapshot may replace what is here.
    ///
    /// # Errors
    /// [`Stale`] when it is of another store or older than what has been applied.
    pub fn admits(&self, Snapshot(tables): &Snapshot) -> Result<(), Stale> {
        let own = self.tables.load();
        let found = tables.revision.load(atomic::Ordering::Relaxed);
        let (store, revision) = match self.floor.get() {
            Some((store, revision)) if own.store.is_empty() => (store, *revision),
            None if own.store.is_empty() => return Ok(()),
            Some(_) | None => (&own.store, self.revision()),
        };
        let enough = match feed::incarnation::compare(&tables.store, store) {
            Some(Ordering::Equal) => found >= revision,
            // A store that was restored goes on counting from where it was.
            Some(Ordering::Greater) => found > revision,
            Some(Ordering::Less) | None => {
                return Err(Stale::OtherStore {
                    own: store.clone(),
                    found: tables.store.clone(),
                });
            }
        };
        if enough {
            Ok(())
        } else {
            Err(Stale::Revision { own: revision, found })
        }
    }

    /// Says whether a change is the next one; `false` when it has been applied already.
    ///
    /// # Errors
    /// [`Stale`] when others are missing before it.
    pub fn expects(&self, revision: u64) -> Result<bool, Stale> {
        let own = self.revision();
        match self.tables.load().store.is_empty() {
            false if revision <= own => Ok(false),
            false if revision == own + 1 => Ok(true),
            true | false => Err(Stale::Revision { own, found: revision }),
        }
    }

    /// Applies a change, whole.
    ///
    /// # Errors
    /// [`Stale`] when it is not the one that follows; a change that has been applied already is passed over.
    pub fn apply(&self, revision: u64, records: Vec<Record>) -> Result<(), Stale> {
        if !self.expects(revision)? {
            return Ok(());
        }
        let tables = self.tables.load();
        let kept = self.kept.get().map(|arrivals| (arrivals, records.clone()));
        tables.begun.store(revision, atomic::Ordering::Release);
        for record in records {
            tables.apply(record, revision);
        }
        tables.revision.store(revision, atomic::Ordering::Release);
        self.published.send_replace(revision);
        match kept {
            Some((arrivals, records)) => arrivals.push(revision, records),
            None => drop(self.confirmable.send_replace(revision)),
        }
        Ok(())
    }

    /// Has everything kept that arrives from now on. Then only what is on the disk may be confirmed, so that no older state
    /// is ever taken up again.
    pub fn keep(&self, arrivals: Arc<Arrivals>) {
        // Whoever was first keeps it.
        let _ = self.kept.set(arrivals);
    }

    /// Takes nothing older, and of no other store, than what was confirmed before there was anything here.
    pub fn set_floor(&self, store: String, revision: u64) {
        // It is set once, at the start.
        let _ = self.floor.set((store, revision));
    }

    /// Notes that the admin service may be told of a revision.
    pub(crate) fn may_confirm(&self, revision: u64) {
        self.confirmable.send_replace(revision);
    }

    /// Returns the revision that the admin service may be told of, as it grows.
    pub fn confirmable(&self) -> watch::Receiver<u64> {
        self.confirmable.subscribe()
    }

    /// Returns how old what is here is.
    pub fn freshness(&self) -> &Freshness {
        &self.freshness
    }
}

impl Default for Cache {
    fn default() -> Self {
        Self::new()
    }
}

impl Snapshot {
    /// Adds a record.
    pub fn add(&mut self, record: Record) {
        let revision = self.0.revision.load(atomic::Ordering::Relaxed);
        self.0.apply(record, revision);
    }

    /// Returns the store that it is of.
    pub fn store(&self) -> &str {
        &self.0.store
    }

    /// Returns its revision.
    pub fn revision(&self) -> u64 {
        self.0.revision.load(atomic::Ordering::Relaxed)
    }

    /// Returns what it says of policies.
    pub(crate) fn policies(&self) -> Desired {
        self.0.policies().clone()
    }

    /// Returns how many tokens and subjects it holds.
    pub(crate) fn sizes(&self) -> (usize, usize) {
        (self.0.tokens.len(), self.0.subjects.len())
    }
}

impl Subject {
    /// Returns its role on an app of its organisation.
    pub fn app_role(&self, app: &str) -> Option<&Arc<str>> {
        find(&self.app_roles, app)
    }

    /// Returns its role on an env type of its organisation.
    pub fn env_type_role(&self, env_type: &str) -> Option<&Arc<str>> {
        find(&self.env_type_roles, env_type)
    }

    /// Returns the paths of the objects on which it holds roles, with the roles.
    pub fn roles(&self) -> impl Iterator<Item = (String, &Arc<str>)> {
        let org = self.org_role.iter().map(|role| (Scope::org(&self.org), role));
        let apps = self
            .app_roles
            .iter()
            .map(|(app, role)| (Scope::app(&self.org, app), role));
        let env_types = self
            .env_type_roles
            .iter()
            .map(|(name, role)| (Scope::env_type(&self.org, name), role));
        org.chain(apps)
            .chain(env_types)
            .map(|(scope, role)| (scope.to_string(), role))
    }

    fn from_record(record: feed::Subject, id: Arc<str>, name: impl Fn(&str) -> Arc<str>, changed: u64) -> Self {
        let mut org_role = None;
        let mut app_roles = Vec::new();
        let mut env_type_roles = Vec::new();
        for binding in record.roles {
            // A role on an object of another organisation would be a fault of the store; it counts for nothing here.
            if binding.scope.organisation() != record.org {
                continue;
            }
            let role = name(&binding.role);
            match binding.scope {
                Scope::Org { .. } => org_role = Some(role),
                Scope::App { app, .. } => app_roles.push((app.into_boxed_str(), role)),
                Scope::EnvType { env_type, .. } => env_type_roles.push((env_type.into_boxed_str(), role)),
            }
        }
        app_roles.sort();
        env_type_roles.sort();
        Self {
            id,
            kind: record.kind,
            org: name(&record.org),
            org_role,
            app_roles: app_roles.into_boxed_slice(),
            env_type_roles: env_type_roles.into_boxed_slice(),
            changed,
        }
    }
}

impl Token {
    /// Says whether it may be used on a connection with this client certificate, or with none.
    pub fn admits(&self, certificate: Option<&Thumbprint>) -> bool {
        self.certificate.is_none() || self.certificate.as_deref() == certificate
    }

    /// Returns when it expires, in milliseconds since the Unix epoch; `i64::MAX` for never.
    pub(crate) fn expires_ms(&self) -> i64 {
        self.expires_ms
    }
}

impl Caller {
    /// Takes one request out of what the subject may send. Otherwise returns the seconds after which it may again.
    pub(crate) fn take_request(&self, rate: Rate, now_ms: i64) -> Result<(), i64> {
        self.token.subject.allowance.take_or_wait(rate, now_ms)
    }
}

impl Tables {
    fn empty(store: String, revision: u64) -> Self {
        Self::with_room(store, revision, 0)
    }

    fn with_room(store: String, revision: u64, tokens: usize) -> Self {
        Self {
            store,
            revision: AtomicU64::new(revision),
            begun: AtomicU64::new(revision),
            tokens: DashMap::with_capacity_and_hasher_and_shard_amount(tokens, BuildHasherDefault::default(), SHARDS),
            subjects: DashMap::with_capacity_and_shard_amount(0, SHARDS),
            names: Mutex::default(),
            policies: Mutex::default(),
        }
    }

    fn policies(&self) -> MutexGuard<'_, Desired> {
        // A panic while it was held left a record that was taken or was not.
        self.policies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply(&self, record: Record, revision: u64) {
        match record {
            Record::Subject(subject) => {
                let (id, slot) = self.slot(&subject.id);
                let subject = Subject::from_record(subject, id, |name| self.name(name), revision);
                slot.subject.store(Some(Arc::new(subject)));
            }
            Record::SubjectRemoved { id } => {
                if let Some((_, slot)) = self.subjects.remove(id.as_str()) {
                    slot.subject.store(None);
                }
            }
            Record::Token(token) => {
                let entry = Token {
                    id: token.id.into(),
                    subject: self.slot(&token.subject).1,
                    expires_ms: token.expires_ms.unwrap_or(i64::MAX),
                    changed: revision,
                    certificate: token.certificate.map(Box::new),
                };
                self.tokens.insert(token.digest, Arc::new(entry));
            }
            Record::TokenRemoved { digest } => {
                self.tokens.remove(&digest);
            }
            Record::Policy(_) | Record::PolicyRemoved { .. } | Record::Guard(_) | Record::GuardRemoved { .. } => {
                self.policies().take(&record);
            }
        }
    }

    /// Returns a subject's place, and its id as the map has it.
    fn slot(&self, subject: &str) -> (Arc<str>, Arc<Slot>) {
        if let Some(slot) = self.subjects.get(subject) {
            return (Arc::clone(slot.key()), Arc::clone(slot.value()));
        }
        let slot = self.subjects.entry(subject.into()).or_default();
        (Arc::clone(slot.key()), Arc::clone(slot.value()))
    }

    fn name(&self, name: &str) -> Arc<str> {
        // A panic while it was held left a set that is whole.
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = names.get(name) {
            return Arc::clone(known);
        }
        let new: Arc<str> = name.into();
        names.insert(Arc::clone(&new));
        new
    }
}

impl Hasher for DigestHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_ne_bytes(*first);
        }
    }

    // The length that arrays write before their octets says nothing.
    fn write_usize(&mut self, _: usize) {}
}

fn find<'a>(roles: &'a [(Box<str>, Arc<str>)], object: &str) -> Option<&'a Arc<str>> {
    let at = roles.binary_search_by(|(own, _)| (**own).cmp(object)).ok()?;
    Some(&roles[at].1)
}

/// Shards of the maps: at 1,000,000 tokens a shard that grows moves 4,000 of them, which takes microseconds; and whoever
/// goes through all of it holds one of 256 at a time.
const SHARDS: usize = 256;
