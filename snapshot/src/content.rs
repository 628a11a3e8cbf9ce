//! The sum of all kinds of snapshots, what each refers to and what it needs.

use crate::consumer::Consumer;
use crate::credential::Credential;
use crate::domain::Domain;
use crate::name::Name;
use crate::provider::{Provider, ProviderKind};
use crate::quota::Quota;
use crate::tenant::{Fleet, Tenant};

/// The compiled, self-contained form of one thing that a data plane needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Snapshot {
    /// Of `domain/<host>`.
    Domain(Domain),
    /// Of `domain/<host>` too: the host is served by this wildcard (`*.suffix` or `*`).
    Alias(String),
    /// Of `provider/<namespace>/<name>`.
    Provider(Provider),
    /// Of `credential/…`.
    Credential(Credential),
    /// Of `consumer/<namespace>/<name>`.
    Consumer(Consumer),
    /// Of `quota/<namespace>/<name>`.
    Quota(Quota),
    /// Of `tenant/<namespace>`.
    Tenant(Tenant),
    /// Of `fleet`.
    Fleet(Fleet),
}

impl Snapshot {
    /// Names what this one refers to and cannot do without, without doubles.
    pub fn references(&self) -> Vec<Name> {
        let mut names = match self {
            Snapshot::Domain(domain) => domain_references(domain),
            Snapshot::Alias(domain) => vec![Name::Domain(domain.clone())],
            Snapshot::Credential(credential) => vec![Name::Consumer(credential.consumer.clone())],
            Snapshot::Tenant(tenant) => tenant.quotas.iter().cloned().map(Name::Quota).collect(),
            Snapshot::Fleet(fleet) => fleet
                .quotas
                .iter()
                .map(|entry| Name::Quota(entry.quota.clone()))
                .collect(),
            Snapshot::Provider(_) | Snapshot::Consumer(_) | Snapshot::Quota(_) => Vec::new(),
        };
        names.sort();
        names.dedup();
        names
    }

    /// Names the features that a data plane must have to obey this snapshot.
    ///
    /// To a data plane without one of them nothing new is sent: a new rule must
    /// never be lost in an old data plane.
    pub fn features(&self) -> Vec<String> {
        match self {
            Snapshot::Provider(Provider::Upstream(upstream)) => vec![upstream.kind.feature()],
            _ => Vec::new(),
        }
    }
}

impl ProviderKind {
    /// Names the feature of a data plane that speaks to such providers.
    pub fn feature(&self) -> String {
        match self {
            ProviderKind::Vendor(vendor) => format!("vendor/{vendor}"),
            ProviderKind::Protocol(protocol) => format!("protocol/{protocol}"),
        }
    }
}

fn domain_references(domain: &Domain) -> Vec<Name> {
    let backends = domain
        .routes
        .iter()
        .flat_map(|route| &route.rules)
        .flat_map(|rule| &rule.backends);
    let anonymous = domain
        .routes
        .iter()
        .filter_map(|route| match &route.authentication {
            crate::domain::Authentication::Optional {
                anonymous_consumer: Some(name),
            } => Some(Name::Consumer(crate::name::ObjectName::new(
                &domain.namespace,
                name,
            ))),
            _ => None,
        });
    backends
        .map(|backend| Name::Provider(backend.provider.clone()))
        .chain(anonymous)
        .chain([Name::Tenant(domain.namespace.clone()), Name::Fleet])
        .collect()
}
