//! Health of an endpoint: what requests and checks have seen of it. Shared by all workers, without a lock.
//!
//! An endpoint that fails again and again is ejected for a while: requests go to the others. When none is left, all are
//! used: a guess is better than no answer.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// When an endpoint is left alone, and how it is looked after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthRules {
    /// Failures in a row after which an endpoint is ejected.
    pub failures_max: u32,
    /// How long, the first time. Each time that follows soon doubles it, up to 16 times as long.
    pub ejection: Duration,
    /// Path of the checks, behind the path of the URL. `None`: there are no checks.
    pub path: Option<String>,
    /// From one check to the next.
    pub interval: Duration,
}

/// What is known of an endpoint's health.
pub(super) struct Health {
    begin: Instant,
    /// In a row, seen by requests.
    failures: AtomicU32,
    /// In milliseconds since the beginning; 0: it never was ejected.
    ejected_until: AtomicU64,
    /// In a row: ejections that followed each other soon.
    repeated: AtomicU32,
    ejections: AtomicU64,
    checks_failed: AtomicU32,
    checked_well: AtomicBool,
}

impl Default for HealthRules {
    fn default() -> Self {
        Self {
            failures_max: 5,
            ejection: Duration::from_secs(10),
            path: None,
            interval: Duration::from_secs(5),
        }
    }
}

impl Health {
    pub(super) fn new() -> Self {
        Self {
            begin: Instant::now(),
            failures: AtomicU32::new(0),
            ejected_until: AtomicU64::new(0),
            repeated: AtomicU32::new(0),
            ejections: AtomicU64::new(0),
            checks_failed: AtomicU32::new(0),
            checked_well: AtomicBool::new(true),
        }
    }

    /// Whether requests should go there.
    pub(super) fn is_good(&self, now: Instant) -> bool {
        self.checked_well.load(Ordering::Relaxed) && self.ejected_until.load(Ordering::Relaxed) <= self.at(now)
    }

    /// How often it was ejected.
    pub(super) fn ejections(&self) -> u64 {
        self.ejections.load(Ordering::Relaxed)
    }

    /// A request was answered. Writes only after a failure: workers read this for each request.
    pub(super) fn succeeded(&self) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// A request failed by its fault. Returns for how long it is ejected, if it is.
    pub(super) fn failed(&self, rules: &HealthRules, now: Instant) -> Option<Duration> {
        if self.failures.fetch_add(1, Ordering::Relaxed) + 1 < rules.failures_max {
            return None;
        }
        let now_ms = self.at(now);
        let until = self.ejected_until.load(Ordering::Relaxed);
        if until > now_ms {
            return None;
        }
        let ejection = millis(rules.ejection);
        let soon = until > 0 && now_ms - until < ejection * LONGEST;
        let doubled = if soon { self.repeated.load(Ordering::Relaxed) } else { 0 };
        let took = ejection * (1_u64 << doubled.min(LONGEST.ilog2()));
        // Of the workers that see this at once, one ejects it.
        self.ejected_until
            .compare_exchange(until, now_ms + took, Ordering::Relaxed, Ordering::Relaxed)
            .ok()?;
        self.repeated.store(doubled + 1, Ordering::Relaxed);
        self.ejections.fetch_add(1, Ordering::Relaxed);
        // When it is back, one more failure is enough, and one success makes it whole.
        self.failures
            .store(rules.failures_max.saturating_sub(1), Ordering::Relaxed);
        Some(Duration::from_millis(took))
    }

    /// A check ended. Returns whether this changed what is thought of it.
    pub(super) fn checked(&self, well: bool) -> bool {
        let failed = if well {
            0
        } else {
            self.checks_failed.load(Ordering::Relaxed) + 1
        };
        self.checks_failed.store(failed, Ordering::Relaxed);
        let good = failed < CHECKS_FAILED_MAX;
        self.checked_well.swap(good, Ordering::Relaxed) != good
    }

    fn at(&self, now: Instant) -> u64 {
        millis(now.saturating_duration_since(self.begin))
    }
}

/// Checks in a row that may fail, and one.
const CHECKS_FAILED_MAX: u32 = 2;

/// How much longer than the first an ejection may grow.
const LONGEST: u64 = 16;

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: HealthRules = HealthRules {
        failures_max: 3,
        ejection: Duration::from_secs(10),
        path: None,
        interval: Duration::from_secs(5),
    };

    fn fail(health: &Health, times: usize, now: Instant) -> Option<u64> {
        let ejected: Vec<_> = (0..times).filter_map(|_| health.failed(&RULES, now)).collect();
        ejected.first().map(Duration::as_secs)
    }

    #[test]
    fn failures_in_a_row_eject_and_a_success_in_between_does_not() {
        let (health, now) = (Health::new(), Instant::now());
        assert_eq!(fail(&health, 2, now), None);
        health.succeeded();
        assert_eq!(fail(&health, 2, now), None);
        assert!(health.is_good(now));
        assert_eq!(fail(&health, 1, now), Some(10));
        assert!(!health.is_good(now) && health.is_good(now + Duration::from_secs(11)));
    }

    #[test]
    fn an_endpoint_that_fails_again_when_it_is_back_is_ejected_for_longer_up_to_a_bound() {
        let (health, mut now) = (Health::new(), Instant::now());
        let mut ejected = fail(&health, 3, now);
        for expected in [10, 20, 40, 80, 160, 160] {
            assert_eq!(ejected, Some(expected));
            now += Duration::from_secs(expected + 1);
            ejected = fail(&health, 1, now);
        }
        let much_later = now + Duration::from_secs(1000);
        assert_eq!(fail(&health, 3, much_later), Some(10));
        assert_eq!(health.ejections(), 8);
    }

    #[test]
    fn two_failed_checks_take_it_out_and_one_good_one_brings_it_back() {
        let (health, now) = (Health::new(), Instant::now());
        assert!(!health.checked(false) && health.is_good(now));
        assert!(health.checked(false) && !health.is_good(now));
        assert!(health.checked(true) && health.is_good(now));
    }
}
