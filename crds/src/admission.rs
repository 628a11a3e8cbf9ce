//! What an API server checks of an object before anyone sees it, for objects
//! that come from files: the CRD's schema, its CEL rules and unknown fields.
//!
//! Both doors thus refuse the same things. All faults of an object are told,
//! each with the path of its field.

mod builtin;

use std::collections::BTreeMap;

use jsonschema::error::ValidationErrorKind;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::core::cel::{CompiledSchema, Validator as CelValidator, compile_schema};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{AIProvider, AIRoute, Consumer, GROUP, TokenQuota, VERSION, definitions};

/// An object that an API server would have taken.
#[derive(Clone, Debug, PartialEq)]
pub enum Admitted {
    /// An AIProvider.
    Provider(Box<AIProvider>),
    /// An AIRoute.
    Route(Box<AIRoute>),
    /// A Consumer.
    Consumer(Box<Consumer>),
    /// A TokenQuota.
    Quota(Box<TokenQuota>),
    /// A Secret; its `stringData` is merged into `data`.
    Secret(Box<Secret>),
    /// A ConfigMap.
    ConfigMap(Box<ConfigMap>),
    /// A Namespace.
    Namespace(Box<Namespace>),
}

/// One thing that is wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// Of the field, such as `spec.rules[0].backendRefs`; empty: the whole object.
    pub path: String,
    /// What is wrong and what would be right.
    pub message: String,
}

/// The compiled schemas of all kinds.
pub struct Admission {
    kinds: BTreeMap<String, Kind>,
    cel: CelValidator,
}

struct Kind {
    schema: jsonschema::Validator,
    /// As generated: JSON Schema has no word for lists that merge by a key.
    lists: Value,
    rules: CompiledSchema,
}

/// The generated schema of a kind does not compile: a fault of this program.
#[derive(Debug, thiserror::Error)]
#[error("the schema of {kind} does not compile: {message}")]
pub struct SchemaError {
    kind: String,
    message: String,
}

impl Admission {
    /// Compiles the schemas; some milliseconds, once.
    pub fn new() -> Result<Self, SchemaError> {
        let kinds = definitions().into_iter().map(|definition| {
            let kind = definition.spec.names.kind.clone();
            let fault = |message: String| SchemaError {
                kind: kind.clone(),
                message,
            };
            let version = definition
                .spec
                .versions
                .first()
                .and_then(|version| version.schema.as_ref());
            let schema = version.and_then(|schema| schema.open_api_v3_schema.as_ref());
            let schema = serde_json::to_value(schema).map_err(|error| fault(error.to_string()))?;
            let rules = compile_schema(&schema);
            if let Some(error) = rules.compilation_errors().first() {
                return Err(fault(error.to_string()));
            }
            let lists = schema.clone();
            let schema = jsonschema::validator_for(&as_json_schema(schema))
                .map_err(|error| fault(error.to_string()))?;
            Ok((
                kind,
                Kind {
                    schema,
                    lists,
                    rules,
                },
            ))
        });
        Ok(Self {
            kinds: kinds.collect::<Result<_, _>>()?,
            cel: CelValidator::new(),
        })
    }

    /// Checks one object and turns it into its type; else gives every fault.
    pub fn admit(&self, object: Value) -> Result<Admitted, Vec<Fault>> {
        let Value::Object(mut object) = object else {
            return Err(vec![Fault::whole(
                "not an object with apiVersion, kind and metadata",
            )]);
        };
        drop_nulls(&mut object);
        object.remove("status");
        let text = |member: &str| {
            object
                .get(member)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        let mut faults = builtin::metadata_faults(&object);
        let admitted = match (api_version.as_str(), kind.as_str()) {
            ("v1", "Secret") => sound(builtin::secret_faults(&object))
                .and_then(|()| read(merge_string_data(object)))
                .map(Box::new)
                .map(Admitted::Secret),
            ("v1", "ConfigMap") => sound(builtin::config_map_faults(&object))
                .and_then(|()| read(object))
                .map(Box::new)
                .map(Admitted::ConfigMap),
            ("v1", "Namespace") => sound(builtin::namespace_faults(&object))
                .and_then(|()| read(object))
                .map(Box::new)
                .map(Admitted::Namespace),
            _ if api_version == format!("{GROUP}/{VERSION}") => self.admit_ours(&kind, object),
            _ => Err(vec![Fault::whole(format!(
                "apiVersion {api_version:?}, kind {kind:?} is none that Turnpike reads; \
                 these are AIProvider, AIRoute, Consumer and TokenQuota of {GROUP}/{VERSION}, and Secret, ConfigMap and Namespace of v1"
            ))]),
        };
        match admitted {
            Ok(admitted) if faults.is_empty() => Ok(admitted),
            Ok(_) => Err(faults),
            Err(more) => {
                faults.extend(more);
                Err(faults)
            }
        }
    }

    fn admit_ours(&self, kind: &str, object: Map<String, Value>) -> Result<Admitted, Vec<Fault>> {
        let Some(checks) = self.kinds.get(kind) else {
            let known: Vec<_> = self.kinds.keys().map(String::as_str).collect();
            return Err(vec![Fault {
                path: "kind".into(),
                message: format!(
                    "{kind:?} is no kind of {GROUP}/{VERSION}; these are {}",
                    known.join(", ")
                ),
            }]);
        };
        let value = Value::Object(object);
        let mut faults: Vec<Fault> = checks
            .schema
            .iter_errors(&value)
            .flat_map(|error| schema_faults(&error))
            .collect();
        find_doubles(&checks.lists, &value, "", &mut faults);
        if faults.is_empty() {
            // CEL rules count on what the schema promises, so they run second, as in an API server.
            let failed = self
                .cel
                .validate_compiled(&checks.rules, &value, None)
                .err();
            let failed = failed.into_iter().flat_map(|errors| errors.into_vec());
            faults.extend(failed.map(|error| Fault {
                path: error.field_path.clone(),
                message: error.message.clone(),
            }));
        }
        if !faults.is_empty() {
            faults.sort();
            return Err(faults);
        }
        let Value::Object(object) = value else {
            return Err(Vec::new());
        };
        match kind {
            "AIProvider" => read(object).map(Box::new).map(Admitted::Provider),
            "AIRoute" => read(object).map(Box::new).map(Admitted::Route),
            "Consumer" => read(object).map(Box::new).map(Admitted::Consumer),
            _ => read(object).map(Box::new).map(Admitted::Quota),
        }
    }
}

impl Fault {
    fn whole(message: impl Into<String>) -> Self {
        Self {
            path: String::new(),
            message: message.into(),
        }
    }
}

fn sound(faults: Vec<Fault>) -> Result<(), Vec<Fault>> {
    if faults.is_empty() {
        Ok(())
    } else {
        Err(faults)
    }
}

fn read<T: DeserializeOwned>(object: Map<String, Value>) -> Result<T, Vec<Fault>> {
    serde_json::from_value(Value::Object(object))
        .map_err(|error| vec![Fault::whole(error.to_string())])
}

/// `stringData` is what people write; `data` is what readers look at.
fn merge_string_data(mut secret: Map<String, Value>) -> Map<String, Value> {
    use k8s_openapi::ByteString;
    let Some(Value::Object(texts)) = secret.remove("stringData") else {
        return secret;
    };
    let data = secret
        .entry("data")
        .or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(data) = data {
        for (key, text) in texts {
            let bytes = text.as_str().unwrap_or_default().as_bytes().to_vec();
            data.insert(
                key,
                serde_json::to_value(ByteString(bytes)).unwrap_or_default(),
            );
        }
    }
    secret
}

/// To an API server, `field: null` is a field left out.
fn drop_nulls(object: &mut Map<String, Value>) {
    object.retain(|_, value| !value.is_null());
    object.values_mut().for_each(drop_nulls_within);
}

fn drop_nulls_within(value: &mut Value) {
    match value {
        Value::Object(object) => drop_nulls(object),
        Value::Array(items) => items.iter_mut().for_each(drop_nulls_within),
        _ => {}
    }
}

/// Turns a structural schema into a JSON Schema that refuses unknown fields, as
/// an API server does by strict field validation.
fn as_json_schema(schema: Value) -> Value {
    let Value::Object(mut schema) = schema else {
        return schema;
    };
    let is_int_or_string = schema.contains_key("x-kubernetes-int-or-string");
    schema.retain(|key, _| {
        !key.starts_with("x-") && !matches!(key.as_str(), "nullable" | "format" | "default")
    });
    if is_int_or_string {
        schema.insert("type".into(), serde_json::json!(["integer", "string"]));
    }
    for member in ["items", "additionalProperties"] {
        if let Some(inner) = schema.remove(member) {
            schema.insert(member.into(), as_json_schema(inner));
        }
    }
    if let Some(Value::Object(properties)) = schema.remove("properties") {
        let mut properties: Map<String, Value> = properties
            .into_iter()
            .map(|(name, inner)| (name, as_json_schema(inner)))
            .collect();
        if properties.contains_key("spec") {
            for name in ["apiVersion", "kind", "metadata"] {
                properties.insert(name.into(), Value::Bool(true));
            }
        }
        schema.insert("properties".into(), Value::Object(properties));
        schema
            .entry("additionalProperties")
            .or_insert(Value::Bool(false));
    }
    Value::Object(schema)
}

/// Finds items of a list map with the same key, and equal items of a set.
///
/// Source: Kubernetes, "Merge strategy": `x-kubernetes-list-type`.
fn find_doubles(schema: &Value, value: &Value, path: &str, faults: &mut Vec<Fault>) {
    match value {
        Value::Object(members) => {
            for (name, inner) in members {
                find_doubles(
                    &schema["properties"][name],
                    inner,
                    &member(path, name),
                    faults,
                );
            }
        }
        Value::Array(items) => {
            let mut seen = Vec::new();
            for (at, item) in items.iter().enumerate() {
                let path = format!("{path}[{at}]");
                find_doubles(&schema["items"], item, &path, faults);
                let Some(key) = merge_key(schema, item) else {
                    continue;
                };
                if seen.contains(&key) {
                    let message =
                        "stands in the list already; remove it or name it differently".into();
                    faults.push(Fault { path, message });
                }
                seen.push(key);
            }
        }
        _ => {}
    }
}

/// What must differ between the items of a list; `None`: nothing.
fn merge_key<'a>(list: &Value, item: &'a Value) -> Option<Vec<&'a Value>> {
    match list["x-kubernetes-list-type"].as_str()? {
        "set" => Some(vec![item]),
        "map" => {
            let keys = list["x-kubernetes-list-map-keys"].as_array()?;
            Some(
                keys.iter()
                    .filter_map(Value::as_str)
                    .map(|key| &item[key])
                    .collect(),
            )
        }
        _ => None,
    }
}

fn schema_faults(error: &jsonschema::ValidationError<'_>) -> Vec<Fault> {
    let path = field_path(error.instance_path().as_str());
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => unexpected
            .iter()
            .map(|name| Fault {
                path: member(&path, name),
                message: "unknown field; correct or remove it".into(),
            })
            .collect(),
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            vec![Fault {
                path: member(&path, name),
                message: "required, but missing".into(),
            }]
        }
        ValidationErrorKind::Enum { options } => {
            let options = options.as_array().into_iter().flatten();
            let options: Vec<_> = options.filter_map(Value::as_str).collect();
            let message = format!("{} is none of {}", error.instance(), options.join(", "));
            vec![Fault { path, message }]
        }
        // What stands there instead may well be the key itself.
        _ if path.ends_with(".sha256") => vec![Fault {
            path,
            message: "must be 64 lower-case hex digits in quotes, as sha256sum prints them".into(),
        }],
        _ => vec![Fault {
            path,
            message: error.to_string(),
        }],
    }
}

fn member(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

/// `/spec/rules/0/name` → `spec.rules[0].name`. Source: RFC 6901.
fn field_path(pointer: &str) -> String {
    let mut path = String::new();
    for segment in pointer.split('/').skip(1) {
        if !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit()) {
            path.push_str(&format!("[{segment}]"));
        } else {
            path = member(&path, &segment.replace("~1", "/").replace("~0", "~"));
        }
    }
    path
}

#[cfg(test)]
mod tests;
