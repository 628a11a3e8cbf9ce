//! Who may use what of other namespaces: providers and templates admit by the
//! labels of the namespace that refers to them. Pure reads of the index.
//!
//! What does not exist and what does not admit are the same to whoever asks.

use turnpike_crds::ai_route::{Authentication, BackendRef};
use turnpike_crds::namespaces::GrantedNamespaces;
use turnpike_crds::{AIProviderSpec, AIRouteSpec};
use turnpike_snapshot::name::ObjectName;

use crate::glob;
use crate::index::Index;
use crate::source::NamespaceData;

/// What a namespace may ask a provider for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// The provider is of the same namespace, there or not.
    Own,
    /// Every model.
    All,
    /// Models that match one of these globs; never empty.
    Models(Vec<String>),
    /// It does not exist, or does not admit the namespace.
    None,
}

/// What a template lends to one route.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lent<'a> {
    pub(crate) template: &'a AIRouteSpec,
}

impl Index {
    /// Says what routes of a namespace may ask a provider for.
    pub(crate) fn admission(&self, namespace: &str, provider: &ObjectName) -> Admission {
        let spec = self.providers.get(provider).map(|stored| &stored.spec);
        admission(self.namespaces.get(namespace), namespace, provider, spec)
    }

    /// Finds the template that a route takes its rules from; `None`: it names none,
    /// or what it names is no template, or does not admit it.
    pub(crate) fn lent(&self, route: &ObjectName, spec: &AIRouteSpec) -> Option<Lent<'_>> {
        let name = template_name(&route.namespace, spec)?;
        let template = self.routes.get(&name).map(|stored| &stored.spec);
        lent(
            self.namespaces.get(&route.namespace),
            &route.namespace,
            &name,
            template,
        )
    }
}

impl<'a> Lent<'a> {
    /// The part of the template that each route carries a copy of: its anonymous
    /// consumer is one of the route's namespace.
    pub(crate) fn copied(self) -> Option<&'a Authentication> {
        let authentication = self.template.authentication.as_ref()?;
        authentication
            .anonymous_consumer
            .is_some()
            .then_some(authentication)
    }
}

/// Names the provider that a backend of a rule in this namespace is.
pub(crate) fn provider_name(namespace: &str, backend: &BackendRef) -> ObjectName {
    let namespace = backend.namespace.as_deref().unwrap_or(namespace);
    ObjectName::new(namespace, &backend.name)
}

/// Names the template of a route.
pub(crate) fn template_name(namespace: &str, spec: &AIRouteSpec) -> Option<ObjectName> {
    let template = spec.rules_from.as_ref()?;
    let namespace = template.namespace.as_deref().unwrap_or(namespace);
    Some(ObjectName::new(namespace, &template.name))
}

pub(super) fn admission(
    referrer: Option<&NamespaceData>,
    namespace: &str,
    name: &ObjectName,
    provider: Option<&AIProviderSpec>,
) -> Admission {
    if name.namespace == namespace {
        return Admission::Own;
    }
    let grants = provider.map_or(&[][..], |spec| &spec.grants);
    let mut models = Vec::new();
    for grant in grants {
        if !admits(&grant.namespaces, referrer) {
            continue;
        }
        if grant.models.is_empty() {
            return Admission::All;
        }
        models.extend(
            grant
                .models
                .iter()
                .filter(|text| glob::is_valid(text))
                .cloned(),
        );
    }
    if models.is_empty() {
        return Admission::None;
    }
    models.sort();
    models.dedup();
    Admission::Models(models)
}

pub(super) fn lent<'a>(
    referrer: Option<&NamespaceData>,
    namespace: &str,
    name: &ObjectName,
    template: Option<&'a AIRouteSpec>,
) -> Option<Lent<'a>> {
    let template = template.filter(|spec| spec.is_template())?;
    let is_own = name.namespace == namespace;
    let mut grants = template.grants.iter();
    let is_admitted = is_own || grants.any(|grant| admits(&grant.namespaces, referrer));
    is_admitted.then_some(Lent { template })
}

/// A namespace that is not known yet has no labels.
fn admits(granted: &GrantedNamespaces, referrer: Option<&NamespaceData>) -> bool {
    granted.admits(|key| referrer?.labels.get(key))
}
