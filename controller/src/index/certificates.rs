//! Which Secrets are certificates, by who refers to them: routes to those of their namespace, the
//! platform by flag.

use turnpike_crds::AIRouteSpec;
use turnpike_snapshot::Name;
use turnpike_snapshot::name::ObjectName;

use crate::index::{Index, Touched};
use crate::source::{Kind, ObjectKey};

impl Index {
    /// Whether the platform shows it for hosts without a certificate of their own.
    pub(crate) fn is_fleet_certificate(&self, name: &ObjectName) -> bool {
        self.fleet_certificates.contains(name)
    }

    /// Gives the routes that refer to a Secret, be it for its certificate or for its CAs.
    pub(crate) fn routes_of_secret(&self, name: &ObjectName) -> Vec<&ObjectName> {
        let key = secret_key(name);
        let referrers = self.refs.referrers(&key);
        let routes = referrers.filter(|referrer| referrer.kind == Kind::AIRoute);
        routes.map(|referrer| &referrer.name).collect()
    }

    /// Whether a route that refers to a Secret is one of these.
    pub(crate) fn has_route_of_secret(
        &self,
        name: &ObjectName,
        is_one: impl Fn(&ObjectName, &AIRouteSpec) -> bool,
    ) -> bool {
        let key = secret_key(name);
        let mut referrers = self.refs.referrers(&key);
        referrers.any(|referrer| {
            let route = self.routes.get(&referrer.name);
            let route = route.filter(|_| referrer.kind == Kind::AIRoute);
            route.is_some_and(|route| is_one(&referrer.name, &route.spec))
        })
    }

    /// Touches what a Secret is to data planes as a certificate and as CAs.
    pub(super) fn touch_certificate(&self, name: &ObjectName, touched: &mut Touched) {
        if self.is_fleet_certificate(name) || self.has_route_of_secret(name, |_, _| true) {
            touched.names.insert(Name::Certificate(name.clone()));
            touched.names.insert(Name::Authority(name.clone()));
        }
    }
}

fn secret_key(name: &ObjectName) -> ObjectKey {
    ObjectKey {
        kind: Kind::Secret,
        name: name.clone(),
    }
}

/// Names the Secrets that a route's TLS refers to.
pub(super) fn secrets(namespace: &str, spec: &AIRouteSpec) -> impl Iterator<Item = ObjectName> {
    certificates(namespace, spec).chain(client_authority(namespace, spec))
}

/// Names the Secrets of a route's certificates, in its order.
pub(crate) fn certificates(
    namespace: &str,
    spec: &AIRouteSpec,
) -> impl Iterator<Item = ObjectName> {
    let references = spec.tls.iter().flat_map(|tls| &tls.certificate_refs);
    references.map(move |reference| ObjectName::new(namespace, &reference.name))
}

/// Names the Secret of the CAs that a route's callers need a certificate of.
pub(crate) fn client_authority(namespace: &str, spec: &AIRouteSpec) -> Option<ObjectName> {
    let reference = spec.tls.as_ref()?.client_ca_ref.as_ref()?;
    Some(ObjectName::new(namespace, &reference.name))
}
