//! Objects as they are posted to an API server.

use serde_json::{Value, json};

/// An object and where it is posted to.
#[derive(Debug, Clone)]
pub(super) struct Posted {
    /// The collection's path.
    pub(super) path: String,
    pub(super) object: Value,
}

/// The path of a collection of our kinds.
pub(super) fn collection(namespace: &str, plural: &str) -> String {
    format!("/apis/turnpike.dev/v1alpha1/namespaces/{namespace}/{plural}")
}

/// An object of one of our kinds.
pub(super) fn ours(namespace: &str, plural: &str, kind: &str, name: &str, spec: Value) -> Posted {
    Posted {
        path: collection(namespace, plural),
        object: json!({
            "apiVersion": "turnpike.dev/v1alpha1", "kind": kind,
            "metadata": {"name": name}, "spec": spec,
        }),
    }
}
