//! Quotas, and what lays them upon a namespace or upon all.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use turnpike_snapshot::Name;
use turnpike_snapshot::name::ObjectName;
use turnpike_snapshot::quota::{Limit, Quota, QuotaSelector};
use turnpike_snapshot::tenant::{Fleet, Tenant};

use super::domain::texts;
use super::{Amount, CompileError, CounterPer, OnStoreFailure, QuotaSlot};
use crate::store::glob::Globs;
use crate::store::tables::Tables;

/// A TokenQuota.
#[derive(Debug)]
pub struct QuotaView {
    /// `namespace/name`.
    pub name: Arc<str>,
    /// Which requests are counted.
    pub selector: SelectorView,
    /// A counter is kept for each combination of these; never empty.
    pub per: Vec<CounterPer>,
    /// All must pass.
    pub limits: Vec<LimitView>,
    /// Told to callers who are over; `None`: the gateway's own words.
    pub exceeded_message: Option<Arc<str>>,
    /// What happens while counters cannot be reached.
    pub on_store_failure: OnStoreFailure,
}

/// All conditions given must hold; an empty list is none.
#[derive(Debug)]
pub struct SelectorView {
    /// Consumer names; alternatives to the groups.
    pub consumers: Vec<Arc<str>>,
    /// Consumer groups.
    pub groups: Vec<Arc<str>>,
    /// Route names.
    pub routes: Vec<Arc<str>>,
    /// Over the model that the client asked for.
    pub models: Globs,
}

/// So much in so long.
#[derive(Debug)]
pub struct LimitView {
    /// Names the counter.
    pub name: Arc<str>,
    /// How much of what.
    pub amount: Amount,
    /// Over any time of this length.
    pub window: Duration,
}

/// What holds for a whole namespace.
#[derive(Debug)]
pub struct TenantView {
    /// Of the Kubernetes Namespace: a tenant made anew counts from zero.
    pub uid: Arc<str>,
    /// Of the Kubernetes Namespace.
    pub labels: BTreeMap<String, String>,
    /// Its own; empty slots only after a quota was withdrawn.
    pub quotas: Vec<Arc<QuotaSlot>>,
}

/// What holds for all namespaces.
#[derive(Debug)]
pub struct FleetView {
    /// Those of the platform namespace that select namespaces.
    pub quotas: Vec<FleetQuotaView>,
}

/// A quota over every namespace with these labels.
#[derive(Debug)]
pub struct FleetQuotaView {
    /// All must be on the namespace; empty: every namespace.
    pub namespace_labels: BTreeMap<String, String>,
    /// An empty slot only after the quota was withdrawn.
    pub quota: Arc<QuotaSlot>,
}

impl QuotaView {
    pub(crate) fn compile(name: &ObjectName, quota: &Quota) -> Result<Self, CompileError> {
        Ok(Self {
            name: name.to_string().into(),
            selector: SelectorView::compile(&quota.selector)?,
            per: quota.per.clone(),
            limits: quota.limits.iter().map(LimitView::compile).collect(),
            exceeded_message: quota.exceeded_message.as_deref().map(Into::into),
            on_store_failure: quota.on_store_failure,
        })
    }
}

impl SelectorView {
    fn compile(selector: &QuotaSelector) -> Result<Self, CompileError> {
        Ok(Self {
            consumers: texts(&selector.consumers),
            groups: texts(&selector.groups),
            routes: texts(&selector.routes),
            models: Globs::parse(&selector.models)?,
        })
    }
}

impl LimitView {
    fn compile(limit: &Limit) -> Self {
        Self {
            name: limit.name.as_str().into(),
            amount: limit.amount,
            window: limit.window,
        }
    }
}

impl TenantView {
    pub(crate) fn compile(tenant: &Tenant, tables: &Tables) -> Result<Self, CompileError> {
        Ok(Self {
            uid: tenant.uid.as_str().into(),
            labels: tenant.labels.clone(),
            quotas: tenant
                .quotas
                .iter()
                .map(|name| in_force(name, tables))
                .collect::<Result<_, _>>()?,
        })
    }
}

impl FleetView {
    pub(crate) fn compile(fleet: &Fleet, tables: &Tables) -> Result<Self, CompileError> {
        let quotas = fleet
            .quotas
            .iter()
            .map(|entry| {
                Ok(FleetQuotaView {
                    namespace_labels: entry.namespace_labels.clone(),
                    quota: in_force(&entry.quota, tables)?,
                })
            })
            .collect::<Result<_, CompileError>>()?;
        Ok(Self { quotas })
    }

    /// Gives the quotas over a namespace with these labels.
    pub fn quotas_over<'a>(
        &'a self,
        labels: &'a BTreeMap<String, String>,
    ) -> impl Iterator<Item = &'a Arc<QuotaSlot>> {
        let covering = self.quotas.iter().filter(|entry| entry.covers(labels));
        covering.map(|entry| &entry.quota)
    }
}

impl FleetQuotaView {
    /// Whether it lies over a namespace with these labels.
    pub fn covers(&self, labels: &BTreeMap<String, String>) -> bool {
        let mut wanted = self.namespace_labels.iter();
        wanted.all(|(key, value)| labels.get(key) == Some(value))
    }
}

/// A limit that cannot be read must not be skipped in silence: what needs it is refused.
fn in_force(name: &ObjectName, tables: &Tables) -> Result<Arc<QuotaSlot>, CompileError> {
    let slot = tables.quotas.slot(name);
    if slot.is_empty() {
        return Err(CompileError::Missing(Name::Quota(name.clone())));
    }
    Ok(slot)
}
