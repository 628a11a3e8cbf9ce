//! Versions of snapshots: the hash of the content, nothing else.
//!
//! Equal content has an equal version on every controller replica and after
//! every restart, so nothing that a data plane holds is sent to it again.

use std::fmt;

use prost::Message;
use sha2::{Digest, Sha256};

use crate::Snapshot;

/// The first 16 bytes of the SHA-256 of a snapshot's protobuf encoding.
///
/// The encoding is canonical: fields in order, defaults left out, no maps. So a
/// new field at its default changes no version.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version([u8; 16]);

impl Version {
    /// Hashes a snapshot.
    pub fn of(snapshot: &Snapshot) -> Self {
        Self::of_content(&snapshot.into())
    }

    /// Hashes a snapshot that is already in its wire form.
    pub fn of_content(content: &crate::proto::Content) -> Self {
        let digest: [u8; 32] = Sha256::digest(content.encode_to_vec()).into();
        let mut version = [0; 16];
        version.copy_from_slice(&digest[..16]);
        Self(version)
    }

    /// Reads the bytes of a message; `None` unless there are 16.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Gives the bytes for a message.
    pub fn to_bytes(self) -> Vec<u8> {
        self.0.to_vec()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
