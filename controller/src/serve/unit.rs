//! What is sent as one, in our words, and its wire form.

use std::sync::Arc;

use turnpike_snapshot::{Name, Version, proto};

/// Changes that a data plane applies as one, in this order.
#[derive(Clone, Debug, PartialEq)]
pub struct Unit {
    /// Counts from 1 on each stream.
    pub number: u64,
    /// What is referred to stands before what refers to it; drops come after.
    pub changes: Vec<(Arc<Name>, Change)>,
}

/// What happens to one name.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// It has this content now.
    Upsert(Version, Box<proto::Content>),
    /// There is nothing under it.
    Absent,
    /// Nothing that this client asked for needs it any more.
    Drop,
}

impl From<Unit> for proto::ServerMessage {
    fn from(unit: Unit) -> Self {
        let changes = unit.changes.into_iter().map(to_proto).collect();
        let unit = proto::Unit {
            number: unit.number,
            changes,
        };
        Self {
            message: Some(proto::server_message::Message::Unit(unit)),
        }
    }
}

fn to_proto((name, change): (Arc<Name>, Change)) -> proto::Change {
    use proto::change::Change as Wire;
    let change = match change {
        Change::Upsert(version, content) => Wire::Upsert(proto::Upsert {
            version: version.to_bytes(),
            content: Some(*content),
        }),
        Change::Absent => Wire::Absent(proto::Absent {}),
        Change::Drop => Wire::Drop(proto::Drop {}),
    };
    proto::Change {
        name: name.to_string(),
        change: Some(change),
    }
}
