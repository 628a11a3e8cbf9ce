//! Who refers to whom, looked up from the one that is referred to.

use std::collections::{BTreeSet, HashMap};

use crate::source::ObjectKey;

/// The objects that refer to each; targets need not exist.
#[derive(Default)]
pub(crate) struct Refs {
    referrers: HashMap<ObjectKey, BTreeSet<ObjectKey>>,
}

impl Refs {
    /// Replaces what `from` refers to.
    pub(crate) fn replace(
        &mut self,
        from: &ObjectKey,
        before: &BTreeSet<ObjectKey>,
        now: &BTreeSet<ObjectKey>,
    ) {
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
    pub(crate) fn referrers(&self, target: &ObjectKey) -> impl Iterator<Item = &ObjectKey> {
        self.referrers.get(target).into_iter().flatten()
    }
}
