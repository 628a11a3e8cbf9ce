//! A domain: which routes, rules and backends decide over a host's requests.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use turnpike_snapshot::domain::{
    Authentication, Backend, Domain, Grant, HeaderMatch, Match, OnDisconnect, Route, Rule, Template,
};
use turnpike_snapshot::name::ObjectName;
use turnpike_snapshot::retries::Retries;
use turnpike_snapshot::rules::Rules;

use super::{
    CertificateSlot, ClientRule, CompileError, ConsumerSlot, FleetSlot, PathMatch, ProviderSlot,
    RulesSlot, TenantSlot,
};
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
    /// What it may show in handshakes; an empty slot: that certificate cannot be had.
    pub certificates: Box<[Arc<CertificateSlot>]>,
    /// What callers must show in handshakes.
    pub client_rule: ClientRule,
}

/// The rules of one AIRoute and who may use them.
#[derive(Debug)]
pub struct RouteView {
    /// The AIRoute's name.
    pub name: Arc<str>,
    /// How callers show who they are; `None`: as the template says.
    pub authentication: Option<AuthenticationView>,
    /// Any one suffices; empty: every consumer of the namespace. `None`: as the template says.
    pub allow: Option<Box<[GrantView]>>,
    /// First match wins; the template's follow.
    pub rules: Box<[RuleView]>,
    /// Bytes; a longer request body is refused. `None`: as the template says.
    pub max_body_bytes: Option<u64>,
    /// Bytes of a body that are held while its model is awaited. `None`: as the template says, or
    /// the default.
    pub head_bytes: Option<u64>,
    /// How long a stream may be silent until its caller is sent a comment; zero: for ever. `None`: as
    /// the template says, or the default.
    pub heartbeat: Option<Duration>,
    /// What becomes of the answer of a caller that hangs up; `None`: as the template says, or the
    /// default.
    pub on_disconnect: Option<OnDisconnect>,
    /// Where what is missing comes from.
    pub template: Option<TemplateView>,
    /// What callers are told; `None`: it is in force.
    pub suspension: Option<Box<str>>,
}

/// Where a route takes from what it has not of its own.
#[derive(Debug)]
pub enum TemplateView {
    /// Empty: it is gone or was refused.
    Rules(Arc<RulesSlot>),
    /// Why there is none.
    Faulty(Arc<str>),
}

/// What a template lends to every route that names it.
#[derive(Debug)]
pub struct RulesView {
    /// For routes without their own.
    pub authentication: AuthenticationView,
    /// For routes without their own.
    pub allow: Box<[GrantView]>,
    /// First match wins.
    pub rules: Box<[RuleView]>,
    /// Bytes, for routes without their own.
    pub max_body_bytes: u64,
    /// Bytes of a body that are held while its model is awaited; `None`: the default.
    pub head_bytes: Option<u64>,
    /// Of streams, for routes without their own; `None`: the default.
    pub heartbeat: Option<Duration>,
    /// For routes without their own; `None`: the default.
    pub on_disconnect: Option<OnDisconnect>,
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
    /// Of the lowest priority that offers the model, one is chosen by weight.
    pub backends: Vec<BackendView>,
    /// What happens after an attempt that failed.
    pub retries: Retries,
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
    /// Its share among the rule's backends of its priority; 0: never chosen.
    pub weight: u32,
    /// Which comes first: those of 0, then those of 1, and so on.
    pub priority: u32,
    /// Over the model that the provider is asked for: what it grants.
    pub models: Globs,
    /// Why this route cannot use it.
    pub fault: Option<Arc<str>>,
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
            certificates: domain
                .certificates
                .iter()
                .map(|name| tables.certificates.slot(name))
                .collect(),
            client_rule: ClientRule::compile(&domain.client_authorities, tables),
            routes,
        })
    }
}

impl RouteView {
    fn compile(route: &Route, namespace: &str, tables: &Tables) -> Result<Self, CompileError> {
        let authentication = route.authentication.as_ref();
        Ok(Self {
            name: route.name.as_str().into(),
            authentication: authentication
                .map(|it| AuthenticationView::compile(it, namespace, tables)),
            allow: route.allow.as_deref().map(grants).transpose()?,
            rules: rules(&route.rules, tables)?,
            max_body_bytes: route.max_body_bytes,
            head_bytes: route.head_bytes,
            heartbeat: route.heartbeat,
            on_disconnect: route.on_disconnect,
            template: route.template.as_ref().map(|template| match template {
                Template::Rules(name) => TemplateView::Rules(tables.rules.slot(name)),
                Template::Faulty { reason } => TemplateView::Faulty(reason.as_str().into()),
            }),
            suspension: route.suspension.as_deref().map(Into::into),
        })
    }
}

impl RulesView {
    /// Compiles a template; providers become slots.
    pub(crate) fn compile(template: &Rules, tables: &Tables) -> Result<Self, CompileError> {
        // An anonymous consumer would be one of each route's namespace: there is none here.
        let authentication = match template.authentication {
            Authentication::Required => AuthenticationView::Required,
            Authentication::Optional { .. } => AuthenticationView::Optional { anonymous: None },
        };
        Ok(Self {
            authentication,
            allow: grants(&template.allow)?,
            rules: rules(&template.rules, tables)?,
            max_body_bytes: template.max_body_bytes,
            head_bytes: template.head_bytes,
            heartbeat: template.heartbeat,
            on_disconnect: template.on_disconnect,
        })
    }
}

fn grants(grants: &[Grant]) -> Result<Box<[GrantView]>, CompileError> {
    grants.iter().map(GrantView::compile).collect()
}

fn rules(rules: &[Rule], tables: &Tables) -> Result<Box<[RuleView]>, CompileError> {
    let rules = rules.iter();
    rules.map(|rule| RuleView::compile(rule, tables)).collect()
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
    pub(crate) fn compile(rule: &Rule, tables: &Tables) -> Result<Self, CompileError> {
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
                .collect::<Result<_, _>>()?,
            retries: rule.retries.clone(),
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
    fn compile(backend: &Backend, tables: &Tables) -> Result<Self, CompileError> {
        Ok(Self {
            provider: tables.providers.slot(&backend.provider),
            provider_name: backend.provider.to_string().into(),
            model: backend.model.as_deref().map(Into::into),
            weight: backend.weight,
            priority: backend.priority,
            models: Globs::parse(&backend.models)?,
            fault: backend.fault.as_deref().map(Into::into),
        })
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
