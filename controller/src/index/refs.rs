//! Who refers to whom, looked up from the one that is referred to.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

use crate::source::ObjectKey;

/// The objects that refer to each target; targets need not exist.
pub(crate) struct Refs<T = ObjectKey> {
    referrers: HashMap<T, BTreeSet<ObjectKey>>,
}

impl<T> Default for Refs<T> {
    fn default() -> Self {
        Self {
            referrers: HashMap::new(),
        }
    }
}

impl<T: Clone + Eq + Hash + Ord> Refs<T> {
    /// Replaces what `from` refers to.
    pub(crate) fn replace(&mut self, from: &ObjectKey, before: &BTreeSet<T>, now: &BTreeSet<T>) {
        for target in before.difference(now) {
            if let Some(referrers) = self.referrers.get_mut(target) {
                referrers.remove(from);
                if referrers.is_empty() {
                    self.referrers.remove(target);
                }
            }
        }
        for target in now.difference(before) {
            let referrers = self.referrers.entry(target.clone()).or_default();
            referrers.insert(from.clone());
        }
    }

    /// Gives the objects that refer to this one.
    pub(crate) fn referrers(&self, target: &T) -> impl Iterator<Item = &ObjectKey> {
        self.referrers.get(target).into_iter().flatten()
    }

    /// Counts them, at the cost of a look-up.
    pub(crate) fn count(&self, target: &T) -> usize {
        self.referrers.get(target).map_or(0, BTreeSet::len)
    }
}
