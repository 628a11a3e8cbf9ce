//! A map whose entries carry the time at which they lapse, ordered by it: finding what has lapsed
//! costs nothing when nothing has. Knows no clock.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

/// Keys to values, each with its time of expiry in milliseconds.
pub(super) struct Expiring<K, V> {
    entries: HashMap<K, (u64, V)>,
    /// The same keys by expiry. Invariant: holds exactly one pair for each entry.
    order: BTreeSet<(u64, K)>,
}

impl<K, V> Default for Expiring<K, V> {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
            order: BTreeSet::new(),
        }
    }
}

impl<K: Clone + Ord + Hash, V> Expiring<K, V> {
    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|(_, value)| value)
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key).map(|(_, value)| value)
    }

    pub(super) fn insert(&mut self, key: K, value: V, expires_ms: u64) {
        if let Some((old, _)) = self.entries.insert(key.clone(), (expires_ms, value)) {
            self.order.remove(&(old, key.clone()));
        }
        self.order.insert((expires_ms, key));
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        let (expires_ms, value) = self.entries.remove(key)?;
        self.order.remove(&(expires_ms, key.clone()));
        Some(value)
    }

    /// Removes and returns one entry that expires at `now_ms` or before.
    pub(super) fn pop_expired(&mut self, now_ms: u64) -> Option<(K, V)> {
        let (expires_ms, _) = self.order.first()?;
        if *expires_ms > now_ms {
            return None;
        }
        let (_, key) = self.order.pop_first()?;
        let (_, value) = self.entries.remove(&key)?;
        Some((key, value))
    }
}

impl<K: Clone + Ord + Hash, V: Default> Expiring<K, V> {
    /// Returns the value of `key`, new if absent, and lets it live until `expires_ms` at least.
    pub(super) fn touch(&mut self, key: &K, expires_ms: u64) -> &mut V {
        let slot = self.entries.entry(key.clone());
        let (old, value) = slot.or_insert_with(|| (0, V::default()));
        if *old < expires_ms {
            self.order.remove(&(*old, key.clone()));
            self.order.insert((expires_ms, key.clone()));
            *old = expires_ms;
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_leave_in_order_of_expiry_and_not_before() {
        let mut map = Expiring::default();
        map.insert("b", 2, 20);
        map.insert("a", 1, 10);
        assert_eq!(map.pop_expired(9), None);
        assert_eq!(map.pop_expired(20), Some(("a", 1)));
        assert_eq!(map.pop_expired(20), Some(("b", 2)));
        assert_eq!(map.pop_expired(99), None);
    }

    #[test]
    fn touch_lengthens_a_life_and_never_shortens_it() {
        let mut map: Expiring<&str, u64> = Expiring::default();
        *map.touch(&"a", 10) += 1;
        *map.touch(&"a", 30) += 1;
        *map.touch(&"a", 20) += 1;
        assert_eq!(map.pop_expired(29), None);
        assert_eq!(map.pop_expired(30), Some(("a", 3)));
    }

    #[test]
    fn a_removed_entry_does_not_expire() {
        let mut map = Expiring::default();
        map.insert("a", 1, 10);
        assert_eq!(map.remove(&"a"), Some(1));
        assert_eq!(map.pop_expired(99), None);
    }
}
