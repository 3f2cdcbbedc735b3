//! Counts of the console, for those who watch it.

use std::sync::atomic::{AtomicU64, Ordering};

/// What has come of requests to the console since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsoleCounts {
    /// People who have signed in.
    pub sign_ins: u64,
    /// Links that let nobody in: unknown, used, or too old.
    pub sign_ins_refused: u64,
    /// Requests that a policy or the fence has refused.
    pub refusals: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counting {
    sign_ins: AtomicU64,
    sign_ins_refused: AtomicU64,
    refusals: AtomicU64,
}

impl Counting {
    pub(crate) fn counts(&self) -> ConsoleCounts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        ConsoleCounts {
            sign_ins: read(&self.sign_ins),
            sign_ins_refused: read(&self.sign_ins_refused),
            refusals: read(&self.refusals),
        }
    }

    pub(super) fn signed_in(&self) {
        self.sign_ins.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn not_let_in(&self) {
        self.sign_ins_refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refused(&self) {
        self.refusals.fetch_add(1, Ordering::Relaxed);
    }
}
