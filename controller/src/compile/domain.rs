//! AIRoutes: the domain of a host is all routes of the namespace that has it,
//! oldest first.
//!
//! A glob that is none matches nothing; what is left of its route stays in
//! force. Providers that don't exist stay in their rules, so that requests for
//! them are answered 503 and not by another rule; so do a route's template that
//! cannot be had, and providers elsewhere that do not admit the namespace.

use turnpike_crds::AIRouteSpec;
use turnpike_crds::ai_route::RouteState;
use turnpike_snapshot::Name;
use turnpike_snapshot::domain::{Authentication, Domain, Route, Template};
use turnpike_snapshot::name::ObjectName;

use crate::compile::certificate;
use crate::compile::finding::{HostnameFinding, Issue, Subject};
use crate::compile::reference::{template_fault, unadmitted};
use crate::compile::rules::{self, MaxBody};
use crate::index::Index;
use crate::index::certificates::{certificates, client_authority};
use crate::index::grants::{self, Admission, Lent};
use crate::index::hostnames::Permission;
use crate::index::table::Age;

const SUSPENDED: &str = "this tenant is suspended; ask who runs it";

pub(crate) fn compile(index: &Index, host: &str) -> Option<Domain> {
    let namespace = index.hosts.owner(host)?.to_owned();
    let routes = index.hosts.routes(host);
    let specs = routes.filter_map(|name| Some((name, &index.routes.get(name)?.spec)));
    let mut domain = Domain {
        namespace,
        ..Domain::default()
    };
    for (name, spec) in specs {
        domain.routes.push(route(index, name, spec));
        for certificate in certificates(&name.namespace, spec) {
            if !domain.certificates.contains(&certificate) {
                domain.certificates.push(certificate);
            }
        }
        let authority = client_authority(&name.namespace, spec);
        domain.client_authorities.extend(authority);
    }
    domain.client_authorities.sort();
    domain.client_authorities.dedup();
    Some(domain)
}

pub(crate) fn names(index: &Index, name: &ObjectName) -> Vec<Name> {
    let Some(route) = index.routes.get(name) else {
        return Vec::new();
    };
    if route.spec.is_template() {
        return vec![Name::Rules(name.clone())];
    }
    let age = route.age(name);
    let is_own = |host: &&String| {
        index.hosts.owner(host) == Some(&name.namespace) && index.hosts.is_claimed(host, &age)
    };
    let hosts = route.spec.hostnames.iter().filter(is_own);
    let mut names: Vec<Name> = hosts.map(|host| Name::Domain(host.clone())).collect();
    if !names.is_empty() {
        let authority = client_authority(&name.namespace, &route.spec);
        names.extend(certificates(&name.namespace, &route.spec).map(Name::Certificate));
        names.extend(authority.map(Name::Authority));
    }
    names
}

/// Says of each hostname whether it is the route's.
pub(crate) fn hostnames(index: &Index, name: &ObjectName) -> Vec<HostnameFinding> {
    let Some(route) = index.routes.get(name) else {
        return Vec::new();
    };
    let age = route.age(name);
    let hosts = route.spec.hostnames.iter();
    hosts
        .map(|host| HostnameFinding::new(host, host_fault(index, name, &age, host)))
        .collect()
}

pub(crate) fn issues(index: &Index, name: &ObjectName) -> Option<Vec<Issue>> {
    let stored = index.routes.get(name)?;
    let spec = &stored.spec;
    let mut issues = host_issues(index, name, &stored.age(name), spec);
    issues.extend(template_issue(index, name, spec));
    issues.extend(rules::model_issues(spec));
    issues.extend(backend_issues(index, name, spec));
    issues.extend(anonymous_issue(index, name, spec));
    issues.extend(certificate::issues(index, name, spec));
    Some(issues)
}

fn host_issues(index: &Index, name: &ObjectName, age: &Age, spec: &AIRouteSpec) -> Vec<Issue> {
    let hosts = spec.hostnames.iter().enumerate();
    hosts
        .filter_map(|(at, host)| {
            let (reason, message) = host_fault(index, name, age, host)?;
            let path = format!("spec.hostnames[{at}]");
            Some(Issue::new(Subject::Accepted, reason, path, message))
        })
        .collect()
}

/// Says why a host is not this route's; who has it is told to the platform alone.
pub(crate) fn host_fault(
    index: &Index,
    name: &ObjectName,
    age: &Age,
    host: &str,
) -> Option<(&'static str, String)> {
    let namespace = &name.namespace;
    let permission = index.permission(namespace, host);
    if permission == Permission::Refused {
        return Some((
            "NotPermitted",
            format!(
                "namespace {namespace} may not claim {host}; who runs the platform allows it by \
                 --hostname-policy, or by the annotation {} on the Namespace",
                turnpike_crds::HOSTNAMES_ANNOTATION
            ),
        ));
    }
    let wildcard = match permission {
        Permission::Open if !host.starts_with('*') => index.hosts.wildcard_before(host, age),
        _ => None,
    };
    let (what, by) = match wildcard {
        Some(first) => ("is below a wildcard of", first),
        None => {
            let first = index.hosts.first(host);
            let other = first.filter(|first| first.name.namespace != *namespace)?;
            ("is claimed by", other)
        }
    };
    let whose = match *namespace == index.platform_namespace() {
        true => format!("namespace {}", by.name.namespace),
        false => "another namespace".to_owned(),
    };
    Some((
        "HostnameConflict",
        format!(
            "{host} {what} an older route of {whose}; choose another name here, or wait until it \
             is given up"
        ),
    ))
}

fn template_issue(index: &Index, name: &ObjectName, spec: &AIRouteSpec) -> Option<Issue> {
    let template = grants::template_name(&name.namespace, spec)?;
    index.lent(name, spec).is_none().then(|| {
        Issue::new(
            Subject::ResolvedRefs,
            "TemplateNotFound",
            "spec.rulesFrom",
            template_fault(&template, &name.namespace),
        )
    })
}

fn backend_issues(index: &Index, name: &ObjectName, spec: &AIRouteSpec) -> Vec<Issue> {
    let mut issues = Vec::new();
    for (at, rule) in spec.rules.iter().enumerate() {
        for (of, backend) in rule.backend_refs.iter().enumerate() {
            let provider = grants::provider_name(&name.namespace, backend);
            let message = match index.admission(&name.namespace, &provider) {
                Admission::Own if !index.providers.contains_key(&provider) => {
                    format!("AIProvider {provider} does not exist; create it or correct the name")
                }
                Admission::None => unadmitted(&provider, &name.namespace),
                Admission::Own | Admission::All | Admission::Models(_) => continue,
            };
            issues.push(Issue::new(
                Subject::ResolvedRefs,
                "BackendNotFound",
                format!("spec.rules[{at}].backendRefs[{of}]"),
                message,
            ));
        }
    }
    issues
}

/// A template's anonymous consumer is looked for where the template is taken.
fn anonymous_issue(index: &Index, name: &ObjectName, spec: &AIRouteSpec) -> Option<Issue> {
    let consumer = spec.authentication.as_ref()?.anonymous_consumer.as_ref()?;
    let consumer = ObjectName::new(&name.namespace, consumer);
    let is_missing = !spec.is_template() && !index.consumers.contains_key(&consumer);
    is_missing.then(|| {
        Issue::new(
            Subject::ResolvedRefs,
            "ConsumerNotFound",
            "spec.authentication.anonymousConsumer",
            format!("Consumer {consumer} does not exist; create it or correct the name"),
        )
    })
}

fn route(index: &Index, name: &ObjectName, spec: &AIRouteSpec) -> Route {
    let template = template(index, name, spec);
    let lent = index.lent(name, spec);
    let inherits = template.is_some();
    Route {
        name: name.name.clone(),
        authentication: match (&spec.authentication, lent.and_then(Lent::copied)) {
            (Some(own), _) => Some(rules::authentication(own)),
            (None, Some(copied)) => Some(rules::authentication(copied)),
            (None, None) => (!inherits).then_some(Authentication::Required),
        },
        allow: match &spec.authorization {
            Some(own) => Some(rules::grants(&own.allow)),
            None => (!inherits).then(Vec::new),
        },
        rules: rules::rules(index, &name.namespace, spec),
        max_body_bytes: match spec.max_body_bytes {
            Some(own) => Some(MaxBody::bytes(own)),
            None => (!inherits).then_some(MaxBody::DEFAULT),
        },
        head_bytes: spec.head_bytes.map(MaxBody::bytes),
        heartbeat: spec.heartbeat.map(|it| it.0),
        on_disconnect: spec.on_disconnect.map(rules::on_disconnect),
        template,
        suspension: suspension(spec),
    }
}

/// What callers of a suspended route are told.
fn suspension(spec: &AIRouteSpec) -> Option<String> {
    let told = spec.state_message.as_deref().unwrap_or(SUSPENDED);
    (spec.state == RouteState::Suspended).then(|| told.to_owned())
}

fn template(index: &Index, name: &ObjectName, spec: &AIRouteSpec) -> Option<Template> {
    let template = grants::template_name(&name.namespace, spec)?;
    Some(match index.lent(name, spec) {
        Some(_) => Template::Rules(template),
        None => Template::Faulty {
            reason: template_fault(&template, &name.namespace),
        },
    })
}
