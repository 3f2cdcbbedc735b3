//! Changes on their way from the cache to the disk. Nobody who applies one waits for the disk.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use feed::Record;

/// Changes that the cache has applied and the disk has not.
#[derive(Default)]
pub struct Arrivals {
    queue: Mutex<Arrived>,
    more: Condvar,
}

/// What has arrived since it was last asked.
#[derive(Default)]
pub(crate) struct Arrived {
    /// The revision that the cache was at behind all of it.
    pub(crate) revision: u64,
    /// Whether everything was replaced before these changes, or there were too many to be kept here.
    pub(crate) is_whole: bool,
    /// Changes, in order.
    pub(crate) changes: Vec<(u64, Vec<Record>)>,
    records: usize,
    /// Whether nothing more will come.
    pub(crate) is_over: bool,
}

impl Arrivals {
    pub(crate) fn push(&self, revision: u64, records: Vec<Record>) {
        let mut queue = self.queue();
        queue.revision = revision;
        queue.records += records.len();
        queue.changes.push((revision, records));
        if queue.records > RECORDS_MAX || queue.changes.len() > RECORDS_MAX {
            queue.begin_whole(revision);
        }
        self.more.notify_one();
    }

    /// Notes that everything was replaced.
    pub(crate) fn push_whole(&self, revision: u64) {
        self.queue().begin_whole(revision);
        self.more.notify_one();
    }

    /// Notes that nothing more will come.
    pub(crate) fn end(&self) {
        self.queue().is_over = true;
        self.more.notify_one();
    }

    /// Waits until something has arrived, but not for ever.
    pub(crate) fn wait(&self, wait_max: Duration) {
        let nothing = |queue: &mut Arrived| queue.changes.is_empty() && !queue.is_whole && !queue.is_over;
        drop(self.more.wait_timeout_while(self.queue(), wait_max, nothing));
    }

    /// Waits until nothing more will come, but not for ever; returns whether that is so.
    pub(crate) fn is_over_within(&self, wait_max: Duration) -> bool {
        let waited = self
            .more
            .wait_timeout_while(self.queue(), wait_max, |queue| !queue.is_over);
        waited.unwrap_or_else(PoisonError::into_inner).0.is_over
    }

    /// Takes what has arrived.
    pub(crate) fn take(&self) -> Arrived {
        let mut queue = self.queue();
        let (revision, is_over) = (queue.revision, queue.is_over);
        let next = Arrived {
            revision,
            is_over,
            ..Arrived::default()
        };
        std::mem::replace(&mut *queue, next)
    }

    fn queue(&self) -> MutexGuard<'_, Arrived> {
        // A panic while it was held left a queue with a change or without it.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Arrived {
    fn begin_whole(&mut self, revision: u64) {
        self.revision = revision;
        self.is_whole = true;
        self.changes.clear();
        self.records = 0;
    }
}

/// Records, and changes, that wait for a disk that is slow; with more, everything is written anew once it is not.
const RECORDS_MAX: usize = 100_000;
