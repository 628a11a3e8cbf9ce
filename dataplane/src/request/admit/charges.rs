//! Which limits a request is charged against. Pure.

use std::sync::Arc;

use smallvec::SmallVec;
use turnpike_snapshot::quota::{Amount, CounterPer, OnStoreFailure};

use super::authorize::is_selected;
use crate::quota::{self, Ask, Charge, CounterKey, CounterName, Unit};
use crate::store::view::{Consumer, FleetView, LimitView, QuotaView, SelectorView, TenantView};

/// What quotas look at, and how much is reserved.
pub struct Counted<'a> {
    pub namespace: &'a str,
    pub route: &'a str,
    pub consumer: Option<&'a Consumer>,
    pub model: &'a str,
    /// Tokens.
    pub estimate: u64,
    /// What it counts as: 1, or 0 for what belongs to a request that is counted already.
    pub requests: u64,
}

/// Who lays a quota upon a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaidBy {
    /// The namespace itself.
    Namespace,
    /// The platform, upon all namespaces of some labels.
    Fleet,
}

/// The first condition of a quota's selector that a request does not meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unselected {
    /// The consumer is none of those named, and in none of the groups.
    Consumer,
    /// The route is another.
    Route,
    /// The model fits none of the globs.
    Model,
}

/// One limit charged.
pub(super) struct Charged {
    pub quota: Arc<QuotaView>,
    /// Which of the quota's.
    limit: usize,
    /// What was asked for.
    pub estimate: u64,
}

impl Charged {
    pub(super) fn limit(&self) -> &LimitView {
        &self.quota.limits[self.limit]
    }

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
    let quotas = over(tenant, fleet);
    let most = quotas.iter().map(|(quota, _)| quota.limits.len()).sum();
    let mut asks = Vec::with_capacity(most);
    let mut charged = Vec::with_capacity(most);
    for (quota, _) in quotas {
        if unselected(&quota.selector, counted).is_some() {
            continue;
        }
        let subject = subject(&quota, counted);
        for (i, limit) in quota.limits.iter().enumerate() {
            let counter = CounterKey::new(CounterName {
                namespace_uid: tenant.uid.clone(),
                quota: quota.name.clone(),
                limit: limit.name.clone(),
                subject: subject.clone(),
            });
            let charge = charge(limit, counter, counted);
            charged.push(Charged {
                quota: quota.clone(),
                limit: i,
                estimate: charge.estimate,
            });
            asks.push(Ask {
                charge,
                on_store_failure: on_store_failure(quota.on_store_failure),
            });
        }
    }
    (asks, charged)
}

/// Quotas, and who laid each.
pub(super) type Over = SmallVec<[(Arc<QuotaView>, LaidBy); 4]>;

/// Gives the quotas over a namespace, each once, whatever they select there.
pub fn over(tenant: &TenantView, fleet: &FleetView) -> Over {
    // An empty slot: the quota was withdrawn just now.
    let own = tenant.quotas.iter().filter_map(|slot| slot.load());
    let fleet = fleet
        .quotas_over(&tenant.labels)
        .filter_map(|slot| slot.load());
    let own = own.map(|quota| (quota, LaidBy::Namespace));
    let mut quotas = Over::new();
    for (quota, by) in own.chain(fleet.map(|quota| (quota, LaidBy::Fleet))) {
        if !quotas.iter().any(|(known, _)| known.name == quota.name) {
            quotas.push((quota, by));
        }
    }
    quotas
}

/// Finds why a quota does not count a request; `None`: it does.
pub fn unselected(selector: &SelectorView, counted: &Counted<'_>) -> Option<Unselected> {
    let is_of_route = |route: &Arc<str>| **route == *counted.route;
    if !is_selected(&selector.consumers, &selector.groups, counted.consumer) {
        return Some(Unselected::Consumer);
    }
    if !selector.routes.is_empty() && !selector.routes.iter().any(is_of_route) {
        return Some(Unselected::Route);
    }
    (!selector.models.is_match(counted.model)).then_some(Unselected::Model)
}

fn subject(quota: &QuotaView, counted: &Counted<'_>) -> Arc<str> {
    let per = |what| quota.per.contains(&what);
    // Callers without a consumer share a counter; no consumer has an empty name.
    let consumer = match counted.consumer {
        Some(Consumer { name, .. }) => (name.namespace.as_str(), name.name.as_str()),
        None => ("", ""),
    };
    let consumer = per(CounterPer::Consumer).then_some(consumer);
    let namespace = per(CounterPer::Namespace).then_some(counted.namespace);
    CounterName::subject_of(consumer, namespace)
}

fn charge(limit: &LimitView, counter: CounterKey, counted: &Counted<'_>) -> Charge {
    let (unit, most, estimate) = match limit.amount {
        Amount::Tokens(most) => (Unit::Tokens, most, counted.estimate),
        Amount::Requests(most) => (Unit::Requests, most, counted.requests),
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use turnpike_snapshot::name::ObjectName;

    use super::*;
    use crate::store::view::{FleetQuotaView, QuotaSlot};
    use crate::store::{Globs, Slot};

    const MINUTE: Duration = Duration::from_secs(60);

    fn quota(name: &str, per: &[CounterPer], amounts: &[Amount]) -> QuotaView {
        let limit = |(i, amount): (usize, &Amount)| LimitView {
            name: format!("l{i}").into(),
            amount: *amount,
            window: MINUTE,
        };
        QuotaView {
            name: name.into(),
            selector: SelectorView {
                consumers: Vec::new(),
                groups: Vec::new(),
                routes: Vec::new(),
                models: Globs::default(),
            },
            per: per.to_vec(),
            limits: amounts.iter().enumerate().map(limit).collect(),
            exceeded_message: None,
            on_store_failure: OnStoreFailure::Allow,
        }
    }

    fn slot(quota: QuotaView) -> Arc<QuotaSlot> {
        let slot = Slot::empty();
        slot.store(Some(Arc::new(quota)));
        Arc::new(slot)
    }

    fn tenant(quotas: Vec<QuotaView>) -> TenantView {
        TenantView {
            uid: "uid-1".into(),
            labels: BTreeMap::from([("plan".into(), "gold".into())]),
            quotas: quotas.into_iter().map(slot).collect(),
        }
    }

    fn fleet(entries: Vec<(&str, QuotaView)>) -> FleetView {
        let entry = |(plan, quota): (&str, QuotaView)| FleetQuotaView {
            namespace_labels: BTreeMap::from([("plan".into(), plan.into())]),
            quota: slot(quota),
        };
        FleetView {
            quotas: entries.into_iter().map(entry).collect(),
        }
    }

    fn alice() -> Consumer {
        Consumer {
            name: ObjectName::new("tenant", "alice"),
            groups: vec!["gold".into()],
            is_suspended: false,
        }
    }

    /// Gives `quota limit subject estimate` of each charge of a request of 40 tokens.
    fn charged(tenant: &TenantView, fleet: &FleetView, consumer: Option<&Consumer>) -> Vec<String> {
        let counted = Counted {
            namespace: "tenant",
            route: "main",
            consumer,
            model: "gpt-4o",
            estimate: 40,
            requests: 1,
        };
        let (asks, charged) = charges(tenant, fleet, &counted);
        assert_eq!(asks.len(), charged.len());
        let words = |ask: Ask| {
            let Charge {
                counter, estimate, ..
            } = ask.charge;
            assert_eq!(&*counter.namespace_uid, "uid-1");
            format!(
                "{} {} {} {estimate}",
                counter.quota, counter.limit, counter.subject
            )
        };
        asks.into_iter().map(words).collect()
    }

    #[test]
    fn every_limit_of_every_quota_is_charged_on_its_own_counter() {
        let tokens = Amount::Tokens(100);
        let own = quota(
            "tenant/a",
            &[CounterPer::Consumer],
            &[tokens, Amount::Requests(5)],
        );
        let both = [CounterPer::Consumer, CounterPer::Namespace];
        let tenant = tenant(vec![own, quota("tenant/b", &both, &[tokens])]);
        let fleet = fleet(vec![
            (
                "gold",
                quota("platform/gold", &[CounterPer::Namespace], &[tokens]),
            ),
            (
                "iron",
                quota("platform/iron", &[CounterPer::Namespace], &[tokens]),
            ),
        ]);
        assert_eq!(
            charged(&tenant, &fleet, Some(&alice())),
            [
                "tenant/a l0 c=tenant/alice 40",
                "tenant/a l1 c=tenant/alice 1",
                "tenant/b l0 c=tenant/alice;n=tenant 40",
                "platform/gold l0 n=tenant 40",
            ]
        );
    }

    #[test]
    fn callers_without_a_consumer_share_a_counter() {
        let tenant = tenant(vec![quota(
            "t/a",
            &[CounterPer::Consumer],
            &[Amount::Tokens(1)],
        )]);
        assert_eq!(charged(&tenant, &fleet(Vec::new()), None), ["t/a l0 c= 40"]);
    }

    #[test]
    fn a_quota_that_is_the_namespaces_own_and_the_fleets_counts_once() {
        let one = || quota("platform/q", &[CounterPer::Namespace], &[Amount::Tokens(1)]);
        let charges = charged(&tenant(vec![one()]), &fleet(vec![("gold", one())]), None);
        assert_eq!(charges, ["platform/q l0 n=tenant 40"]);
    }

    #[test]
    fn a_quota_counts_only_what_its_whole_selector_selects() {
        let texts = |list: &[&str]| list.iter().map(|text| Arc::from(*text)).collect::<Vec<_>>();
        let selecting = |consumers: &[&str], groups: &[&str], routes: &[&str], models: &[&str]| {
            let mut quota = quota("t/a", &[CounterPer::Namespace], &[Amount::Tokens(1)]);
            quota.selector = SelectorView {
                consumers: texts(consumers),
                groups: texts(groups),
                routes: texts(routes),
                models: Globs::parse(models).unwrap(),
            };
            charged(&tenant(vec![quota]), &fleet(Vec::new()), Some(&alice())).len() == 1
        };
        assert!(selecting(&["alice"], &[], &["main"], &["gpt-4*"]));
        assert!(selecting(&["bob"], &["gold"], &[], &[]));
        assert!(!selecting(&["bob"], &["iron"], &[], &[]));
        assert!(!selecting(&["alice"], &[], &["other"], &[]));
        assert!(!selecting(&["alice"], &[], &["main"], &["claude*"]));
    }

    #[test]
    fn a_quota_withdrawn_just_now_is_passed_over() {
        let mut tenant = tenant(Vec::new());
        tenant.quotas.push(Arc::new(Slot::empty()));
        assert!(charged(&tenant, &fleet(Vec::new()), None).is_empty());
    }
}
