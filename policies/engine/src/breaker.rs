//! The circuit breaker: a policy that keeps failing is put aside for a while, so that its failing costs nothing.
//!
//! It is counted by subject. What makes a policy fail may be in what one caller sends, and such a caller must not take the
//! policy from the others: it is put aside for whoever sees it fail, and for everybody only when several do and nobody gets
//! a verdict in between.

use std::time::{Duration, Instant};

use crate::Fault;

/// How a policy fares.
#[derive(Debug, Clone, Default)]
pub(crate) struct Breaker {
    /// Since the last verdict, whoever asked.
    faults_in_a_row: u32,
    /// For everybody.
    aside_until: Option<Instant>,
    /// Those whose last question it gave no verdict on.
    failing_for: Vec<Failing>,
}

/// How it fares with one subject.
#[derive(Debug, Clone)]
struct Failing {
    subject: Box<str>,
    faults_in_a_row: u32,
    aside_until: Option<Instant>,
    /// Whether nobody has had a verdict since this one's last fault.
    since_the_last_verdict: bool,
}

/// Faults in a row after which a policy is put aside.
pub const FAULTS_IN_A_ROW_MAX: u32 = 10;

/// How long a policy is put aside. After that it is tried once, and one more fault puts it aside again.
pub const ASIDE: Duration = Duration::from_secs(30);

/// How many subjects must see it fail, and nobody see it do well in between, before it is put aside for everybody. Fewer may
/// be one person with several credentials; where there are no more, it is put aside for each of them anyway.
pub const SUBJECTS_FAILING_MIN: usize = 3;

/// How many failing subjects are kept in mind. Beyond them, the one with the fewest faults is forgotten.
const SUBJECTS_MAX: usize = 64;

impl Breaker {
    /// Returns whether the policy is not to be asked now on behalf of a subject. The clock is read for one that fails only.
    pub(crate) fn is_open(&self, subject: &str, now: impl FnOnce() -> Instant) -> bool {
        if self.failing_for.is_empty() {
            return false;
        }
        let own = self.failing_for.iter().find(|failing| *failing.subject == *subject);
        let until = self.aside_until.max(own.and_then(|failing| failing.aside_until));
        until.is_some_and(|until| now() < until)
    }

    /// Returns whether the policy is put aside for anybody.
    pub(crate) fn is_open_for_some(&self, now: impl FnOnce() -> Instant) -> bool {
        let own = self.failing_for.iter().filter_map(|failing| failing.aside_until).max();
        self.aside_until.max(own).is_some_and(|until| now() < until)
    }

    pub(crate) fn succeeded(&mut self, subject: &str) {
        if self.failing_for.is_empty() {
            return;
        }
        self.faults_in_a_row = 0;
        self.aside_until = None;
        self.failing_for.retain(|failing| *failing.subject != *subject);
        for failing in &mut self.failing_for {
            failing.since_the_last_verdict = false;
        }
    }

    pub(crate) fn failed(&mut self, subject: &str, fault: Fault, now: impl FnOnce() -> Instant) {
        if !fault.is_the_policys_own() {
            return;
        }
        self.faults_in_a_row = self.faults_in_a_row.saturating_add(1);
        let failing = self.failing(subject);
        failing.faults_in_a_row = failing.faults_in_a_row.saturating_add(1);
        failing.since_the_last_verdict = true;
        let own = failing.faults_in_a_row >= FAULTS_IN_A_ROW_MAX;
        let seen_by = self.failing_for.iter().filter(|failing| failing.since_the_last_verdict);
        let all = self.faults_in_a_row >= FAULTS_IN_A_ROW_MAX && seen_by.count() >= SUBJECTS_FAILING_MIN;
        if own || all {
            let until = Some(now() + ASIDE);
            if own {
                self.failing(subject).aside_until = until;
            }
            if all {
                self.aside_until = until;
            }
        }
    }

    /// Returns what is kept in mind of a subject that has just seen a fault.
    fn failing(&mut self, subject: &str) -> &mut Failing {
        let known = self.failing_for.iter().position(|failing| *failing.subject == *subject);
        let at = known.unwrap_or_else(|| {
            if self.failing_for.len() >= SUBJECTS_MAX {
                let least = (0..SUBJECTS_MAX).min_by_key(|at| self.failing_for[*at].faults_in_a_row);
                self.failing_for.swap_remove(least.unwrap_or_default());
            }
            self.failing_for.push(Failing {
                subject: subject.into(),
                faults_in_a_row: 0,
                aside_until: None,
                since_the_last_verdict: true,
            });
            self.failing_for.len() - 1
        });
        &mut self.failing_for[at]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(breaker: &mut Breaker, subject: &str, times: u32, now: Instant) {
        for _ in 0..times {
            breaker.failed(subject, Fault::Trapped, || now);
        }
    }

    #[test]
    fn a_policy_is_put_aside_after_ten_faults_in_a_row_and_tried_once_after_a_while() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 0..FAULTS_IN_A_ROW_MAX {
            assert!(!breaker.is_open("a", || start));
            fail(&mut breaker, "a", 1, start);
        }
        assert!(breaker.is_open("a", || start + ASIDE - Duration::from_millis(1)));
        let later = start + ASIDE;
        assert!(!breaker.is_open("a", || later));
        fail(&mut breaker, "a", 1, later);
        assert!(breaker.is_open("a", || later));
        breaker.succeeded("a");
        assert!(!breaker.is_open("a", || later));
    }

    #[test]
    fn one_subject_who_makes_it_fail_takes_it_from_nobody_else() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        fail(&mut breaker, "a", 1000, start);
        fail(&mut breaker, "b", 5, start);
        assert!(breaker.is_open("a", || start));
        assert!(breaker.is_open_for_some(|| start));
        for other in ["b", "c"] {
            assert!(!breaker.is_open(other, || start), "{other}");
        }
    }

    #[test]
    fn it_is_put_aside_for_everybody_when_several_see_it_fail_and_nobody_gets_a_verdict() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        fail(&mut breaker, "a", 5, start);
        fail(&mut breaker, "b", 4, start);
        assert!(!breaker.is_open("d", || start));
        fail(&mut breaker, "c", 1, start);
        assert!(breaker.is_open("d", || start));
        breaker.succeeded("d");
        assert!(!breaker.is_open("a", || start));
        // Those who saw it fail before that verdict count no more.
        fail(&mut breaker, "a", 4, start);
        fail(&mut breaker, "b", 5, start);
        fail(&mut breaker, "a", 1, start);
        assert!(breaker.is_open("a", || start));
        assert!(!breaker.is_open("d", || start));
    }

    #[test]
    fn many_failing_subjects_take_no_more_memory_than_some() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        fail(&mut breaker, "first", FAULTS_IN_A_ROW_MAX, start);
        for number in 0..1000 {
            breaker.succeeded("well");
            fail(&mut breaker, &number.to_string(), 1, start);
        }
        assert_eq!(breaker.failing_for.len(), SUBJECTS_MAX);
        assert!(breaker.is_open("first", || start));
    }

    #[test]
    fn a_verdict_between_faults_begins_the_row_anew() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 0..100 {
            fail(&mut breaker, "a", 1, start);
            breaker.succeeded("a");
        }
        assert!(!breaker.is_open("a", || start));
    }

    #[test]
    fn what_is_not_the_policys_own_doing_does_not_count() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 0..100 {
            breaker.failed("a", Fault::NoSlot, || start);
            breaker.failed("a", Fault::InputNotGiven, || start);
        }
        assert!(!breaker.is_open("a", || start));
    }
}
