//! The rules of one AIRoute, as its own domain or, of a template, as many others
//! take them.

use std::time::Duration;

use turnpike_crds::AIRouteSpec;
use turnpike_crds::ai_route::{
    Allow, Authentication as Authenticated, AuthenticationMode, BackendRef,
    OnDisconnect as Disconnected, PathMatchType, RouteMatch, RouteRule,
};
use turnpike_crds::retries::FailoverCondition;
use turnpike_snapshot::domain::{
    Authentication, Backend, DEFAULT_MAX_BODY_BYTES, Grant, HeaderMatch, Match, OnDisconnect,
    PathMatch, Rule,
};
use turnpike_snapshot::name::ObjectName;
use turnpike_snapshot::retries::{Failure, Retries};
use turnpike_snapshot::rules::Rules;

use crate::compile::finding::Issue;
use crate::compile::reference::{glob_issues, readable, unadmitted};
use crate::index::Index;
use crate::index::grants::{self, Admission};

/// How long a request's body may be.
pub(crate) struct MaxBody;

impl MaxBody {
    /// Where neither a route nor its template says.
    pub(crate) const DEFAULT: u64 = DEFAULT_MAX_BODY_BYTES;

    /// The schema refuses what is negative.
    pub(crate) fn bytes(written: i64) -> u64 {
        u64::try_from(written).unwrap_or_default()
    }
}

/// Compiles a template; `None`: there is none of this name.
pub(crate) fn compile(index: &Index, name: &ObjectName) -> Option<Rules> {
    let spec = &index.routes.get(name)?.spec;
    if !spec.is_template() {
        return None;
    }
    let authentication = spec.authentication.as_ref();
    // One with an anonymous consumer is copied to each route.
    let lent = authentication.filter(|it| it.anonymous_consumer.is_none());
    let authorization = spec.authorization.as_ref();
    Some(Rules {
        authentication: lent.map_or(Authentication::Required, self::authentication),
        allow: authorization.map_or_else(Vec::new, |it| self::grants(&it.allow)),
        rules: rules(index, &name.namespace, spec),
        max_body_bytes: spec.max_body_bytes.map_or(MaxBody::DEFAULT, MaxBody::bytes),
        head_bytes: spec.head_bytes.map(MaxBody::bytes),
        heartbeat: spec.heartbeat.map(|it| it.0),
        on_disconnect: spec.on_disconnect.map(on_disconnect),
    })
}

/// Compiles the rules of a route in this namespace.
pub(crate) fn rules(index: &Index, namespace: &str, spec: &AIRouteSpec) -> Vec<Rule> {
    let rules = spec.rules.iter().enumerate();
    rules
        .filter_map(|(at, spec)| rule(index, namespace, at, spec))
        .collect()
}

/// Finds globs that are none.
pub(crate) fn model_issues(spec: &AIRouteSpec) -> Vec<Issue> {
    let mut issues = Vec::new();
    let authorization = spec.authorization.iter();
    let allow = authorization.flat_map(|it| &it.allow);
    for (at, allow) in allow.enumerate() {
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

pub(crate) fn on_disconnect(spec: Disconnected) -> OnDisconnect {
    match spec {
        Disconnected::Cancel => OnDisconnect::Cancel,
        Disconnected::Drain => OnDisconnect::Drain,
    }
}

pub(crate) fn authentication(spec: &Authenticated) -> Authentication {
    match spec.mode {
        AuthenticationMode::Required => Authentication::Required,
        AuthenticationMode::Optional => Authentication::Optional {
            anonymous_consumer: spec.anonymous_consumer.clone(),
        },
    }
}

pub(crate) fn grants(allow: &[Allow]) -> Vec<Grant> {
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

fn rule(index: &Index, namespace: &str, at: usize, spec: &RouteRule) -> Option<Rule> {
    let matches: Vec<Match> = spec.matches.iter().filter_map(rule_match).collect();
    if matches.is_empty() && !spec.matches.is_empty() {
        return None;
    }
    let backends = spec.backend_refs.iter();
    Some(Rule {
        name: spec.name.clone().unwrap_or_else(|| format!("rules[{at}]")),
        matches,
        backends: backends
            .map(|spec| backend(index, namespace, spec))
            .collect(),
        retries: retries(spec),
    })
}

fn retries(spec: &RouteRule) -> Retries {
    let tier = spec.backend_refs.first().map(|backend| backend.priority);
    let mut others = spec.backend_refs.iter();
    let has_tiers = others.any(|backend| Some(backend.priority) != tier);
    let retry = spec.retry.as_ref();
    if spec.failover.is_none() && !has_tiers && retry.is_none() {
        return Retries::default();
    }
    let conditions = match &spec.failover {
        Some(failover) => failover.conditions.clone(),
        None => FailoverCondition::usual(),
    };
    let mut conditions: Vec<Failure> = conditions.into_iter().map(failure).collect();
    conditions.sort();
    conditions.dedup();
    let attempts = retry.map_or(0, |retry| retry.attempts);
    Retries {
        conditions,
        is_failover: spec.failover.is_some() || has_tiers,
        attempts: u32::try_from(attempts).unwrap_or_default(),
        backoff: retry.map_or(Duration::ZERO, |retry| retry.backoff.0),
        per_attempt_timeout: retry
            .and_then(|retry| retry.per_attempt_timeout)
            .map_or(Duration::ZERO, |timeout| timeout.0),
    }
}

fn failure(condition: FailoverCondition) -> Failure {
    match condition {
        FailoverCondition::Timeout => Failure::Timeout,
        FailoverCondition::ConnectFailure => Failure::Connect,
        FailoverCondition::RateLimited => Failure::RateLimited,
        FailoverCondition::ServerError => Failure::Server,
        FailoverCondition::CredentialRejected => Failure::CredentialRejected,
    }
}

fn backend(index: &Index, namespace: &str, spec: &BackendRef) -> Backend {
    let provider = grants::provider_name(namespace, spec);
    let (models, fault) = match index.admission(namespace, &provider) {
        Admission::Own | Admission::All => (Vec::new(), None),
        Admission::Models(models) => (models, None),
        Admission::None => (Vec::new(), Some(unadmitted(&provider, namespace))),
    };
    Backend {
        provider,
        model: spec.model.clone(),
        weight: u32::try_from(spec.weight).unwrap_or_default(),
        priority: u32::try_from(spec.priority).unwrap_or_default(),
        models,
        fault,
    }
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
