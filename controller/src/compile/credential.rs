//! Credentials: whose key it is, looked up by its keyed digest.

use jiff::Timestamp;
use turnpike_snapshot::credential::{Credential, CredentialId};

use crate::index::Index;
use crate::index::keys::Claim;

pub(crate) fn compile(index: &Index, realm: &str, id: CredentialId) -> Option<Credential> {
    let (claim, not_after) = find_owner(index, realm, id)?;
    Some(Credential {
        consumer: claim.consumer.name.clone(),
        not_after: not_after.map(Timestamp::as_second),
    })
}

/// Finds the entry of `apiKeys` that has the credential, and until when.
pub(crate) fn find_owner<'a>(
    index: &'a Index,
    realm: &str,
    id: CredentialId,
) -> Option<(&'a Claim, Option<Timestamp>)> {
    let digest = index.keys.find_digest(realm, id)?;
    index.keys.owner(realm, digest)
}
