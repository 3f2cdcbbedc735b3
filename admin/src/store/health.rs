//! How the store fares, in numbers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counts since the start. Cheap to clone; clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Health(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    failures: AtomicU64,
    connections: AtomicU64,
    changes: AtomicU64,
    lock_wait_us: AtomicU64,
}

/// What has been counted since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreHealth {
    /// Transactions that could not be begun or committed, and looks at the newest revision that failed.
    pub failures: u64,
    /// Connections to the database that were opened.
    pub connections: u64,
    /// Changes that were begun.
    pub changes: u64,
    /// How long they waited for their turn, together.
    pub lock_wait: Duration,
}

impl Health {
    pub(super) fn failed(&self) {
        self.0.failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn connected(&self) {
        self.0.connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn waited(&self, time: Duration) {
        self.0.changes.fetch_add(1, Ordering::Relaxed);
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.0.lock_wait_us.fetch_add(us, Ordering::Relaxed);
    }

    /// Returns what has been counted.
    pub(crate) fn counts(&self) -> StoreHealth {
        StoreHealth {
            failures: self.0.failures.load(Ordering::Relaxed),
            connections: self.0.connections.load(Ordering::Relaxed),
            changes: self.0.changes.load(Ordering::Relaxed),
            lock_wait: Duration::from_micros(self.0.lock_wait_us.load(Ordering::Relaxed)),
        }
    }
}
