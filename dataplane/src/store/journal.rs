//! What has changed since the disk was last written: each name once, with its newest form.
//!
//! Taken under the book's lock, so that what is written at once is what was in
//! force at one moment.

use std::collections::HashMap;
use std::sync::Arc;

use turnpike_snapshot::credential::FleetKey;
use turnpike_snapshot::{Name, Version};

/// Changes kept while the disk cannot be written. Above it everything on disk is
/// given up rather than anything withdrawn be found there again.
const MAX_CHANGES: usize = 100_000;

/// What a name has on disk.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) version: Version,
    /// For credentials: the fleet key that the id was made with.
    pub(crate) fleet_key: Option<Arc<str>>,
    /// The protobuf encoding. May hold provider keys.
    pub(crate) content: Vec<u8>,
}

#[derive(Default)]
pub(crate) struct Journal {
    changes: HashMap<Name, Option<Row>>,
    fleet_keys: Option<Vec<FleetKey>>,
    /// All that was written before is to go.
    starts_anew: bool,
}

impl Journal {
    pub(crate) fn put(&mut self, name: &Name, row: Row) {
        self.change(name, Some(row));
    }

    pub(crate) fn remove(&mut self, name: &Name) {
        self.change(name, None);
    }

    pub(crate) fn set_fleet_keys(&mut self, keys: Vec<FleetKey>) {
        self.fleet_keys = Some(keys);
    }

    /// Adds what came after.
    pub(crate) fn merge(&mut self, later: Journal) {
        if later.starts_anew {
            self.changes.clear();
            self.starts_anew = true;
        }
        for (name, row) in later.changes {
            self.change(&name, row);
        }
        if later.fleet_keys.is_some() {
            self.fleet_keys = later.fleet_keys;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.fleet_keys.is_none() && !self.starts_anew
    }

    /// `None`: the name is to be removed.
    pub(crate) fn changes(&self) -> impl Iterator<Item = (&Name, Option<&Row>)> {
        self.changes.iter().map(|(name, row)| (name, row.as_ref()))
    }

    pub(crate) fn fleet_keys(&self) -> Option<&[FleetKey]> {
        self.fleet_keys.as_deref()
    }

    pub(crate) fn starts_anew(&self) -> bool {
        self.starts_anew
    }

    fn change(&mut self, name: &Name, row: Option<Row>) {
        if self.changes.len() >= MAX_CHANGES && !self.changes.contains_key(name) {
            self.changes.clear();
            self.starts_anew = true;
        }
        self.changes.insert(name.clone(), row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: usize) -> Name {
        Name::Domain(format!("{number}.test"))
    }

    fn row(content: &[u8]) -> Row {
        Row {
            version: Version::of_content(&Default::default()),
            fleet_key: None,
            content: content.to_vec(),
        }
    }

    #[test]
    fn the_newest_form_of_a_name_counts() {
        let mut journal = Journal::default();
        journal.put(&name(1), row(b"old"));
        let mut later = Journal::default();
        later.put(&name(1), row(b"new"));
        later.remove(&name(2));
        journal.merge(later);
        let mut changes: Vec<_> = journal.changes().collect();
        changes.sort_by_key(|(name, _)| name.to_string());
        assert_eq!(changes.len(), 2);
        assert!(changes[0].1.is_some_and(|row| row.content == b"new"));
        assert!(changes[1].1.is_none());
    }

    #[test]
    fn what_grows_beyond_all_bounds_starts_the_disk_anew() {
        let mut journal = Journal::default();
        for number in 0..=MAX_CHANGES {
            journal.remove(&name(number));
        }
        assert!(journal.starts_anew());
        assert_eq!(journal.changes().count(), 1);
    }
}
