//! What a tenant of the benchmark is: one AIRoute and one Consumer, in a namespace of its own or
//! in one that all share, and what the platform has for all of them.

use clap::ValueEnum;
use serde_json::{Value, json};

use crate::bench::posted::{Posted, collection, ours};
use crate::kubernetes::PLATFORM_NAMESPACE;
use crate::resources;

/// Where the platform keeps its template.
const TEMPLATE: &str = "plan-gold";
/// The namespace of all tenants where they share one.
const SHARED: &str = "tenants";
/// Models that the provider has. Routes are changed between the second and the third; the last
/// one comes and goes with the template.
pub(super) const MODELS: [&str; 4] = ["echo", "echo-a", "echo-b", "echo-c"];

/// How tenants are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Layout {
    /// A namespace each.
    Namespaces,
    /// One namespace; each route allows its own group.
    Shared,
}

/// How a tenant's objects look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) layout: Layout,
    /// Routes have rules and a provider of their own instead of the platform's template.
    pub(super) is_plain: bool,
}

impl Layout {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Layout::Namespaces => "namespaces",
            Layout::Shared => "shared",
        }
    }
}

impl Shape {
    pub(super) fn namespace(self, tenant: usize) -> String {
        match self.layout {
            Layout::Namespaces => format!("t-{tenant}"),
            Layout::Shared => SHARED.to_owned(),
        }
    }

    pub(super) fn host(self, tenant: usize) -> String {
        format!("t-{tenant}.maas.example.com")
    }

    pub(super) fn key(self, tenant: usize) -> String {
        format!("tk-bench-of-tenant-{tenant:08}")
    }

    /// The path of a tenant's route.
    pub(super) fn route_path(self, tenant: usize) -> String {
        let name = self.object_name(tenant);
        format!("{}/{name}", collection(&self.namespace(tenant), "airoutes"))
    }

    /// The path of a tenant's consumer.
    pub(super) fn consumer_path(self, tenant: usize) -> String {
        let name = self.object_name(tenant);
        format!(
            "{}/{name}",
            collection(&self.namespace(tenant), "consumers")
        )
    }

    /// The namespace of a tenant's own, or none where it is shared.
    pub(super) fn own_namespace(self, tenant: usize) -> Option<Posted> {
        match self.layout {
            Layout::Namespaces => Some(namespace(&self.namespace(tenant))),
            Layout::Shared => None,
        }
    }

    /// What stands beside a tenant's route: its consumer, and its provider if it has its own.
    pub(super) fn beside(self, tenant: usize) -> Vec<Posted> {
        let namespace = self.namespace(tenant);
        let name = self.object_name(tenant);
        let digest = resources::digest(&self.key(tenant));
        let keys = json!([{"name": "main", "sha256": digest}]);
        let spec = json!({"groups": [self.group(tenant)], "apiKeys": keys});
        let mut objects = vec![ours(&namespace, "consumers", "Consumer", &name, spec)];
        if self.is_plain && self.layout == Layout::Namespaces {
            objects.push(provider(&namespace));
        }
        objects
    }

    pub(super) fn route(self, tenant: usize) -> Posted {
        let namespace = self.namespace(tenant);
        let mut spec = json!({"hostnames": [self.host(tenant)]});
        if self.is_plain {
            spec["rules"] = rules(&MODELS);
        } else {
            spec["rulesFrom"] = json!({"name": TEMPLATE, "namespace": PLATFORM_NAMESPACE});
        }
        if self.is_plain || self.layout == Layout::Shared {
            spec["authorization"] = json!({"allow": [{"groups": [self.group(tenant)]}]});
        }
        let name = self.object_name(tenant);
        ours(&namespace, "airoutes", "AIRoute", &name, spec)
    }

    /// The change of a route after which its callers may use this model and no other.
    pub(super) fn allow_only(self, tenant: usize, model: &str) -> Value {
        let allow = json!([{"groups": [self.group(tenant)], "models": [model]}]);
        json!({"spec": {"authorization": {"allow": allow}}})
    }

    /// The change of a consumer after which it has another key besides.
    pub(super) fn another_key(self, tenant: usize, number: u64) -> Value {
        let old = resources::digest(&self.key(tenant));
        let new = resources::digest(&format!("tk-bench-another-{tenant:08}-{number:08}"));
        let keys = json!([{"name": "main", "sha256": old}, {"name": "next", "sha256": new}]);
        json!({"spec": {"apiKeys": keys}})
    }

    /// What exists once, before any tenant.
    pub(super) fn platform(self) -> Vec<Posted> {
        let mut objects = Vec::new();
        if self.layout == Layout::Shared {
            objects.push(namespace(SHARED));
        }
        if self.is_plain {
            if self.layout == Layout::Shared {
                objects.push(provider(SHARED));
            }
            return objects;
        }
        objects.push(provider(PLATFORM_NAMESPACE));
        let gold = json!({"matchLabels": {"plan": "gold"}});
        let spec = json!({
            "grants": [{"namespaces": {"from": "Selector", "selector": gold}}],
            "authorization": {"allow": [{"groups": ["gold"]}]},
            "rules": rules(&MODELS[..3]),
        });
        let namespace = PLATFORM_NAMESPACE;
        objects.push(ours(namespace, "airoutes", "AIRoute", TEMPLATE, spec));
        objects
    }

    /// The path of the template.
    pub(super) fn template_path(self) -> String {
        format!("{}/{TEMPLATE}", collection(PLATFORM_NAMESPACE, "airoutes"))
    }

    /// The change of the template after which its rule has these models.
    pub(super) fn template_with(self, models: &[&str]) -> Value {
        json!({"spec": {"rules": rules(models)}})
    }

    /// A quota of every tenant of the plan that no request can keep.
    pub(super) fn strict_quota(self, name: &str) -> Posted {
        let gold = json!({"matchLabels": {"plan": "gold"}});
        let spec = json!({
            "selector": {"namespaces": gold},
            "per": ["Consumer"],
            "limits": [{"name": "main", "tokens": 1, "window": "1m"}],
        });
        ours(PLATFORM_NAMESPACE, "tokenquotas", "TokenQuota", name, spec)
    }

    fn object_name(self, tenant: usize) -> String {
        match self.layout {
            Layout::Namespaces => "main".to_owned(),
            Layout::Shared => format!("t-{tenant}"),
        }
    }

    fn group(self, tenant: usize) -> String {
        match self.layout {
            Layout::Namespaces => "gold".to_owned(),
            Layout::Shared => format!("t-{tenant}"),
        }
    }
}

fn namespace(name: &str) -> Posted {
    Posted {
        path: "/api/v1/namespaces".to_owned(),
        object: json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": name, "labels": {"plan": "gold"}},
        }),
    }
}

fn provider(namespace: &str) -> Posted {
    let models: Vec<Value> = MODELS.iter().map(|name| json!({"name": name})).collect();
    let spec = json!({"vendor": "Echo", "models": models});
    ours(namespace, "aiproviders", "AIProvider", "echo", spec)
}

fn rules(models: &[&str]) -> Value {
    json!([{"matches": [{"models": models}], "backendRefs": [{"name": "echo"}]}])
}
