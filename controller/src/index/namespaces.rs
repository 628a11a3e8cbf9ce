//! What a change of a Namespace touches: the tenant of its name, the hosts that it
//! may claim, and the routes that providers and templates elsewhere admit, or do
//! not, by its labels.

use turnpike_snapshot::Name;
use turnpike_snapshot::name::ObjectName;

use crate::index::grants::{self, Lent};
use crate::index::table::{self, Stored};
use crate::index::{Index, Touched};
use crate::source::NamespaceData;

impl Index {
    pub(super) fn put_namespace(&mut self, namespace: NamespaceData) -> Touched {
        let name = namespace.name.clone();
        if self.namespaces.get(&name) == Some(&namespace) {
            return Touched::default();
        }
        let before = self.namespaces.insert(name.clone(), namespace);
        self.namespace_changed(&name, before.as_ref())
    }

    pub(super) fn delete_namespace(&mut self, name: &str) -> Touched {
        match self.namespaces.remove(name) {
            Some(before) => self.namespace_changed(name, Some(&before)),
            None => Touched::default(),
        }
    }

    fn namespace_changed(&mut self, name: &str, before: Option<&NamespaceData>) -> Touched {
        let mut touched = Touched {
            names: [Name::Tenant(name.to_owned())].into(),
            ..Touched::default()
        };
        let now = self.namespaces.get(name);
        let hosts = |data: Option<&NamespaceData>| data.map(|it| it.allowed_hostnames.clone());
        let may_claim_others = hosts(before).unwrap_or_default() != hosts(now).unwrap_or_default();
        if before.map(|it| &it.labels) != now.map(|it| &it.labels) {
            self.touch_admitted(name, before, &mut touched);
        }
        if may_claim_others {
            touched.merge(self.reclaim_hosts(name));
        }
        touched
    }

    /// Touches the namespace's routes that are admitted elsewhere by other labels than before.
    fn touch_admitted(
        &self,
        namespace: &str,
        before: Option<&NamespaceData>,
        touched: &mut Touched,
    ) {
        let now = self.namespaces.get(namespace);
        for (name, route) in table::of_namespace(&self.routes, namespace) {
            if self.is_admitted_otherwise(name, route, before, now) {
                self.touch_route(name, touched);
            }
        }
    }

    fn is_admitted_otherwise(
        &self,
        name: &ObjectName,
        route: &Stored<turnpike_crds::AIRouteSpec>,
        before: Option<&NamespaceData>,
        now: Option<&NamespaceData>,
    ) -> bool {
        let namespace = &name.namespace;
        let template = grants::template_name(namespace, &route.spec);
        let mut template = template.filter(|it| it.namespace != *namespace).into_iter();
        let by_template = template.any(|template| {
            let spec = self.routes.get(&template).map(|stored| &stored.spec);
            let lent = |labels| grants::lent(labels, namespace, &template, spec).map(Lent::copied);
            lent(before) != lent(now)
        });
        let mut backends = route.spec.rules.iter().flat_map(|rule| &rule.backend_refs);
        by_template
            || backends.any(|backend| {
                let provider = grants::provider_name(namespace, backend);
                let spec = self.providers.get(&provider).map(|stored| &stored.spec);
                let admission = |labels| grants::admission(labels, namespace, &provider, spec);
                admission(before) != admission(now)
            })
    }
}
