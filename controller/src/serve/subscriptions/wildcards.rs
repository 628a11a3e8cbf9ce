//! Which wildcards may serve a host, and which hosts hang on each of them.
//!
//! The Gateway API's rule: `*.a.test` covers `x.a.test` and `x.y.a.test`, not
//! `a.test`; the most specific wins; `*` covers every host.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use turnpike_snapshot::Name;

/// Gives the wildcards that cover a host, most specific first.
pub(crate) fn covering(host: &str) -> impl Iterator<Item = String> {
    let parents = host
        .match_indices('.')
        .map(|(at, _)| format!("*{}", &host[at..]));
    parents.chain(["*".to_owned()])
}

/// Whether a host is a wildcard itself.
pub(super) fn is_wildcard(host: &str) -> bool {
    host.starts_with('*')
}

/// The wildcards that decide on hosts of one client: for each host the one that
/// serves it and all that would come before it.
#[derive(Default)]
pub(super) struct Wildcards {
    deciding: HashMap<Arc<Name>, Deciding>,
}

#[derive(Default)]
struct Deciding {
    exists: bool,
    hosts: HashSet<Arc<Name>>,
}

impl Wildcards {
    pub(super) fn contains(&self, wildcard: &Name) -> bool {
        self.deciding.contains_key(wildcard)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &Arc<Name>> {
        self.deciding.keys()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.deciding.is_empty()
    }

    pub(super) fn attach(&mut self, wildcard: &Arc<Name>, host: &Arc<Name>) {
        let deciding = self.deciding.entry(wildcard.clone()).or_default();
        deciding.hosts.insert(host.clone());
    }

    /// Tells whether the wildcard has no host left, and is forgotten.
    pub(super) fn detach(&mut self, wildcard: &Name, host: &Name) -> bool {
        let Some(deciding) = self.deciding.get_mut(wildcard) else {
            return false;
        };
        deciding.hosts.remove(host);
        let is_empty = deciding.hosts.is_empty();
        if is_empty {
            self.deciding.remove(wildcard);
        }
        is_empty
    }

    /// Notes whether the wildcard exists; gives the hosts to be resolved again,
    /// whoever it was that noticed.
    pub(super) fn note(&mut self, wildcard: &Name, exists: bool) -> Vec<Arc<Name>> {
        match self.deciding.get_mut(wildcard) {
            Some(deciding) if deciding.exists != exists => {
                deciding.exists = exists;
                deciding.hosts.iter().cloned().collect()
            }
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_wildcard_comes_first_and_never_the_host_itself() {
        let of = |host| covering(host).collect::<Vec<_>>();
        assert_eq!(of("x.y.a.test"), ["*.y.a.test", "*.a.test", "*.test", "*"]);
        assert_eq!(of("localhost"), ["*"]);
    }

    #[test]
    fn hosts_are_resolved_again_only_when_existence_changes() {
        let (wildcard, host) = (name("*.a.test"), name("x.a.test"));
        let mut wildcards = Wildcards::default();
        wildcards.attach(&wildcard, &host);
        assert!(wildcards.note(&wildcard, false).is_empty());
        assert_eq!(wildcards.note(&wildcard, true), std::slice::from_ref(&host));
        assert!(wildcards.note(&wildcard, true).is_empty());
        assert!(wildcards.detach(&wildcard, &host));
        assert!(!wildcards.contains(&wildcard));
    }

    fn name(host: &str) -> Arc<Name> {
        Arc::new(Name::Domain(host.into()))
    }
}
