//! One row: its bytes, and whether they are what was written.
//!
//! ```text
//! 16 check │ 16 version │ 1 length of the fleet key's id │ id │ content
//! ```
//!
//! The check covers the name and all that follows; the version covers the content.

use std::sync::Arc;

use prost::Message;
use sha2::{Digest, Sha256};
use turnpike_snapshot::proto::Content;
use turnpike_snapshot::{Name, Snapshot, Version, convert};

use crate::store::journal::Row;

const CHECK: usize = 16;
const VERSION: usize = 16;

/// A row that cannot be relied on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RowError {
    #[error("it is too short")]
    Short,
    #[error("it is not what was written")]
    Check,
    #[error("its content has another version than it says")]
    Version,
    #[error("its name is not one of a snapshot")]
    Name,
    #[error("its content cannot be read: {0}")]
    Content(String),
}

/// A row that is what was written.
pub(super) struct ReadRow {
    pub(super) version: Version,
    pub(super) fleet_key: Option<Arc<str>>,
    pub(super) encoded_bytes: usize,
    pub(super) snapshot: Snapshot,
}

/// `None`: this build does not know all of the content, so that it would be another one when
/// read again.
pub(super) fn encode(name: &Name, row: &Row) -> Option<Vec<u8>> {
    let content = Content::decode(&*row.content).ok()?;
    if Version::of_content(&content) != row.version {
        return None;
    }
    let id = row.fleet_key.as_deref().unwrap_or_default();
    let length = u8::try_from(id.len()).ok()?;
    let mut bytes = vec![0; CHECK];
    bytes.extend(row.version.to_bytes());
    bytes.push(length);
    bytes.extend(id.as_bytes());
    bytes.extend(&row.content);
    let check = check(&name.to_string(), &bytes[CHECK..]);
    bytes[..CHECK].copy_from_slice(&check);
    Some(bytes)
}

pub(super) fn read(name: &str, bytes: &[u8]) -> Result<(Name, ReadRow), RowError> {
    let (written, rest) = bytes.split_at_checked(CHECK).ok_or(RowError::Short)?;
    if *written != check(name, rest) {
        return Err(RowError::Check);
    }
    let (version, rest) = rest.split_at_checked(VERSION).ok_or(RowError::Short)?;
    let (length, rest) = rest.split_first().ok_or(RowError::Short)?;
    let (id, content) = rest
        .split_at_checked(usize::from(*length))
        .ok_or(RowError::Short)?;
    let unreadable = |error: &dyn std::fmt::Display| RowError::Content(error.to_string());
    let name: Name = name.parse().map_err(|_| RowError::Name)?;
    let encoded_bytes = content.len();
    let content = Content::decode(content).map_err(|error| unreadable(&error))?;
    let version = Version::from_bytes(version).ok_or(RowError::Version)?;
    if Version::of_content(&content) != version {
        return Err(RowError::Version);
    }
    let id = std::str::from_utf8(id).map_err(|error| unreadable(&error))?;
    let row = ReadRow {
        version,
        fleet_key: (!id.is_empty()).then(|| id.into()),
        encoded_bytes,
        snapshot: convert::read(&name, content).map_err(|error| unreadable(&error))?,
    };
    Ok((name, row))
}

fn check(name: &str, rest: &[u8]) -> [u8; CHECK] {
    let digest: [u8; 32] = Sha256::new()
        .chain_update(name)
        .chain_update([0])
        .chain_update(rest)
        .finalize()
        .into();
    std::array::from_fn(|at| digest[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> Name {
        Name::Domain("a.test".into())
    }

    fn row() -> Row {
        let content = Content::from(&Snapshot::Alias("*.test".into()));
        Row {
            version: Version::of_content(&content),
            fleet_key: Some("k1".into()),
            content: content.encode_to_vec(),
        }
    }

    #[test]
    fn a_row_survives_and_no_byte_of_it_may_change() {
        let bytes = encode(&name(), &row()).unwrap();
        let (read_name, read_row) = read("domain/a.test", &bytes).unwrap();
        assert_eq!((read_name, read_row.version), (name(), row().version));
        assert_eq!(read_row.fleet_key.as_deref(), Some("k1"));
        assert_eq!(read_row.snapshot, Snapshot::Alias("*.test".into()));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(read("domain/a.test", &damaged).is_err(), "byte {at}");
            assert!(read("domain/a.test", &bytes[..at]).is_err(), "cut at {at}");
        }
        assert_eq!(read("domain/b.test", &bytes).err(), Some(RowError::Check));
    }

    #[test]
    fn what_would_be_read_as_something_else_is_not_written() {
        let mut unknown = row();
        unknown.content.extend([0xfa, 0x7f, 1, 0]);
        assert!(encode(&name(), &unknown).is_some(), "decodes to the same");
        unknown.version = Version::of_content(&Content::default());
        assert!(encode(&name(), &unknown).is_none());
    }
}
