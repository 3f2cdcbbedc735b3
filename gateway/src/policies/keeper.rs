//! Puts the policies of a revision in force: on every worker before the revision is published, so that no decision is made
//! with the subjects of one revision and the policies of another.
//!
//! A component that is not there yet does not hold a revision back for long: what it must decide is refused until it is.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use engine::Policy;
use engine::signature::{SignatureError, Statement, TrustedKeys};
use feed::PolicyDigest;
use futures_util::future::join_all;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::timeout;

use super::components::Components;
use super::desired::{Desired, Named};
use super::in_force::Plan;
use crate::shadow::{Candidate, ShadowPlan, ShadowPlans, Wish};

/// What is in force, and the ways to those who decide.
pub(crate) struct Keeper {
    components: Rc<Components>,
    keys: TrustedKeys,
    workers: Vec<mpsc::UnboundedSender<Plan>>,
    shadows: Arc<ShadowPlans>,
    desired: RefCell<Desired>,
    /// The revision from which on that holds.
    since: Cell<u64>,
    /// What those who decide were told to do without.
    lacking: RefCell<Vec<PolicyDigest>>,
    /// What was told in the log, by organisation and name.
    told: RefCell<BTreeMap<(String, String), Told>>,
    /// A component has arrived.
    progress: Notify,
    /// The same, for whoever tells admin services.
    arrivals: watch::Sender<()>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    digest: PolicyDigest,
    usable: bool,
}

/// Why a version does not decide.
#[derive(Debug, thiserror::Error)]
enum NotUsed {
    #[error("it is not there yet")]
    NotThere,
    #[error("the component says that it is another policy")]
    AnotherPolicy,
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

impl Keeper {
    pub(crate) fn new(
        components: Rc<Components>,
        keys: TrustedKeys,
        workers: Vec<mpsc::UnboundedSender<Plan>>,
        shadows: Arc<ShadowPlans>,
    ) -> Rc<Self> {
        Rc::new(Self {
            components,
            keys,
            workers,
            shadows,
            desired: RefCell::default(),
            since: Cell::new(0),
            lacking: RefCell::default(),
            told: RefCell::default(),
            progress: Notify::new(),
            arrivals: watch::Sender::new(()),
        })
    }

    /// Returns what is in force, to be changed.
    pub(crate) fn desired(&self) -> Desired {
        self.desired.borrow().clone()
    }

    /// Counts the components that are wanted and there.
    pub(crate) fn loaded(&self) -> u64 {
        let digests = self.desired.borrow().digests();
        digests.iter().filter(|digest| self.components.is_there(digest)).count() as u64
    }

    /// Puts policies in force from a revision on. When this returns all workers have them, and the revision may be
    /// published.
    pub(crate) async fn put_in_force(&self, desired: Desired, revision: u64) {
        self.components.want(&desired.digests());
        self.desired.replace(desired);
        self.since.set(revision);
        let all_there = async {
            while !self.all_there() {
                self.progress.notified().await;
            }
        };
        // What is not there by then comes late.
        drop(timeout(WAIT_MAX, all_there).await);
        self.hand_out().await;
        self.tell();
    }

    /// Hands out what was compiled late, for ever.
    pub(crate) async fn follow_arrivals(self: Rc<Self>) {
        loop {
            self.components.arrived().await;
            self.progress.notify_one();
            let waited_for = self
                .lacking
                .borrow()
                .iter()
                .any(|digest| self.components.is_there(digest));
            // Of what is only at hand nobody needs to know.
            if waited_for {
                self.hand_out().await;
                self.tell();
            }
            self.arrivals.send_replace(());
        }
    }

    /// Returns the components that were named and cannot be decided with yet.
    pub(crate) fn lacking(&self) -> Vec<PolicyDigest> {
        self.components.lacking()
    }

    /// Returns what changes when one has arrived, and decides where it is to decide.
    pub(crate) fn arrivals(&self) -> watch::Receiver<()> {
        self.arrivals.subscribe()
    }

    fn all_there(&self) -> bool {
        let desired = self.desired.borrow();
        desired
            .deciding()
            .all(|named| self.components.is_there(&named.version.digest))
    }

    /// Sends all workers what they are to decide with, and waits until they do.
    async fn hand_out(&self) {
        let since = self.since.get();
        let (plans, taken) = {
            let desired = self.desired.borrow();
            self.lacking.replace(self.not_there(&desired));
            let shadows = self.shadow_plan(&desired, since);
            let wishes: Arc<[Wish]> = shadows.candidates.iter().map(Wish::from).collect();
            self.shadows.put(shadows);
            let mut plans = Vec::new();
            let mut waits = Vec::new();
            for worker in 0..self.workers.len() {
                let find = |named: Named<'_>| {
                    self.usable(named, |digest| self.components.of_worker(digest, worker))
                        .ok()
                };
                let (taken, wait) = oneshot::channel();
                plans.push(Plan {
                    since,
                    layout: desired.layout(find, None),
                    wishes: Arc::clone(&wishes),
                    taken,
                });
                waits.push(wait);
            }
            (plans, waits)
        };
        for (worker, plan) in self.workers.iter().zip(plans) {
            // A worker that has ended decides nothing.
            drop(worker.send(plan));
        }
        join_all(taken).await;
    }

    fn shadow_plan(&self, desired: &Desired, since: u64) -> ShadowPlan {
        let find = |named: Named<'_>| self.usable(named, |digest| self.components.for_watching(digest)).ok();
        let candidates = desired.shadowed().filter_map(|policy| {
            let shadow = policy.shadow.as_ref()?;
            let named = Named {
                policy,
                version: &shadow.version,
            };
            let candidate = find(named)?;
            Some(Candidate {
                org: policy.org.clone(),
                policy: policy.name.clone(),
                kind: policy.kind,
                version: shadow.version.version.clone(),
                percent: shadow.percent,
                inputs: candidate.manifest().inputs.clone(),
                scopes: desired.guards_of(policy).map(|guard| guard.scope.clone()).collect(),
                layout: desired.layout(find, Some(named)),
            })
        });
        ShadowPlan {
            since,
            candidates: candidates.collect(),
            engines: Arc::clone(self.components.engines()),
        }
    }

    /// Returns the digests of what decides or is watched and is not there.
    fn not_there(&self, desired: &Desired) -> Vec<PolicyDigest> {
        let watched = desired.shadowed().filter_map(|policy| policy.shadow.as_ref());
        let watched = watched.map(|shadow| shadow.version.digest);
        let all = desired.deciding().map(|named| named.version.digest).chain(watched);
        all.filter(|digest| !self.components.is_there(digest)).collect()
    }

    /// Returns the policy of a version, when it is there and is what it is said to be.
    fn usable(
        &self,
        Named { policy, version }: Named<'_>,
        find: impl Fn(&PolicyDigest) -> Option<Arc<Policy>>,
    ) -> Result<Arc<Policy>, NotUsed> {
        let statement = Statement {
            org: &policy.org,
            name: &policy.name,
            version: &version.version,
            digest: version.digest,
        };
        self.keys.verify(&statement, version.signature.as_ref())?;
        let found = find(&version.digest).ok_or(NotUsed::NotThere)?;
        let manifest = found.manifest();
        let is_it = manifest.name == policy.name
            && manifest.kind == policy.kind
            && manifest.version.to_string() == version.version;
        if is_it { Ok(found) } else { Err(NotUsed::AnotherPolicy) }
    }

    /// Logs what has come in force, and what has ended.
    fn tell(&self) {
        let (desired, revision) = (self.desired.borrow(), self.since.get());
        let mut told = BTreeMap::new();
        for Named { policy, version } in desired.deciding() {
            let key = (policy.org.clone(), policy.name.clone());
            // The active version comes first, and it is the one that is in force.
            if told.contains_key(&key) {
                continue;
            }
            let usable = self.usable(Named { policy, version }, |digest| self.components.of_worker(digest, 0));
            let now = Told {
                digest: version.digest,
                usable: usable.is_ok(),
            };
            if self.told.borrow().get(&key) != Some(&now) {
                let (org, name, version, digest) = (&policy.org, &policy.name, &version.version, version.digest);
                match usable {
                    Ok(_) => tracing::info!(org, policy = name, version, %digest, revision, "a policy is in force"),
                    Err(error) => {
                        tracing::error!(%error, org, policy = name, version, %digest, revision, "a policy in force cannot decide: what hangs on it is refused");
                    }
                }
            }
            told.insert(key, now);
        }
        let before = self.told.replace(told);
        for ((org, name), was) in before {
            if !self.told.borrow().contains_key(&(org.clone(), name.clone())) {
                tracing::info!(org, policy = name, digest = %was.digest, revision, "a policy is no longer in force");
            }
        }
    }
}

/// Longest time that a revision waits for the components that it puts in force.
const WAIT_MAX: Duration = Duration::from_millis(500);
