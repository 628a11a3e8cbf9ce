//! Consumers: groups and state. Their keys are credentials of their own.

use turnpike_crds::ConsumerSpec;
use turnpike_crds::consumer::ConsumerState;
use turnpike_snapshot::Name;
use turnpike_snapshot::consumer::Consumer;
use turnpike_snapshot::name::ObjectName;

use crate::compile::finding::{Issue, Subject};
use crate::compile::reference::secret_issue;
use crate::index::Index;
use crate::index::keys::{self, Digest, KeyFault, MIN_KEY_BYTES};

pub(crate) fn compile(index: &Index, name: &ObjectName) -> Option<Consumer> {
    let spec = &index.consumers.get(name)?.spec;
    let mut groups = spec.groups.clone();
    groups.sort();
    groups.dedup();
    Some(Consumer {
        name: name.clone(),
        groups,
        is_suspended: spec.state == ConsumerState::Suspended,
    })
}

pub(crate) fn names(index: &Index, name: &ObjectName) -> Vec<Name> {
    let Some(consumer) = index.consumers.get(name) else {
        return Vec::new();
    };
    let mut names = vec![Name::Consumer(name.clone())];
    for (position, key) in keys::keys_of(&name.namespace, &consumer.spec, &index.secrets) {
        if conflict(index, name, position, &key.digest).is_none() {
            let ids = index.fleet_keys().iter();
            names.extend(ids.map(|fleet_key| Name::Credential {
                realm: name.namespace.clone(),
                id: fleet_key.credential_id(&key.digest),
            }));
        }
    }
    names
}

pub(crate) fn issues(index: &Index, name: &ObjectName) -> Option<Vec<Issue>> {
    let spec = &index.consumers.get(name)?.spec;
    let positions = 0..spec.api_keys.len();
    Some(
        positions
            .filter_map(|at| key_issue(index, name, spec, at))
            .collect(),
    )
}

fn key_issue(index: &Index, name: &ObjectName, spec: &ConsumerSpec, at: usize) -> Option<Issue> {
    let invalid = |path, message| Issue::new(Subject::Accepted, "InvalidKey", path, message);
    let path = format!("spec.apiKeys[{at}]");
    let secret_path = format!("{path}.secretRef");
    match keys::digest(&name.namespace, &spec.api_keys[at], &index.secrets) {
        Ok(digest) => {
            let message = conflict(index, name, at, &digest)?;
            Some(Issue::new(Subject::Accepted, "KeyConflict", path, message))
        }
        Err(KeyFault::Secret(fault)) => Some(secret_issue(index, &secret_path, &fault)),
        Err(KeyFault::TooShort) => Some(invalid(
            secret_path,
            format!(
                "the key has fewer than {MIN_KEY_BYTES} bytes and could be guessed; use a longer, random one"
            ),
        )),
        Err(KeyFault::Malformed) => Some(invalid(
            path,
            "set exactly one of sha256 (64 hex digits) and secretRef".to_owned(),
        )),
    }
}

/// Tells who else has the key; `None`: this entry is where it counts.
fn conflict(index: &Index, name: &ObjectName, position: usize, digest: &Digest) -> Option<String> {
    let (owner, _) = index.keys.owner(&name.namespace, digest)?;
    let other = &owner.consumer.name;
    if other != name {
        return Some(format!(
            "Consumer {other} has the same key, and is older; give each its own"
        ));
    }
    (owner.position != position).then(|| {
        format!(
            "the same key as spec.apiKeys[{}], which counts; remove one",
            owner.position
        )
    })
}
