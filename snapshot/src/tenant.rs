//! What holds for a whole namespace, and for all of them.
//!
//! Domains refer to both by name, so a new quota over a namespace or over the
//! fleet is a message or two a stream, never one for each domain.

use std::collections::BTreeMap;

use crate::name::ObjectName;

/// A namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tenant {
    /// Of the Kubernetes Namespace: a tenant made anew counts from zero.
    pub uid: String,
    /// Of the Kubernetes Namespace; fleet quotas select by them.
    pub labels: BTreeMap<String, String>,
    /// Its own TokenQuotas, sorted.
    pub quotas: Vec<ObjectName>,
}

/// What the platform namespace lays upon others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fleet {
    /// Sorted by name.
    pub quotas: Vec<FleetQuota>,
}

/// A TokenQuota over every namespace with these labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetQuota {
    /// The TokenQuota, of the platform namespace.
    pub quota: ObjectName,
    /// All must be on the namespace; empty: every namespace.
    pub namespace_labels: BTreeMap<String, String>,
}
