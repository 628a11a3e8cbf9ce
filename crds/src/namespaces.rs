//! Namespaces chosen by label: whom a quota binds, whom a grant admits.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Namespaces by label.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NamespaceSelector {
    /// All must be on the Namespace; `{}`: every namespace.
    pub match_labels: BTreeMap<String, String>,
}

/// The namespaces besides its own that an object admits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(
    validation = Rule::new("(self.from == 'Selector') == has(self.selector)").message("from: Selector needs selector, and from: All takes none")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GrantedNamespaces {
    /// `All`: every namespace. `Selector`: those that `selector` chooses.
    pub from: NamespacesFrom,
    /// Chooses by the labels of the Namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<NamespaceSelector>,
}

/// How granted namespaces are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NamespacesFrom {
    /// Every namespace.
    All,
    /// Those that the selector chooses.
    Selector,
}

impl NamespaceSelector {
    /// Whether a Namespace has all the labels.
    pub fn selects<'a>(&self, find: impl Fn(&str) -> Option<&'a str>) -> bool {
        let mut wanted = self.match_labels.iter();
        wanted.all(|(key, value)| find(key) == Some(value))
    }
}

impl GrantedNamespaces {
    /// Whether a Namespace with these labels is admitted. A selector that is
    /// missing, which the schema refuses, admits nobody.
    pub fn admits<'a>(&self, find: impl Fn(&str) -> Option<&'a str>) -> bool {
        match (self.from, &self.selector) {
            (NamespacesFrom::All, _) => true,
            (NamespacesFrom::Selector, Some(selector)) => selector.selects(find),
            (NamespacesFrom::Selector, None) => false,
        }
    }
}

/// Reads the annotation [`crate::HOSTNAMES_ANNOTATION`]: host names and wildcards, separated
/// by commas or white space; in lower case.
pub fn parse_hostnames(annotation: &str) -> Vec<String> {
    let entries = annotation.split(|c: char| c == ',' || c.is_whitespace());
    entries
        .filter(|entry| !entry.is_empty())
        .map(str::to_ascii_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(key: &str) -> Option<&'static str> {
        (key == "plan").then_some("gold")
    }

    fn granted(from: NamespacesFrom, selector: Option<(&str, &str)>) -> GrantedNamespaces {
        let selector = selector.map(|(key, value)| NamespaceSelector {
            match_labels: [(key.to_owned(), value.to_owned())].into(),
        });
        GrantedNamespaces { from, selector }
    }

    #[test]
    fn a_selector_admits_by_every_label() {
        use NamespacesFrom::{All, Selector};
        let gold = Some(("plan", "gold"));
        assert!(granted(All, None).admits(labels));
        assert!(granted(Selector, gold).admits(labels));
        assert!(!granted(Selector, Some(("plan", "free"))).admits(labels));
        assert!(!granted(Selector, Some(("team", "gold"))).admits(labels));
        assert!(!granted(Selector, None).admits(labels));
        assert!(!granted(Selector, gold).admits(|_| None));
    }
}
