//! TokenQuota: how many tokens and requests may be used in how long.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{Count, Duration};
use crate::namespaces::NamespaceSelector;
use crate::status::{GroupStatus, Status, conditions_of_object, named};

/// Limits what consumers may use. All quotas that select a request must pass.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "turnpike.dev",
    version = "v1alpha1",
    kind = "TokenQuota",
    plural = "tokenquotas",
    shortname = "atq",
    category = "turnpike",
    derive = "PartialEq",
    doc = "Limits what consumers may use. All quotas that select a request must pass.",
    namespaced,
    status = "TokenQuotaStatus",
    printcolumn = r#"{"name": "Per", "type": "string", "jsonPath": ".spec.per"}"#,
    printcolumn = r#"{"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name": "Accepted", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Accepted\")].status", "priority": 1}"#,
    printcolumn = r#"{"name": "Resolved", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"ResolvedRefs\")].status", "priority": 1}"#,
    printcolumn = r#"{"name": "Programmed", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Programmed\")].status", "priority": 1}"#,
    printcolumn = r#"{"name": "Message", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].message", "priority": 1}"#
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenQuotaSpec {
    /// Which requests are counted; all conditions given must hold; none: every request of the namespace.
    #[serde(default)]
    pub selector: QuotaSelector,
    /// A counter is kept for each of these; cannot be changed.
    #[serde(default = "TokenQuotaSpec::default_per")]
    #[schemars(length(min = 1, max = 2))]
    #[x_kube(merge_strategy = ListMerge::Set, validation = Rule::new("self == oldSelf").message("per cannot be changed: counters would start anew; make a new TokenQuota instead"))]
    pub per: Vec<CounterPer>,
    /// All must pass. Editing one keeps what it has counted; renaming one starts anew.
    #[schemars(length(min = 1, max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub limits: Vec<Limit>,
    /// What callers who are over are told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_exceeded: Option<OnExceeded>,
    /// What happens while the counters cannot be reached. `Allow`: requests pass and are
    /// counted later. `Deny`: requests are refused with 503.
    #[serde(default)]
    pub on_store_failure: OnStoreFailure,
}

impl TokenQuotaSpec {
    fn default_per() -> Vec<CounterPer> {
        vec![CounterPer::Consumer]
    }
}

/// Which requests are counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QuotaSelector {
    /// The consumers that call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumers: Option<ConsumerSelector>,
    /// AIRoutes by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 253)))]
    pub routes: Vec<String>,
    /// The models that requests ask for; globs are allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 256)))]
    pub models: Vec<String>,
    /// Other namespaces, by the labels of their Namespace; in the platform namespace only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<NamespaceSelector>,
}

/// Consumers by name or by group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(
    validation = Rule::new("has(self.names) || has(self.groups)").message("consumers needs names or groups; leave it out to select every consumer")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConsumerSelector {
    /// Consumers by name, besides those in `groups`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 256), inner(length(min = 1, max = 253)))]
    pub names: Vec<String>,
    /// Consumers by group, besides those in `names`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 63)))]
    pub groups: Vec<String>,
}

/// What requests must have in common to share a counter.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum CounterPer {
    /// The consumer.
    Consumer,
    /// The namespace.
    Namespace,
}

/// So much in so long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(
    validation = Rule::new("has(self.tokens) != has(self.requests)").message("set exactly one of tokens and requests")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limit {
    /// Names the counter.
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub name: String,
    /// Input and output tokens together: `50000`, `"100k"`, `"50M"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Count>,
    /// Requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<Count>,
    /// Over any time of this length, at least `1s`: a sliding window.
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('768h')").message("window must be from 1s to 768h"))]
    pub window: Duration,
}

/// What callers who are over are told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OnExceeded {
    /// The message of the 429.
    #[schemars(length(min = 1, max = 1024))]
    pub message: String,
}

/// What happens while the counters cannot be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnStoreFailure {
    /// Requests pass and are counted later.
    #[default]
    Allow,
    /// Requests are refused with 503.
    Deny,
}

/// What the controller observed of the quota.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = {}))]
pub struct TokenQuotaStatus {
    /// The generation of the resource that this status tells of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, and what it sums up: `Accepted`, `ResolvedRefs` and `Programmed`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_of_object")]
    pub conditions: Vec<Condition>,
    /// How many consumers there are in each group that the quota selects; of a quota for other
    /// namespaces left out. Told with a few seconds' delay.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "named::<GroupStatus>")]
    pub groups: Vec<GroupStatus>,
}

impl From<TokenQuotaStatus> for Status {
    fn from(status: TokenQuotaStatus) -> Self {
        Self {
            observed_generation: status.observed_generation,
            conditions: status.conditions,
            groups: status.groups,
            ..Self::default()
        }
    }
}
