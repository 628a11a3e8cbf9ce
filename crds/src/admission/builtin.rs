//! What an API server checks of every object's metadata, and of the Secrets, ConfigMaps
//! and Namespaces that stand beside our own kinds. Pure.
//!
//! Source: Kubernetes, "Object Names and IDs", "Labels and Selectors", "Secrets".

use k8s_openapi::ByteString;
use serde_json::{Map, Value};

use super::{Fault, member};

const METADATA: [&str; 15] = [
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];
const SECRET: [&str; 7] = [
    "apiVersion",
    "data",
    "immutable",
    "kind",
    "metadata",
    "stringData",
    "type",
];
const CONFIG_MAP: [&str; 6] = [
    "apiVersion",
    "binaryData",
    "data",
    "immutable",
    "kind",
    "metadata",
];
const NAMESPACE: [&str; 4] = ["apiVersion", "kind", "metadata", "spec"];

const NAME: &str = "needed: lower-case letters, digits, '-' and '.', at most 253 characters";
const LABEL: &str = "must be lower-case letters, digits and '-', at most 63 characters";
const WORD: &str = "must be letters, digits, '-', '_' and '.', at most 63 of them, \
                    with a letter or digit at both ends";

/// Finds what is wrong with the metadata of any object.
pub(super) fn metadata_faults(object: &Map<String, Value>) -> Vec<Fault> {
    let mut faults = Vec::new();
    let none = Map::new();
    let metadata = object.get("metadata").and_then(Value::as_object);
    let metadata = metadata.unwrap_or(&none);
    let text = |member: &str| metadata.get(member).and_then(Value::as_str);
    if !text("name").is_some_and(|name| is_dns_name(name, 253)) {
        faults.push(fault("metadata.name", NAME));
    }
    if !text("namespace").is_none_or(is_dns_label) {
        faults.push(fault("metadata.namespace", LABEL));
    }
    unknown(metadata, &METADATA, "metadata", &mut faults);
    for (key, value) in members(metadata, "labels") {
        let path = member("metadata.labels", key);
        if !is_qualified(key)
            || !value
                .as_str()
                .is_some_and(|it| it.is_empty() || is_word(it))
        {
            faults.push(fault(
                path,
                format!("key and value {WORD}; write numbers and booleans in quotes"),
            ));
        }
    }
    for (key, value) in members(metadata, "annotations") {
        let path = member("metadata.annotations", key);
        if !is_qualified(key) {
            faults.push(fault(path, format!("the key {WORD}")));
        } else if !value.is_string() {
            faults.push(fault(path, "must be a string; write it in quotes"));
        }
    }
    faults
}

/// Finds what is wrong with a Secret; never says what is in it.
pub(super) fn secret_faults(secret: &Map<String, Value>) -> Vec<Fault> {
    let mut faults = Vec::new();
    unknown(secret, &SECRET, "", &mut faults);
    for list in ["data", "stringData"] {
        value_faults(secret, list, list == "data", &mut faults);
    }
    faults
}

/// Finds what is wrong with a ConfigMap.
pub(super) fn config_map_faults(config_map: &Map<String, Value>) -> Vec<Fault> {
    let mut faults = Vec::new();
    unknown(config_map, &CONFIG_MAP, "", &mut faults);
    for list in ["data", "binaryData"] {
        value_faults(config_map, list, list == "binaryData", &mut faults);
    }
    faults
}

/// Finds what is wrong with a map from keys to texts, or to bytes in base64.
fn value_faults(
    object: &Map<String, Value>,
    list: &str,
    is_encoded: bool,
    faults: &mut Vec<Fault>,
) {
    if object.get(list).is_some_and(|values| !values.is_object()) {
        faults.push(fault(list, "must be a map from keys to values"));
    }
    for (key, value) in members(object, list) {
        let is_base64 = || serde_json::from_value::<ByteString>(value.clone()).is_ok();
        let wrong = if !is_secret_key(key) {
            "the key must be letters, digits, '-', '_' and '.'"
        } else if !value.is_string() {
            "must be a string; write it in quotes"
        } else if is_encoded && !is_base64() {
            match list {
                "data" => "is no base64; plain text goes under stringData",
                _ => "is no base64; plain text goes under data",
            }
        } else {
            continue;
        };
        faults.push(fault(member(list, key), wrong));
    }
}

/// Finds what is wrong with a Namespace.
pub(super) fn namespace_faults(namespace: &Map<String, Value>) -> Vec<Fault> {
    let mut faults = Vec::new();
    unknown(namespace, &NAMESPACE, "", &mut faults);
    let name = namespace
        .get("metadata")
        .and_then(|metadata| metadata["name"].as_str());
    if name.is_some_and(|name| is_dns_name(name, 253) && !is_dns_label(name)) {
        faults.push(fault("metadata.name", LABEL));
    }
    faults
}

fn fault(path: impl Into<String>, message: impl Into<String>) -> Fault {
    Fault {
        path: path.into(),
        message: message.into(),
    }
}

fn unknown(object: &Map<String, Value>, known: &[&str], path: &str, faults: &mut Vec<Fault>) {
    let unknown = object.keys().filter(|name| !known.contains(&name.as_str()));
    faults.extend(
        unknown.map(|name| fault(member(path, name), "unknown field; correct or remove it")),
    );
}

fn members<'a>(
    object: &'a Map<String, Value>,
    name: &str,
) -> impl Iterator<Item = (&'a String, &'a Value)> {
    object
        .get(name)
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
}

fn is_dns_name(name: &str, max: usize) -> bool {
    name.len() <= max && name.split('.').all(|label| is_dns_label_of(label, max))
}

fn is_dns_label(name: &str) -> bool {
    is_dns_label_of(name, 63)
}

fn is_dns_label_of(label: &str, max: usize) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !label.is_empty()
        && label.len() <= max
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(is_allowed)
}

/// `name` or `prefix/name`.
fn is_qualified(key: &str) -> bool {
    match key.split_once('/') {
        Some((prefix, name)) => is_dns_name(&prefix.to_ascii_lowercase(), 253) && is_word(name),
        None => is_word(key),
    }
}

fn is_word(word: &str) -> bool {
    let is_end = |end: Option<char>| end.is_some_and(|end| end.is_ascii_alphanumeric());
    word.len() <= 63
        && is_end(word.chars().next())
        && is_end(word.chars().next_back())
        && word.bytes().all(is_word_byte)
}

fn is_secret_key(key: &str) -> bool {
    (1..=253).contains(&key.len())
        && key.bytes().all(is_word_byte)
        && key != "."
        && !key.starts_with("..")
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}
