//! The circuit breaker: a policy that keeps failing is put aside for a while, so that its failing costs nothing.

use std::time::{Duration, Instant};

use crate::Fault;

/// How a policy fares.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Breaker {
    faults_in_a_row: u32,
    aside_until: Option<Instant>,
}

/// Faults in a row after which a policy is put aside.
pub const FAULTS_IN_A_ROW_MAX: u32 = 10;

/// How long a policy is put aside. After that it is tried once, and one more fault puts it aside again.
pub const ASIDE: Duration = Duration::from_secs(30);

impl Breaker {
    /// Returns whether the policy is not to be asked now. The clock is read for one that was put aside only.
    pub(crate) fn is_open(&self, now: impl FnOnce() -> Instant) -> bool {
        self.aside_until.is_some_and(|until| now() < until)
    }

    pub(crate) fn succeeded(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn failed(&mut self, fault: Fault, now: impl FnOnce() -> Instant) {
        if !fault.is_the_policys_own() {
            return;
        }
        self.faults_in_a_row = self.faults_in_a_row.saturating_add(1);
        if self.faults_in_a_row >= FAULTS_IN_A_ROW_MAX {
            self.aside_until = Some(now() + ASIDE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_put_aside_after_ten_faults_in_a_row_and_tried_once_after_a_while() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 0..FAULTS_IN_A_ROW_MAX {
            assert!(!breaker.is_open(|| start));
            breaker.failed(Fault::Trapped, || start);
        }
        assert!(breaker.is_open(|| start + ASIDE - Duration::from_millis(1)));
        let later = start + ASIDE;
        assert!(!breaker.is_open(|| later));
        breaker.failed(Fault::Trapped, || later);
        assert!(breaker.is_open(|| later));
        breaker.succeeded();
        assert!(!breaker.is_open(|| later));
    }

    #[test]
    fn a_verdict_between_faults_begins_the_row_anew() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 0..100 {
            breaker.failed(Fault::Trapped, || start);
            breaker.succeeded();
        }
        assert!(!breaker.is_open(|| start));
    }

    #[test]
    fn what_is_not_the_policys_own_doing_does_not_count() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 0..100 {
            breaker.failed(Fault::NoSlot, || start);
            breaker.failed(Fault::InputNotGiven, || start);
        }
        assert!(!breaker.is_open(|| start));
    }
}
