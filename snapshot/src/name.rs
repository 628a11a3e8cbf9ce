//! Names of snapshots: what data planes subscribe to and snapshots refer to.

use std::fmt;
use std::str::FromStr;

use crate::credential::CredentialId;

/// The name of a snapshot; written `kind/…` on the wire and in logs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Name {
    /// `domain/<host>`: lower case, no port, no trailing dot; `*.suffix` or `*` for wildcards.
    Domain(String),
    /// `provider/<namespace>/<name>`.
    Provider(ObjectName),
    /// `endpoints/<namespace>/<service>/<port>`: who serves a port of a Service.
    Endpoints(ServicePort),
    /// `rules/<namespace>/<name>`: a route template.
    Rules(ObjectName),
    /// `credential/<realm>/key/<id>`: an API key. The realm is the namespace whose consumers count.
    Credential {
        /// The namespace that consumers are looked up in.
        realm: String,
        /// The keyed digest of the API key.
        id: CredentialId,
    },
    /// `consumer/<namespace>/<name>`.
    Consumer(ObjectName),
    /// `quota/<namespace>/<name>`.
    Quota(ObjectName),
    /// `tenant/<namespace>`: what holds for a whole namespace.
    Tenant(String),
    /// `fleet`: what holds for all namespaces.
    Fleet,
    /// `certificate/<namespace>/<name>`: a Secret with a certificate and its key.
    Certificate(ObjectName),
    /// `authority/<namespace>/<name>`: a Secret with CAs that callers' certificates are signed by.
    Authority(ObjectName),
    /// `fleet-certificates`: the platform's certificates, for hosts without one of their own.
    FleetCertificates,
}

/// A namespaced object; written `namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName {
    /// The Kubernetes namespace.
    pub namespace: String,
    /// The object's name in it.
    pub name: String,
}

/// A port of a Kubernetes Service; written `namespace/service/port`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServicePort {
    /// The Service.
    pub service: ObjectName,
    /// The Service's own number of the port.
    pub port: u16,
}

/// The text is not the name of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the name of a snapshot")]
pub struct NameError(pub String);

impl Name {
    /// Whether a data plane may ask for it by itself; all else comes along by reference.
    pub fn is_subscribable(&self) -> bool {
        matches!(
            self,
            Name::Domain(_) | Name::Credential { .. } | Name::FleetCertificates
        )
    }
}

impl ObjectName {
    /// Joins a namespace and a name.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Domain(host) => write!(f, "domain/{host}"),
            Name::Provider(object) => write!(f, "provider/{object}"),
            Name::Endpoints(port) => write!(f, "endpoints/{port}"),
            Name::Rules(object) => write!(f, "rules/{object}"),
            Name::Credential { realm, id } => write!(f, "credential/{realm}/key/{id}"),
            Name::Consumer(object) => write!(f, "consumer/{object}"),
            Name::Quota(object) => write!(f, "quota/{object}"),
            Name::Tenant(namespace) => write!(f, "tenant/{namespace}"),
            Name::Fleet => f.write_str("fleet"),
            Name::Certificate(object) => write!(f, "certificate/{object}"),
            Name::Authority(object) => write!(f, "authority/{object}"),
            Name::FleetCertificates => f.write_str("fleet-certificates"),
        }
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        parse(text).ok_or_else(|| NameError(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<Name> {
    match text {
        "fleet" => return Some(Name::Fleet),
        "fleet-certificates" => return Some(Name::FleetCertificates),
        _ => {}
    }
    let (kind, rest) = text.split_once('/')?;
    match kind {
        "domain" => segment(rest).map(Name::Domain),
        "provider" => rest.parse().ok().map(Name::Provider),
        "endpoints" => rest.parse().ok().map(Name::Endpoints),
        "rules" => rest.parse().ok().map(Name::Rules),
        "consumer" => rest.parse().ok().map(Name::Consumer),
        "quota" => rest.parse().ok().map(Name::Quota),
        "certificate" => rest.parse().ok().map(Name::Certificate),
        "authority" => rest.parse().ok().map(Name::Authority),
        "tenant" => segment(rest).map(Name::Tenant),
        "credential" => {
            let (realm, rest) = rest.split_once('/')?;
            let id = rest.strip_prefix("key/")?.parse().ok()?;
            Some(Name::Credential {
                realm: segment(realm)?,
                id,
            })
        }
        _ => None,
    }
}

fn segment(text: &str) -> Option<String> {
    (!text.is_empty() && !text.contains('/')).then(|| text.to_owned())
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl FromStr for ObjectName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        text.split_once('/')
            .and_then(|(namespace, name)| Some(Self::new(segment(namespace)?, segment(name)?)))
            .ok_or_else(|| NameError(text.to_owned()))
    }
}

impl fmt::Display for ServicePort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.service, self.port)
    }
}

impl FromStr for ServicePort {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        text.rsplit_once('/')
            .and_then(|(service, port)| {
                Some(Self {
                    service: service.parse().ok()?,
                    port: port.parse().ok()?,
                })
            })
            .ok_or_else(|| NameError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credential::FleetKey;

    #[test]
    fn names_survive_a_round_trip() {
        let id = FleetKey::new("k1", vec![7; 32]).credential_id(&[1; 32]);
        let names = [
            Name::Domain("*.lab.example.com".into()),
            Name::Provider(ObjectName::new("a", "b")),
            Name::Endpoints(ServicePort {
                service: ObjectName::new("a", "b"),
                port: 8000,
            }),
            Name::Credential {
                realm: "tenant-1".into(),
                id,
            },
            Name::Consumer(ObjectName::new("a", "b")),
            Name::Quota(ObjectName::new("a", "b")),
            Name::Tenant("a".into()),
            Name::Fleet,
            Name::Certificate(ObjectName::new("a", "b")),
            Name::Authority(ObjectName::new("a", "b")),
            Name::FleetCertificates,
        ];
        for name in names {
            assert_eq!(name.to_string().parse(), Ok(name));
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in [
            "",
            "domain",
            "domain/",
            "domain/a/b",
            "provider/a",
            "endpoints/a/b",
            "endpoints/a/b/http",
            "endpoints/a/b/c/80",
            "credential/ns/key/zz",
            "fleet/x",
            "fleet-certificates/x",
            "certificate/a",
            "x/y",
        ] {
            assert_eq!(text.parse::<Name>(), Err(NameError(text.into())), "{text}");
        }
    }
}
