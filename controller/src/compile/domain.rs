//! AIRoutes: the domain of a host is all routes of the namespace that has it,
//! oldest first.
//!
//! A glob that is none matches nothing; what is left of its route stays in
//! force. Providers that don't exist stay in their rules, so that requests for
//! them are answered 503 and not by another rule.

use turnpike_crds::AIRouteSpec;
use turnpike_crds::ai_route::{
    Allow, Authentication as Authenticated, AuthenticationMode, PathMatchType, RouteMatch,
    RouteRule,
};
use turnpike_snapshot::Name;
use turnpike_snapshot::domain::{
    Authentication, Backend, Domain, Grant, HeaderMatch, Match, PathMatch, Route, Rule,
};
use turnpike_snapshot::name::ObjectName;

use crate::compile::finding::{Issue, Subject};
use crate::compile::reference::{glob_issues, readable};
use crate::index::Index;

pub(crate) fn compile(index: &Index, host: &str) -> Option<Domain> {
    let namespace = index.hosts.owner(host)?.to_owned();
    let routes = index.hosts.routes(host);
    let routes = routes.filter_map(|name| Some(route(name, &index.routes.get(name)?.spec)));
    Some(Domain {
        routes: routes.collect(),
        namespace,
    })
}

pub(crate) fn names(index: &Index, name: &ObjectName) -> Vec<Name> {
    let Some(route) = index.routes.get(name) else {
        return Vec::new();
    };
    let hosts = route.spec.hostnames.iter();
    hosts
        .filter(|host| index.hosts.owner(host) == Some(&name.namespace))
        .map(|host| Name::Domain(host.clone()))
        .collect()
}

pub(crate) fn issues(index: &Index, name: &ObjectName) -> Option<Vec<Issue>> {
    let spec = &index.routes.get(name)?.spec;
    let mut issues = host_issues(index, name, spec);
    issues.extend(model_issues(spec));
    issues.extend(backend_issues(index, name, spec));
    issues.extend(anonymous_issue(index, name, spec));
    Some(issues)
}

fn host_issues(index: &Index, name: &ObjectName, spec: &AIRouteSpec) -> Vec<Issue> {
    let hosts = spec.hostnames.iter().enumerate();
    hosts
        .filter(|(_, host)| index.hosts.owner(host) != Some(&name.namespace))
        .map(|(at, host)| {
            Issue::new(
                Subject::Accepted,
                "HostnameConflict",
                format!("spec.hostnames[{at}]"),
                format!("{host} is claimed by an older route of another namespace; choose another name here, or wait until it is given up"),
            )
        })
        .collect()
}

fn model_issues(spec: &AIRouteSpec) -> Vec<Issue> {
    let mut issues = Vec::new();
    for (at, allow) in spec.authorization.allow.iter().enumerate() {
        let path = format!("spec.authorization.allow[{at}].models");
        issues.extend(glob_issues(&path, &allow.models));
    }
    for (at, rule) in spec.rules.iter().enumerate() {
        for (of, entry) in rule.matches.iter().enumerate() {
            let path = format!("spec.rules[{at}].matches[{of}].models");
            issues.extend(glob_issues(&path, &entry.models));
        }
    }
    issues
}

fn backend_issues(index: &Index, name: &ObjectName, spec: &AIRouteSpec) -> Vec<Issue> {
    let mut issues = Vec::new();
    for (at, rule) in spec.rules.iter().enumerate() {
        for (of, backend) in rule.backend_refs.iter().enumerate() {
            let provider = ObjectName::new(&name.namespace, &backend.name);
            if !index.providers.contains_key(&provider) {
                issues.push(Issue::new(
                    Subject::ResolvedRefs,
                    "BackendNotFound",
                    format!("spec.rules[{at}].backendRefs[{of}]"),
                    format!("AIProvider {provider} does not exist; create it or correct the name"),
                ));
            }
        }
    }
    issues
}

fn anonymous_issue(index: &Index, name: &ObjectName, spec: &AIRouteSpec) -> Option<Issue> {
    let consumer = spec.authentication.anonymous_consumer.as_ref()?;
    let consumer = ObjectName::new(&name.namespace, consumer);
    (!index.consumers.contains_key(&consumer)).then(|| {
        Issue::new(
            Subject::ResolvedRefs,
            "ConsumerNotFound",
            "spec.authentication.anonymousConsumer",
            format!("Consumer {consumer} does not exist; create it or correct the name"),
        )
    })
}

fn route(name: &ObjectName, spec: &AIRouteSpec) -> Route {
    let rules = spec.rules.iter().enumerate();
    Route {
        name: name.name.clone(),
        authentication: authentication(&spec.authentication),
        allow: grants(&spec.authorization.allow),
        rules: rules
            .filter_map(|(at, spec)| rule(&name.namespace, at, spec))
            .collect(),
        max_body_bytes: u64::try_from(spec.max_body_bytes).unwrap_or_default(),
    }
}

fn authentication(spec: &Authenticated) -> Authentication {
    match spec.mode {
        AuthenticationMode::Required => Authentication::Required,
        AuthenticationMode::Optional => Authentication::Optional {
            anonymous_consumer: spec.anonymous_consumer.clone(),
        },
    }
}

fn grants(allow: &[Allow]) -> Vec<Grant> {
    let grants: Vec<Grant> = allow.iter().filter_map(grant).collect();
    if grants.is_empty() && !allow.is_empty() {
        // No grant at all would let everyone in; no consumer has this name.
        return vec![Grant {
            consumers: vec![String::new()],
            ..Grant::default()
        }];
    }
    grants
}

fn grant(allow: &Allow) -> Option<Grant> {
    Some(Grant {
        consumers: allow.names.clone(),
        groups: allow.groups.clone(),
        models: models(&allow.models)?,
    })
}

fn rule(namespace: &str, at: usize, spec: &RouteRule) -> Option<Rule> {
    let matches: Vec<Match> = spec.matches.iter().filter_map(rule_match).collect();
    if matches.is_empty() && !spec.matches.is_empty() {
        return None;
    }
    let backends = spec.backend_refs.iter();
    Some(Rule {
        name: spec.name.clone().unwrap_or_else(|| format!("rules[{at}]")),
        matches,
        backends: backends
            .map(|backend| Backend {
                provider: ObjectName::new(namespace, &backend.name),
                model: backend.model.clone(),
                weight: u32::try_from(backend.weight).unwrap_or_default(),
            })
            .collect(),
    })
}

fn rule_match(spec: &RouteMatch) -> Option<Match> {
    let path = spec.path.as_ref().map(|path| match path.type_ {
        PathMatchType::Exact => PathMatch::Exact(path.value.clone()),
        PathMatchType::PathPrefix => PathMatch::Prefix(path.value.clone()),
    });
    let headers = spec.headers.iter();
    let consumers = spec.consumers.as_ref();
    Some(Match {
        path,
        models: models(&spec.models)?,
        headers: headers
            .map(|header| HeaderMatch {
                name: header.name.to_ascii_lowercase(),
                value: header.value.clone(),
            })
            .collect(),
        groups: consumers
            .map(|consumers| consumers.groups.clone())
            .unwrap_or_default(),
    })
}

/// Keeps the globs that are; `None`: nothing can match, since none of them is.
fn models(globs: &[String]) -> Option<Vec<String>> {
    let readable = readable(globs);
    (globs.is_empty() || !readable.is_empty()).then_some(readable)
}
