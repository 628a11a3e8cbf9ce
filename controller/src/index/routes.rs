//! What a change of an AIRoute touches: the domains of its hosts, and where a
//! host changes hands, everyone who claims it.

use std::collections::BTreeSet;

use turnpike_crds::{AIRoute, AIRouteSpec};
use turnpike_snapshot::Name;
use turnpike_snapshot::name::ObjectName;

use crate::index::table::{self, Age, Change, Stored};
use crate::index::{Index, Touched};
use crate::source::{Kind, ObjectKey, object_name};

impl Index {
    pub(super) fn put_route(&mut self, route: AIRoute) -> Touched {
        let name = object_name(&route.metadata);
        let stored = Stored {
            meta: route.metadata.into(),
            spec: route.spec,
            status: route.status,
        };
        match table::put(&mut self.routes, name.clone(), stored) {
            Some(change) => self.route_changed(&name, &change),
            None => Touched::default(),
        }
    }

    pub(super) fn delete_route(&mut self, name: &ObjectName) -> Touched {
        match table::take(&mut self.routes, name) {
            Some(change) => self.route_changed(name, &change),
            None => Touched::default(),
        }
    }

    fn route_changed(&mut self, name: &ObjectName, change: &Change<AIRouteSpec>) -> Touched {
        let key = ObjectKey {
            kind: Kind::AIRoute,
            name: name.clone(),
        };
        let before = change.before.as_ref();
        let now = self.routes.get(name);
        self.refs.replace(
            &key,
            &targets(name, before.map(|stored| &stored.spec)),
            &targets(name, now.map(|stored| &stored.spec)),
        );
        let claims_before = claims(name, before);
        let claims_now = claims(name, now);
        let mut touched = Touched::default();
        if change.is_present {
            touched.objects.insert(key);
        }
        let hosts: BTreeSet<&String> = claims_before
            .iter()
            .chain(&claims_now)
            .map(|(host, _)| host)
            .collect();
        for host in hosts {
            let claim = |claims: &[(String, Age)]| {
                let mut claims = claims.iter();
                let found = claims.find(|(claimed, _)| claimed == host);
                found.map(|(_, age)| age.clone())
            };
            let (old, new) = (claim(&claims_before), claim(&claims_now));
            touched.merge(self.move_claim(host, name, old, new));
        }
        touched
    }

    /// Replaces one route's claim on one host.
    fn move_claim(
        &mut self,
        host: &str,
        route: &ObjectName,
        old: Option<Age>,
        new: Option<Age>,
    ) -> Touched {
        let owner_before = self.hosts.owner(host).map(str::to_owned);
        if let Some(old) = old {
            self.hosts.release(host, &old);
        }
        if let Some(new) = new {
            self.hosts.claim(host, new);
        }
        let owner_now = self.hosts.owner(host);
        let mut touched = Touched::default();
        let changes_hands = owner_before.as_deref() != owner_now;
        if changes_hands {
            let claimants = self.hosts.claimants(host).cloned();
            touched.objects.extend(claimants.map(|name| ObjectKey {
                kind: Kind::AIRoute,
                name,
            }));
        }
        if changes_hands || owner_now == Some(route.namespace.as_str()) {
            touched.names.insert(Name::Domain(host.to_owned()));
        }
        touched
    }
}

fn claims(name: &ObjectName, route: Option<&Stored<AIRouteSpec>>) -> Vec<(String, Age)> {
    let hosts = |route: &Stored<AIRouteSpec>| {
        let hosts = route.spec.hostnames.iter();
        hosts
            .map(|host| (host.clone(), route.age(name)))
            .collect::<Vec<_>>()
    };
    route.map(hosts).unwrap_or_default()
}

fn targets(name: &ObjectName, spec: Option<&AIRouteSpec>) -> BTreeSet<ObjectKey> {
    let Some(spec) = spec else {
        return BTreeSet::new();
    };
    let anonymous = spec.authentication.anonymous_consumer.iter();
    let consumers =
        anonymous.map(|consumer| ObjectKey::new(Kind::Consumer, &name.namespace, consumer));
    let backends = spec.rules.iter().flat_map(|rule| &rule.backend_refs);
    backends
        .map(|backend| ObjectKey::new(Kind::AIProvider, &name.namespace, &backend.name))
        .chain(consumers)
        .collect()
}
