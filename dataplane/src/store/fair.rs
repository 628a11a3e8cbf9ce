//! A set whose members belong to somebody: who has most in it makes room first.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// Each operation costs at most the logarithm of the size.
#[derive(Debug)]
pub(crate) struct Fair<O, K> {
    /// Of each owner, by place.
    queues: HashMap<O, BTreeMap<u64, K>>,
    places: HashMap<K, u64>,
    /// Owners by how many they have, then by how old their first is; places are unique.
    ranks: BTreeMap<(usize, Reverse<u64>), O>,
    next: u64,
}

impl<O, K> Default for Fair<O, K> {
    fn default() -> Self {
        Self {
            queues: HashMap::new(),
            places: HashMap::new(),
            ranks: BTreeMap::new(),
            next: 0,
        }
    }
}

impl<O: Clone + Eq + Hash, K: Clone + Eq + Hash> Fair<O, K> {
    /// Adds a member as its owner's newest; one that is there already keeps its place.
    pub(crate) fn insert(&mut self, owner: O, key: K) {
        if self.places.contains_key(&key) {
            return;
        }
        let place = self.next;
        self.next += 1;
        self.places.insert(key.clone(), place);
        self.change(owner, |queue| {
            queue.insert(place, key);
        });
    }

    /// Takes a member out; says whether it was there.
    pub(crate) fn remove(&mut self, owner: &O, key: &K) -> bool {
        let Some(place) = self.places.remove(key) else {
            return false;
        };
        self.change(owner.clone(), |queue| {
            queue.remove(&place);
        });
        true
    }

    /// Takes out the oldest member of whoever has most.
    pub(crate) fn pop(&mut self) -> Option<K> {
        let (_, owner) = self.ranks.last_key_value()?;
        let mut popped = None;
        self.change(owner.clone(), |queue| popped = queue.pop_first());
        let (_, key) = popped?;
        self.places.remove(&key);
        Some(key)
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn len_of(&self, owner: &O) -> usize {
        self.queues.get(owner).map_or(0, BTreeMap::len)
    }

    fn change(&mut self, owner: O, change: impl FnOnce(&mut BTreeMap<u64, K>)) {
        let queue = self.queues.entry(owner.clone()).or_default();
        if let Some(rank) = rank(queue) {
            self.ranks.remove(&rank);
        }
        change(queue);
        match rank(queue) {
            Some(rank) => {
                self.ranks.insert(rank, owner);
            }
            None => {
                self.queues.remove(&owner);
            }
        }
    }
}

fn rank<K>(queue: &BTreeMap<u64, K>) -> Option<(usize, Reverse<u64>)> {
    let (first, _) = queue.first_key_value()?;
    Some((queue.len(), Reverse(*first)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn who_has_most_makes_room_and_among_equals_the_oldest() {
        let mut set = Fair::default();
        for (owner, key) in [("b", 1), ("a", 2), ("a", 3), ("a", 4), ("c", 5)] {
            set.insert(owner, key);
        }
        let popped: Vec<_> = std::iter::from_fn(|| set.pop()).collect();
        assert_eq!(popped, [2, 3, 1, 4, 5]);
        assert!(set.queues.is_empty() && set.ranks.is_empty() && set.places.is_empty());
    }

    proptest! {
        #[test]
        fn a_small_owner_loses_nothing_while_another_has_more(
            steps in prop::collection::vec((0u8..4, 0u16..64, prop::bool::ANY), 1..300)
        ) {
            let mut set = Fair::default();
            let mut owners = HashMap::new();
            for (owner, key, is_added) in steps {
                if is_added {
                    owners.entry(key).or_insert_with(|| { set.insert(owner, key); owner });
                } else if let Some(owner) = owners.remove(&key) {
                    prop_assert!(set.remove(&owner, &key));
                }
                if set.len() > 16 {
                    let most = (0..4).map(|owner| set.len_of(&owner)).max().unwrap();
                    let popped = set.pop().unwrap();
                    let owner = owners.remove(&popped).unwrap();
                    prop_assert_eq!(set.len_of(&owner) + 1, most);
                }
                prop_assert_eq!(set.len(), owners.len());
                prop_assert_eq!(set.ranks.len(), set.queues.len());
            }
        }
    }
}
