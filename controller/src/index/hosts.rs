//! Who claims which host. The first claim decides whose namespace a host is;
//! the others wait in line.

use std::collections::{BTreeSet, HashMap};

use smallvec::SmallVec;
use turnpike_snapshot::name::ObjectName;

use crate::index::table::Age;

/// Claims by host, oldest first.
#[derive(Default)]
pub struct Hosts {
    /// Nearly every host has one claim.
    claims: HashMap<Box<str>, SmallVec<[Age; 1]>>,
    /// Exact names that routes ask for where names are open to all, by the name
    /// read from its end, so that those below a wildcard lie together.
    contested: BTreeSet<(String, ObjectName)>,
}

impl Hosts {
    /// Adds a route's claim.
    pub fn claim(&mut self, host: &str, route: Age) {
        let claims = self.claims.entry(host.into()).or_default();
        if let Err(at) = claims.binary_search(&route) {
            claims.insert(at, route);
        }
    }

    /// Takes a route's claim back.
    pub fn release(&mut self, host: &str, route: &Age) {
        if let Some(claims) = self.claims.get_mut(host) {
            claims.retain(|claim| claim != route);
            if claims.is_empty() {
                self.claims.remove(host);
            }
        }
    }

    /// Whether the route's claim stands in line.
    pub(crate) fn is_claimed(&self, host: &str, route: &Age) -> bool {
        let claims = self.claims.get(host);
        claims.is_some_and(|claims| claims.binary_search(route).is_ok())
    }

    /// Finds the claim that decides.
    pub(crate) fn first(&self, host: &str) -> Option<&Age> {
        self.claims.get(host)?.first()
    }

    /// Finds the namespace that has the host.
    pub fn owner(&self, host: &str) -> Option<&str> {
        Some(&self.first(host)?.name.namespace)
    }

    /// Counts the hosts that are claimed.
    pub fn count(&self) -> usize {
        self.claims.len()
    }

    /// Gives every host that is claimed, sorted.
    pub fn all(&self) -> BTreeSet<&str> {
        self.claims.keys().map(|host| &**host).collect()
    }

    /// Gives every route that claims the host, oldest first, whoever has it.
    pub fn claimants(&self, host: &str) -> impl Iterator<Item = &ObjectName> {
        let claims = self.claims.get(host).into_iter().flatten();
        claims.map(|claim| &claim.name)
    }

    /// Gives the routes that serve the host, oldest first: those of its owner.
    pub fn routes(&self, host: &str) -> impl Iterator<Item = &ObjectName> {
        let owner = self.owner(host);
        self.claimants(host)
            .filter(move |route| Some(route.namespace.as_str()) == owner)
    }

    /// Finds another namespace's wildcard over an exact name whose claim is older than
    /// this one. The catch-all is over nobody: it takes what is left.
    pub(crate) fn wildcard_before(&self, host: &str, route: &Age) -> Option<&Age> {
        let parents = host.match_indices('.').map(|(at, _)| &host[at..]);
        let mut firsts = parents.filter_map(|parent| self.first(&format!("*{parent}")));
        firsts.find(|first| first.name.namespace != route.name.namespace && *first < route)
    }

    /// Remembers that a route asks for a name that is open to all.
    pub(crate) fn contest(&mut self, host: &str, route: &ObjectName) {
        self.contested.insert((reversed(host), route.clone()));
    }

    /// Forgets it again.
    pub(crate) fn give_up(&mut self, host: &str, route: &ObjectName) {
        if !self.contested.is_empty() {
            self.contested.remove(&(reversed(host), route.clone()));
        }
    }

    /// Gives the names below a wildcard that routes ask for where names are open to all.
    pub(crate) fn contested_below(&self, wildcard: &str) -> Vec<(String, ObjectName)> {
        let Some(suffix) = wildcard.strip_prefix('*').filter(|it| !it.is_empty()) else {
            return Vec::new();
        };
        let prefix = reversed(suffix);
        let from = (prefix.clone(), ObjectName::new("", ""));
        self.contested
            .range(from..)
            .take_while(|(host, _)| host.starts_with(&prefix))
            .map(|(host, route)| (reversed(host), route.clone()))
            .collect()
    }
}

/// Host names are ASCII.
fn reversed(host: &str) -> String {
    host.chars().rev().collect()
}
