//! What holds for a whole namespace, and for all of them.

use turnpike_snapshot::tenant::{Fleet, FleetQuota, Tenant};

use crate::compile::quota;
use crate::index::Index;

/// `None` until the namespace is known: counters are kept by its uid.
pub(crate) fn compile(index: &Index, namespace: &str) -> Option<Tenant> {
    let known = index.namespaces.get(namespace)?;
    Some(Tenant {
        uid: known.uid.clone(),
        labels: known.labels.to_map(),
        quotas: quota::of_tenant(index, namespace).cloned().collect(),
    })
}

pub(crate) fn compile_fleet(index: &Index) -> Fleet {
    let quotas = quota::of_fleet(index);
    Fleet {
        quotas: quotas
            .map(|(name, labels)| FleetQuota {
                quota: name.clone(),
                namespace_labels: labels.clone(),
            })
            .collect(),
    }
}
