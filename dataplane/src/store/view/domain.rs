//! A domain: which routes, rules and backends decide over a host's requests.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use turnpike_snapshot::domain::{
    Authentication, Backend, Domain, Grant, HeaderMatch, Match, Route, Rule,
};
use turnpike_snapshot::name::ObjectName;

use super::{CompileError, ConsumerSlot, FleetSlot, PathMatch, ProviderSlot, TenantSlot};
use crate::store::glob::Globs;
use crate::store::tables::Tables;

/// Everything that decides what happens to a request for one host.
#[derive(Debug)]
pub struct DomainView {
    /// The host, or the wildcard that covers it.
    pub host: Arc<str>,
    /// The tenant.
    pub namespace: Arc<str>,
    /// Rules apply in this order.
    pub routes: Vec<RouteView>,
    /// What holds for the namespace; empty only after it was withdrawn.
    pub tenant: Arc<TenantSlot>,
    /// What holds for all namespaces; empty only after it was withdrawn.
    pub fleet: Arc<FleetSlot>,
    /// Whether a rule or grant looks at the model, so that a body must be read to decide.
    pub needs_body: bool,
    /// The largest of the routes', in bytes: what is read before the route is known.
    pub max_body_bytes: u64,
}

/// The rules of one AIRoute and who may use them.
#[derive(Debug)]
pub struct RouteView {
    /// The AIRoute's name.
    pub name: Arc<str>,
    /// How callers show who they are.
    pub authentication: AuthenticationView,
    /// Any one suffices; empty: every consumer of the namespace.
    pub allow: Vec<GrantView>,
    /// First match wins.
    pub rules: Vec<RuleView>,
    /// Bytes; a longer request body is refused.
    pub max_body_bytes: u64,
}

/// How callers show who they are.
#[derive(Debug)]
pub enum AuthenticationView {
    /// A key is needed.
    Required,
    /// Callers without a key go by this consumer, or by none.
    Optional {
        /// Stands for callers without a key.
        anonymous: Option<Arc<ConsumerSlot>>,
    },
}

/// Lets consumers of these names or groups through, for these models.
#[derive(Debug)]
pub struct GrantView {
    /// Consumer names; alternatives to the groups.
    pub consumers: Vec<Arc<str>>,
    /// Consumer groups. Both empty: every consumer.
    pub groups: Vec<Arc<str>>,
    /// Over the model that the client asked for.
    pub models: Globs,
}

/// Where matching requests go.
#[derive(Debug)]
pub struct RuleView {
    /// As the route names it, else `rules[i]`.
    pub name: Arc<str>,
    /// Any one suffices; empty: everything matches.
    pub matches: Vec<MatchView>,
    /// Chosen by weight.
    pub backends: Vec<BackendView>,
}

/// All conditions given must hold.
#[derive(Debug)]
pub struct MatchView {
    /// Over the request's path, without its query.
    pub path: Option<PathMatch>,
    /// Over the model.
    pub models: Globs,
    /// All must hold, byte for byte.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The consumer is in any one of these.
    pub groups: Vec<Arc<str>>,
}

/// One provider that a rule may choose.
#[derive(Debug)]
pub struct BackendView {
    /// Empty: the provider is gone or was refused.
    pub provider: Arc<ProviderSlot>,
    /// `namespace/name`, for logs and metrics.
    pub provider_name: Arc<str>,
    /// The model to ask it for; `None`: the one that the client asked for.
    pub model: Option<Arc<str>>,
    /// Its share among the rule's backends; 0: never chosen.
    pub weight: u32,
}

impl DomainView {
    /// Compiles a domain; providers, the tenant and the fleet become slots.
    pub(crate) fn compile(
        host: &str,
        domain: &Domain,
        tables: &Tables,
    ) -> Result<Self, CompileError> {
        let routes = domain
            .routes
            .iter()
            .map(|route| RouteView::compile(route, &domain.namespace, tables))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            host: host.into(),
            namespace: domain.namespace.as_str().into(),
            tenant: tables.tenants.slot(&domain.namespace),
            fleet: tables.fleet.clone(),
            needs_body: routes.iter().any(RouteView::needs_body),
            max_body_bytes: routes
                .iter()
                .map(|route| route.max_body_bytes)
                .max()
                .unwrap_or(0),
            routes,
        })
    }
}

impl RouteView {
    fn compile(route: &Route, namespace: &str, tables: &Tables) -> Result<Self, CompileError> {
        Ok(Self {
            name: route.name.as_str().into(),
            authentication: AuthenticationView::compile(&route.authentication, namespace, tables),
            allow: route
                .allow
                .iter()
                .map(GrantView::compile)
                .collect::<Result<_, _>>()?,
            rules: route
                .rules
                .iter()
                .map(|rule| RuleView::compile(rule, tables))
                .collect::<Result<_, _>>()?,
            max_body_bytes: route.max_body_bytes,
        })
    }

    fn needs_body(&self) -> bool {
        let mut matches = self.rules.iter().flat_map(|rule| &rule.matches);
        matches.any(|one| !one.models.is_empty())
            || self.allow.iter().any(|grant| !grant.models.is_empty())
    }
}

impl AuthenticationView {
    fn compile(authentication: &Authentication, namespace: &str, tables: &Tables) -> Self {
        match authentication {
            Authentication::Required => Self::Required,
            Authentication::Optional { anonymous_consumer } => Self::Optional {
                anonymous: anonymous_consumer
                    .as_ref()
                    .map(|name| tables.consumers.slot(&ObjectName::new(namespace, name))),
            },
        }
    }
}

impl GrantView {
    fn compile(grant: &Grant) -> Result<Self, CompileError> {
        Ok(Self {
            consumers: texts(&grant.consumers),
            groups: texts(&grant.groups),
            models: Globs::parse(&grant.models)?,
        })
    }
}

impl RuleView {
    fn compile(rule: &Rule, tables: &Tables) -> Result<Self, CompileError> {
        Ok(Self {
            name: rule.name.as_str().into(),
            matches: rule
                .matches
                .iter()
                .map(MatchView::compile)
                .collect::<Result<_, _>>()?,
            backends: rule
                .backends
                .iter()
                .map(|backend| BackendView::compile(backend, tables))
                .collect(),
        })
    }
}

impl MatchView {
    fn compile(one: &Match) -> Result<Self, CompileError> {
        Ok(Self {
            path: one.path.clone(),
            models: Globs::parse(&one.models)?,
            headers: one.headers.iter().map(header).collect::<Result<_, _>>()?,
            groups: texts(&one.groups),
        })
    }
}

impl BackendView {
    fn compile(backend: &Backend, tables: &Tables) -> Self {
        Self {
            provider: tables.providers.slot(&backend.provider),
            provider_name: backend.provider.to_string().into(),
            model: backend.model.as_deref().map(Into::into),
            weight: backend.weight,
        }
    }
}

fn header(one: &HeaderMatch) -> Result<(HeaderName, HeaderValue), CompileError> {
    let wrong = || CompileError::Header(one.name.clone());
    Ok((
        one.name.parse().map_err(|_| wrong())?,
        HeaderValue::from_bytes(one.value.as_bytes()).map_err(|_| wrong())?,
    ))
}

/// Shares each text.
pub(super) fn texts(list: &[String]) -> Vec<Arc<str>> {
    list.iter().map(|text| text.as_str().into()).collect()
}
