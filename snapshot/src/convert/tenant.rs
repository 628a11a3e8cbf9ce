//! Tenants and the fleet to protobuf and back.

use std::collections::BTreeMap;

use super::{ConvertError, read_all};
use crate::proto;
use crate::tenant::{Fleet, FleetQuota, Tenant};

impl From<&Tenant> for proto::Tenant {
    fn from(tenant: &Tenant) -> Self {
        Self {
            uid: tenant.uid.clone(),
            labels: labels(&tenant.labels),
            quotas: tenant.quotas.iter().map(ToString::to_string).collect(),
        }
    }
}

impl TryFrom<proto::Tenant> for Tenant {
    type Error = ConvertError;

    fn try_from(tenant: proto::Tenant) -> Result<Self, ConvertError> {
        let quotas = tenant.quotas.iter().map(|quota| quota.parse());
        Ok(Self {
            uid: tenant.uid,
            labels: read_labels(tenant.labels),
            quotas: quotas.collect::<Result<_, _>>()?,
        })
    }
}

impl From<&Fleet> for proto::Fleet {
    fn from(fleet: &Fleet) -> Self {
        let quotas = fleet.quotas.iter().map(|entry| proto::FleetQuota {
            quota: entry.quota.to_string(),
            namespace_labels: labels(&entry.namespace_labels),
        });
        Self {
            quotas: quotas.collect(),
        }
    }
}

impl TryFrom<proto::Fleet> for Fleet {
    type Error = ConvertError;

    fn try_from(fleet: proto::Fleet) -> Result<Self, ConvertError> {
        Ok(Self {
            quotas: read_all(fleet.quotas)?,
        })
    }
}

impl TryFrom<proto::FleetQuota> for FleetQuota {
    type Error = ConvertError;

    fn try_from(entry: proto::FleetQuota) -> Result<Self, ConvertError> {
        Ok(Self {
            quota: entry.quota.parse()?,
            namespace_labels: read_labels(entry.namespace_labels),
        })
    }
}

fn labels(map: &BTreeMap<String, String>) -> Vec<proto::Label> {
    map.iter()
        .map(|(key, value)| proto::Label {
            key: key.clone(),
            value: value.clone(),
        })
        .collect()
}

fn read_labels(labels: Vec<proto::Label>) -> BTreeMap<String, String> {
    labels
        .into_iter()
        .map(|label| (label.key, label.value))
        .collect()
}
