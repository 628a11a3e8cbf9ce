//! Consumer: who calls, with which keys, and what they belong to.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{Moment, SecretKeyRef};
use crate::status::{Status, conditions_of_object};

/// A person, team or program that calls the routes of its namespace.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "turnpike.dev",
    version = "v1alpha1",
    kind = "Consumer",
    plural = "consumers",
    shortname = "aic",
    category = "turnpike",
    derive = "PartialEq",
    doc = "A person, team or program that calls the routes of its namespace.",
    namespaced,
    status = "ConsumerStatus",
    printcolumn = r#"{"name": "Groups", "type": "string", "jsonPath": ".spec.groups"}"#,
    printcolumn = r#"{"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name": "State", "type": "string", "jsonPath": ".spec.state", "priority": 1}"#,
    printcolumn = r#"{"name": "Accepted", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Accepted\")].status", "priority": 1}"#,
    printcolumn = r#"{"name": "Resolved", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"ResolvedRefs\")].status", "priority": 1}"#,
    printcolumn = r#"{"name": "Programmed", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Programmed\")].status", "priority": 1}"#,
    printcolumn = r#"{"name": "Message", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].message", "priority": 1}"#
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConsumerSpec {
    /// What routes and quotas may select it by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 63)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub groups: Vec<String>,
    /// Keys; several may be valid at once, so that one can be replaced without a gap.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub api_keys: Vec<ApiKey>,
    /// `Suspended` revokes every key at once, and keeps them.
    #[serde(default)]
    pub state: ConsumerState,
}

/// A key that callers present as `Authorization: Bearer` or `x-api-key`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(
    validation = Rule::new("has(self.sha256) != has(self.secretRef)").message("set exactly one of sha256 and secretRef"),
    validation = Rule::new("!has(self.sha256) || self.sha256.matches('^[0-9a-f]{64}$')").message("sha256 must be 64 lower-case hex digits in quotes, as printf %s \"$KEY\" | sha256sum prints them"),
    validation = Rule::new("!has(self.sha256) || self.sha256 != 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'").message("sha256 is the digest of an empty text; was the variable that holds the key empty?")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApiKey {
    /// Names the key.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// The SHA-256 of a random key of at least 128 bits, in lower-case hex:
    /// `printf %s "$KEY" | sha256sum`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub sha256: Option<String>,
    /// The Secret's value that is the key; at least 20 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretKeyRef>,
    /// From this time on the key is refused: `2027-01-01T00:00:00Z`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Moment>")]
    #[x_kube(validation = Rule::new("timestamp(self) < timestamp('9999-01-01T00:00:00Z')").message("notAfter must be a time before the year 9999; leave it out for a key that does not end"))]
    pub not_after: Option<Time>,
}

/// Whether a consumer's keys count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConsumerState {
    /// They do.
    #[default]
    Active,
    /// They don't.
    Suspended,
}

/// What the controller observed of the consumer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = {}))]
pub struct ConsumerStatus {
    /// The generation of the resource that this status tells of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, and what it sums up: `Accepted`, `ResolvedRefs` and `Programmed`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_of_object")]
    pub conditions: Vec<Condition>,
}

impl From<ConsumerStatus> for Status {
    fn from(status: ConsumerStatus) -> Self {
        Self {
            observed_generation: status.observed_generation,
            conditions: status.conditions,
            ..Self::default()
        }
    }
}
