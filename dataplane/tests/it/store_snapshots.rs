//! Snapshots in few words.

use std::time::Duration;

use turnpike_snapshot::consumer::Consumer;
use turnpike_snapshot::credential::{Credential, FleetKey, sha256};
use turnpike_snapshot::domain::{Authentication, Backend, Domain, Route, Rule};
use turnpike_snapshot::name::ObjectName;
use turnpike_snapshot::provider::{Provider, ProviderKind, Timeouts, Upstream};
use turnpike_snapshot::retries::Retries;
use turnpike_snapshot::tenant::{Fleet, Tenant};
use turnpike_snapshot::{Name, Snapshot};

use crate::store_controller::Say;

pub(crate) const NAMESPACE: &str = "tenant";

pub(crate) fn host(name: &str) -> Name {
    Name::Domain(name.into())
}

pub(crate) fn object(name: &str) -> ObjectName {
    ObjectName::new(NAMESPACE, name)
}

/// A domain whose only route bears this name.
pub(crate) fn domain(route: &str) -> Snapshot {
    let backend = Backend {
        provider: object("echo"),
        model: None,
        weight: 1,
        priority: 0,
        models: Vec::new(),
        fault: None,
    };
    let rule = Rule {
        name: "all".into(),
        matches: Vec::new(),
        backends: vec![backend],
        retries: Retries::default(),
    };
    Snapshot::Domain(Domain {
        namespace: NAMESPACE.into(),
        routes: vec![Route {
            name: route.into(),
            authentication: Some(Authentication::Required),
            allow: Some(Vec::new()),
            rules: vec![rule],
            max_body_bytes: Some(1024),
            head_bytes: None,
            heartbeat: None,
            on_disconnect: None,
            template: None,
            suspension: None,
        }],
        ..Domain::default()
    })
}

pub(crate) fn provider(vendor: &str) -> Say {
    let upstream = Upstream {
        kind: ProviderKind::Vendor(vendor.into()),
        url: None,
        service: None,
        tls: None,
        egress_proxy: None,
        manner: None,
        cloud: None,
        keys: Vec::new(),
        models: Vec::new(),
        timeouts: Timeouts {
            connect: Duration::from_secs(3),
            first_token: Duration::ZERO,
            idle: Duration::ZERO,
            total: Duration::ZERO,
        },
    };
    let snapshot = Snapshot::Provider(Provider::Upstream(upstream));
    Say::Upsert(Name::Provider(object("echo")), snapshot)
}

pub(crate) fn tenant() -> Say {
    let tenant = Tenant {
        uid: "uid-1".into(),
        ..Tenant::default()
    };
    Say::Upsert(Name::Tenant(NAMESPACE.into()), Snapshot::Tenant(tenant))
}

pub(crate) fn fleet() -> Say {
    Say::Upsert(Name::Fleet, Snapshot::Fleet(Fleet::default()))
}

/// A domain after all that it refers to.
pub(crate) fn whole(name: &str, route: &str) -> Vec<Say> {
    let domain = Say::Upsert(host(name), domain(route));
    vec![provider("Echo"), tenant(), fleet(), domain]
}

pub(crate) fn fleet_key(id: &str) -> FleetKey {
    FleetKey::new(id, id.repeat(16).into_bytes())
}

pub(crate) fn credential_name(key: &FleetKey, api_key: &str) -> Name {
    Name::Credential {
        realm: NAMESPACE.into(),
        id: key.credential_id(&sha256(api_key.as_bytes())),
    }
}

/// A key of alice's, after alice.
pub(crate) fn credential(key: &FleetKey, api_key: &str) -> Vec<Say> {
    let alice = Consumer {
        name: object("alice"),
        groups: vec!["gold".into()],
        is_suspended: false,
    };
    let credential = Credential {
        consumer: object("alice"),
        not_after: None,
    };
    vec![
        Say::Upsert(Name::Consumer(object("alice")), Snapshot::Consumer(alice)),
        Say::Upsert(
            credential_name(key, api_key),
            Snapshot::Credential(credential),
        ),
    ]
}
