//! What streams read: compiled snapshots by name, whatever they come from.

use turnpike_snapshot::credential::FleetKey;
use turnpike_snapshot::{Name, Snapshot};

/// The controller's state as streams see it; read at the moment of sending.
pub trait View: Send + Sync + 'static {
    /// Compiles what is under this name; `None`: nothing is. Wildcards are not walked.
    fn snapshot(&self, name: &Name) -> Option<Snapshot>;

    /// Whether [`View::snapshot`] would give one.
    fn exists(&self, name: &Name) -> bool {
        self.snapshot(name).is_some()
    }

    /// Whether every kind has been listed once. Before, nobody is served.
    fn is_synced(&self) -> bool;

    /// Gives the keys that credentials are looked up under, newest first.
    fn fleet_keys(&self) -> Vec<FleetKey>;
}
