//! The budget of retries: they help when one request in many fails, and must not double the load of an outage.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// What a worker has sent again, of what it has sent of late.
pub(super) struct Budget {
    percent: u32,
    window: Cell<Window>,
}

/// Retries that are always free, a second, over all workers: a quiet upstream has no share to take them from.
pub(super) struct Floor {
    begin: Instant,
    /// The second since the beginning, and how many were taken in it.
    taken: AtomicU64,
}

#[derive(Clone, Copy)]
struct Window {
    since: Instant,
    now: Counts,
    before: Counts,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    requests: u32,
    retries: u32,
}

impl Budget {
    /// Retries may be `percent` of the requests of the last 10 to 20 s.
    pub(super) fn new(percent: u32) -> Self {
        let window = Window {
            since: Instant::now(),
            now: Counts::default(),
            before: Counts::default(),
        };
        Self {
            percent,
            window: Cell::new(window),
        }
    }

    /// Counts a request.
    pub(super) fn count(&self, now: Instant) {
        let mut window = self.window.get().at(now);
        window.now.requests = window.now.requests.saturating_add(1);
        self.window.set(window);
    }

    /// Takes a retry, if there is one to be had.
    pub(super) fn take(&self, floor: &Floor, now: Instant) -> bool {
        let mut window = self.window.get().at(now);
        let sum = |count: fn(Counts) -> u32| u64::from(count(window.now)) + u64::from(count(window.before));
        let share = sum(|counts| counts.requests) * u64::from(self.percent) / 100;
        let within = sum(|counts| counts.retries) < share;
        if within {
            window.now.retries = window.now.retries.saturating_add(1);
            self.window.set(window);
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

impl Window {
    fn at(self, now: Instant) -> Self {
        let age = now.saturating_duration_since(self.since);
        if age < WINDOW {
            return self;
        }
        Self {
            since: now,
            now: Counts::default(),
            before: if age < 2 * WINDOW { self.now } else { Counts::default() },
        }
    }
}

/// How long a request counts as recent, at least; at most twice as long.
const WINDOW: Duration = Duration::from_secs(10);

/// Retries that are free each second.
const FLOOR: u64 = 3;

/// A second and a count in one number.
const PER_SECOND: u64 = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_are_a_share_of_recent_requests_and_a_few_are_always_free() {
        let (floor, budget) = (Floor::new(), Budget::new(20));
        let start = Instant::now();
        let taken = |now| (0..200).filter(|_| budget.take(&floor, now)).count();
        assert_eq!(taken(start), 3, "nothing was sent: the free ones alone");
        (0..100).for_each(|_| budget.count(start));
        assert_eq!(taken(start), 20, "a fifth of 100, and no free ones in the same second");
        assert_eq!(taken(start + Duration::from_secs(2)), 3);
        (0..100).for_each(|_| budget.count(start + Duration::from_secs(11)));
        let later = start + Duration::from_secs(12);
        assert_eq!(taken(later), 23, "those of the window before count, with their retries");
        assert_eq!(taken(start + Duration::from_secs(60)), 3, "what is long past does not");
    }
}
