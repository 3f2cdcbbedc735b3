//! The budget of retries: they help when one request in many fails, and must not double the load of an outage.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;

/// What a worker has sent again, of what it has sent of late: since one or two calls of [`Budget::age`].
pub(super) struct Budget {
    percent: u32,
    now: Counts,
    before: Counts,
}

/// Retries that are always free, a second, over all workers: a quiet upstream has no share to take them from.
pub(super) struct Floor {
    begin: Instant,
    /// The second since the beginning, and how many were taken in it.
    taken: AtomicU64,
}

#[derive(Default)]
struct Counts {
    requests: Cell<u32>,
    retries: Cell<u32>,
}

impl Budget {
    /// Retries may be `percent` of the requests of late.
    pub(super) fn new(percent: u32) -> Self {
        Self {
            percent,
            now: Counts::default(),
            before: Counts::default(),
        }
    }

    /// Counts a request. The time is not looked at: that would cost each request more than the count.
    pub(super) fn count(&self) {
        self.now.requests.set(self.now.requests.get().saturating_add(1));
    }

    /// What has come since the last time is past from now on, and what was past is forgotten.
    pub(super) fn age(&self) {
        self.before.requests.set(self.now.requests.take());
        self.before.retries.set(self.now.retries.take());
    }

    /// Takes a retry, if there is one to be had.
    pub(super) fn take(&self, floor: &Floor, now: Instant) -> bool {
        let sum = |count: fn(&Counts) -> u32| u64::from(count(&self.now)) + u64::from(count(&self.before));
        let share = sum(|counts| counts.requests.get()) * u64::from(self.percent) / 100;
        let within = sum(|counts| counts.retries.get()) < share;
        if within {
            self.now.retries.set(self.now.retries.get().saturating_add(1));
        }
        within || floor.take(now)
    }
}

impl Floor {
    pub(super) fn new() -> Self {
        Self {
            begin: Instant::now(),
            taken: AtomicU64::new(0),
        }
    }

    fn take(&self, now: Instant) -> bool {
        let second = now.saturating_duration_since(self.begin).as_secs();
        let next = |taken: u64| match taken.checked_sub(second * PER_SECOND) {
            Some(count) if (FLOOR..PER_SECOND).contains(&count) => None,
            Some(count) if count < FLOOR => Some(taken + 1),
            // Of another second.
            Some(_) | None => Some(second * PER_SECOND + 1),
        };
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
            .is_ok()
    }
}

/// Retries that are free each second.
const FLOOR: u64 = 3;

/// A second and a count in one number.
const PER_SECOND: u64 = 256;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn retries_are_a_share_of_recent_requests_and_a_few_are_always_free() {
        let (floor, budget) = (Floor::new(), Budget::new(20));
        let start = Instant::now();
        let taken = |now| (0..200).filter(|_| budget.take(&floor, now)).count();
        assert_eq!(taken(start), 3, "nothing was sent: the free ones alone");
        (0..100).for_each(|_| budget.count());
        assert_eq!(taken(start), 20, "a fifth of 100, and no free ones in the same second");
        assert_eq!(taken(start + Duration::from_secs(2)), 3);
        budget.age();
        (0..100).for_each(|_| budget.count());
        let later = start + Duration::from_secs(12);
        assert_eq!(taken(later), 23, "those before count, with their retries");
        budget.age();
        budget.age();
        assert_eq!(taken(start + Duration::from_secs(60)), 3, "what is long past does not");
    }
}
