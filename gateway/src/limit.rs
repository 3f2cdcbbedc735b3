//! The rate at which a subject may send requests.

use std::sync::atomic::{AtomicI64, Ordering};

/// A rate with room for bursts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Requests a second, in the long run; at least 1.
    pub per_second: u32,
    /// Requests that may come at once; at least 1.
    pub burst: u32,
}

/// What a subject may still send: the theoretical arrival time of the generic cell rate algorithm, in microseconds since
/// the Unix epoch (ITU-T I.371). One number, so that all workers share it without a lock.
#[derive(Debug, Default)]
pub(crate) struct Allowance(AtomicI64);

impl Allowance {
    /// Takes one request out of the allowance. `false` when nothing is left.
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
}

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
