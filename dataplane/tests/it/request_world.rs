//! What a controller would tell of one tenant: plain snapshots, made with few words.

use std::time::Duration;

use turnpike_dataplane::Store;
use turnpike_snapshot::consumer::Consumer;
use turnpike_snapshot::credential::{Credential, FleetKey, sha256};
use turnpike_snapshot::domain::{Authentication, Backend, Domain, Grant, Match, Route, Rule};
use turnpike_snapshot::name::ObjectName;
use turnpike_snapshot::provider::{Model, Provider, ProviderKey, ProviderKind, Timeouts, Upstream};
use turnpike_snapshot::quota::{Amount, CounterPer, Limit, OnStoreFailure, Quota, QuotaSelector};
use turnpike_snapshot::retries::Retries;
use turnpike_snapshot::rules::Rules;
use turnpike_snapshot::tenant::{Fleet, Tenant};
use turnpike_snapshot::{Name, Snapshot};

pub(super) const HOST: &str = "tenant.test";
pub(super) const NAMESPACE: &str = "tenant";
/// Alice's key.
pub(super) const KEY: &str = "sk-turnpike-alice-0123456789";
/// Bob's key; he is in no group.
pub(super) const BOBS_KEY: &str = "sk-turnpike-bob-0123456789ab";
/// The provider's key: a canary, which no caller and no log may ever see.
pub(super) const PROVIDER_KEY: &str = "sk-canary-f00dcafe-provider";

/// One tenant with one host.
pub(super) struct World {
    pub(super) domain: Domain,
    pub(super) templates: Vec<(ObjectName, Rules)>,
    pub(super) quotas: Vec<(ObjectName, Quota)>,
    pub(super) providers: Vec<(ObjectName, Provider)>,
    pub(super) consumers: Vec<(Consumer, &'static str, Option<i64>)>,
}

/// Gives the name of an object in the tenant's namespace.
pub(super) fn object(name: &str) -> ObjectName {
    ObjectName::new(NAMESPACE, name)
}

/// A provider at this address that speaks this protocol, with the canary key.
pub(super) fn upstream(protocol: &str, url: &str) -> Upstream {
    Upstream {
        kind: ProviderKind::Protocol(protocol.into()),
        url: Some(url.into()),
        service: None,
        tls: None,
        egress_proxy: None,
        manner: None,
        cloud: None,
        keys: vec![ProviderKey {
            name: "main".into(),
            secret: PROVIDER_KEY.into(),
        }],
        models: Vec::new(),
        timeouts: timeouts(),
    }
}

/// Long enough to play no part.
pub(super) fn timeouts() -> Timeouts {
    let long = Duration::from_secs(60);
    Timeouts {
        connect: long,
        first_token: long,
        idle: long,
        total: long,
    }
}

/// The Echo vendor.
pub(super) fn echo() -> Upstream {
    Upstream {
        kind: ProviderKind::Vendor("Echo".into()),
        url: None,
        service: None,
        tls: None,
        egress_proxy: None,
        manner: None,
        cloud: None,
        keys: Vec::new(),
        models: Vec::new(),
        timeouts: timeouts(),
    }
}

pub(super) fn model(name: &str, upstream: Option<&str>) -> Model {
    Model {
        name: name.into(),
        upstream_model: upstream.map(Into::into),
    }
}

pub(super) fn backend(provider: &str) -> Backend {
    Backend {
        provider: object(provider),
        model: None,
        weight: 1,
        priority: 0,
        models: Vec::new(),
        fault: None,
    }
}

/// A rule for these models (none: all), to one provider of the same name as the rule.
pub(super) fn rule(provider: &str, models: &[&str]) -> Rule {
    Rule {
        name: provider.into(),
        matches: vec![Match {
            models: texts(models),
            ..Match::default()
        }],
        backends: vec![backend(provider)],
        retries: Retries::default(),
    }
}

pub(super) fn grant(consumers: &[&str], groups: &[&str], models: &[&str]) -> Grant {
    Grant {
        consumers: texts(consumers),
        groups: texts(groups),
        models: texts(models),
    }
}

/// A quota per consumer with one limit a minute.
pub(super) fn quota(amount: Amount) -> Quota {
    Quota {
        selector: QuotaSelector::default(),
        per: vec![CounterPer::Consumer],
        limits: vec![Limit {
            name: "minute".into(),
            amount,
            window: Duration::from_secs(60),
        }],
        exceeded_message: Some("gold plan: that much a minute".into()),
        on_store_failure: OnStoreFailure::Deny,
    }
}

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

impl World {
    /// Alice (group gold) and Bob may ask one provider, `main`, for any model.
    pub(super) fn with(provider: Upstream) -> Self {
        let consumer = |name: &str, groups: &[&str]| Consumer {
            name: object(name),
            groups: texts(groups),
            is_suspended: false,
        };
        let route = Route {
            name: "main".into(),
            authentication: Some(Authentication::Required),
            allow: Some(Vec::new()),
            rules: vec![rule("main", &[])],
            max_body_bytes: Some(1 << 20),
            head_bytes: None,
            heartbeat: None,
            on_disconnect: None,
            template: None,
            suspension: None,
        };
        Self {
            domain: Domain {
                namespace: NAMESPACE.into(),
                routes: vec![route],
                ..Domain::default()
            },
            templates: Vec::new(),
            quotas: Vec::new(),
            providers: vec![(object("main"), Provider::Upstream(provider))],
            consumers: vec![
                (consumer("alice", &["gold"]), KEY, None),
                (consumer("bob", &[]), BOBS_KEY, None),
            ],
        }
    }

    /// Gives the one route.
    pub(super) fn route(&mut self) -> &mut Route {
        &mut self.domain.routes[0]
    }

    /// Lays a quota upon the tenant.
    pub(super) fn limited(mut self, quota: Quota) -> Self {
        let name = object(&format!("quota-{}", self.quotas.len()));
        self.quotas.push((name, quota));
        self
    }

    /// A store that holds all this and knows of nothing else.
    pub(super) fn store(self) -> Store {
        let fleet_key = FleetKey::new("1", vec![7; 32]);
        let tenant = Tenant {
            uid: "uid-1".into(),
            labels: Default::default(),
            quotas: self.quotas.iter().map(|(name, _)| name.clone()).collect(),
        };
        let mut snapshots = Vec::new();
        for (name, quota) in self.quotas {
            snapshots.push((Name::Quota(name), Snapshot::Quota(quota)));
        }
        for (name, provider) in self.providers {
            snapshots.push((Name::Provider(name), Snapshot::Provider(provider)));
        }
        for (name, rules) in self.templates {
            snapshots.push((Name::Rules(name), Snapshot::Rules(rules)));
        }
        for (consumer, key, not_after) in self.consumers {
            let name = Name::Credential {
                realm: NAMESPACE.into(),
                id: fleet_key.credential_id(&sha256(key.as_bytes())),
            };
            let credential = Credential {
                consumer: consumer.name.clone(),
                not_after,
            };
            let consumer_name = Name::Consumer(consumer.name.clone());
            snapshots.push((consumer_name, Snapshot::Consumer(consumer)));
            snapshots.push((name, Snapshot::Credential(credential)));
        }
        snapshots.push((Name::Tenant(NAMESPACE.into()), Snapshot::Tenant(tenant)));
        snapshots.push((Name::Fleet, Snapshot::Fleet(Fleet::default())));
        snapshots.push((Name::Domain(HOST.into()), Snapshot::Domain(self.domain)));
        Store::with_snapshots(vec![fleet_key], snapshots)
    }
}
