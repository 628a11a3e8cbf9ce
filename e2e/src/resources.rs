//! YAML of the resources that most tests need; what a test is about, it writes itself.

use sha2::{Digest, Sha256};

/// The SHA-256 of an API key, in hexadecimal.
pub fn digest(key: &str) -> String {
    Sha256::digest(key.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The built-in model.
pub fn echo_provider(name: &str) -> String {
    format!(
        "---
apiVersion: turnpike.dev/v1alpha1
kind: AIProvider
metadata: {{name: {name}}}
spec:
  vendor: Echo
  models: [{{name: echo}}]
"
    )
}

/// A provider at an address, with timeouts for tests. `credentials` is YAML, or empty.
pub fn provider(name: &str, protocol: &str, url: &str, model: &str, credentials: &str) -> String {
    let credentials = match credentials {
        "" => String::new(),
        list => format!("\n  credentials: {list}"),
    };
    format!(
        "---
apiVersion: turnpike.dev/v1alpha1
kind: AIProvider
metadata: {{name: {name}}}
spec:
  protocol: {protocol}
  url: {url}{credentials}
  models: [{{name: {model}}}]
  timeouts: {{connect: 2s, firstToken: 2s, idle: 2s, total: 10s}}
"
    )
}

/// A Secret that the controller may read.
pub fn secret(name: &str, key: &str, value: &str) -> String {
    format!(
        "---
apiVersion: v1
kind: Secret
metadata: {{name: {name}, labels: {{turnpike.dev/credential: \"true\"}}}}
stringData: {{{key}: \"{value}\"}}
"
    )
}

/// A consumer in one group, with one key by its digest.
pub fn consumer(name: &str, group: &str, api_key: &str) -> String {
    let digest = digest(api_key);
    format!(
        "---
apiVersion: turnpike.dev/v1alpha1
kind: Consumer
metadata: {{name: {name}}}
spec:
  groups: [{group}]
  apiKeys: [{{name: main, sha256: {digest}}}]
"
    )
}

/// A route that sends everything on a host to one provider.
pub fn route(name: &str, host: &str, provider: &str) -> String {
    format!(
        "---
apiVersion: turnpike.dev/v1alpha1
kind: AIRoute
metadata: {{name: {name}}}
spec:
  hostnames: [{host}]
  authentication: {{mode: Required}}
  rules: [{{backendRefs: [{{name: {provider}}}]}}]
"
    )
}

/// A quota of each consumer of a group. `limit` is YAML such as `requests: 2, window: 1h`.
pub fn quota(name: &str, group: &str, limit: &str, on_store_failure: &str) -> String {
    format!(
        "---
apiVersion: turnpike.dev/v1alpha1
kind: TokenQuota
metadata: {{name: {name}}}
spec:
  selector: {{consumers: {{groups: [{group}]}}}}
  per: [Consumer]
  limits: [{{name: main, {limit}}}]
  onExceeded: {{message: \"the plan of {group} is used up\"}}
  onStoreFailure: {on_store_failure}
"
    )
}
