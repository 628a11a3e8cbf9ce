//! API keys as data planes know them: a keyed digest that says whose key it is.
//!
//! `API key → SHA-256 → HMAC-SHA-256 under the fleet key → CredentialId`. The
//! first step is what resources hold, the second what snapshots hold, so that
//! a leaked snapshot is no list to try keys against.

use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::name::ObjectName;

/// Says whose key it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The consumer that presents it.
    pub consumer: ObjectName,
    /// Seconds since 1970 from which it is refused; `None`: for ever valid.
    pub not_after: Option<i64>,
}

/// The keyed digest of an API key, 32 bytes; written in hex.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CredentialId([u8; 32]);

/// A key of the whole installation, with an id so that two may be valid during a rotation.
#[derive(Clone, PartialEq, Eq)]
pub struct FleetKey {
    id: String,
    secret: Vec<u8>,
}

/// Gives the SHA-256 of an API key, as resources hold it.
pub fn sha256(api_key: &[u8]) -> [u8; 32] {
    Sha256::digest(api_key).into()
}

impl FleetKey {
    /// Wraps a secret; 32 random bytes are right.
    pub fn new(id: impl Into<String>, secret: Vec<u8>) -> Self {
        Self {
            id: id.into(),
            secret,
        }
    }

    /// Names the key in logs; not secret.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The secret itself, for the Welcome of a stream alone.
    pub fn secret(&self) -> &[u8] {
        &self.secret
    }

    /// Gives the id under which a key with this SHA-256 is looked up.
    pub fn credential_id(&self, key_sha256: &[u8; 32]) -> CredentialId {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.secret).expect("HMAC takes keys of any length");
        mac.update(key_sha256);
        CredentialId(mac.finalize().into_bytes().into())
    }
}

impl fmt::Debug for FleetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FleetKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for CredentialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for CredentialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Not 64 lower-case hex digits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a credential id is 64 lower-case hex digits")]
pub struct CredentialIdError;

impl FromStr for CredentialId {
    type Err = CredentialIdError;

    fn from_str(text: &str) -> Result<Self, CredentialIdError> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(CredentialIdError);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Ok(Self(bytes))
    }
}

fn nibble(digit: u8) -> Result<u8, CredentialIdError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(CredentialIdError),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_has_another_id_under_another_fleet_key() {
        let key = sha256(b"sk-turnpike-alice");
        let one = FleetKey::new("1", vec![1; 32]);
        let two = FleetKey::new("2", vec![2; 32]);
        assert_eq!(one.credential_id(&key), one.credential_id(&key));
        assert_ne!(one.credential_id(&key), two.credential_id(&key));
        assert_ne!(one.credential_id(&key).0, key);
    }

    #[test]
    fn debug_of_a_fleet_key_hides_the_secret() {
        assert_eq!(
            format!("{:?}", FleetKey::new("1", vec![1; 32])),
            "FleetKey { id: \"1\", .. }"
        );
    }

    #[test]
    fn hex_round_trips_and_anything_else_is_refused() {
        let id = FleetKey::new("1", vec![1; 32]).credential_id(&sha256(b"x"));
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(
            "AB".repeat(32).parse::<CredentialId>(),
            Err(CredentialIdError)
        );
        assert_eq!("ab".parse::<CredentialId>(), Err(CredentialIdError));
    }
}
