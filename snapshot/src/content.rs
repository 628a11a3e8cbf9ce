//! The sum of all kinds of snapshots, what each refers to and what it needs.

use crate::certificate::{Authority, Certificate, FleetCertificates};
use crate::consumer::Consumer;
use crate::credential::Credential;
use crate::domain::{Authentication, Backend, Domain, OnDisconnect, Route, Rule, Template};
use crate::endpoints::Endpoints;
use crate::name::{Name, ObjectName};
use crate::provider::{KeySecret, Provider, ProviderKey, ProviderKind, Upstream};
use crate::quota::Quota;
use crate::retries::Retries;
use crate::rules::Rules;
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
    /// Of `endpoints/<namespace>/<service>/<port>`.
    Endpoints(Endpoints),
    /// Of `rules/<namespace>/<name>`.
    Rules(Rules),
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
    /// Of `certificate/<namespace>/<name>`.
    Certificate(Certificate),
    /// Of `authority/<namespace>/<name>`.
    Authority(Authority),
    /// Of `fleet-certificates`.
    FleetCertificates(FleetCertificates),
}

impl Snapshot {
    /// Names what this one refers to and cannot do without, without doubles.
    pub fn references(&self) -> Vec<Name> {
        let mut names = match self {
            Snapshot::Domain(domain) => domain_references(domain),
            Snapshot::Alias(domain) => vec![Name::Domain(domain.clone())],
            Snapshot::Provider(Provider::Upstream(Upstream {
                service: Some(service),
                ..
            })) => vec![Name::Endpoints(service.port.clone())],
            Snapshot::Rules(rules) => providers(&rules.rules).collect(),
            Snapshot::Credential(credential) => vec![Name::Consumer(credential.consumer.clone())],
            Snapshot::Tenant(tenant) => tenant.quotas.iter().cloned().map(Name::Quota).collect(),
            Snapshot::Fleet(fleet) => fleet
                .quotas
                .iter()
                .map(|entry| Name::Quota(entry.quota.clone()))
                .collect(),
            Snapshot::FleetCertificates(fleet) => {
                let certificates = fleet.certificates.iter().cloned();
                certificates.map(Name::Certificate).collect()
            }
            Snapshot::Provider(_)
            | Snapshot::Endpoints(_)
            | Snapshot::Consumer(_)
            | Snapshot::Quota(_)
            | Snapshot::Certificate(_)
            | Snapshot::Authority(_) => Vec::new(),
        };
        names.sort();
        names.dedup();
        names
    }

    /// Whether whoever holds an older form keeps that in force instead: this one cannot be used,
    /// and what it was before can still be.
    pub fn keeps_previous(&self) -> bool {
        matches!(
            self,
            Snapshot::Provider(Provider::Faulty {
                keeps_previous: true,
                ..
            }) | Snapshot::Certificate(Certificate::Faulty { .. })
                | Snapshot::Authority(Authority::Faulty { .. })
        )
    }

    /// Names the features that a data plane must have to obey this snapshot.
    ///
    /// To a data plane without one of them nothing new is sent: a new rule must
    /// never be lost in an old data plane.
    pub fn features(&self) -> Vec<String> {
        match self {
            Snapshot::Provider(Provider::Halted(_)) => vec![HALT.to_owned()],
            Snapshot::Provider(Provider::Upstream(upstream)) => {
                let needs = [
                    (upstream.service.is_some(), ENDPOINTS),
                    (upstream.tls.is_some(), PROVIDER_TLS),
                    (upstream.egress_proxy.is_some(), EGRESS_PROXY),
                    (upstream.manner.is_some(), PROVIDER_MANNER),
                    (is_of_cloud(upstream), CLOUDS),
                ];
                let needs = needs.into_iter().filter(|(is_needed, _)| *is_needed);
                [upstream.kind.feature()]
                    .into_iter()
                    .chain(needs.map(|(_, feature)| feature.to_owned()))
                    .collect()
            }
            Snapshot::Endpoints(endpoints) => {
                let http2 = endpoints.is_http2.then(|| H2C.to_owned());
                [ENDPOINTS.to_owned()].into_iter().chain(http2).collect()
            }
            Snapshot::Domain(domain) => domain_features(domain),
            Snapshot::Rules(rules) => {
                let drain = drain_feature([rules.on_disconnect]);
                let rules = rules_features(rules.rules.iter());
                rules.into_iter().chain(drain).collect()
            }
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

/// Of a data plane that takes what a route lacks from its template.
pub const TEMPLATES: &str = "templates";
/// Of a data plane that refuses the requests of suspended routes.
pub const SUSPENSION: &str = "suspension";
/// Of a data plane that sends nothing to halted providers, and ends what blocked ones answer.
pub const HALT: &str = "provider-halt";
/// Of a data plane that balances requests over the endpoints of a Service.
pub const ENDPOINTS: &str = "endpoints";
/// Of a data plane that speaks HTTP/2 in the clear to endpoints that want it.
pub const H2C: &str = "h2c";
/// Of a data plane that trusts a provider by its own CAs, shows it a certificate, and asks for the
/// name that it is told to.
pub const PROVIDER_TLS: &str = "provider-tls";
/// Of a data plane that reaches a provider through its proxy alone.
pub const EGRESS_PROXY: &str = "egress-proxy";
/// Of a data plane that speaks to a provider in the manner that it is told to.
pub const PROVIDER_MANNER: &str = "provider-manner";
/// Of a data plane that signs requests to clouds, and has access tokens given to it for them.
pub const CLOUDS: &str = "clouds";
/// Of a data plane that heeds what a backend may not be asked for.
pub const GRANTS: &str = "grants";
/// Of a data plane that shows a domain's certificates and asks callers for theirs.
pub const TLS: &str = "tls";
/// Of a data plane that tries further backends, in the order of their priorities.
pub const FAILOVER: &str = "failover";

/// Of a data plane that reads answers on whose callers have hung up.
pub const ON_DISCONNECT: &str = "on-disconnect";

fn is_of_cloud(upstream: &Upstream) -> bool {
    let is_plain = |key: &ProviderKey| matches!(key.secret, KeySecret::Plain(_));
    upstream.cloud.is_some() || !upstream.keys.iter().all(is_plain)
}

fn domain_references(domain: &Domain) -> Vec<Name> {
    let routes = domain.routes.iter();
    let anonymous = routes
        .clone()
        .filter_map(|route| match &route.authentication {
            Some(Authentication::Optional {
                anonymous_consumer: Some(name),
            }) => Some(Name::Consumer(ObjectName::new(&domain.namespace, name))),
            _ => None,
        });
    let templates = routes.clone().filter_map(|route| match &route.template {
        Some(Template::Rules(name)) => Some(Name::Rules(name.clone())),
        Some(Template::Faulty { .. }) | None => None,
    });
    routes
        .clone()
        .flat_map(|route| providers(&route.rules))
        .chain(anonymous)
        .chain(templates)
        .chain(domain.certificates.iter().cloned().map(Name::Certificate))
        .chain(
            domain
                .client_authorities
                .iter()
                .cloned()
                .map(Name::Authority),
        )
        .chain([Name::Tenant(domain.namespace.clone()), Name::Fleet])
        .collect()
}

/// A backend that cannot be used needs no provider.
fn providers(rules: &[Rule]) -> impl Iterator<Item = Name> {
    let backends = rules.iter().flat_map(|rule| &rule.backends);
    backends
        .filter(|backend| backend.fault.is_none())
        .map(|backend| Name::Provider(backend.provider.clone()))
}

fn domain_features(domain: &Domain) -> Vec<String> {
    let has = |has: fn(&Route) -> bool| domain.routes.iter().any(has);
    let templates = has(|route| route.template.is_some()).then(|| TEMPLATES.to_owned());
    let suspension = has(|route| route.suspension.is_some()).then(|| SUSPENSION.to_owned());
    let has_tls = !domain.certificates.is_empty() || !domain.client_authorities.is_empty();
    let tls = has_tls.then(|| TLS.to_owned());
    let rules = domain.routes.iter().flat_map(|route| &route.rules);
    let drain = drain_feature(domain.routes.iter().map(|route| route.on_disconnect));
    templates
        .into_iter()
        .chain(suspension)
        .chain(tls)
        .chain(rules_features(rules))
        .chain(drain)
        .collect()
}

fn drain_feature(said: impl IntoIterator<Item = Option<OnDisconnect>>) -> Option<String> {
    let mut said = said.into_iter();
    let drains = said.any(|it| it == Some(OnDisconnect::Drain));
    drains.then(|| ON_DISCONNECT.to_owned())
}

fn rules_features<'a>(rules: impl Iterator<Item = &'a Rule> + Clone) -> Vec<String> {
    let mut backends = rules.clone().flat_map(|rule| &rule.backends);
    let is_bound = |backend: &Backend| backend.fault.is_some() || !backend.models.is_empty();
    let grants = backends.clone().any(is_bound).then(|| GRANTS.to_owned());
    let is_persistent = backends.any(|backend| backend.priority > 0)
        || rules
            .into_iter()
            .any(|rule| rule.retries != Retries::default());
    let failover = is_persistent.then(|| FAILOVER.to_owned());
    grants.into_iter().chain(failover).collect()
}
