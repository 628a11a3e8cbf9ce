//! The text of files as objects: documents, their kinds, what is wrong with them. Pure.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;
use serde_saphyr::SnippetMode;
use turnpike_crds::admission::{Admission, Admitted};
use turnpike_snapshot::name::ObjectName;

use crate::source::{
    NamespaceData, Object, ObjectKey, SecretData, allowed_hostnames, config_map_data, object_name,
    secret_data,
};

/// The namespace of an object that names none.
const DEFAULT_NAMESPACE: &str = "default";
/// Every Namespace of a cluster has this label with its own name.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// One thing that is wrong in a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// The file, relative to the directory; with the line where the document begins: `a.yaml:12`.
    pub file: String,
    /// Kind, namespace and name, as far as they can be told.
    pub object: String,
    /// Of the field; empty: the whole object.
    pub path: String,
    /// What is wrong and what would be right.
    pub message: String,
}

/// What a file says.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    /// Each with the place where it begins.
    pub(crate) objects: Vec<(String, Object)>,
    pub(crate) faults: Vec<Fault>,
    /// Objects that are there, but wrong.
    pub(crate) refused: Vec<ObjectKey>,
    /// Something in the file has no name, so that nobody knows what it was.
    pub(crate) is_broken: bool,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [&self.file, &self.object, &self.path, &self.message];
        let parts = parts.into_iter().filter(|part| !part.is_empty());
        f.write_str(&parts.cloned().collect::<Vec<_>>().join(": "))
    }
}

/// Reads every document of a file; a faulty one leaves the others be.
pub(crate) fn parse(admission: &Admission, file: &str, text: &str) -> Parsed {
    let mut parsed = Parsed::default();
    for (line, document) in documents(text) {
        let place = format!("{file}:{line}");
        match parse_yaml(&document, line) {
            Ok(Value::Null) => {}
            Ok(value) => admit(admission, place, value, &mut parsed),
            Err(message) => {
                parsed.is_broken = true;
                parsed.faults.push(Fault {
                    file: place,
                    object: String::new(),
                    path: String::new(),
                    message,
                });
            }
        }
    }
    parsed
}

/// Splits a file at its `---` lines; gives each document with the number of its first line.
///
/// Such a line ends a document even within a block scalar.
/// Source: YAML 1.2.2, section 9.1.2 "Document Markers".
fn documents(text: &str) -> Vec<(usize, String)> {
    let mut documents: Vec<(usize, String)> = vec![(1, String::new())];
    for (at, line) in text.split_inclusive('\n').enumerate() {
        let rest = line.strip_prefix("---");
        match rest.filter(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace)) {
            Some(rest) => documents.push((at + 1, format!("   {rest}"))),
            None => {
                if let Some((_, document)) = documents.last_mut() {
                    document.push_str(line);
                }
            }
        }
    }
    documents.retain(|(_, document)| {
        let mut lines = document.lines().map(str::trim);
        !lines.all(|line| line.is_empty() || line.starts_with('#'))
    });
    documents
}

/// The message has no snippet of the text: it may be a Secret's.
fn parse_yaml(document: &str, line: usize) -> Result<Value, String> {
    serde_saphyr::from_str(document).map_err(|error| {
        let options = serde_saphyr::render_options! {
            snippets: SnippetMode::Off,
            line_offset: line as u64 - 1,
        };
        format!("not YAML: {}", error.render_with_options(options))
    })
}

fn admit(admission: &Admission, place: String, mut value: Value, parsed: &mut Parsed) {
    let key = prepare(&mut value);
    let label = label(&value);
    match admission.admit(value) {
        Ok(admitted) => parsed.objects.push((place, object(admitted))),
        Err(faults) => {
            match key {
                Some(key) => parsed.refused.push(key),
                None => parsed.is_broken = true,
            }
            parsed.faults.extend(faults.into_iter().map(|fault| Fault {
                file: place.clone(),
                object: label.clone(),
                path: fault.path,
                message: fault.message,
            }));
        }
    }
}

/// Fills the namespace in and takes out what only a server may say, such as
/// the creation time; gives the object's key if it says who it is.
fn prepare(value: &mut Value) -> Option<ObjectKey> {
    let kind = value.get("kind").and_then(Value::as_str)?.parse().ok();
    let metadata = value.get_mut("metadata")?.as_object_mut()?;
    for server_side in [
        "creationTimestamp",
        "generation",
        "uid",
        "resourceVersion",
        "managedFields",
    ] {
        metadata.remove(server_side);
    }
    let is_namespaced = kind != Some(crate::source::Kind::Namespace);
    if is_namespaced {
        metadata
            .entry("namespace")
            .or_insert_with(|| DEFAULT_NAMESPACE.into());
    } else {
        metadata.remove("namespace");
    }
    let text = |member: &str| metadata.get(member).and_then(Value::as_str);
    Some(ObjectKey {
        kind: kind?,
        name: ObjectName::new(text("namespace").unwrap_or_default(), text("name")?),
    })
}

/// Says who an object is, as far as it does itself.
fn label(value: &Value) -> String {
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str);
    let mut label = text("/kind").unwrap_or_default().to_owned();
    if let Some(name) = text("/metadata/name") {
        label.push(' ');
        if let Some(namespace) = text("/metadata/namespace") {
            label.push_str(namespace);
            label.push('/');
        }
        label.push_str(name);
    }
    label
}

fn object(admitted: Admitted) -> Object {
    match admitted {
        Admitted::Provider(provider) => Object::Provider(provider),
        Admitted::Route(route) => Object::Route(route),
        Admitted::Consumer(consumer) => Object::Consumer(consumer),
        Admitted::Quota(quota) => Object::Quota(quota),
        Admitted::Secret(secret) => Object::Secret(SecretData {
            name: object_name(&secret.metadata),
            data: secret_data(*secret),
        }),
        Admitted::ConfigMap(config_map) => Object::ConfigMap(config_map_data(*config_map)),
        Admitted::Namespace(namespace) => {
            let labels = namespace.metadata.labels.clone().unwrap_or_default();
            let name = namespace.metadata.name.as_deref().unwrap_or_default();
            Object::Namespace(NamespaceData {
                allowed_hostnames: allowed_hostnames(namespace.metadata.annotations.as_ref()),
                ..namespace_data(name, labels)
            })
        }
    }
}

/// A Namespace as a cluster would give it; its name stands for its uid.
pub(crate) fn namespace_data(name: &str, mut labels: BTreeMap<String, String>) -> NamespaceData {
    labels.insert(NAME_LABEL.to_owned(), name.to_owned());
    NamespaceData {
        name: name.to_owned(),
        uid: name.to_owned(),
        labels: labels.into(),
        allowed_hostnames: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
