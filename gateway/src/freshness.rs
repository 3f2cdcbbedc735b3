//! How old the data is, what may still be decided on it, and what time it is.
//!
//! Ages are measured by a clock that nobody can set. The time of day, by which tokens expire, is the later of what the
//! machine's clock says and what the admin service's does, which is heard with the feed and goes on by the first clock: so
//! that a clock that was set back revives no token.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use feed::Clock;

use crate::refusal::Reason;
use crate::worker::Shared;

/// When the feed was last heard, and what time it was there.
#[derive(Debug)]
pub struct Freshness {
    /// By [`Clock::elapsed_ms`]; [`NEVER`] before it was heard.
    heard_ms: AtomicI64,
    /// What is to be added to [`Clock::elapsed_ms`] for the admin service's time of day; [`NEVER`] before it was told.
    offset_ms: AtomicI64,
    /// Whether the log says that the clocks differ.
    differs: AtomicBool,
}

/// How old data may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgeLimits {
    /// For operations that may change something.
    pub writes_max: Duration,
    /// For operations that only read; not less than for the others.
    pub reads_max: Duration,
}

/// What may be decided on data of some age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Serves {
    /// Every operation.
    Everything,
    /// Operations that only read.
    Reads,
    /// None.
    Nothing,
}

impl Freshness {
    /// Returns the freshness of data that has never arrived.
    pub fn new() -> Self {
        Self {
            heard_ms: AtomicI64::new(NEVER),
            offset_ms: AtomicI64::new(NEVER),
            differs: AtomicBool::new(false),
        }
    }

    /// Notes that the data is what the store held at a moment, by [`Clock::elapsed_ms`]. Data never grows older by it.
    pub fn heard_at(&self, elapsed_ms: i64) {
        self.heard_ms.fetch_max(elapsed_ms.max(NEVER + 1), Ordering::Relaxed);
    }

    /// Notes the admin service's time of day, as a connection to it begins.
    pub fn time_was_told(&self, clock: &Clock, unix_ms: i64) {
        self.offset_ms
            .store(unix_ms.saturating_sub(clock.elapsed_ms()), Ordering::Relaxed);
        self.compare(clock);
    }

    /// Notes it again on the same connection. What was held up on its way does not put it back.
    pub fn time_went_on(&self, clock: &Clock, unix_ms: i64) {
        self.offset_ms
            .fetch_max(unix_ms.saturating_sub(clock.elapsed_ms()), Ordering::Relaxed);
        self.compare(clock);
    }

    /// Returns whether any data has arrived.
    pub fn is_known(&self) -> bool {
        self.heard_ms.load(Ordering::Relaxed) != NEVER
    }

    /// Returns how old the data is, in milliseconds. `None` before any has arrived.
    pub fn age_ms(&self, clock: &Clock) -> Option<i64> {
        let heard_ms = self.heard_ms.load(Ordering::Relaxed);
        (heard_ms != NEVER).then(|| clock.elapsed_ms().saturating_sub(heard_ms).max(0))
    }

    /// Returns what may be decided on the data. `None` before any has arrived.
    pub fn serves(&self, clock: &Clock, limits: &AgeLimits) -> Option<Serves> {
        self.age_ms(clock).map(|age_ms| limits.serve(age_ms))
    }

    /// Returns the time of day by which things end, in milliseconds since the Unix epoch.
    pub fn unix_ms(&self, clock: &Clock) -> i64 {
        let own_ms = clock.unix_ms();
        self.feed_unix_ms(clock).map_or(own_ms, |feed_ms| own_ms.max(feed_ms))
    }

    /// Returns what time of day it is by the admin service's clock; by the machine's before that was told.
    pub(crate) fn told_unix_ms(&self, clock: &Clock) -> i64 {
        self.feed_unix_ms(clock).unwrap_or_else(|| clock.unix_ms())
    }

    /// Returns by how much the machine's clock is ahead of the admin service's, in milliseconds. `None` before that was
    /// told.
    pub fn clock_difference_ms(&self, clock: &Clock) -> Option<i64> {
        let feed_ms = self.feed_unix_ms(clock)?;
        Some(clock.unix_ms().saturating_sub(feed_ms))
    }

    fn feed_unix_ms(&self, clock: &Clock) -> Option<i64> {
        let offset_ms = self.offset_ms.load(Ordering::Relaxed);
        (offset_ms != NEVER).then(|| clock.elapsed_ms().saturating_add(offset_ms))
    }

    /// Tells the log when the clocks begin to differ, and when they no longer do.
    fn compare(&self, clock: &Clock) {
        let difference_ms = self.clock_difference_ms(clock).unwrap_or_default();
        let differs = difference_ms.saturating_abs() > CLOCK_DIFFERENCE_MS_MAX;
        match (self.differs.swap(differs, Ordering::Relaxed), differs) {
            (false, true) => tracing::warn!(
                difference_ms,
                "this machine's clock and the admin service's differ: tokens expire by the later one"
            ),
            (true, false) => tracing::info!(
                difference_ms,
                "this machine's clock and the admin service's agree again"
            ),
            (true, true) | (false, false) => {}
        }
    }
}

impl Default for Freshness {
    fn default() -> Self {
        Self::new()
    }
}

impl AgeLimits {
    fn serve(&self, age_ms: i64) -> Serves {
        let age = Duration::from_millis(u64::try_from(age_ms).unwrap_or_default());
        if age > self.reads_max {
            Serves::Nothing
        } else if age > self.writes_max {
            Serves::Reads
        } else {
            Serves::Everything
        }
    }
}

impl Default for AgeLimits {
    fn default() -> Self {
        Self {
            writes_max: Duration::from_mins(1),
            reads_max: Duration::from_mins(15),
        }
    }
}

impl Serves {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Everything, Self::Reads, Self::Nothing];

    /// Returns the word for metrics and for `/readyz`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Everything => "everything",
            Self::Reads => "reads",
            Self::Nothing => "nothing",
        }
    }
}

/// Says whether the data is young enough for an operation: an older revocation could have been missed.
pub(crate) fn check(shared: &Shared, is_read: bool) -> Result<(), Reason> {
    let settings = &shared.settings;
    match shared
        .cache
        .freshness()
        .serves(&settings.clock, &settings.limits.data_age)
    {
        None => Err(Reason::NoData),
        Some(Serves::Nothing) => Err(Reason::DataTooOld),
        Some(Serves::Reads) if !is_read => Err(Reason::DataTooOldToWrite),
        Some(Serves::Reads | Serves::Everything) => Ok(()),
    }
}

/// No time that a clock of ours shows.
const NEVER: i64 = i64::MIN;

/// From this difference on the log tells: machines that keep their time by NTP differ by milliseconds.
const CLOCK_DIFFERENCE_MS_MAX: i64 = 5_000;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_700_000_000_000;
    const DAY_MS: i64 = 86_400_000;

    fn heard(clock: &Clock) -> Freshness {
        let freshness = Freshness::new();
        freshness.heard_at(clock.elapsed_ms());
        freshness.time_was_told(clock, clock.unix_ms());
        freshness
    }

    #[test]
    fn data_serves_everything_then_reads_then_nothing_and_everything_again_once_the_feed_is_heard() {
        let (clock, limits) = (Clock::manual(NOW_MS), AgeLimits::default());
        assert_eq!(Freshness::new().serves(&clock, &limits), None);
        let freshness = heard(&clock);
        let serves = || freshness.serves(&clock, &limits);
        assert_eq!(serves(), Some(Serves::Everything));
        clock.advance_ms(60_000);
        assert_eq!(serves(), Some(Serves::Everything), "at the limit");
        clock.advance_ms(1);
        assert_eq!(serves(), Some(Serves::Reads), "past it");
        clock.advance_ms(14 * 60_000 - 1);
        assert_eq!(serves(), Some(Serves::Reads), "at the limit");
        clock.advance_ms(1);
        assert_eq!(serves(), Some(Serves::Nothing), "past it");
        freshness.heard_at(clock.elapsed_ms());
        assert_eq!(serves(), Some(Serves::Everything));
    }

    #[test]
    fn an_age_does_not_depend_on_the_time_of_day() {
        let clock = Clock::manual(NOW_MS);
        let freshness = heard(&clock);
        for step_ms in [DAY_MS, -3 * DAY_MS, i64::from(i32::MAX)] {
            clock.step_ms(step_ms);
            clock.advance_ms(10);
        }
        assert_eq!(freshness.age_ms(&clock), Some(30));
    }

    #[test]
    fn data_is_as_old_as_it_was_when_it_arrived_and_nothing_older_makes_it_older() {
        let clock = Clock::manual(NOW_MS);
        let now_ms = clock.elapsed_ms();
        let freshness = Freshness::new();
        freshness.heard_at(now_ms - 90_000);
        assert_eq!(freshness.age_ms(&clock), Some(90_000));
        freshness.heard_at(now_ms);
        freshness.heard_at(now_ms - 90_000);
        assert_eq!(freshness.age_ms(&clock), Some(0));
        let forgotten = Freshness::new();
        forgotten.heard_at(i64::MIN);
        assert_eq!(forgotten.serves(&clock, &AgeLimits::default()), Some(Serves::Nothing));
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_bring_back_time_that_the_feed_has_told() {
        let clock = Clock::manual(NOW_MS);
        let freshness = heard(&clock);
        clock.step_ms(-DAY_MS);
        clock.advance_ms(7);
        assert_eq!(freshness.unix_ms(&clock), NOW_MS + 7);
        assert_eq!(freshness.clock_difference_ms(&clock), Some(-DAY_MS));
        clock.step_ms(2 * DAY_MS);
        assert_eq!(freshness.unix_ms(&clock), NOW_MS + DAY_MS + 7, "the later of the two");
        assert_eq!(freshness.clock_difference_ms(&clock), Some(DAY_MS));
    }

    #[test]
    fn a_time_that_was_held_up_on_its_way_puts_nothing_back_and_a_new_connection_may() {
        let clock = Clock::manual(NOW_MS);
        let freshness = heard(&clock);
        clock.step_ms(-DAY_MS);
        clock.advance_ms(1000);
        freshness.time_went_on(&clock, NOW_MS + 10);
        assert_eq!(freshness.unix_ms(&clock), NOW_MS + 1000);
        freshness.time_went_on(&clock, NOW_MS + 5000);
        assert_eq!(freshness.unix_ms(&clock), NOW_MS + 5000);
        freshness.time_was_told(&clock, NOW_MS + 1000);
        assert_eq!(freshness.unix_ms(&clock), NOW_MS + 1000);
    }
}
