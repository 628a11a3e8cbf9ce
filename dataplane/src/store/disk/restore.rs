//! Puts what was found on disk into force, through the same door as what a controller sends.

use std::collections::{HashMap, HashSet};

use tracing::{info, warn};
use turnpike_snapshot::{Name, Snapshot};

use super::Restorable;
use super::row::ReadRow;
use crate::store::Store;
use crate::store::apply::{Change, ChangeKind};
use crate::store::asker::Asker;

impl Store {
    /// Puts what was read into force, and notes from now on what changes, for the disk.
    ///
    /// Nothing restored is told to a controller but that it is held.
    pub fn restore(&self, restorable: Restorable) {
        let Restorable {
            fleet_keys,
            rows,
            damaged,
        } = restorable;
        self.set_fleet_keys(fleet_keys);
        let (rows, lacking) = in_order(rows, damaged);
        let restored = rows.len();
        let unit = rows
            .into_iter()
            .map(|(name, row)| self.restored(name, row))
            .collect();
        let refusals = self.put_into_force(unit);
        self.keep_journal();
        let refused: Vec<_> = refusals
            .into_iter()
            .map(|refusal| {
                let (name, fault) = (&refusal.name, &refusal.message);
                warn!(%name, %fault, "snapshot on disk not taken");
                refusal.name
            })
            .collect();
        let restored = restored - refused.len();
        self.unlearn(refused.into_iter().chain(lacking));
        if restored > 0 {
            self.set_restored();
            info!(snapshots = restored, "restored from disk");
        }
    }

    fn restored(&self, name: Name, row: ReadRow) -> Change {
        if crate::store::apply::is_by_request(&name) {
            let fleet_key = row.fleet_key.as_ref();
            self.book().ask(&name, fleet_key, Asker::Nobody);
        }
        Change {
            name,
            kind: ChangeKind::Upsert {
                version: row.version,
                encoded_bytes: row.encoded_bytes,
                snapshot: Ok(Box::new(row.snapshot)),
            },
        }
    }
}

/// Puts each row after all that it refers to; leaves out, and gives by name, those
/// that refer to something damaged.
fn in_order(
    rows: Vec<(Name, ReadRow)>,
    damaged: HashSet<Name>,
) -> (Vec<(Name, ReadRow)>, Vec<Name>) {
    let mut order = Order {
        rows: rows.into_iter().collect(),
        damaged,
        sorted: Vec::new(),
        placed: HashSet::new(),
        lacking: Vec::new(),
    };
    let names: Vec<_> = order.rows.keys().cloned().collect();
    for name in &names {
        order.place(name);
    }
    (order.sorted, order.lacking)
}

struct Order {
    /// Not placed yet.
    rows: HashMap<Name, ReadRow>,
    /// Was there, and cannot be relied on.
    damaged: HashSet<Name>,
    sorted: Vec<(Name, ReadRow)>,
    placed: HashSet<Name>,
    lacking: Vec<Name>,
}

impl Order {
    /// As deep as snapshots refer to each other: three kinds or four.
    fn place(&mut self, name: &Name) {
        let Some(row) = self.rows.remove(name) else {
            return;
        };
        let references = row.snapshot.references();
        references.iter().for_each(|name| self.place(name));
        let is_lacking = |name: &Name| self.damaged.contains(name);
        // Whose key it is must be known; a provider may well have been missing before.
        let is_whole = !references.iter().any(is_lacking)
            && (!matches!(row.snapshot, Snapshot::Credential(_)) || self.has_all(&references));
        if is_whole {
            self.placed.insert(name.clone());
            self.sorted.push((name.clone(), row));
        } else {
            warn!(%name, "snapshot on disk not taken: what it refers to is missing");
            self.damaged.insert(name.clone());
            self.lacking.push(name.clone());
        }
    }

    /// References are placed before what refers to them.
    fn has_all(&self, references: &[Name]) -> bool {
        let is_placed = |name: &Name| self.placed.contains(name);
        references.iter().all(is_placed)
    }
}
