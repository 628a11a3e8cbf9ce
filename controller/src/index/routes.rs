//! What a change of an AIRoute touches: the domains of its hosts, where a host
//! changes hands everyone who claims it, and, where it is a template, its rules;
//! the routes that take them only where they are lent something else. A route of
//! another class touches nothing.

use std::collections::BTreeSet;

use turnpike_crds::ai_route::{Authentication, TemplateGrant};
use turnpike_crds::{AIRoute, AIRouteSpec};
use turnpike_snapshot::Name;
use turnpike_snapshot::name::ObjectName;

use crate::index::certificates;
use crate::index::grants::{self, Lent};
use crate::index::hostnames::{Claimant, Permission};
use crate::index::table::{self, Age, Change, Stored};
use crate::index::{Index, Touched};
use crate::source::{Kind, ObjectKey, object_name};

impl Index {
    pub(super) fn put_route(&mut self, route: AIRoute) -> Touched {
        let name = object_name(&route.metadata);
        if route.spec.class_name != self.class {
            // The one of this name before it may have been ours.
            return self.delete_route(&name);
        }
        let stored = Stored::new(route.metadata, route.spec, route.status);
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
        let key = route_key(name);
        let before = change.before.as_ref();
        let now = self.routes.get(name);
        let targets_before = targets(name, before.map(|stored| &stored.spec));
        let targets_now = targets(name, now.map(|stored| &stored.spec));
        self.refs.replace(&key, &targets_before, &targets_now);
        let age = |stored: Option<&Box<Stored<AIRouteSpec>>>| stored.map(|stored| stored.age(name));
        let (old, new) = (age(before), age(now));
        let now = now.map_or(&[][..], |stored| &stored.spec.hostnames);
        let now: BTreeSet<String> = now.iter().cloned().collect();
        let mut touched = Touched::default();
        let moved = targets_before.symmetric_difference(&targets_now);
        let counted = moved.filter(|it| !matches!(it.kind, Kind::Consumer | Kind::Secret));
        touched.counted.extend(counted.cloned());
        let secrets = targets_before.union(&targets_now);
        for secret in secrets.filter(|target| target.kind == Kind::Secret) {
            // It is as good as the hosts that it is for.
            self.touch_certificate(&secret.name, &mut touched);
        }
        if change.is_present {
            touched.objects.insert(key);
        }
        let before_hosts = before.map_or(&[][..], |stored| &stored.spec.hostnames);
        let gone = before_hosts.iter().filter(|host| !now.contains(*host));
        for host in gone {
            self.hosts.give_up(host, name);
            touched.merge(self.move_claim(host, name, old.as_ref(), None));
        }
        for host in &now {
            touched.merge(self.claim(host, name, old.as_ref(), new.as_ref()));
        }
        touched.merge(self.template_changed(name, before.map(|stored| &stored.spec)));
        touched
    }

    /// Claims a host for a route as far as it may; takes the claim back where it may not.
    fn claim(
        &mut self,
        host: &str,
        route: &ObjectName,
        old: Option<&Age>,
        new: Option<&Age>,
    ) -> Touched {
        let permission = self.permission(&route.namespace, host);
        let is_contested = permission == Permission::Open && !host.starts_with('*');
        if is_contested {
            self.hosts.contest(host, route);
        } else {
            self.hosts.give_up(host, route);
        }
        let is_free = |age: &&Age| !is_contested || self.hosts.wildcard_before(host, age).is_none();
        let new = new.filter(|_| permission != Permission::Refused);
        let new = new.filter(is_free).cloned();
        self.move_claim(host, route, old, new)
    }

    /// Looks at the claims of a namespace's routes again, since it may claim others now.
    pub(super) fn reclaim_hosts(&mut self, namespace: &str) -> Touched {
        let routes: Vec<ObjectName> = table::of_namespace(&self.routes, namespace)
            .map(|(name, _)| name.clone())
            .collect();
        let mut touched = Touched::default();
        for name in routes {
            let Some(route) = self.routes.get(&name) else {
                continue;
            };
            let (age, hosts) = (route.age(&name), route.spec.hostnames.clone());
            for host in hosts {
                touched.merge(self.claim_again(&host, &name, &age));
            }
        }
        touched
    }

    /// Claims a host anew for a route that has not changed itself.
    fn claim_again(&mut self, host: &str, route: &ObjectName, age: &Age) -> Touched {
        let was_claimed = self.hosts.is_claimed(host, age);
        let touched = self.claim(host, route, Some(age), Some(age));
        let mut touched = match self.hosts.is_claimed(host, age) == was_claimed {
            true => Touched::default(),
            false => touched,
        };
        touched.objects.insert(route_key(route));
        touched
    }

    /// Says whether a namespace may claim a host, and by which right.
    pub(crate) fn permission(&self, namespace: &str, host: &str) -> Permission {
        let known = self.namespaces.get(namespace);
        let claimant = Claimant {
            namespace,
            is_platform: namespace == self.platform_namespace,
            allowed: known.map_or(&[], |known| &known.allowed_hostnames),
        };
        self.hostname_policy.permits(claimant, host)
    }

    /// Replaces one route's claim on one host.
    fn move_claim(
        &mut self,
        host: &str,
        route: &ObjectName,
        old: Option<&Age>,
        new: Option<Age>,
    ) -> Touched {
        let first_before = self.hosts.first(host).cloned();
        if let Some(old) = old {
            self.hosts.release(host, old);
        }
        if let Some(new) = new {
            self.hosts.claim(host, new);
        }
        let owner_before = first_before.as_ref().map(|first| &*first.name.namespace);
        let owner_now = self.hosts.owner(host);
        let mut touched = Touched::default();
        let changes_hands = owner_before != owner_now;
        if changes_hands {
            let claimants = self.hosts.claimants(host);
            touched.objects.extend(claimants.map(route_key));
        }
        if changes_hands || owner_now == Some(route.namespace.as_str()) {
            touched.names.insert(Name::Domain(host.to_owned()));
        }
        if self.hosts.first(host) != first_before.as_ref() {
            for (below, route) in self.hosts.contested_below(host) {
                let age = self.routes.get(&route).map(|stored| stored.age(&route));
                if let Some(age) = age {
                    touched.merge(self.claim_again(&below, &route, &age));
                }
            }
        }
        touched
    }

    /// Touches a template and, where it lends something else now, the routes that name it.
    fn template_changed(&mut self, name: &ObjectName, before: Option<&AIRouteSpec>) -> Touched {
        let mut touched = Touched::default();
        let now = self.routes.get(name).map(|stored| &stored.spec);
        let is_template = |spec: Option<&AIRouteSpec>| spec.is_some_and(AIRouteSpec::is_template);
        if !is_template(before) && !is_template(now) {
            return touched;
        }
        touched.names.insert(Name::Rules(name.clone()));
        if terms(before) == terms(now) {
            // However many take its rules: nobody need be looked at.
            return touched;
        }
        for referrer in self.refs.referrers(&route_key(name)) {
            let namespace = &referrer.name.namespace;
            let labels = self.namespaces.get(namespace);
            let lent = |spec| grants::lent(labels, namespace, name, spec).map(Lent::copied);
            if lent(before) != lent(now) {
                self.touch_route(&referrer.name, &mut touched);
            }
        }
        touched
    }

    /// Touches what a route compiles to, and its conditions.
    pub(super) fn touch_route(&self, name: &ObjectName, touched: &mut Touched) {
        let Some(route) = self.routes.get(name) else {
            return;
        };
        touched.objects.insert(route_key(name));
        if route.spec.is_template() {
            touched.names.insert(Name::Rules(name.clone()));
        }
        let hosts = route.spec.hostnames.iter();
        let own = hosts.filter(|host| self.hosts.owner(host) == Some(&name.namespace));
        touched.names.extend(own.cloned().map(Name::Domain));
    }
}

/// What decides whether and how a template is lent; `None`: it is no template.
fn terms(spec: Option<&AIRouteSpec>) -> Option<(&[TemplateGrant], Option<&Authentication>)> {
    let template = spec.filter(|spec| spec.is_template())?;
    Some((&template.grants, Lent { template }.copied()))
}

pub(super) fn route_key(name: &ObjectName) -> ObjectKey {
    ObjectKey {
        kind: Kind::AIRoute,
        name: name.clone(),
    }
}

fn targets(name: &ObjectName, spec: Option<&AIRouteSpec>) -> BTreeSet<ObjectKey> {
    let Some(spec) = spec else {
        return BTreeSet::new();
    };
    let key = |kind| move |name| ObjectKey { kind, name };
    let authentication = spec.authentication.iter();
    let anonymous = authentication.filter_map(|it| it.anonymous_consumer.as_ref());
    // A template's anonymous consumer is one of each route that takes it.
    let anonymous = anonymous.filter(|_| !spec.is_template());
    let consumers =
        anonymous.map(|consumer| ObjectKey::new(Kind::Consumer, &name.namespace, consumer));
    let backends = spec.rules.iter().flat_map(|rule| &rule.backend_refs);
    let providers = backends.map(|backend| grants::provider_name(&name.namespace, backend));
    let template = grants::template_name(&name.namespace, spec);
    let secrets = certificates::secrets(&name.namespace, spec);
    providers
        .map(key(Kind::AIProvider))
        .chain(secrets.map(key(Kind::Secret)))
        .chain(template.map(key(Kind::AIRoute)))
        .chain(consumers)
        .collect()
}
