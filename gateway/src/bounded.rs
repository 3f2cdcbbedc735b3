//! A map that forgets: bounded memory for what can always be made again.

use std::collections::HashMap;
use std::hash::Hash;

/// A map of two generations. When the young one is full it becomes the old one, and what was old is forgotten; what is
/// asked for moves back to the young one. So it holds at most twice its size, and what is in use stays.
pub(crate) struct Bounded<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    generation_max: usize,
}

impl<K: Hash + Eq, V> Bounded<K, V> {
    /// Returns a map that holds about `entries` at most.
    pub(crate) fn new(entries: usize) -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            generation_max: entries.div_ceil(2),
        }
    }

    pub(crate) fn get(&mut self, key: &K) -> Option<&V> {
        if !self.young.contains_key(key) {
            let (key, value) = self.old.remove_entry(key)?;
            self.insert(key, value);
        }
        self.young.get(key)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= self.generation_max {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    pub(crate) fn retain(&mut self, keep: impl Fn(&K) -> bool) {
        self.young.retain(|key, _| keep(key));
        self.old.retain(|key, _| keep(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_use_stays_and_the_rest_is_forgotten() {
        let mut map = Bounded::new(8);
        map.insert(0, "kept");
        for key in 1..1000 {
            map.insert(key, "once");
            assert!(map.get(&0).is_some(), "after {key}");
            assert!(map.young.len() + map.old.len() <= 9);
        }
        assert!(map.get(&1).is_none());
    }
}
