//! Whose API key is whose. Within a namespace a key belongs to one consumer:
//! the oldest that holds it.

use std::collections::HashMap;

use jiff::Timestamp;
use smallvec::SmallVec;
use turnpike_crds::consumer::{ApiKey, ConsumerSpec};
use turnpike_snapshot::credential::{self, CredentialId, FleetKey};
use turnpike_snapshot::name::ObjectName;

use crate::index::secrets::{SecretFault, Secrets};
use crate::index::table::Age;

/// A shorter key could be guessed.
pub const MIN_KEY_BYTES: usize = 20;

/// The SHA-256 of an API key.
pub type Digest = [u8; 32];

/// Why an entry of `apiKeys` is no key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyFault {
    /// Its Secret or the value in it is missing.
    Secret(SecretFault),
    /// The value has too few bytes.
    TooShort,
    /// Neither of the two forms, or not hex: schema validation was left out.
    Malformed,
}

/// One entry of one consumer's `apiKeys`; orders by who came first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    pub consumer: Age,
    /// The entry's place in the list.
    pub position: usize,
}

/// A key as it is told to data planes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub digest: Digest,
    pub not_after: Option<Timestamp>,
}

/// The keys of every namespace.
#[derive(Default)]
pub struct Keys {
    claims: HashMap<(Box<str>, Digest), Claims>,
    /// The digest behind each credential that data planes may ask for.
    digests: HashMap<(Box<str>, CredentialId), Digest>,
}

/// Oldest first; nearly every key has one. Each with the end of its life.
type Claims = SmallVec<[(Claim, Option<Timestamp>); 1]>;

/// Gives the keys of a consumer, each with its place in `apiKeys`; faulty entries are left out.
pub fn keys_of(namespace: &str, spec: &ConsumerSpec, secrets: &Secrets) -> Vec<(usize, Key)> {
    let entries = spec.api_keys.iter().enumerate();
    entries
        .filter_map(|(position, key)| {
            let digest = digest(namespace, key, secrets).ok()?;
            let not_after = key.not_after.as_ref().map(|time| time.0);
            Some((position, Key { digest, not_after }))
        })
        .collect()
}

/// Gives the SHA-256 of the key that an entry of `apiKeys` stands for.
pub fn digest(namespace: &str, key: &ApiKey, secrets: &Secrets) -> Result<Digest, KeyFault> {
    match (&key.sha256, &key.secret_ref) {
        (Some(hex), None) => parse_hex(hex).ok_or(KeyFault::Malformed),
        (None, Some(secret)) => {
            let name = ObjectName::new(namespace, &secret.name);
            let value = secrets
                .find_value(&name, &secret.key)
                .map_err(KeyFault::Secret)?;
            if value.len() < MIN_KEY_BYTES {
                return Err(KeyFault::TooShort);
            }
            Ok(credential::sha256(value))
        }
        _ => Err(KeyFault::Malformed),
    }
}

impl Keys {
    /// Adds a consumer's claim.
    pub fn claim(&mut self, namespace: &str, claim: Claim, key: Key, fleet_keys: &[FleetKey]) {
        let claims = self
            .claims
            .entry((namespace.into(), key.digest))
            .or_default();
        match claims.binary_search_by(|(held, _)| held.cmp(&claim)) {
            Ok(at) => claims[at].1 = key.not_after,
            Err(at) => claims.insert(at, (claim, key.not_after)),
        }
        for fleet_key in fleet_keys {
            let id = fleet_key.credential_id(&key.digest);
            self.digests.insert((namespace.into(), id), key.digest);
        }
    }

    /// Takes a consumer's claim back.
    pub fn release(
        &mut self,
        namespace: &str,
        claim: &Claim,
        digest: &Digest,
        fleet_keys: &[FleetKey],
    ) {
        let place = (namespace.into(), *digest);
        let Some(claims) = self.claims.get_mut(&place) else {
            return;
        };
        claims.retain(|(held, _)| held != claim);
        if !claims.is_empty() {
            return;
        }
        self.claims.remove(&place);
        for fleet_key in fleet_keys {
            let id = fleet_key.credential_id(digest);
            self.digests.remove(&(namespace.into(), id));
        }
    }

    /// Finds whose key it is, and until when.
    pub fn owner(&self, namespace: &str, digest: &Digest) -> Option<(&Claim, Option<Timestamp>)> {
        let (claim, not_after) = self.find(namespace, digest).first()?;
        Some((claim, *not_after))
    }

    /// Gives every consumer that holds the key.
    pub fn claimants(&self, namespace: &str, digest: &Digest) -> impl Iterator<Item = &ObjectName> {
        let claims = self.find(namespace, digest).iter();
        claims.map(|(claim, _)| &claim.consumer.name)
    }

    /// Finds the key behind a credential's id.
    pub fn find_digest(&self, namespace: &str, id: CredentialId) -> Option<&Digest> {
        self.digests.get(&(namespace.into(), id))
    }

    fn find(&self, namespace: &str, digest: &Digest) -> &[(Claim, Option<Timestamp>)] {
        let claims = self.claims.get(&(namespace.into(), *digest));
        claims.map_or(&[], SmallVec::as_slice)
    }
}

fn parse_hex(hex: &str) -> Option<Digest> {
    let mut digest = [0; 32];
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    for (at, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(digest)
}
