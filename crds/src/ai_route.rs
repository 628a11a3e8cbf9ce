//! AIRoute: which hosts are served, for whom, and by which providers.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::DEFAULT_CLASS;
use crate::common::{Duration, Hostname};
use crate::namespaces::GrantedNamespaces;
use crate::retries::{Failover, Retry};
use crate::status::{HostnameStatus, Status, conditions_of_object, named};

/// Serves host names: who may call, and which provider answers what. Without hostnames: a
/// template that other routes take their rules from.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "turnpike.dev",
    version = "v1alpha1",
    kind = "AIRoute",
    plural = "airoutes",
    shortname = "air",
    category = "turnpike",
    derive = "PartialEq",
    doc = "Serves host names: who may call, and which provider answers what.",
    namespaced,
    status = "AIRouteStatus",
    printcolumn = r#"{"name": "Hostnames", "type": "string", "jsonPath": ".spec.hostnames"}"#,
    printcolumn = r#"{"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name": "Accepted", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Accepted\")].status"}"#,
    printcolumn = r#"{"name": "Programmed", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Programmed\")].status"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name": "Class", "type": "string", "jsonPath": ".spec.className", "priority": 1}"#,
    printcolumn = r#"{"name": "Resolved", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"ResolvedRefs\")].status", "priority": 1}"#,
    printcolumn = r#"{"name": "Routes", "type": "integer", "jsonPath": ".status.routes", "priority": 1}"#,
    printcolumn = r#"{"name": "Message", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].message", "priority": 1}"#
)]
#[x_kube(
    validation = Rule::new("has(self.rules) || has(self.rulesFrom)").message("set rules, rulesFrom or both: where requests go"),
    validation = Rule::new("has(self.hostnames) || !has(self.rulesFrom)").message("rulesFrom needs hostnames: a template cannot take its rules from another"),
    validation = Rule::new("has(self.hostnames) || self.state == 'Active'").message("a template has no requests of its own; suspend the routes that take its rules"),
    validation = Rule::new("!has(self.stateMessage) || self.state == 'Suspended'").message("stateMessage needs state: Suspended"),
    validation = Rule::new("!has(self.hostnames) || !has(self.grants)").message("grants are for templates: leave hostnames out, or remove grants"),
    validation = Rule::new("has(self.hostnames) || !has(self.tls)").message("a template has no host to show a certificate for; set tls in the routes that take its rules")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AIRouteSpec {
    /// Which installation serves the route: the one whose controller has this `--class`. All others
    /// ignore it. Cannot be changed.
    #[serde(default = "AIRouteSpec::default_class")]
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    #[x_kube(validation = Rule::new("self == oldSelf").message("className cannot be changed: two installations might serve the route at once, or none; delete the route and make it anew"))]
    pub class_name: String,
    /// The hosts that clients send: exact names, `*.suffix`, or `*` for every host.
    /// Routes of one namespace may share a host; the first namespace to claim it has it.
    /// Left out: the route is a template and serves no host of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<Hostname>", length(min = 1, max = 64))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub hostnames: Vec<String>,
    /// A template whose rules follow this route's own, and whose authentication,
    /// authorization, maxBodyBytes, headBytes, heartbeat and onDisconnect hold where this route has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules_from: Option<TemplateRef>,
    /// How the route's hosts are served over TLS; default: by a certificate of the platform's
    /// that names them, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<RouteTls>,
    /// Of a template: the namespaces besides its own whose routes may take its rules.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64))]
    pub grants: Vec<TemplateGrant>,
    /// How callers show who they are; default: the template's, else a key is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentication: Option<Authentication>,
    /// Who may use the route; default: the template's, else every consumer of the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization: Option<Authorization>,
    /// Longest request body in bytes; default: the template's, else 33554432 (32 MiB).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_073_741_824))]
    pub max_body_bytes: Option<i64>,
    /// Bytes of a large request body that are held in memory while its `model` is awaited; what comes
    /// after them waits on disk. Default: the template's, else 1048576 (1 MiB).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_073_741_824))]
    pub head_bytes: Option<i64>,
    /// How long a stream may be silent until its caller is sent a comment, so that nobody on the way
    /// takes it for dead; sent before the first content, it fixes the status 200. `0s`: for ever.
    /// Default: the template's, else `15s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) == duration('0s') || (duration(self) >= duration('1s') && duration(self) <= duration('1h'))").message("heartbeat must be from 1s to 1h, or 0s, which turns it off"))]
    pub heartbeat: Option<Duration>,
    /// What becomes of an answer whose caller hangs up. `Cancel`: the provider is cancelled, and what it
    /// had still to tell of its costs is estimated; `Drain`: it is read on in the background for what
    /// it costs exactly. Default: the template's, else `Cancel`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_disconnect: Option<OnDisconnect>,
    /// Where requests go; the first rule that matches decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new("self.all(rule, !has(rule.name) || self.exists_one(other, has(other.name) && other.name == rule.name))").message("two rules have the same name; logs and metrics could not tell them apart"))]
    pub rules: Vec<RouteRule>,
    /// `Suspended`: every request is refused with 403, and hosts and counters are kept.
    #[serde(default)]
    pub state: RouteState,
    /// What callers are told while the route is suspended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub state_message: Option<String>,
}

impl AIRouteSpec {
    fn default_class() -> String {
        DEFAULT_CLASS.to_owned()
    }

    /// Whether it serves no host, so that others may take its rules.
    pub fn is_template(&self) -> bool {
        self.hostnames.is_empty() && self.rules_from.is_none()
    }
}

/// Whether a route's requests are served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RouteState {
    /// They are.
    #[default]
    Active,
    /// They are refused with 403 `tenant_suspended`; hosts and counters stay.
    Suspended,
}

/// What becomes of an answer whose caller hangs up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnDisconnect {
    /// The provider is cancelled.
    #[default]
    Cancel,
    /// It is read on for what it costs.
    Drain,
}

/// How hosts are served over TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(
    validation = Rule::new("has(self.certificateRefs) || has(self.clientCARef)").message("tls needs certificateRefs, clientCARef or both; leave tls out to use the platform's certificate")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RouteTls {
    /// Certificates of the route's namespace; a host is shown the one that names it itself, else
    /// one that names its wildcard, else the platform's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub certificate_refs: Vec<CertificateRef>,
    /// Callers must show a certificate that one of these CAs has signed. The requirement is the
    /// host's: it holds for every route of the host.
    #[serde(
        default,
        rename = "clientCARef",
        skip_serializing_if = "Option::is_none"
    )]
    pub client_ca_ref: Option<ClientCaRef>,
}

/// Names a certificate with its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CertificateRef {
    /// A Secret of type `kubernetes.io/tls` with the label `turnpike.dev/credential: "true"`:
    /// the chain under `tls.crt`, the key under `tls.key`.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Names CAs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClientCaRef {
    /// A Secret with the label `turnpike.dev/credential: "true"`: certificates in PEM under
    /// `ca.crt`.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Names a template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TemplateRef {
    /// An AIRoute without hostnames.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Where it is; it must grant this namespace the use. Default: the route's own namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
}

/// Lets routes of other namespaces take a template's rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TemplateGrant {
    /// Which namespaces.
    pub namespaces: GrantedNamespaces,
}

/// How callers show who they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(
    validation = Rule::new("!has(self.anonymousConsumer) || self.mode == 'Optional'").message("anonymousConsumer needs mode: Optional")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Authentication {
    /// `Required`: a key is needed. `Optional`: callers without one pass too.
    #[serde(default)]
    pub mode: AuthenticationMode,
    /// The Consumer that stands for callers without a key, in its groups and quotas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub anonymous_consumer: Option<String>,
}

/// Whether callers must show a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AuthenticationMode {
    /// A key is needed.
    #[default]
    Required,
    /// Callers without a key pass too.
    Optional,
}

/// Who may use the route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Authorization {
    /// Any one entry suffices; empty: every consumer of the namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub allow: Vec<Allow>,
}

/// Lets consumers through.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(
    validation = Rule::new("has(self.names) || has(self.groups) || has(self.models)").message("an entry of allow needs names, groups or models; leave allow out to let every consumer of the namespace in")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Allow {
    /// Consumers by name, besides those in `groups`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 256), inner(length(min = 1, max = 253)))]
    pub names: Vec<String>,
    /// Consumers by group, besides those in `names`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 63)))]
    pub groups: Vec<String>,
    /// Only for these models; globs are allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 256)))]
    pub models: Vec<String>,
}

/// Sends matching requests to one of several providers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(
    validation = Rule::new("self.backendRefs.exists(b, b.weight > 0)").message("at least one of backendRefs needs a weight above 0"),
    validation = Rule::new("!has(self.failover) || size(self.backendRefs) > 1").message("failover needs a second backend to go to; add one to backendRefs, or use retry alone")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RouteRule {
    /// Names the rule in logs and metrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub name: Option<String>,
    /// Any one entry suffices; empty: every request matches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub matches: Vec<RouteMatch>,
    /// The providers: one of the lowest `priority` that offers the model, chosen by weight.
    #[schemars(length(min = 1, max = 16))]
    pub backend_refs: Vec<BackendRef>,
    /// When another backend is tried; default: with backends of several priorities, after a
    /// `Timeout`, `ConnectFailure`, `RateLimited` or `ServerError`, else never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failover: Option<Failover>,
    /// Further attempts once no other backend is left to try, after the failures that `failover`
    /// names; default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
}

/// All conditions given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(
    validation = Rule::new("has(self.path) || has(self.models) || has(self.headers) || has(self.consumers)").message("an entry of matches needs path, models, headers or consumers; leave matches out to match everything")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RouteMatch {
    /// The request's path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathMatch>,
    /// The model that the request asks for, any one of these; globs are allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 256)))]
    pub models: Vec<String>,
    /// Headers that the request must have, all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub headers: Vec<HeaderMatch>,
    /// The consumer that calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumers: Option<ConsumerMatch>,
}

/// A condition on the path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PathMatch {
    /// How `value` is compared.
    #[serde(rename = "type", default)]
    pub type_: PathMatchType,
    /// Begins with `/`; `*` stands for nothing, and is refused.
    #[schemars(length(max = 1024), regex(pattern = r"^/[^\s?#*]*$"))]
    pub value: String,
}

/// How a path is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PathMatchType {
    /// The whole path.
    Exact,
    /// By whole segments: `/v1` covers `/v1` and `/v1/x`, not `/v1x`.
    #[default]
    PathPrefix,
}

/// A condition on a header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HeaderMatch {
    /// How `value` is compared.
    #[serde(rename = "type", default)]
    pub type_: HeaderMatchType,
    /// The header's name, in any case.
    #[schemars(
        length(min = 1, max = 256),
        regex(pattern = r"^[A-Za-z0-9!#$%&'*+\-.^_`|~]+$")
    )]
    pub name: String,
    /// The header's value.
    #[schemars(length(max = 4096))]
    pub value: String,
}

/// How a header is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum HeaderMatchType {
    /// Byte for byte.
    #[default]
    Exact,
}

/// A condition on the consumer that calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConsumerMatch {
    /// The consumer is in any one of these groups.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 63)))]
    pub groups: Vec<String>,
}

/// A provider that a rule may choose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackendRef {
    /// The AIProvider.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Where it is; it must grant this namespace the use. Default: the namespace of the route
    /// that the rule is written in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
    /// The model to ask it for, as the provider's `models` call it; default: the one that the client asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub model: Option<String>,
    /// Its share among the rule's backends of its priority; 0: never chosen.
    #[serde(default = "BackendRef::default_weight")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub weight: i32,
    /// Which is tried first: those of 0, then, after a failure, those of 1, and so on.
    #[serde(default)]
    #[schemars(range(min = 0, max = 15))]
    pub priority: i32,
}

impl BackendRef {
    fn default_weight() -> i32 {
        1
    }
}

/// What the controller observed of the route.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = {}))]
pub struct AIRouteStatus {
    /// The generation of the resource that this status tells of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, and what it sums up: `Accepted`, `ResolvedRefs` and `Programmed`; where a certificate
    /// is shown, `CertificatesValid`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_of_object")]
    pub conditions: Vec<Condition>,
    /// What became of each of `spec.hostnames`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "named::<HostnameStatus>")]
    pub hostnames: Vec<HostnameStatus>,
    /// Of a template: how many routes name it in `rulesFrom`, in all namespaces. Told with a few
    /// seconds' delay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routes: Option<i64>,
}

impl From<AIRouteStatus> for Status {
    fn from(status: AIRouteStatus) -> Self {
        Self {
            observed_generation: status.observed_generation,
            conditions: status.conditions,
            hostnames: status.hostnames,
            routes: status.routes,
            ..Self::default()
        }
    }
}
