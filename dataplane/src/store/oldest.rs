//! A set that remembers which member came first.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// Each operation costs at most the logarithm of the size.
#[derive(Debug)]
pub(crate) struct Oldest<K> {
    order: BTreeMap<u64, K>,
    places: HashMap<K, u64>,
    next: u64,
}

impl<K> Default for Oldest<K> {
    fn default() -> Self {
        Self {
            order: BTreeMap::new(),
            places: HashMap::new(),
            next: 0,
        }
    }
}

impl<K: Clone + Eq + Hash> Oldest<K> {
    /// Adds a member as the newest; one that is there already keeps its place.
    pub(crate) fn insert(&mut self, key: K) {
        if !self.places.contains_key(&key) {
            self.places.insert(key.clone(), self.next);
            self.order.insert(self.next, key);
            self.next += 1;
        }
    }

    /// Takes a member out; says whether it was there.
    pub(crate) fn remove(&mut self, key: &K) -> bool {
        let place = self.places.remove(key);
        place.is_some_and(|place| self.order.remove(&place).is_some())
    }

    /// Takes the oldest member out.
    pub(crate) fn pop(&mut self) -> Option<K> {
        let (_, key) = self.order.pop_first()?;
        self.places.remove(&key);
        Some(key)
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn clear(&mut self) {
        self.order.clear();
        self.places.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_first_and_coming_again_changes_nothing() {
        let mut set = Oldest::default();
        for key in ["a", "b", "a", "c"] {
            set.insert(key);
        }
        assert_eq!(
            (set.len(), set.remove(&"b"), set.remove(&"b")),
            (3, true, false)
        );
        assert_eq!(
            (set.pop(), set.pop(), set.pop()),
            (Some("a"), Some("c"), None)
        );
        assert_eq!(set.len(), 0);
    }
}
