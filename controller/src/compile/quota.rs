//! TokenQuotas: what is counted, and how much of it is allowed.
//!
//! One that selects what it may not, or by a glob that is none, is not in force.

use std::collections::BTreeMap;

use turnpike_crds::token_quota::{self as spec, CounterPer as Per};
use turnpike_snapshot::Name;
use turnpike_snapshot::name::ObjectName;
use turnpike_snapshot::quota::{Amount, CounterPer, Limit, OnStoreFailure, Quota, QuotaSelector};

use crate::compile::finding::{Issue, Subject};
use crate::glob;
use crate::index::table::of_namespace;
use crate::index::{Index, Scope};

pub(crate) fn compile(index: &Index, name: &ObjectName) -> Option<Quota> {
    let spec = &index.quotas.get(name)?.spec;
    if index.scope(name, spec) == Scope::Nobody {
        return None;
    }
    Some(Quota {
        selector: selector(&spec.selector),
        per: per(&spec.per),
        limits: spec.limits.iter().filter_map(limit).collect(),
        exceeded_message: spec.on_exceeded.as_ref().map(|told| told.message.clone()),
        on_store_failure: match spec.on_store_failure {
            spec::OnStoreFailure::Allow => OnStoreFailure::Allow,
            spec::OnStoreFailure::Deny => OnStoreFailure::Deny,
        },
    })
}

pub(crate) fn names(index: &Index, name: &ObjectName) -> Vec<Name> {
    let Some(quota) = index.quotas.get(name) else {
        return Vec::new();
    };
    let list = match index.scope(name, &quota.spec) {
        Scope::Nobody => return Vec::new(),
        Scope::Tenant => Name::Tenant(name.namespace.clone()),
        Scope::Fleet(_) => Name::Fleet,
    };
    vec![Name::Quota(name.clone()), list]
}

pub(crate) fn issues(index: &Index, name: &ObjectName) -> Option<Vec<Issue>> {
    let spec = &index.quotas.get(name)?.spec;
    let platform = index.platform_namespace();
    let models = spec.selector.models.iter().enumerate();
    let mut issues: Vec<Issue> = models
        .filter_map(|(at, text)| {
            let fault = glob::fault(text)?;
            Some(Issue::new(
                Subject::Accepted,
                "InvalidGlob",
                format!("spec.selector.models[{at}]"),
                format!("{text:?} is no glob: {fault}; the quota is not in force until corrected"),
            ))
        })
        .collect();
    if spec.selector.namespaces.is_some() && name.namespace != platform {
        issues.push(Issue::new(
            Subject::Accepted,
            "NotPermitted",
            "spec.selector.namespaces",
            format!(
                "only TokenQuotas of the platform namespace {platform} may select namespaces; \
                 the quota is not in force until this is removed"
            ),
        ));
    }
    Some(issues)
}

/// Gives the quotas that bind their own namespace, in order of their names.
pub(crate) fn of_tenant<'a>(
    index: &'a Index,
    namespace: &'a str,
) -> impl Iterator<Item = &'a ObjectName> {
    let quotas = of_namespace(&index.quotas, namespace);
    quotas
        .filter(|(name, quota)| index.scope(name, &quota.spec) == Scope::Tenant)
        .map(|(name, _)| name)
}

/// Gives the quotas that bind other namespaces, each with the labels that it selects.
pub(crate) fn of_fleet(
    index: &Index,
) -> impl Iterator<Item = (&ObjectName, &BTreeMap<String, String>)> {
    let quotas = of_namespace(&index.quotas, index.platform_namespace());
    quotas.filter_map(|(name, quota)| match index.scope(name, &quota.spec) {
        Scope::Fleet(labels) => Some((name, labels)),
        Scope::Tenant | Scope::Nobody => None,
    })
}

fn selector(selector: &spec::QuotaSelector) -> QuotaSelector {
    let consumers = selector.consumers.clone().unwrap_or_default();
    QuotaSelector {
        consumers: consumers.names,
        groups: consumers.groups,
        routes: selector.routes.clone(),
        models: selector.models.clone(),
    }
}

fn per(per: &[Per]) -> Vec<CounterPer> {
    let mut per: Vec<CounterPer> = per
        .iter()
        .map(|per| match per {
            Per::Consumer => CounterPer::Consumer,
            Per::Namespace => CounterPer::Namespace,
        })
        .collect();
    per.sort();
    per.dedup();
    per
}

fn limit(limit: &spec::Limit) -> Option<Limit> {
    let tokens = limit.tokens.map(|count| Amount::Tokens(count.0));
    let requests = limit.requests.map(|count| Amount::Requests(count.0));
    Some(Limit {
        name: limit.name.clone(),
        amount: tokens.or(requests)?,
        window: limit.window.0,
    })
}
