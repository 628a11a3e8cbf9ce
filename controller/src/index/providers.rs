//! What a change of an AIProvider, of a Secret or of a ConfigMap touches: the provider itself
//! and the conditions of the routes that name it; domains only where the
//! provider admits their namespace no longer, or now.

use std::collections::BTreeSet;

use turnpike_crds::ai_provider::CaCertificateKind;
use turnpike_crds::{AIProvider, AIProviderSpec};
use turnpike_snapshot::Name;
use turnpike_snapshot::name::ObjectName;

use crate::index::grants;
use crate::index::table::{self, Change, Stored};
use crate::index::{Index, Touched};
use crate::source::{ConfigMapData, Kind, ObjectKey, SecretData, object_name};

impl Index {
    pub(super) fn put_provider(&mut self, provider: AIProvider) -> Touched {
        let name = object_name(&provider.metadata);
        let stored = Stored::new(provider.metadata, provider.spec, provider.status);
        match table::put(&mut self.providers, name.clone(), stored) {
            Some(change) => self.provider_changed(&name, &change),
            None => Touched::default(),
        }
    }

    pub(super) fn delete_provider(&mut self, name: &ObjectName) -> Touched {
        match table::take(&mut self.providers, name) {
            Some(change) => self.provider_changed(name, &change),
            None => Touched::default(),
        }
    }

    pub(super) fn put_secret(&mut self, secret: SecretData) -> Touched {
        if self.secrets.put(secret.name.clone(), secret.data) {
            self.secret_changed(&secret.name)
        } else {
            Touched::default()
        }
    }

    pub(super) fn delete_secret(&mut self, name: &ObjectName) -> Touched {
        if self.secrets.take(name) {
            self.secret_changed(name)
        } else {
            Touched::default()
        }
    }

    pub(super) fn put_config_map(&mut self, config_map: ConfigMapData) -> Touched {
        let name = config_map.name.clone();
        if self.config_maps.put(config_map) {
            self.config_map_changed(&name)
        } else {
            Touched::default()
        }
    }

    pub(super) fn delete_config_map(&mut self, name: &ObjectName) -> Touched {
        if self.config_maps.take(name) {
            self.config_map_changed(name)
        } else {
            Touched::default()
        }
    }

    /// Only providers refer to ConfigMaps.
    fn config_map_changed(&self, name: &ObjectName) -> Touched {
        let key = ObjectKey {
            kind: Kind::ConfigMap,
            name: name.clone(),
        };
        let mut touched = Touched::default();
        for referrer in self.refs.referrers(&key) {
            touched.names.insert(Name::Provider(referrer.name.clone()));
            touched.objects.insert(referrer.clone());
        }
        touched
    }

    fn provider_changed(&mut self, name: &ObjectName, change: &Change<AIProviderSpec>) -> Touched {
        let key = ObjectKey {
            kind: Kind::AIProvider,
            name: name.clone(),
        };
        let before = change.before.as_ref().map(|stored| &stored.spec);
        let now = self.providers.get(name).map(|stored| &stored.spec);
        self.refs
            .replace(&key, &targets(name, before), &targets(name, now));
        let mut touched = Touched {
            names: [Name::Provider(name.clone())].into(),
            ..Touched::default()
        };
        // However many routes name it: they are looked at only where one may be admitted otherwise.
        let is_same = before.map(|spec| &spec.grants) == now.map(|spec| &spec.grants);
        let looked_at = (!is_same).then(|| self.refs.referrers(&key));
        for referrer in looked_at.into_iter().flatten() {
            let namespace = &referrer.name.namespace;
            if *namespace == name.namespace {
                if change.is_presence() {
                    touched.objects.insert(referrer.clone());
                }
                continue;
            }
            let labels = self.namespaces.get(namespace);
            let admission = |spec| grants::admission(labels, namespace, name, spec);
            if admission(before) != admission(now) {
                self.touch_route(&referrer.name, &mut touched);
            }
        }
        if change.is_present {
            touched.objects.insert(key);
        }
        touched
    }

    fn secret_changed(&mut self, name: &ObjectName) -> Touched {
        let key = ObjectKey {
            kind: Kind::Secret,
            name: name.clone(),
        };
        let referrers: Vec<ObjectKey> = self.refs.referrers(&key).cloned().collect();
        let mut touched = Touched::default();
        for referrer in referrers {
            match referrer.kind {
                Kind::AIProvider => {
                    touched.names.insert(Name::Provider(referrer.name.clone()));
                }
                Kind::Consumer => touched.merge(self.reclaim(&referrer.name, None)),
                _ => {}
            }
            touched.objects.insert(referrer);
        }
        self.touch_certificate(name, &mut touched);
        touched
    }
}

/// What the provider itself refers to.
fn targets(name: &ObjectName, spec: Option<&AIProviderSpec>) -> BTreeSet<ObjectKey> {
    let credentials = spec.into_iter().flat_map(|spec| &spec.credentials);
    let secrets = credentials.map(|credential| {
        ObjectKey::new(Kind::Secret, &name.namespace, &credential.secret_ref.name)
    });
    let connection = spec.into_iter().flat_map(|spec| connection(name, spec));
    let service = spec.and_then(|spec| spec.service_ref.as_ref());
    let service =
        service.map(|service| ObjectKey::new(Kind::Service, &name.namespace, &service.name));
    secrets.chain(connection).chain(service).collect()
}

/// What connections to it are made with.
fn connection(name: &ObjectName, spec: &AIProviderSpec) -> impl Iterator<Item = ObjectKey> {
    let of = |kind, object: &str| ObjectKey::new(kind, &name.namespace, object);
    let tls = spec.tls.as_ref();
    let authorities = tls.and_then(|tls| tls.ca_certificate_ref.as_ref());
    let authorities = authorities.map(|reference| match reference.kind {
        CaCertificateKind::ConfigMap => of(Kind::ConfigMap, &reference.name),
        CaCertificateKind::Secret => of(Kind::Secret, &reference.name),
    });
    let identity = tls.and_then(|tls| tls.client_certificate_ref.as_ref());
    let identity = identity.map(|reference| of(Kind::Secret, &reference.name));
    let proxy = spec.egress_proxy.as_ref();
    let user = proxy.and_then(|proxy| proxy.secret_ref.as_ref());
    let user = user.map(|reference| of(Kind::Secret, &reference.name));
    [authorities, identity, user].into_iter().flatten()
}
