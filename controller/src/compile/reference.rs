//! What is said where a Secret, a provider or a template cannot be had, or a text is no glob.

use turnpike_crds::CREDENTIAL_LABEL;
use turnpike_snapshot::name::ObjectName;

use crate::compile::finding::{Issue, Subject};
use crate::glob;
use crate::index::secrets::SecretFault;
use crate::index::{Index, Origin};

/// Says why a value of a Secret cannot be had.
pub(crate) fn secret_issue(index: &Index, path: &str, fault: &SecretFault) -> Issue {
    let message = match fault {
        SecretFault::Missing(name) => match index.origin() {
            Origin::Cluster => format!(
                "Secret {name} does not exist, or lacks the label {CREDENTIAL_LABEL}: \"true\""
            ),
            Origin::Files => {
                format!("Secret {name} does not exist; create it or correct the name")
            }
        },
        SecretFault::MissingKey(name, key) => {
            format!("Secret {name} has no key {key:?}; add it or correct the key")
        }
        SecretFault::Empty(name, key) => {
            format!("Secret {name} has nothing under its key {key:?}")
        }
        SecretFault::NoKeys(name) => format!("Secret {name} holds no values"),
    };
    Issue::new(Subject::ResolvedRefs, "SecretNotFound", path, message)
}

/// Says that a provider of another namespace cannot be had, without saying whether it exists.
pub(crate) fn unadmitted(provider: &ObjectName, namespace: &str) -> String {
    format!(
        "AIProvider {provider} does not exist or does not admit namespace {namespace}; its owner \
         adds it under spec.grants"
    )
}

/// Says that a template cannot be had; of another namespace's not whether it exists.
pub(crate) fn template_fault(template: &ObjectName, namespace: &str) -> String {
    if template.namespace == namespace {
        return format!(
            "AIRoute {template} does not exist or is no template; create it without hostnames, or \
             correct the name"
        );
    }
    format!(
        "AIRoute {template} does not exist, is no template (one has no hostnames), or does not \
         admit namespace {namespace}; its owner adds it under spec.grants"
    )
}

/// Finds which of a list of globs are none.
pub(crate) fn glob_issues(path: &str, globs: &[String]) -> impl Iterator<Item = Issue> {
    let faults = globs
        .iter()
        .enumerate()
        .filter_map(|(at, text)| Some((at, text, glob::fault(text)?)));
    faults.map(move |(at, text, fault)| glob_issue(&format!("{path}[{at}]"), text, &fault))
}

/// Says that a text is no glob.
pub(crate) fn glob_issue(path: &str, text: &str, fault: &str) -> Issue {
    let message = format!("{text:?} is no glob: {fault}; it matches nothing until corrected");
    Issue::new(Subject::Accepted, "InvalidGlob", path, message)
}

/// Keeps the globs that data planes can read: they would refuse the whole
/// snapshot for one that they cannot.
pub(crate) fn readable(globs: &[String]) -> Vec<String> {
    let readable = globs.iter().filter(|text| glob::is_valid(text));
    readable.cloned().collect()
}
