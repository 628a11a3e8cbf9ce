//! A store without a controller: it holds what it was given, and nothing else exists.

use prost::Message;
use turnpike_snapshot::credential::FleetKey;
use turnpike_snapshot::proto::Content;
use turnpike_snapshot::{Name, Snapshot, Version};

use super::apply::{Change, ChangeKind, is_by_request};
use super::asker::Asker;
use super::{Bounds, LOAD_TIMEOUT, Link, Store};

impl Store {
    /// Holds these snapshots, dependencies first. What a test or a tool needs.
    pub fn with_snapshots(fleet_keys: Vec<FleetKey>, snapshots: Vec<(Name, Snapshot)>) -> Self {
        let store = Self::with_link(LOAD_TIMEOUT, Bounds::default(), Link::Closed);
        store.set_fleet_keys(fleet_keys);
        store.replace(snapshots);
        store
    }

    /// Puts these snapshots into force as one unit; gives the words of each refusal.
    pub fn replace(&self, snapshots: Vec<(Name, Snapshot)>) -> Vec<String> {
        let unit = snapshots.into_iter().map(|(name, snapshot)| {
            self.hold_open(&name);
            upsert(name, snapshot)
        });
        let unit = unit.collect();
        let refusals = self.apply(unit).into_iter();
        refusals
            .map(|refusal| format!("{}: {}", refusal.name, refusal.message))
            .collect()
    }

    /// Takes these names out of force.
    pub fn withdraw(&self, names: Vec<Name>) {
        let kind = ChangeKind::Absent;
        let change = |name| Change {
            name,
            kind: kind.clone(),
        };
        self.apply(names.into_iter().map(change).collect());
    }

    fn hold_open(&self, name: &Name) {
        if is_by_request(name) {
            self.book().ask(name, None, Asker::Nobody);
        }
    }
}

fn upsert(name: Name, snapshot: Snapshot) -> Change {
    let content = Content::from(&snapshot);
    Change {
        kind: ChangeKind::Upsert {
            version: Version::of_content(&content),
            encoded_bytes: content.encoded_len(),
            snapshot: Ok(Box::new(snapshot)),
        },
        name,
    }
}
