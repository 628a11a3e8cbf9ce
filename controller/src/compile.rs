//! From the index to what is told: names to snapshots, objects to findings.
//!
//! Pure and without memory: the same index always gives the same answer, on
//! every replica. A fault stays in the part that has it: other routes of the
//! host, other keys of the provider, other consumers go on.

pub mod finding;

pub(crate) mod certificate;
mod cloud;
mod connection;
mod consumer;
mod credential;
pub(crate) mod domain;
mod endpoints;
mod provider;
mod quota;
mod reference;
mod rules;
mod tenant;

use turnpike_snapshot::{Name, Snapshot};

use crate::compile::finding::{Counts, Findings, Issue, Shown};
use crate::index::Index;
use crate::index::certificates::certificates as certificates_of;
use crate::source::{Kind, ObjectKey};

/// Compiles the snapshot of a name; `None`: there is none. A host is looked up
/// exactly as it stands: wildcards are names of their own.
pub fn snapshot(index: &Index, name: &Name) -> Option<Snapshot> {
    match name {
        Name::Domain(host) => domain::compile(index, host).map(Snapshot::Domain),
        Name::Provider(name) => provider::compile(index, name).map(Snapshot::Provider),
        Name::Endpoints(port) => endpoints::compile(index, port).map(Snapshot::Endpoints),
        Name::Rules(name) => rules::compile(index, name).map(Snapshot::Rules),
        Name::Credential { realm, id } => {
            credential::compile(index, realm, *id).map(Snapshot::Credential)
        }
        Name::Consumer(name) => consumer::compile(index, name).map(Snapshot::Consumer),
        Name::Quota(name) => quota::compile(index, name).map(Snapshot::Quota),
        Name::Tenant(namespace) => tenant::compile(index, namespace).map(Snapshot::Tenant),
        Name::Fleet => Some(Snapshot::Fleet(tenant::compile_fleet(index))),
        Name::Certificate(name) => certificate::compile(index, name).map(Snapshot::Certificate),
        Name::Authority(name) => {
            certificate::compile_authority(index, name).map(Snapshot::Authority)
        }
        Name::FleetCertificates => Some(Snapshot::FleetCertificates(certificate::compile_fleet(
            index,
        ))),
    }
}

/// Finds everything that is wrong with an object; `None`: it isn't there, or
/// is of a kind without status.
pub fn issues(index: &Index, object: &ObjectKey) -> Option<Vec<Issue>> {
    let name = &object.name;
    match object.kind {
        Kind::AIProvider => provider::issues(index, name),
        Kind::AIRoute => domain::issues(index, name),
        Kind::Consumer => consumer::issues(index, name),
        Kind::TokenQuota => quota::issues(index, name),
        Kind::Secret | Kind::ConfigMap | Kind::Namespace | Kind::Service | Kind::EndpointSlice => {
            None
        }
    }
}

/// Says of an object what its status tells; `None` as with [`issues`].
pub fn findings(index: &Index, object: &ObjectKey) -> Option<Findings> {
    let issues = issues(index, object)?;
    let names = names(index, object);
    let hostnames = match object.kind {
        Kind::AIRoute => domain::hostnames(index, &object.name),
        _ => Vec::new(),
    };
    let halted = match object.kind {
        Kind::AIProvider => provider::halted(index, &object.name),
        _ => None,
    };
    Some(Findings {
        halted,
        hostnames,
        counts: counts(index, object),
        certificates: certificates(index, object),
        ..Findings::new(&issues, names)
    })
}

fn certificates(index: &Index, object: &ObjectKey) -> Vec<Shown> {
    let name = &object.name;
    match object.kind {
        Kind::AIRoute => index.routes.get(name).map_or_else(Vec::new, |route| {
            certificate::shown(index, certificates_of(&name.namespace, &route.spec))
        }),
        Kind::AIProvider => index.providers.get(name).map_or_else(Vec::new, |provider| {
            certificate::shown(index, connection::identity(&name.namespace, &provider.spec))
        }),
        _ => Vec::new(),
    }
}

fn counts(index: &Index, object: &ObjectKey) -> Counts {
    let is_used_by_routes = match object.kind {
        Kind::AIProvider => true,
        Kind::AIRoute => {
            let route = index.routes.get(&object.name);
            route.is_some_and(|route| route.spec.is_template())
        }
        _ => false,
    };
    let quota = match object.kind {
        Kind::TokenQuota => index.quotas.get(&object.name),
        _ => None,
    };
    Counts {
        routes: is_used_by_routes.then(|| index.count_routes(object)),
        groups: quota.map_or_else(Vec::new, |quota| {
            index.groups.count(&object.name, &quota.spec)
        }),
    }
}

/// Names the snapshots that an object is part of.
fn names(index: &Index, object: &ObjectKey) -> Vec<Name> {
    let name = &object.name;
    match object.kind {
        Kind::AIProvider => vec![Name::Provider(name.clone())],
        Kind::AIRoute => domain::names(index, name),
        Kind::Consumer => consumer::names(index, name),
        Kind::TokenQuota => quota::names(index, name),
        Kind::Secret | Kind::ConfigMap | Kind::Namespace | Kind::Service | Kind::EndpointSlice => {
            Vec::new()
        }
    }
}

/// Gives the objects that are part of a snapshot: those whose findings name it.
pub fn objects(index: &Index, name: &Name) -> Vec<ObjectKey> {
    let key = |kind, name: &turnpike_snapshot::name::ObjectName| ObjectKey {
        kind,
        name: name.clone(),
    };
    match name {
        Name::Domain(host) => index
            .hosts
            .routes(host)
            .map(|route| key(Kind::AIRoute, route))
            .collect(),
        Name::Provider(name) if index.providers.contains_key(name) => {
            vec![key(Kind::AIProvider, name)]
        }
        Name::Rules(name) => {
            let route = index.routes.get(name);
            let template = route.filter(|route| route.spec.is_template());
            template
                .map(|_| key(Kind::AIRoute, name))
                .into_iter()
                .collect()
        }
        Name::Credential { realm, id } => credential::find_owner(index, realm, *id)
            .map(|(claim, _)| key(Kind::Consumer, &claim.consumer.name))
            .into_iter()
            .collect(),
        Name::Consumer(name) if index.consumers.contains_key(name) => {
            vec![key(Kind::Consumer, name)]
        }
        Name::Quota(name) if index.quotas.contains_key(name) => vec![key(Kind::TokenQuota, name)],
        Name::Tenant(namespace) => quota::of_tenant(index, namespace)
            .map(|quota| key(Kind::TokenQuota, quota))
            .collect(),
        Name::Fleet => quota::of_fleet(index)
            .map(|(quota, _)| key(Kind::TokenQuota, quota))
            .collect(),
        // Pods come and go: whether every data plane knows of each is told by no condition.
        Name::Endpoints(_) => Vec::new(),
        Name::Certificate(name) | Name::Authority(name) => {
            let routes = index.routes_of_secret(name).into_iter();
            routes.map(|route| key(Kind::AIRoute, route)).collect()
        }
        Name::FleetCertificates => Vec::new(),
        Name::Provider(_) | Name::Consumer(_) | Name::Quota(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
