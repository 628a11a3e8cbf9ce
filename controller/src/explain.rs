//! What the controller makes of one host, told to people rather than to a data plane:
//! who claims it, and everything that a data plane would hold to serve it. Pure.

use std::collections::BTreeSet;

use turnpike_snapshot::name::ObjectName;
use turnpike_snapshot::{Name, Snapshot};

use crate::compile;
use crate::compile::domain::host_fault;
use crate::index::Index;
use crate::serve::subscriptions::covering;

/// A route that asks for a host, or for a wildcard over it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub route: ObjectName,
    /// As the route writes it.
    pub hostname: String,
    /// Why it does not have it, as its condition says; `None`: it has.
    pub fault: Option<(&'static str, String)>,
}

/// Gives every claim over a host: of the most specific name first, then the oldest.
pub fn claims(index: &Index, host: &str) -> Vec<Claim> {
    let hostnames = [host.to_owned()].into_iter().chain(covering(host));
    let mut claims = Vec::new();
    for hostname in hostnames {
        let routes = index.routes.iter();
        let asking = routes.filter(|(_, route)| route.spec.hostnames.contains(&hostname));
        let mut asking: Vec<_> = asking.map(|(name, route)| route.age(name)).collect();
        asking.sort();
        claims.extend(asking.into_iter().map(|age| Claim {
            fault: host_fault(index, &age.name, &age, &hostname),
            route: age.name,
            hostname: hostname.clone(),
        }));
    }
    claims
}

/// Finds the name that serves a host: its own, else the most specific wildcard that is served.
pub fn serving(index: &Index, host: &str) -> Option<String> {
    let mut hostnames = [host.to_owned()].into_iter().chain(covering(host));
    hostnames.find(|hostname| index.hosts.owner(hostname).is_some())
}

/// Gives what a data plane would hold that asked for this host: what is referred to first,
/// the host last. Empty: nobody serves it.
pub fn domain(index: &Index, host: &str) -> Vec<(Name, Snapshot)> {
    let Some(serving) = serving(index, host) else {
        return Vec::new();
    };
    let mut snapshots = with_references(index, Name::Domain(serving.clone()));
    if serving != host {
        snapshots.push((Name::Domain(host.to_owned()), Snapshot::Alias(serving)));
    }
    snapshots
}

/// Gives a snapshot and all that it refers to, what is referred to first.
pub fn with_references(index: &Index, name: Name) -> Vec<(Name, Snapshot)> {
    let mut found = Vec::new();
    collect(index, name, &mut BTreeSet::new(), &mut found);
    found
}

fn collect(
    index: &Index,
    name: Name,
    seen: &mut BTreeSet<Name>,
    found: &mut Vec<(Name, Snapshot)>,
) {
    if !seen.insert(name.clone()) {
        return;
    }
    if let Some(snapshot) = compile::snapshot(index, &name) {
        for reference in snapshot.references() {
            collect(index, reference, seen, found);
        }
        found.push((name, snapshot));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Tell, index_of, provider, route};

    #[test]
    fn the_oldest_claim_has_the_host_and_a_wildcard_gives_way() {
        let wildcard = route("w", "all").host("*.test").rule(&[], "echo");
        let first = route("a", "one").host("x.y.test").rule(&[], "echo");
        let second = route("b", "two").host("x.y.test").rule(&[], "echo");
        let index = index_of([
            wildcard.created(9).event(),
            second.created(2).event(),
            first.created(1).event(),
        ]);
        let told: Vec<_> = claims(&index, "x.y.test")
            .into_iter()
            .map(|claim| {
                let reason = claim.fault.map_or("", |(reason, _)| reason);
                format!("{} {} {reason}", claim.route, claim.hostname)
            })
            .collect();
        let expected = [
            "a/one x.y.test ",
            "b/two x.y.test HostnameConflict",
            "w/all *.test ",
        ];
        assert_eq!(told, expected);
        assert_eq!(serving(&index, "x.y.test").as_deref(), Some("x.y.test"));
        assert_eq!(serving(&index, "z.test").as_deref(), Some("*.test"));
        assert_eq!(serving(&index, "test"), None);
    }

    #[test]
    fn what_is_referred_to_comes_first_and_the_host_last() {
        let wildcard = route("w", "all").host("*.test").rule(&[], "echo");
        let index = index_of([wildcard.event(), provider("w", "echo").event()]);
        let names: Vec<_> = domain(&index, "a.test")
            .iter()
            .map(|(name, _)| name.to_string())
            .collect();
        let at = |name: &str| names.iter().position(|held| held == name).unwrap();
        assert!(at("provider/w/echo") < at("domain/*.test"), "{names:?}");
        assert_eq!(names.last().map(String::as_str), Some("domain/a.test"));
        assert!(domain(&index, "elsewhere").is_empty());
    }
}
