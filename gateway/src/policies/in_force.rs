//! The policies that a worker decides with: those of the newest revision, and of the one before until nobody can ask at it.
//!
//! A change reaches here before its revision is published, so a caller may still be looked up at the revision before: each
//! decision is made with the policies that belong to the caller's revision. Since a revision is published before the next
//! change comes here, two are enough.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use engine::{Layout, PolicySet};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::timeout;

use super::metrics::PutAside;
use crate::shadow::Wish;

/// The policies of a worker.
pub(crate) struct InForce {
    sets: RefCell<Sets>,
    /// Whether a policy of either asks for more than subject and operation.
    asks_for_inputs: Cell<bool>,
    changed: Notify,
}

struct Sets {
    /// `None` once nobody can ask at its revisions.
    old: Option<Rc<Arranged>>,
    new: Rc<Arranged>,
}

/// Policies in an arrangement.
pub(crate) struct Arranged {
    pub(crate) set: PolicySet,
    /// The revision from which on they hold.
    since: u64,
    /// Another number for each arrangement of a worker, ascending.
    pub(crate) number: u64,
    pub(crate) asks_for_inputs: bool,
    /// By organisation, the names of roles whose policies ask for more than subject and operation.
    asking_roles: HashMap<String, HashSet<String>>,
    /// What is watched beside them.
    pub(crate) wishes: Arc<[Wish]>,
}

/// An arrangement on its way to a worker.
pub(crate) struct Plan {
    /// The revision from which on it holds.
    pub(crate) since: u64,
    pub(crate) layout: Layout,
    pub(crate) wishes: Arc<[Wish]>,
    /// Told when decisions are made with it.
    pub(crate) taken: oneshot::Sender<()>,
}

impl InForce {
    /// Returns the built-in policies, in force from the first revision on.
    pub(crate) fn new(builtin: PolicySet) -> Rc<Self> {
        let new = Arranged {
            set: builtin,
            since: 0,
            number: 0,
            asks_for_inputs: false,
            asking_roles: HashMap::new(),
            wishes: Arc::default(),
        };
        Rc::new(Self {
            sets: RefCell::new(Sets {
                old: None,
                new: Rc::new(new),
            }),
            asks_for_inputs: Cell::new(false),
            changed: Notify::new(),
        })
    }

    /// Returns the policies that belong to a revision at which a caller was looked up just now.
    pub(crate) fn at(&self, revision: u64) -> Rc<Arranged> {
        let sets = self.sets.borrow();
        match &sets.old {
            Some(old) if revision < sets.new.since => Rc::clone(old),
            Some(_) | None => Rc::clone(&sets.new),
        }
    }

    /// Returns whether any policy asks for more than subject and operation.
    pub(crate) fn ask_for_inputs(&self) -> bool {
        self.asks_for_inputs.get()
    }

    /// Waits until policies have changed within a revision, as when one was compiled late.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Forgets the policies that nobody can ask for any more, now that a revision has been published.
    pub(crate) fn published(&self, revision: u64) {
        let mut sets = self.sets.borrow_mut();
        if revision >= sets.new.since {
            sets.old = None;
            self.asks_for_inputs.set(sets.new.asks_for_inputs);
        }
    }

    /// Takes over each arrangement that comes, and tells now and then which policies are put aside, for as long as the
    /// worker runs.
    pub(crate) async fn follow(self: Rc<Self>, mut plans: mpsc::UnboundedReceiver<Plan>, put_aside: Arc<PutAside>) {
        loop {
            match timeout(TELL_PAUSE, plans.recv()).await {
                Ok(Some(plan)) => self.put(plan),
                Ok(None) => return,
                Err(_elapsed) => {}
            }
            put_aside.tell(&self.sets.borrow().new.set);
        }
    }

    fn put(&self, plan: Plan) {
        let Plan {
            since,
            layout,
            wishes,
            taken,
        } = plan;
        let (current, old) = {
            let sets = self.sets.borrow();
            let old = if since > sets.new.since {
                Some(Rc::clone(&sets.new))
            } else {
                sets.old.clone()
            };
            (Rc::clone(&sets.new), old)
        };
        let within_revision = since == current.since;
        let asking_roles = asking_roles(&layout);
        let new = Arranged {
            set: current.set.arranged(&layout),
            since,
            number: current.number + 1,
            asks_for_inputs: !asking_roles.is_empty() || a_guard_asks(&layout),
            asking_roles,
            wishes,
        };
        let asks = new.asks_for_inputs || old.as_ref().is_some_and(|old| old.asks_for_inputs);
        self.asks_for_inputs.set(asks);
        self.sets.replace(Sets { old, new: Rc::new(new) });
        if within_revision {
            self.changed.notify_one();
        }
        // Nobody waits for what came late.
        let _ = taken.send(());
    }
}

impl Arranged {
    /// Returns whether the policy of a role of an organisation asks for more than subject and operation.
    pub(crate) fn role_asks(&self, org: &str, role: &str) -> bool {
        self.asking_roles.get(org).is_some_and(|roles| roles.contains(role))
    }
}

fn asking_roles(layout: &Layout) -> HashMap<String, HashSet<String>> {
    let mut asking = HashMap::<String, HashSet<String>>::new();
    for role in &layout.roles {
        if asks(role.policy.as_deref()) || asks(role.fallback.as_deref()) {
            asking.entry(role.org.clone()).or_default().insert(role.role.clone());
        }
    }
    asking
}

fn a_guard_asks(layout: &Layout) -> bool {
    let mut guards = layout.guards.iter();
    guards.any(|guard| asks(guard.policy.as_deref()) || asks(guard.fallback.as_deref()))
}

fn asks(policy: Option<&engine::Policy>) -> bool {
    policy.is_some_and(|policy| !policy.manifest().inputs.is_empty())
}

/// How often it is told which policies are put aside.
const TELL_PAUSE: Duration = Duration::from_secs(1);
