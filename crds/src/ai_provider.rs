//! AIProvider: where models are served, and with which keys.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ai_route::CertificateRef;
use crate::common::{BasePath, BaseUrl, Duration, ProxyUrl, SecretRef, ServerName, ServicePort};
use crate::namespaces::GrantedNamespaces;
use crate::status::{Status, conditions_of_object};

/// A place that serves models: a vendor, or a server of your own.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "turnpike.dev",
    version = "v1alpha1",
    kind = "AIProvider",
    plural = "aiproviders",
    shortname = "aip",
    category = "turnpike",
    derive = "PartialEq",
    doc = "A place that serves models: a vendor, or a server of your own.",
    namespaced,
    status = "AIProviderStatus",
    printcolumn = r#"{"name": "Vendor", "type": "string", "jsonPath": ".spec.vendor"}"#,
    printcolumn = r#"{"name": "State", "type": "string", "jsonPath": ".spec.state"}"#,
    printcolumn = r#"{"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name": "Routes", "type": "integer", "jsonPath": ".status.routes"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name": "Protocol", "type": "string", "jsonPath": ".spec.protocol", "priority": 1}"#,
    printcolumn = r#"{"name": "Accepted", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Accepted\")].status", "priority": 1}"#,
    printcolumn = r#"{"name": "Resolved", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"ResolvedRefs\")].status", "priority": 1}"#,
    printcolumn = r#"{"name": "Programmed", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Programmed\")].status", "priority": 1}"#,
    printcolumn = r#"{"name": "Message", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].message", "priority": 1}"#
)]
#[x_kube(
    validation = Rule::new("has(self.vendor) != has(self.protocol)").message("set exactly one of vendor and protocol"),
    validation = Rule::new("!has(self.vendor) || self.vendor != 'Echo' || (!has(self.url) && !has(self.serviceRef) && !has(self.credentials) && !has(self.tls) && !has(self.egressProxy))").message("Echo is built into the gateway and calls nobody; remove url, serviceRef, credentials, tls and egressProxy"),
    validation = Rule::new("!has(self.url) || !has(self.serviceRef)").message("set url or serviceRef, not both"),
    validation = Rule::new("!has(self.serviceRef) || (!has(self.tls) && !has(self.egressProxy))").message("pods behind a serviceRef are reached directly over plain HTTP; remove tls and egressProxy"),
    validation = Rule::new("!has(self.protocol) || has(self.url) || has(self.serviceRef)").message("protocol needs url, the address that your server's own clients use as base URL, or serviceRef, a Service of this namespace")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AIProviderSpec {
    /// A known vendor: its address, wire format and way of authentication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<Vendor>,
    /// The wire format of a server that is no known vendor's; needs `url` or `serviceRef`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// The base URL as the vendor's own SDK takes it, such as `https://api.openai.com/v1`;
    /// optional where the vendor has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<BaseUrl>")]
    pub url: Option<String>,
    /// Models served in this cluster, in place of `url`: requests are balanced over the ready pods
    /// behind a Service, over plain HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_ref: Option<ServiceRef>,
    /// How connections over https are made; default: the certificates of public CAs are trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ProviderTls>,
    /// A forward proxy that connections to the provider go through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress_proxy: Option<EgressProxy>,
    /// Keys, used in turn.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub credentials: Vec<ProviderCredential>,
    /// The models on offer; empty: every name is passed on as it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub models: Vec<ProviderModel>,
    /// How long each part of an attempt may take.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// Who else may refer to it; empty: routes of its own namespace alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64))]
    pub grants: Vec<ProviderGrant>,
    /// Whether requests are sent to it. `Drain`: no new ones, and those under way go on; `Blocked`:
    /// those under way end at once as well. Rules choose among their other backends meanwhile.
    #[serde(default)]
    pub state: ProviderState,
}

/// Whether requests are sent to a provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ProviderState {
    /// They are.
    #[default]
    Active,
    /// New ones are not; those under way go on to their end.
    Drain,
    /// New ones are not, and those under way end at once with an error.
    Blocked,
}

/// Lets routes of other namespaces send requests to the provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProviderGrant {
    /// Which namespaces.
    pub namespaces: GrantedNamespaces,
    /// Only for these models, as the provider's `models` call them; globs are allowed. Empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 256)))]
    pub models: Vec<String>,
}

/// A Service of the provider's own namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceRef {
    /// The Service's name. It must have a selector: only pods of this namespace are asked.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// The number or the name of one of the Service's ports, as `spec.ports` of the Service says.
    pub port: ServicePort,
    /// The path that the server's own clients have in their base URL; default: `/v1` where OpenAI's
    /// format is spoken, none for Anthropic's. `/`: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<BasePath>")]
    pub path: Option<String>,
}

/// How connections over https are made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(
    validation = Rule::new("has(self.caCertificateRef) || has(self.clientCertificateRef) || has(self.serverName)").message("tls needs caCertificateRef, clientCertificateRef or serverName; leave tls out to trust public CAs")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProviderTls {
    /// The CAs that the provider's certificate must be signed by; no other is trusted then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_certificate_ref: Option<CaCertificateRef>,
    /// The certificate that is shown to the provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate_ref: Option<CertificateRef>,
    /// The name that is asked for in the handshake and that the provider's certificate must be for;
    /// default: the host of the address. The `host` header stays the address's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<ServerName>")]
    pub server_name: Option<String>,
}

/// Names CAs of the provider's namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CaCertificateRef {
    /// What holds them.
    #[serde(default)]
    pub kind: CaCertificateKind,
    /// A ConfigMap or a Secret with the label `turnpike.dev/credential: "true"`: certificates in
    /// PEM under `ca.crt`.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// What may hold CAs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CaCertificateKind {
    /// A ConfigMap.
    #[default]
    ConfigMap,
    /// A Secret.
    Secret,
}

/// A forward proxy that is asked to CONNECT, for https and http alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EgressProxy {
    /// Where it is, such as `http://proxy.example.com:3128`. It finds the provider's address.
    #[schemars(with = "ProxyUrl")]
    pub url: String,
    /// Who the gateway is to the proxy; default: it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<ProxyCredentialRef>,
}

/// Names a user of a proxy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProxyCredentialRef {
    /// A Secret of type `kubernetes.io/basic-auth` with the label `turnpike.dev/credential: "true"`:
    /// `username` and `password`.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// A vendor that Turnpike knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Vendor {
    /// OpenAI.
    OpenAI,
    /// Anthropic.
    Anthropic,
    /// DeepSeek.
    DeepSeek,
    /// A deterministic model inside the gateway, for trials and tests; needs no network and no key.
    Echo,
}

/// A wire format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Protocol {
    /// OpenAI chat completions and embeddings, as most servers speak it.
    OpenAI,
    /// Anthropic Messages.
    Anthropic,
}

/// One or more keys for the provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProviderCredential {
    /// Names the credential in logs and metrics.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// The Secret that holds the key; without `key`, every value of the Secret is one key.
    pub secret_ref: SecretRef,
}

/// A model on offer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProviderModel {
    /// What clients and routes say; a glob such as `gpt-4*` is allowed.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// What the provider is asked for; default: the name that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub upstream_model: Option<String>,
}

/// How long each part of an attempt may take; `0s`: no bound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Timeouts {
    /// To connect, TLS included.
    #[serde(default = "Timeouts::default_connect")]
    pub connect: Duration,
    /// From the request sent to the first content of a streamed answer.
    #[serde(default = "Timeouts::default_first_token")]
    pub first_token: Duration,
    /// Between two pieces of an answer.
    #[serde(default = "Timeouts::default_idle")]
    pub idle: Duration,
    /// The whole attempt.
    #[serde(default = "Timeouts::default_total")]
    pub total: Duration,
}

impl Timeouts {
    fn default_connect() -> Duration {
        seconds(3)
    }

    fn default_first_token() -> Duration {
        seconds(60)
    }

    fn default_idle() -> Duration {
        seconds(60)
    }

    fn default_total() -> Duration {
        seconds(30 * 60)
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Self::default_connect(),
            first_token: Self::default_first_token(),
            idle: Self::default_idle(),
            total: Self::default_total(),
        }
    }
}

impl Vendor {
    /// The name as written in resources.
    pub fn as_str(self) -> &'static str {
        match self {
            Vendor::OpenAI => "OpenAI",
            Vendor::Anthropic => "Anthropic",
            Vendor::DeepSeek => "DeepSeek",
            Vendor::Echo => "Echo",
        }
    }
}

impl Protocol {
    /// The name as written in resources.
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::OpenAI => "OpenAI",
            Protocol::Anthropic => "Anthropic",
        }
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration(std::time::Duration::from_secs(seconds))
}

/// What the controller observed of the provider.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = {}))]
pub struct AIProviderStatus {
    /// The generation of the resource that this status tells of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, and what it sums up: `Accepted`, `ResolvedRefs` and `Programmed`; where a certificate
    /// is shown, `CertificatesValid`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_of_object")]
    pub conditions: Vec<Condition>,
    /// How many AIRoutes name it in their rules, in all namespaces; a template counts as one.
    /// Told with a few seconds' delay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routes: Option<i64>,
}

impl From<AIProviderStatus> for Status {
    fn from(status: AIProviderStatus) -> Self {
        Self {
            observed_generation: status.observed_generation,
            conditions: status.conditions,
            routes: status.routes,
            ..Self::default()
        }
    }
}
