//! The time, as a parameter: real in production, set by hand in tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Where the time comes from. Cheap to clone; clones of one manual clock show one time.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System,
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// Returns the machine's clock.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// Returns a clock that stands at a time until it is moved.
    pub fn manual(unix_ms: i64) -> Self {
        Self(Source::Manual(Arc::new(AtomicI64::new(unix_ms))))
    }

    /// Returns the time since the Unix epoch.
    ///
    /// # Units
    /// Milliseconds.
    pub fn unix_ms(&self) -> i64 {
        match &self.0 {
            #[expect(clippy::disallowed_methods, reason = "this is where the time comes from")]
            Source::System => chrono::Utc::now().timestamp_millis(),
            Source::Manual(unix_ms) => unix_ms.load(Ordering::SeqCst),
        }
    }

    /// Moves a manual clock; the machine's clock is left alone.
    pub fn advance_ms(&self, ms: i64) {
        if let Source::Manual(unix_ms) = &self.0 {
            unix_ms.fetch_add(ms, Ordering::SeqCst);
        }
    }
}
