//! Synthetic tenants: what an API server would tell of each, without one.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::{Value, json};
use turnpike_controller::config::PLATFORM_NAMESPACE;
use turnpike_controller::source::{Event, Kind, NamespaceData, Object, ObjectKey};
use turnpike_crds::{AIProvider, AIRoute, Consumer, TokenQuota};
use turnpike_snapshot::Name;
use turnpike_snapshot::credential::{FleetKey, sha256};
use turnpike_snapshot::name::ObjectName;

/// The platform's template and provider.
const TEMPLATE: &str = "plan-gold";
const PROVIDER: &str = "echo";
/// Names the one route, consumer and quota of a tenant.
const ROUTE: &str = "main";
const CONSUMER: &str = "default";
const QUOTA: &str = "own";

/// Makes the objects of tenants, all in one way.
#[derive(Debug, Clone)]
pub(super) struct Tenants {
    pub(super) fleet_key: FleetKey,
    /// Routes have rules and a provider of their own instead of the platform's template.
    pub(super) is_plain: bool,
}

pub(super) fn namespace_of(tenant: u32) -> String {
    format!("t-{tenant}")
}

pub(super) fn host_of(tenant: u32) -> String {
    format!("t-{tenant}.maas.example.com")
}

impl Tenants {
    /// The name of a tenant's domain.
    pub(super) fn domain(&self, tenant: u32) -> Name {
        Name::Domain(host_of(tenant))
    }

    /// The name of the credential that a tenant's caller uses.
    pub(super) fn credential(&self, tenant: u32) -> Name {
        Name::Credential {
            realm: namespace_of(tenant),
            id: self.fleet_key.credential_id(&sha256(&key(tenant, 0))),
        }
    }

    /// Every name that a change of a tenant or of all can touch.
    pub(super) fn names_around(&self, tenant: u32) -> Vec<Name> {
        let namespace = namespace_of(tenant);
        let provider = ObjectName::new(self.provider_namespace(tenant), PROVIDER);
        let mut names = vec![
            self.domain(tenant),
            self.credential(tenant),
            Name::Consumer(ObjectName::new(&namespace, CONSUMER)),
            Name::Quota(ObjectName::new(&namespace, QUOTA)),
            Name::Tenant(namespace),
            Name::Provider(provider),
            Name::Quota(ObjectName::new(PLATFORM_NAMESPACE, QUOTA)),
            Name::Fleet,
        ];
        if !self.is_plain {
            names.push(Name::Rules(ObjectName::new(PLATFORM_NAMESPACE, TEMPLATE)));
        }
        names
    }

    /// What exists once.
    pub(super) fn platform(&self) -> Result<Vec<Event>> {
        let mut events = vec![namespace(PLATFORM_NAMESPACE, "0")];
        if !self.is_plain {
            events.push(provider(PLATFORM_NAMESPACE, 0)?);
            events.push(self.template(0)?);
        }
        Ok(events)
    }

    /// All objects of a new tenant.
    pub(super) fn all(&self, tenant: u32) -> Result<Vec<Event>> {
        let mut events = vec![
            namespace(&namespace_of(tenant), "0"),
            self.consumer(tenant, 0, 0)?,
            self.route(tenant, 0)?,
        ];
        if self.is_plain {
            events.push(provider(&namespace_of(tenant), 0)?);
        }
        Ok(events)
    }

    /// A tenant's route in one of its forms.
    pub(super) fn route(&self, tenant: u32, form: u64) -> Result<Event> {
        let models = match form {
            0 => Vec::new(),
            form => vec![format!("model-{form}")],
        };
        let allow = json!([{"groups": ["gold"], "models": models}]);
        let mut spec = json!({
            "hostnames": [host_of(tenant)], "authorization": {"allow": allow},
        });
        match self.is_plain {
            true => spec["rules"] = rules(0),
            false => {
                spec["rulesFrom"] = json!({"name": TEMPLATE, "namespace": PLATFORM_NAMESPACE});
            }
        }
        let object = object(&namespace_of(tenant), "AIRoute", ROUTE, spec, form);
        let route: AIRoute = serde_json::from_value(object)?;
        Ok(Event::Apply(Object::Route(Box::new(route))))
    }

    pub(super) fn without_route(&self, tenant: u32) -> Event {
        Event::Delete(ObjectKey::new(Kind::AIRoute, namespace_of(tenant), ROUTE))
    }

    /// A tenant's consumer with one of its keys, in groups of one of its forms. Callers use key 0.
    pub(super) fn consumer(&self, tenant: u32, key_number: u64, form: u64) -> Result<Event> {
        let digest: String = sha256(&key(tenant, key_number))
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let spec = json!({
            "groups": ["gold", format!("form-{form}")],
            "apiKeys": [{"name": "main", "sha256": digest}],
        });
        let namespace = namespace_of(tenant);
        let object = object(&namespace, "Consumer", CONSUMER, spec, key_number + form);
        let consumer: Consumer = serde_json::from_value(object)?;
        Ok(Event::Apply(Object::Consumer(Box::new(consumer))))
    }

    /// A tenant's namespace with a label of one of its forms.
    pub(super) fn labelled(&self, tenant: u32, form: u64) -> Event {
        namespace(&namespace_of(tenant), &form.to_string())
    }

    /// A quota of a tenant's own, of so many tokens.
    pub(super) fn quota(&self, tenant: u32, form: u64) -> Result<Event> {
        quota(&namespace_of(tenant), json!({}), form)
    }

    /// A quota of every tenant of the plan.
    pub(super) fn fleet_quota(&self, form: u64) -> Result<Event> {
        let selector = json!({"namespaces": {"matchLabels": {"plan": "gold"}}});
        quota(PLATFORM_NAMESPACE, selector, form)
    }

    /// The provider that a tenant's requests go to, in one of its forms.
    pub(super) fn provider(&self, tenant: u32, form: u64) -> Result<Event> {
        provider(&self.provider_namespace(tenant), form)
    }

    /// The template, in one of its forms.
    pub(super) fn template(&self, form: u64) -> Result<Event> {
        let gold = json!({"matchLabels": {"plan": "gold"}});
        let spec = json!({
            "grants": [{"namespaces": {"from": "Selector", "selector": gold}}],
            "authorization": {"allow": [{"groups": ["gold"]}]},
            "rules": rules(form),
        });
        let object = object(PLATFORM_NAMESPACE, "AIRoute", TEMPLATE, spec, form);
        let route: AIRoute = serde_json::from_value(object)?;
        Ok(Event::Apply(Object::Route(Box::new(route))))
    }

    fn provider_namespace(&self, tenant: u32) -> String {
        match self.is_plain {
            true => namespace_of(tenant),
            false => PLATFORM_NAMESPACE.to_owned(),
        }
    }
}

fn key(tenant: u32, number: u64) -> Vec<u8> {
    format!("tk-simulated-{tenant:08}-{number:08}").into_bytes()
}

fn namespace(name: &str, form: &str) -> Event {
    let labels = [
        ("kubernetes.io/metadata.name", name),
        ("plan", "gold"),
        ("form", form),
    ];
    let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
    Event::Apply(Object::Namespace(NamespaceData {
        name: name.to_owned(),
        uid: uid(&format!("namespace/{name}")),
        labels: BTreeMap::from(labels).into(),
        allowed_hostnames: Vec::new(),
    }))
}

fn provider(namespace: &str, form: u64) -> Result<Event> {
    let models = json!([{"name": "echo"}, {"name": format!("echo-{form}")}]);
    let spec = json!({"vendor": "Echo", "models": models});
    let object = object(namespace, "AIProvider", PROVIDER, spec, form);
    let provider: AIProvider = serde_json::from_value(object)?;
    Ok(Event::Apply(Object::Provider(Box::new(provider))))
}

fn quota(namespace: &str, selector: Value, form: u64) -> Result<Event> {
    let limits = json!([{"name": "minute", "tokens": 100_000 + form, "window": "1m"}]);
    let spec = json!({"selector": selector, "per": ["Consumer"], "limits": limits});
    let object = object(namespace, "TokenQuota", QUOTA, spec, form);
    let quota: TokenQuota = serde_json::from_value(object)?;
    Ok(Event::Apply(Object::Quota(Box::new(quota))))
}

fn rules(form: u64) -> Value {
    json!([{
        "matches": [{"models": ["echo", format!("echo-{form}")]}],
        "backendRefs": [{"name": PROVIDER}],
    }])
}

/// An object as the API server tells it, with the status that a controller wrote before.
fn object(namespace: &str, kind: &str, name: &str, spec: Value, form: u64) -> Value {
    let generation = form + 1;
    let created = "2026-11-01T00:00:00Z";
    let condition = |kind: &str, reason: &str, message: &str| {
        json!({
            "type": kind, "status": "True", "reason": reason, "message": message,
            "observedGeneration": generation, "lastTransitionTime": created,
        })
    };
    let conditions = [
        condition("Accepted", "Accepted", ""),
        condition("ResolvedRefs", "ResolvedRefs", ""),
        condition(
            "Programmed",
            "Programmed",
            "not loaded yet; loads with the first request",
        ),
    ];
    json!({
        "apiVersion": "turnpike.dev/v1alpha1", "kind": kind,
        "metadata": {
            "namespace": namespace, "name": name, "generation": generation,
            "uid": uid(&format!("{kind}/{namespace}/{name}")), "creationTimestamp": created,
        },
        "spec": spec,
        "status": {"observedGeneration": generation, "conditions": conditions},
    })
}

/// A text of the form and length of a uid, always the same of the same object.
fn uid(object: &str) -> String {
    let digest = sha256(object.as_bytes());
    let hex: String = digest[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    parts.join("-")
}
