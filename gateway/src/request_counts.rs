//! Requests by operation and outcome: counted by each worker for itself in an array, added up when they are read.
//!
//! Operations can be added to the catalogue while requests run. Each catalogue has arrays of its own, in the order of its
//! operations, so that counting takes neither a lock nor a search; arrays whose last request has ended are added to a
//! table of what was. A worker's requests that began under an old catalogue go on being counted in the old array.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use catalogue::Catalogue;

use crate::metrics::{OUTCOMES, Outcome};

/// What one worker counts under one catalogue. Only it writes.
pub(crate) struct RequestCounts {
    catalogue: Arc<Catalogue>,
    /// By operation (one more than the catalogue has: unknown ones) and outcome.
    slots: Box<[AtomicU64]>,
}

/// The counts of all workers under all catalogues.
#[derive(Default)]
pub(crate) struct AllRequests(Mutex<Kept>);

/// Where a worker gets the array for a catalogue.
pub(crate) struct WorkerCounts(pub(crate) Arc<AllRequests>);

/// Totals by operation id and outcome index; `unknown` for what is no operation.
type Totals = BTreeMap<(String, usize), u64>;

#[derive(Default)]
struct Kept {
    counting: Vec<Arc<RequestCounts>>,
    ended: Totals,
}

impl RequestCounts {
    /// Counts a request; `None` when no operation was identified.
    pub(crate) fn count(&self, operation: Option<usize>, outcome: Outcome) {
        let operations = self.catalogue.operations().len();
        let slot = &self.slots[operation.unwrap_or(operations) * OUTCOMES + outcome.index()];
        // Only this thread writes: no locked instruction is needed.
        slot.store(slot.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    fn add_to(&self, totals: &mut Totals) {
        for (at, slot) in self.slots.iter().enumerate() {
            let count = slot.load(Ordering::Relaxed);
            if count > 0 {
                let operation = self.catalogue.operations().get(at / OUTCOMES);
                let id = operation.map_or(UNKNOWN, |operation| operation.id.as_str());
                *totals.entry((id.to_owned(), at % OUTCOMES)).or_default() += count;
            }
        }
    }
}

impl WorkerCounts {
    /// Returns the array that was counted in when it is of this catalogue, else a new one.
    pub(crate) fn go_on(&self, counts: &Arc<RequestCounts>, catalogue: &Arc<Catalogue>) -> Arc<RequestCounts> {
        if Arc::ptr_eq(&counts.catalogue, catalogue) {
            Arc::clone(counts)
        } else {
            self.begin(catalogue)
        }
    }

    /// Returns a new array for a catalogue.
    pub(crate) fn begin(&self, catalogue: &Arc<Catalogue>) -> Arc<RequestCounts> {
        let slots = (catalogue.operations().len() + 1) * OUTCOMES;
        let counts = Arc::new(RequestCounts {
            catalogue: Arc::clone(catalogue),
            slots: (0..slots).map(|_| AtomicU64::new(0)).collect(),
        });
        self.0.with(|kept| {
            kept.retire();
            kept.counting.push(Arc::clone(&counts));
        });
        counts
    }
}

impl AllRequests {
    /// Returns the count of each operation and outcome that has one, ordered by operation.
    pub(crate) fn totals(&self) -> Vec<(String, Outcome, u64)> {
        let totals = self.with(|kept| {
            let mut totals = kept.ended.clone();
            for counts in &kept.counting {
                counts.add_to(&mut totals);
            }
            totals
        });
        let told = totals.into_iter();
        told.map(|((operation, outcome), count)| (operation, Outcome::from_index(outcome), count))
            .collect()
    }

    fn with<R>(&self, act: impl FnOnce(&mut Kept) -> R) -> R {
        // Taken when metrics are read and when a configuration is, never by a request.
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Kept {
    /// Adds up the arrays that nobody counts in any more.
    fn retire(&mut self) {
        for counts in std::mem::take(&mut self.counting) {
            match Arc::try_unwrap(counts) {
                Ok(counts) => counts.add_to(&mut self.ended),
                Err(in_use) => self.counting.push(in_use),
            }
        }
    }
}

/// Operation of a request for which none was identified.
const UNKNOWN: &str = "unknown";

#[cfg(test)]
mod tests {
    use super::*;
    use catalogue::Operation;

    fn catalogue(ids: &[&str]) -> Arc<Catalogue> {
        let operation = |id: &&str| Operation::new("GET", &format!("/{id}"), id, "x.read").expect("it is one");
        Arc::new(Catalogue::new(ids.iter().map(operation).collect()).expect("all differ"))
    }

    #[test]
    fn counts_go_on_by_id_when_a_catalogue_follows_another_and_old_arrays_go() {
        let all = WorkerCounts(Arc::default());
        let outcome = Outcome::Forwarded(2);
        let (first, second) = (catalogue(&["a", "b"]), catalogue(&["new", "b"]));
        let mut counts = all.begin(&first);
        for _ in 0..100 {
            counts.count(Some(1), outcome);
            counts.count(None, outcome);
            counts = all.begin(&first);
        }
        let old = counts;
        let new = all.begin(&second);
        old.count(Some(0), outcome);
        new.count(Some(0), outcome);
        new.count(Some(1), outcome);
        let totals = all.0.totals();
        let told: Vec<(&str, u64)> = totals.iter().map(|(id, _, count)| (id.as_str(), *count)).collect();
        assert_eq!(told, [("a", 1), ("b", 101), ("new", 1), (UNKNOWN, 100)]);
        assert!(all.0.with(|kept| kept.counting.len()) <= 3);
    }
}
