//! Labels of an object, in as few bytes as they need: a controller keeps those of
//! every Namespace, and looks few of them up.

use std::collections::BTreeMap;

/// Sorted by key, without doubles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(Box<[(Box<str>, Box<str>)]>);

impl Labels {
    /// Finds a label's value.
    pub fn get(&self, key: &str) -> Option<&str> {
        let found = self.0.binary_search_by(|(label, _)| (**label).cmp(key));
        found.ok().map(|at| &*self.0[at].1)
    }

    /// Gives all of them.
    pub fn to_map(&self) -> BTreeMap<String, String> {
        let pairs = self.0.iter();
        pairs
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect()
    }
}

impl From<BTreeMap<String, String>> for Labels {
    fn from(map: BTreeMap<String, String>) -> Self {
        let pairs = map.into_iter();
        Self(
            pairs
                .map(|(key, value)| (key.into(), value.into()))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_in_is_found() {
        let map: BTreeMap<String, String> = [("b", "2"), ("a", "1"), ("c", "3")]
            .map(|(key, value)| (key.into(), value.into()))
            .into();
        let labels = Labels::from(map.clone());
        assert_eq!(labels.to_map(), map);
        assert_eq!((labels.get("b"), labels.get("d")), (Some("2"), None));
        assert_eq!(Labels::default().get("a"), None);
    }
}
