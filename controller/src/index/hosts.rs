//! Who claims which host. The first claim decides whose namespace a host is;
//! the others wait in line.

use std::collections::{BTreeSet, HashMap};

use turnpike_snapshot::name::ObjectName;

use crate::index::table::Age;

/// Claims by host, oldest first.
#[derive(Default)]
pub struct Hosts {
    claims: HashMap<String, BTreeSet<Age>>,
}

impl Hosts {
    /// Adds a route's claim.
    pub fn claim(&mut self, host: &str, route: Age) {
        self.claims
            .entry(host.to_owned())
            .or_default()
            .insert(route);
    }

    /// Takes a route's claim back.
    pub fn release(&mut self, host: &str, route: &Age) {
        if let Some(claims) = self.claims.get_mut(host) {
            claims.remove(route);
            if claims.is_empty() {
                self.claims.remove(host);
            }
        }
    }

    /// Finds the namespace that has the host.
    pub fn owner(&self, host: &str) -> Option<&str> {
        let oldest = self.claims.get(host)?.first()?;
        Some(&oldest.name.namespace)
    }

    /// Gives every host that is claimed, sorted.
    pub fn all(&self) -> BTreeSet<&str> {
        self.claims.keys().map(String::as_str).collect()
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
}
