//! Remembered verdicts of one policy, by the whole input that they were given for.
//!
//! A policy is a pure function, so a remembered verdict is never out of date: only memory bounds how many are kept. Two
//! generations take turns. When the young one is full it becomes the old one, and what is not asked for before the next
//! turn is forgotten.

use std::mem;

use hashbrown::HashTable;

/// Whether verdicts are remembered, and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// Every question is asked of a fresh instance.
    Off,
    /// Verdicts are remembered within bounds.
    Bounded {
        /// Most verdicts of one policy in each of the two generations.
        entries_max: usize,
        /// Most bytes of their inputs, likewise.
        input_bytes_max: usize,
    },
}

impl Default for Memory {
    /// Returns bounds of at most 3 MiB for each policy that is much asked, 2 MiB of them inputs of about 250 bytes each.
    fn default() -> Self {
        Self::Bounded {
            entries_max: 8_192,
            input_bytes_max: 1 << 20,
        }
    }
}

/// The verdicts of one policy.
pub(crate) struct Verdicts {
    entries_max: usize,
    input_bytes_max: usize,
    young: Generation,
    old: Generation,
}

#[derive(Default)]
struct Generation {
    entries: HashTable<Entry>,
    input_bytes: usize,
}

struct Entry {
    hash: u64,
    input: Box<[u8]>,
    allows: bool,
}

impl Verdicts {
    pub(crate) fn new(entries_max: usize, input_bytes_max: usize) -> Self {
        Self {
            entries_max,
            input_bytes_max,
            young: Generation::default(),
            old: Generation::default(),
        }
    }

    /// Returns the verdict for an input. The hash is one of a function that callers cannot foresee.
    pub(crate) fn recall(&mut self, hash: u64, input: &[u8]) -> Option<bool> {
        if let Some(entry) = self.young.find(hash, input) {
            return Some(entry.allows);
        }
        let entry = self.old.take(hash, input)?;
        let allows = entry.allows;
        self.insert(entry);
        Some(allows)
    }

    /// Remembers a verdict that [`Verdicts::recall`] did not know.
    pub(crate) fn remember(&mut self, hash: u64, input: &[u8], allows: bool) {
        if input.len() <= self.input_bytes_max && self.entries_max > 0 {
            let input = input.into();
            self.insert(Entry { hash, input, allows });
        }
    }

    /// Takes over all that another remembers, which is left with nothing. Both have the same bounds and hash alike.
    pub(crate) fn take_over(&mut self, other: &mut Self) {
        self.young = mem::take(&mut other.young);
        self.old = mem::take(&mut other.old);
    }

    fn insert(&mut self, entry: Entry) {
        let entries = self.young.entries.len() + 1;
        let input_bytes = self.young.input_bytes + entry.input.len();
        if entries > self.entries_max || input_bytes > self.input_bytes_max {
            mem::swap(&mut self.young, &mut self.old);
            self.young.clear();
        }
        self.young.insert(entry);
    }
}

impl Generation {
    fn find(&self, hash: u64, input: &[u8]) -> Option<&Entry> {
        self.entries.find(hash, |entry| *entry.input == *input)
    }

    fn take(&mut self, hash: u64, input: &[u8]) -> Option<Entry> {
        let found = self.entries.find_entry(hash, |entry| *entry.input == *input).ok()?;
        let (entry, _) = found.remove();
        self.input_bytes -= entry.input.len();
        Some(entry)
    }

    fn insert(&mut self, entry: Entry) {
        self.input_bytes += entry.input.len();
        self.entries.insert_unique(entry.hash, entry, |entry| entry.hash);
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.input_bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Verdicts {
        fn len(&self) -> usize {
            self.young.entries.len() + self.old.entries.len()
        }
    }

    #[test]
    fn a_verdict_is_recalled_by_its_whole_input_even_if_hashes_collide() {
        let mut verdicts = Verdicts::new(10, 1_000);
        verdicts.remember(7, b"one", true);
        verdicts.remember(7, b"two", false);
        assert_eq!(verdicts.recall(7, b"one"), Some(true));
        assert_eq!(verdicts.recall(7, b"two"), Some(false));
        assert_eq!(verdicts.recall(7, b"three"), None);
    }

    #[test]
    fn neither_generation_grows_past_its_entries_and_what_is_asked_for_stays() {
        let mut verdicts = Verdicts::new(4, 1_000);
        verdicts.remember(0, b"asked often", true);
        for hash in 1..100_u64 {
            verdicts.remember(hash, &hash.to_le_bytes(), false);
            assert_eq!(verdicts.recall(0, b"asked often"), Some(true));
            assert!(verdicts.len() <= 8);
        }
        assert_eq!(verdicts.recall(1, &1_u64.to_le_bytes()), None);
    }

    #[test]
    fn neither_generation_grows_past_its_bytes() {
        let mut verdicts = Verdicts::new(100, 16);
        for hash in 0..10_u64 {
            verdicts.remember(hash, &hash.to_le_bytes(), true);
            assert!(verdicts.young.input_bytes <= 16 && verdicts.old.input_bytes <= 16);
        }
        assert_eq!(verdicts.recall(9, &9_u64.to_le_bytes()), Some(true));
        verdicts.remember(11, &[0; 17], true);
        assert_eq!(verdicts.recall(11, &[0; 17]), None);
    }
}
