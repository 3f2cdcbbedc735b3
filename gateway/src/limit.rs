//! Rates: how often something may happen in the long run, with room for bursts.
//!
//! One number that is changed by one atomic step, so that it can be shared by all workers without a lock.

use std::sync::atomic::{AtomicI64, Ordering};

use dashmap::DashMap;
use feed::Digest;

/// A rate with room for bursts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Times a second, in the long run; at least 1.
    pub per_second: u32,
    /// Times that it may happen at once; at least 1.
    pub burst: u32,
}

/// What is left of a rate: the theoretical arrival time of the generic cell rate algorithm, in microseconds of the clock
/// that those who take have in common, which does not go back (ITU-T I.371).
#[derive(Debug, Default)]
pub(crate) struct Allowance(AtomicI64);

impl Allowance {
    /// Takes one out of the allowance. `false` when nothing is left.
    pub(crate) fn take(&self, rate: Rate, now_ms: i64) -> bool {
        let now_us = now_ms.saturating_mul(1000);
        let interval_us = 1_000_000 / i64::from(rate.per_second.max(1));
        let tolerance_us = interval_us * (i64::from(rate.burst.max(1)) - 1);
        let take = |arrival_us: i64| {
            let arrival_us = arrival_us.max(now_us);
            (arrival_us - now_us <= tolerance_us).then_some(arrival_us + interval_us)
        };
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    /// Returns whether nothing is missing from the allowance.
    pub(crate) fn is_whole(&self, now_ms: i64) -> bool {
        self.0.load(Ordering::Relaxed) <= now_ms.saturating_mul(1000)
    }

    /// Takes one out of the allowance. Otherwise returns how long it takes until one may be taken, in whole seconds and at
    /// least 1: for `Retry-After`.
    pub(crate) fn take_or_wait(&self, rate: Rate, now_ms: i64) -> Result<(), i64> {
        if self.take(rate, now_ms) {
            return Ok(());
        }
        let interval_us = 1_000_000 / i64::from(rate.per_second.max(1));
        let tolerance_us = interval_us * (i64::from(rate.burst.max(1)) - 1);
        let wait_us = self.0.load(Ordering::Relaxed) - tolerance_us - now_ms.saturating_mul(1000);
        Err((wait_us.max(1) + 999_999) / 1_000_000)
    }
}

/// What may still be sent with each token. Kept only while there is a rate for tokens: tokens may be many.
#[derive(Debug, Default)]
pub(crate) struct TokenAllowances(DashMap<Digest, Allowance>);

impl TokenAllowances {
    /// Takes one request out of what may be sent with a token. Otherwise returns the seconds after which one may be again.
    pub(crate) fn take(&self, token: &Digest, rate: Rate, now_ms: i64) -> Result<(), i64> {
        if let Some(allowance) = self.0.get(token) {
            return allowance.take_or_wait(rate, now_ms);
        }
        if self.0.len() >= TOKENS_MAX {
            self.0.retain(|_, allowance| !allowance.is_whole(now_ms));
        }
        self.0.entry(*token).or_default().take_or_wait(rate, now_ms)
    }
}

/// Tokens that were used of late, at most, before those that rest are forgotten. Only valid ones are ever counted.
const TOKENS_MAX: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let rate = Rate {
            per_second: 10,
            burst: 3,
        };
        let allowance = Allowance::default();
        let passed = |now_ms| (0..20).filter(|_| allowance.take(rate, now_ms)).count();
        assert_eq!(passed(1_000_000), 3);
        assert_eq!(passed(1_000_099), 0);
        assert_eq!(passed(1_000_100), 1);
        assert_eq!(passed(1_000_200), 1);
        assert_eq!(passed(2_000_000), 3);
    }
}
