//! What a tenant of the benchmark has, and each form that a change gives it. Pure, but for the
//! certificates that are made at the start.

use std::net::SocketAddr;

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::bench::posted::{Posted, collection, ours};
use crate::secure::Certified;
use crate::{places, resources};

/// Model of the requests that show a change.
const STEP: &str = "step";

/// The kinds of changes, in the order in which they take turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Rules,
    Provider,
    ProviderKey,
    ConsumerKey,
    Quota,
    Certificate,
}

/// A change of an object: its path and the members that are new (RFC 7386).
#[derive(Debug)]
pub(super) struct Change {
    pub(super) path: String,
    pub(super) members: Value,
}

/// All tenants of a run, by number.
#[derive(Debug)]
pub(super) struct Tenants {
    run: String,
    model: SocketAddr,
    /// Each shows the first at first, and then the one that it did not show before.
    certificates: Vec<[Certified; 2]>,
}

impl Kind {
    pub(super) const ALL: [Self; 6] = [
        Self::Rules,
        Self::Provider,
        Self::ProviderKey,
        Self::ConsumerKey,
        Self::Quota,
        Self::Certificate,
    ];
}

impl Tenants {
    pub(super) fn new(model: SocketAddr, count: usize) -> Result<Self> {
        let mut tenants = Self {
            run: format!("streams-{}", places::unique()),
            model,
            certificates: Vec::with_capacity(count),
        };
        for tenant in 0..count {
            let host = tenants.host(tenant);
            let pair = [Certified::make(&[&host])?, Certified::make(&[&host])?];
            tenants.certificates.push(pair);
        }
        Ok(tenants)
    }

    pub(super) fn count(&self) -> usize {
        self.certificates.len()
    }

    /// Part of every namespace and host of this run.
    pub(super) fn run(&self) -> &str {
        &self.run
    }

    pub(super) fn namespace(&self, tenant: usize) -> String {
        format!("{}-{tenant}", self.run)
    }

    pub(super) fn host(&self, tenant: usize) -> String {
        format!("t{tenant}.{}.test", self.run)
    }

    /// The consumer's key in one of its forms.
    pub(super) fn key(&self, tenant: usize, form: usize) -> String {
        format!("tk-{}-{tenant}-{form:08}-4f1d0c62b7a94e15", self.run)
    }

    /// The certificate in one of its forms.
    pub(super) fn certificate(&self, tenant: usize, form: usize) -> &Certified {
        &self.certificates[tenant][form % 2]
    }

    /// A model that the route takes in one of its forms and in no other.
    pub(super) fn model(&self, form: usize) -> String {
        format!("{STEP}-{form:08}")
    }

    /// Everything that is made at the start.
    pub(super) fn all(&self) -> impl Iterator<Item = Posted> {
        (0..self.count()).flat_map(|tenant| self.objects(tenant))
    }

    fn objects(&self, tenant: usize) -> Vec<Posted> {
        let namespace = self.namespace(tenant);
        let provider = json!({
            "protocol": "OpenAI",
            "url": format!("http://{}/v1", self.model),
            "credentials": [{"name": "main", "secretRef": {"name": "provider-key", "key": "k"}}],
        });
        let route = json!({
            "hostnames": [self.host(tenant)],
            "tls": {"certificateRefs": [{"name": "certificate"}]},
        });
        let quota = json!({"per": ["Consumer"]});
        let kinds = [
            ("aiproviders", "AIProvider", Kind::Provider, provider),
            ("consumers", "Consumer", Kind::ConsumerKey, json!({})),
            ("tokenquotas", "TokenQuota", Kind::Quota, quota),
            ("airoutes", "AIRoute", Kind::Rules, route),
        ];
        let mut objects = vec![
            Posted {
                path: "/api/v1/namespaces".to_owned(),
                object: json!({
                    "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace},
                }),
            },
            self.secret(tenant, "provider-key", "Opaque", Kind::ProviderKey),
            self.secret(
                tenant,
                "certificate",
                "kubernetes.io/tls",
                Kind::Certificate,
            ),
        ];
        objects.extend(kinds.map(|(plural, name, kind, fixed)| {
            let mut spec = fixed;
            let form = self.form(tenant, kind, 0);
            merge(&mut spec, &form["spec"]);
            ours(&namespace, plural, name, "main", spec)
        }));
        objects
    }

    fn secret(&self, tenant: usize, name: &str, secret_type: &str, kind: Kind) -> Posted {
        let mut object = json!({
            "apiVersion": "v1", "kind": "Secret", "type": secret_type,
            "metadata": {"name": name, "labels": {"turnpike.dev/credential": "true"}},
        });
        merge(&mut object, &self.form(tenant, kind, 0));
        Posted {
            path: format!("/api/v1/namespaces/{}/secrets", self.namespace(tenant)),
            object,
        }
    }

    /// The change of one of a tenant's objects to a form.
    pub(super) fn change(&self, tenant: usize, kind: Kind, form: usize) -> Change {
        let namespace = self.namespace(tenant);
        let path = match kind {
            Kind::Rules => format!("{}/main", collection(&namespace, "airoutes")),
            Kind::Provider => format!("{}/main", collection(&namespace, "aiproviders")),
            Kind::ConsumerKey => format!("{}/main", collection(&namespace, "consumers")),
            Kind::Quota => format!("{}/main", collection(&namespace, "tokenquotas")),
            Kind::ProviderKey => format!("/api/v1/namespaces/{namespace}/secrets/provider-key"),
            Kind::Certificate => format!("/api/v1/namespaces/{namespace}/secrets/certificate"),
        };
        Change {
            path,
            members: self.form(tenant, kind, form),
        }
    }

    /// The members that differ from form to form.
    fn form(&self, tenant: usize, kind: Kind, form: usize) -> Value {
        match kind {
            Kind::Rules => {
                let models = json!(["bench*", self.model(form)]);
                json!({"spec": {"rules": [{
                    "name": "main",
                    "matches": [{"models": models}],
                    "backendRefs": [{"name": "main"}],
                }]}})
            }
            Kind::Provider => {
                // A stream that is held is not idle too long.
                let first = format!("{}s", 20 + form % 10);
                let timeouts = json!({
                    "connect": "10s", "firstToken": first, "idle": "2h", "total": "3h",
                });
                let other = format!("other-{form:08}");
                let models = json!([
                    {"name": "bench*"}, {"name": format!("{STEP}-*")}, {"name": other},
                ]);
                json!({"spec": {"timeouts": timeouts, "models": models}})
            }
            Kind::ProviderKey => {
                let key = format!("sk-bench-{form:08}-0123456789abcdef");
                json!({"stringData": {"k": key}})
            }
            Kind::ConsumerKey => {
                let digest = resources::digest(&self.key(tenant, form));
                json!({"spec": {"apiKeys": [{"name": "main", "sha256": digest}]}})
            }
            Kind::Quota => {
                let tokens = 1_000_000_000 + form;
                let limits = json!([{"name": "main", "tokens": tokens, "window": "1m"}]);
                json!({"spec": {"limits": limits}})
            }
            Kind::Certificate => {
                let shown = self.certificate(tenant, form);
                let (chain, key) = (STANDARD.encode(&shown.chain), STANDARD.encode(&shown.key));
                json!({"data": {"tls.crt": chain, "tls.key": key}})
            }
        }
    }
}

/// Adds members to an object.
fn merge(object: &mut Value, members: &Value) {
    for (name, value) in members.as_object().into_iter().flatten() {
        object[name] = value.clone();
    }
}
