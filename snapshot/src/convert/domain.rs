//! Domains to protobuf and back.

use std::time::Duration;

use super::provider::millis;
use super::{ConvertError, non_empty, read_all};
use crate::domain::{
    Authentication, Backend, Domain, Grant, HeaderMatch, Match, OnDisconnect, PathMatch, Route,
    Rule, Template,
};
use crate::name::ObjectName;
use crate::proto;
use crate::retries::Retries;

impl From<&Domain> for proto::Domain {
    fn from(domain: &Domain) -> Self {
        Self {
            namespace: domain.namespace.clone(),
            routes: domain.routes.iter().map(Into::into).collect(),
            certificates: names(&domain.certificates),
            client_authorities: names(&domain.client_authorities),
        }
    }
}

impl TryFrom<proto::Domain> for Domain {
    type Error = ConvertError;

    fn try_from(domain: proto::Domain) -> Result<Self, ConvertError> {
        Ok(Self {
            namespace: domain.namespace,
            routes: read_all(domain.routes)?,
            certificates: read_names(&domain.certificates)?,
            client_authorities: read_names(&domain.client_authorities)?,
        })
    }
}

fn names(objects: &[ObjectName]) -> Vec<String> {
    objects.iter().map(ToString::to_string).collect()
}

fn read_names(names: &[String]) -> Result<Vec<ObjectName>, ConvertError> {
    let names = names.iter().map(|name| name.parse());
    Ok(names.collect::<Result<_, _>>()?)
}

impl From<&Route> for proto::Route {
    fn from(route: &Route) -> Self {
        let allow = route.allow.iter().flatten();
        Self {
            name: route.name.clone(),
            // What is the template's stands at its default.
            authentication: Some(match &route.authentication {
                Some(authentication) => authentication.into(),
                None => proto::Authentication::default(),
            }),
            allow: allow.map(Into::into).collect(),
            rules: route.rules.iter().map(Into::into).collect(),
            max_body_bytes: route.max_body_bytes.unwrap_or_default(),
            head_bytes: route.head_bytes,
            heartbeat_ms: route.heartbeat.map(millis),
            on_disconnect: proto::OnDisconnect::from(route.on_disconnect).into(),
            template: route.template.as_ref().map(|template| proto::Template {
                state: Some(template.into()),
                authentication: route.authentication.is_none(),
                allow: route.allow.is_none(),
                max_body_bytes: route.max_body_bytes.is_none(),
            }),
            suspension: route.suspension.as_ref().map(|message| proto::Suspension {
                message: message.clone(),
            }),
        }
    }
}

impl TryFrom<proto::Route> for Route {
    type Error = ConvertError;

    fn try_from(route: proto::Route) -> Result<Self, ConvertError> {
        let template = route.template.as_ref();
        let is_own = |inherits: fn(&proto::Template) -> bool| !template.is_some_and(inherits);
        let authentication = route
            .authentication
            .ok_or(ConvertError::Missing("authentication"))?;
        let allow = route.allow.into_iter().map(Into::into);
        Ok(Self {
            authentication: is_own(|it| it.authentication).then(|| authentication.into()),
            allow: is_own(|it| it.allow).then(|| allow.collect()),
            max_body_bytes: is_own(|it| it.max_body_bytes).then_some(route.max_body_bytes),
            head_bytes: route.head_bytes,
            heartbeat: route.heartbeat_ms.map(Duration::from_millis),
            on_disconnect: on_disconnect(route.on_disconnect)?,
            name: route.name,
            rules: read_all(route.rules)?,
            template: route.template.map(TryInto::try_into).transpose()?,
            suspension: route.suspension.map(|suspension| suspension.message),
        })
    }
}

impl From<Option<OnDisconnect>> for proto::OnDisconnect {
    fn from(said: Option<OnDisconnect>) -> Self {
        match said {
            None => Self::Unspecified,
            Some(OnDisconnect::Cancel) => Self::Cancel,
            Some(OnDisconnect::Drain) => Self::Drain,
        }
    }
}

pub(super) fn on_disconnect(code: i32) -> Result<Option<OnDisconnect>, ConvertError> {
    match proto::OnDisconnect::try_from(code) {
        Ok(proto::OnDisconnect::Unspecified) => Ok(None),
        Ok(proto::OnDisconnect::Cancel) => Ok(Some(OnDisconnect::Cancel)),
        Ok(proto::OnDisconnect::Drain) => Ok(Some(OnDisconnect::Drain)),
        Err(_) => Err(ConvertError::Missing("on_disconnect")),
    }
}

impl From<&Template> for proto::template::State {
    fn from(template: &Template) -> Self {
        match template {
            Template::Rules(name) => Self::Rules(name.to_string()),
            Template::Faulty { reason } => Self::Fault(reason.clone()),
        }
    }
}

impl TryFrom<proto::Template> for Template {
    type Error = ConvertError;

    fn try_from(template: proto::Template) -> Result<Self, ConvertError> {
        use proto::template::State;
        Ok(
            match template.state.ok_or(ConvertError::Missing("template"))? {
                State::Rules(name) => Template::Rules(name.parse()?),
                State::Fault(reason) => Template::Faulty { reason },
            },
        )
    }
}

impl From<&Authentication> for proto::Authentication {
    fn from(authentication: &Authentication) -> Self {
        match authentication {
            Authentication::Required => Self::default(),
            Authentication::Optional { anonymous_consumer } => Self {
                optional: true,
                anonymous_consumer: anonymous_consumer.clone().unwrap_or_default(),
            },
        }
    }
}

impl From<proto::Authentication> for Authentication {
    fn from(authentication: proto::Authentication) -> Self {
        if authentication.optional {
            Authentication::Optional {
                anonymous_consumer: non_empty(authentication.anonymous_consumer),
            }
        } else {
            Authentication::Required
        }
    }
}

impl From<&Grant> for proto::Grant {
    fn from(grant: &Grant) -> Self {
        Self {
            consumers: grant.consumers.clone(),
            groups: grant.groups.clone(),
            models: grant.models.clone(),
        }
    }
}

impl From<proto::Grant> for Grant {
    fn from(grant: proto::Grant) -> Self {
        Self {
            consumers: grant.consumers,
            groups: grant.groups,
            models: grant.models,
        }
    }
}

impl From<&Rule> for proto::Rule {
    fn from(rule: &Rule) -> Self {
        Self {
            name: rule.name.clone(),
            matches: rule.matches.iter().map(Into::into).collect(),
            backends: rule.backends.iter().map(Into::into).collect(),
            retries: (rule.retries != Retries::default()).then(|| (&rule.retries).into()),
        }
    }
}

impl TryFrom<proto::Rule> for Rule {
    type Error = ConvertError;

    fn try_from(rule: proto::Rule) -> Result<Self, ConvertError> {
        Ok(Self {
            name: rule.name,
            matches: read_all(rule.matches)?,
            backends: read_all(rule.backends)?,
            retries: rule
                .retries
                .map_or_else(|| Ok(Retries::default()), TryInto::try_into)?,
        })
    }
}

impl From<&Match> for proto::Match {
    fn from(rule: &Match) -> Self {
        let headers = rule.headers.iter();
        Self {
            path: rule.path.as_ref().map(Into::into),
            models: rule.models.clone(),
            headers: headers
                .map(|header| proto::HeaderMatch {
                    name: header.name.clone(),
                    value: header.value.clone(),
                })
                .collect(),
            groups: rule.groups.clone(),
        }
    }
}

impl TryFrom<proto::Match> for Match {
    type Error = ConvertError;

    fn try_from(rule: proto::Match) -> Result<Self, ConvertError> {
        let headers = rule.headers.into_iter();
        Ok(Self {
            path: rule.path.map(TryInto::try_into).transpose()?,
            models: rule.models,
            headers: headers
                .map(|header| HeaderMatch {
                    name: header.name,
                    value: header.value,
                })
                .collect(),
            groups: rule.groups,
        })
    }
}

impl From<&PathMatch> for proto::PathMatch {
    fn from(path: &PathMatch) -> Self {
        use proto::path_match::Kind;
        let kind = match path {
            PathMatch::Exact(path) => Kind::Exact(path.clone()),
            PathMatch::Prefix(path) => Kind::Prefix(path.clone()),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<proto::PathMatch> for PathMatch {
    type Error = ConvertError;

    fn try_from(path: proto::PathMatch) -> Result<Self, ConvertError> {
        use proto::path_match::Kind;
        Ok(
            match path.kind.ok_or(ConvertError::Missing("path match"))? {
                Kind::Exact(path) => PathMatch::Exact(path),
                Kind::Prefix(path) => PathMatch::Prefix(path),
            },
        )
    }
}

impl From<&Backend> for proto::Backend {
    fn from(backend: &Backend) -> Self {
        Self {
            provider: backend.provider.to_string(),
            model: backend.model.clone().unwrap_or_default(),
            weight: backend.weight,
            priority: backend.priority,
            models: backend.models.clone(),
            fault: backend.fault.clone().unwrap_or_default(),
        }
    }
}

impl TryFrom<proto::Backend> for Backend {
    type Error = ConvertError;

    fn try_from(backend: proto::Backend) -> Result<Self, ConvertError> {
        Ok(Self {
            provider: backend.provider.parse()?,
            model: non_empty(backend.model),
            weight: backend.weight,
            priority: backend.priority,
            models: backend.models,
            fault: non_empty(backend.fault),
        })
    }
}
