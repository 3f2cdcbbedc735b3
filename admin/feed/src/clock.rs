//! The time, as a parameter: real in production, set by hand in tests.
//!
//! Two clocks in one. One tells the time of day, and whoever administers the machine may set it. The other counts the time
//! that has passed, sleep of the machine included, and nobody can set it: ages and rates are measured by that one.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use rustix::time::{ClockId, clock_gettime};

/// Where the time comes from. Cheap to clone; clones of one manual clock show one time.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System,
    Manual(Arc<Manual>),
}

#[derive(Debug)]
struct Manual {
    unix_ms: AtomicI64,
    elapsed_ms: AtomicI64,
}

impl Clock {
    /// Returns the machine's clock.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// Returns a clock that stands at a time until it is moved.
    pub fn manual(unix_ms: i64) -> Self {
        Self(Source::Manual(Arc::new(Manual {
            unix_ms: AtomicI64::new(unix_ms),
            elapsed_ms: AtomicI64::new(MANUAL_START_MS),
        })))
    }

    /// Returns the time since the Unix epoch. It may go back, or leap ahead.
    ///
    /// # Units
    /// Milliseconds.
    pub fn unix_ms(&self) -> i64 {
        match &self.0 {
            #[expect(clippy::disallowed_methods, reason = "this is where the time comes from")]
            Source::System => chrono::Utc::now().timestamp_millis(),
            Source::Manual(manual) => manual.unix_ms.load(Ordering::SeqCst),
        }
    }

    /// Returns the time since some moment before the process began. It never goes back, and goes on while the machine
    /// sleeps.
    ///
    /// # Units
    /// Milliseconds.
    pub fn elapsed_ms(&self) -> i64 {
        match &self.0 {
            Source::System => {
                let since_boot = clock_gettime(ClockId::Boottime);
                since_boot.tv_sec * 1000 + since_boot.tv_nsec / 1_000_000
            }
            Source::Manual(manual) => manual.elapsed_ms.load(Ordering::SeqCst),
        }
    }

    /// Lets time pass on a manual clock; the machine's clock is left alone.
    pub fn advance_ms(&self, ms: i64) {
        if let Source::Manual(manual) = &self.0 {
            manual.unix_ms.fetch_add(ms, Ordering::SeqCst);
            manual.elapsed_ms.fetch_add(ms, Ordering::SeqCst);
        }
    }

    /// Sets the time of day of a manual clock ahead, or back by a negative number, while no time passes.
    pub fn step_ms(&self, ms: i64) {
        if let Source::Manual(manual) = &self.0 {
            manual.unix_ms.fetch_add(ms, Ordering::SeqCst);
        }
    }
}

/// How long a manual clock's machine has been running when the clock is made.
const MANUAL_START_MS: i64 = 3_600_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_leaves_the_time_that_passes_alone() {
        let clock = Clock::manual(1_000);
        let began_ms = clock.elapsed_ms();
        clock.advance_ms(5);
        clock.step_ms(-700);
        assert_eq!((clock.unix_ms(), clock.elapsed_ms() - began_ms), (305, 5));
    }

    #[test]
    fn the_machines_time_passes_and_does_not_go_back() {
        let clock = Clock::system();
        let first = clock.elapsed_ms();
        assert!(first > 0);
        while clock.elapsed_ms() == first {
            std::hint::spin_loop();
        }
        assert!(clock.elapsed_ms() > first);
    }
}
