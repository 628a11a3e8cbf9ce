//! What a snapshot takes in memory once it is in force: an estimate, for the budget.
//!
//! Compiled and in its slots, a snapshot is larger than on the wire: texts get
//! headers, lists get room, and the name itself stands in the book and in a
//! table. The figures were fitted to the resident memory of a process that
//! loads tenants of several shapes (`tests/memory.rs` fails when they drift).

use turnpike_snapshot::Name;

/// A name's entries in the book and in a table, its slot and its view's fixed part.
const NAME_BYTES: usize = 550;
/// For each byte on the wire: lists of rules, matches and backends take most, bare texts less.
const PER_ENCODED_BYTE: usize = 9;

pub(crate) fn of(name: &Name, encoded_bytes: usize) -> u32 {
    let name_bytes = match name {
        Name::Domain(host) => host.len(),
        Name::Credential { realm, .. } => realm.len(),
        _ => 0,
    };
    // Kept as they came, in one piece.
    let per_encoded_byte = match name {
        Name::Certificate(_) | Name::Authority(_) => 1,
        _ => PER_ENCODED_BYTE,
    };
    let bytes = NAME_BYTES + 2 * name_bytes + per_encoded_byte * encoded_bytes;
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
