//! What the controller says of a resource: the parts that every kind's status has,
//! and what some have besides.
//!
//! A status that nobody has written yet reads `Ready=Unknown`, by a default of the
//! schema, so that tools wait for the controller.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// The sum of the others.
pub const READY: &str = "Ready";
/// Every check of the resource itself passed.
pub const ACCEPTED: &str = "Accepted";
/// All that the resource refers to is there and usable.
pub const RESOLVED_REFS: &str = "ResolvedRefs";
/// The data planes that hold it serve this generation.
pub const PROGRAMMED: &str = "Programmed";

/// No certificate that the resource shows has expired, or will within days. Not there where it
/// shows none; an expired one makes [`READY`] false too.
pub const CERTIFICATES_VALID: &str = "CertificatesValid";

/// The reason of what will be known soon.
pub const PENDING: &str = "Pending";
/// The reason of `Programmed` where `Accepted` tells why nothing is in force.
pub const INVALID: &str = "Invalid";

/// The status of an object of any kind; what its kind does not have is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The generation of the resource that this status tells of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// [`READY`] first, then what it sums up, then those of others.
    pub conditions: Vec<Condition>,
    /// Of an AIRoute.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hostnames: Vec<HostnameStatus>,
    /// Of an AIProvider, and of an AIRoute that is a template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routes: Option<i64>,
    /// Of a TokenQuota.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupStatus>,
}

/// What became of one of a route's hostnames.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostnameStatus {
    /// The hostname as `spec.hostnames` has it.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Where clients reach it, by the controller's `--public-url`; of wildcards left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub url: Option<String>,
    /// `Accepted`: the route has the hostname. `Programmed`: data planes serve it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
}

/// How many consumers a group has that a quota selects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupStatus {
    /// The group.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Consumers of the quota's namespace that are in it.
    pub consumers: i64,
}

/// The conditions of an object, unknown until they are written.
pub(crate) fn conditions_of_object(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = conditions(generator);
    let unknown = json!([{
        "type": READY,
        "status": "Unknown",
        "reason": PENDING,
        "message": "waiting for the controller",
        "lastTransitionTime": "1970-01-01T00:00:00Z",
    }]);
    schema.insert("default".into(), unknown);
    schema
}

/// A list whose items are told apart by their name.
pub(crate) fn named<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = Vec::<T>::json_schema(generator);
    merge_by(&mut schema, "name");
    schema.insert("maxItems".into(), 64.into());
    schema
}

fn conditions(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = Vec::<Condition>::json_schema(generator);
    merge_by(&mut schema, "type");
    schema.insert("maxItems".into(), 8.into());
    schema
}

fn merge_by(schema: &mut Schema, key: &str) {
    schema.insert("x-kubernetes-list-type".into(), "map".into());
    schema.insert("x-kubernetes-list-map-keys".into(), json!([key]));
}
