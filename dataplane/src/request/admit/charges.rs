//! Which limits a request is charged against. Pure.

use std::sync::Arc;
use std::time::Duration;

use turnpike_snapshot::quota::{Amount, CounterPer, OnStoreFailure};

use super::authorize::is_selected;
use crate::quota::{self, Ask, Charge, CounterKey, Unit};
use crate::store::view::{Consumer, FleetView, LimitView, QuotaView, SelectorView, TenantView};

/// What quotas look at, and how much is reserved.
pub struct Counted<'a> {
    pub namespace: &'a str,
    pub route: &'a str,
    pub consumer: Option<&'a Consumer>,
    pub model: &'a str,
    /// Tokens.
    pub estimate: u64,
}

/// One limit charged, in the words of its quota.
pub(super) struct Charged {
    pub quota: Arc<QuotaView>,
    pub limit_name: Arc<str>,
    pub unit: Unit,
    pub limit: u64,
    pub window: Duration,
    pub estimate: u64,
}

impl Charged {
    /// What the quota tells callers who are over.
    pub(super) fn message(&self) -> Option<String> {
        self.quota.exceeded_message.as_deref().map(str::to_owned)
    }
}

/// Gives a charge for each limit of each quota over the request, and beside each whose it is.
///
/// A quota that is both the namespace's own and the fleet's counts once.
pub(super) fn charges(
    tenant: &TenantView,
    fleet: &FleetView,
    counted: &Counted<'_>,
) -> (Vec<Ask>, Vec<Charged>) {
    // An empty slot: the quota was withdrawn just now.
    let own = tenant.quotas.iter().filter_map(|slot| slot.load());
    let fleet = fleet
        .quotas_over(&tenant.labels)
        .filter_map(|slot| slot.load());
    let mut quotas: Vec<Arc<QuotaView>> = Vec::new();
    for quota in own.chain(fleet) {
        let is_known = quotas.iter().any(|known| known.name == quota.name);
        if !is_known && selects(&quota.selector, counted) {
            quotas.push(quota);
        }
    }
    let mut asks = Vec::new();
    let mut charged = Vec::new();
    for quota in quotas {
        let subject = subject(&quota, counted);
        for limit in &quota.limits {
            let key = CounterKey {
                namespace_uid: tenant.uid.clone(),
                quota: quota.name.clone(),
                limit: limit.name.clone(),
                subject: subject.clone(),
            };
            let one = charge(limit, key, counted.estimate);
            charged.push(Charged {
                quota: quota.clone(),
                limit_name: limit.name.clone(),
                unit: one.unit,
                limit: one.limit,
                window: one.window,
                estimate: one.estimate,
            });
            asks.push(Ask {
                charge: one,
                on_store_failure: on_store_failure(quota.on_store_failure),
            });
        }
    }
    (asks, charged)
}

fn selects(selector: &SelectorView, counted: &Counted<'_>) -> bool {
    let on_route = || {
        selector
            .routes
            .iter()
            .any(|route| **route == *counted.route)
    };
    is_selected(&selector.consumers, &selector.groups, counted.consumer)
        && (selector.routes.is_empty() || on_route())
        && selector.models.is_match(counted.model)
}

fn subject(quota: &QuotaView, counted: &Counted<'_>) -> Arc<str> {
    let per = |what| quota.per.contains(&what);
    // Callers without a consumer share a counter; no consumer has an empty name.
    let consumer = per(CounterPer::Consumer).then(|| match counted.consumer {
        Some(consumer) => consumer.name.to_string(),
        None => String::new(),
    });
    let namespace = per(CounterPer::Namespace).then_some(counted.namespace);
    CounterKey::subject_of(consumer.as_deref(), namespace)
}

fn charge(limit: &LimitView, counter: CounterKey, tokens: u64) -> Charge {
    let (unit, most, estimate) = match limit.amount {
        Amount::Tokens(most) => (Unit::Tokens, most, tokens),
        Amount::Requests(most) => (Unit::Requests, most, 1),
    };
    Charge {
        counter,
        unit,
        limit: most,
        window: limit.window,
        estimate,
    }
}

fn on_store_failure(wanted: OnStoreFailure) -> quota::OnStoreFailure {
    match wanted {
        OnStoreFailure::Allow => quota::OnStoreFailure::Allow,
        OnStoreFailure::Deny => quota::OnStoreFailure::Deny,
    }
}
