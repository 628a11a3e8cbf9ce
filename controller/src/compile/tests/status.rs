//! What statuses tell besides conditions, and what they must not tell apart.

use turnpike_crds::status::GroupStatus;

use super::*;

fn found(index: &Index, kind: Kind, namespace: &str, name: &str) -> Findings {
    findings(index, &ObjectKey::new(kind, namespace, name)).unwrap()
}

#[test]
fn each_hostname_tells_whether_it_is_the_routes() {
    let index = index_of([
        route("old", "r").created(1).host("b.test").event(),
        route("a", "r")
            .created(2)
            .host("a.test")
            .host("b.test")
            .event(),
    ]);
    let found = found(&index, Kind::AIRoute, "a", "r");
    let told: Vec<_> = found
        .hostnames
        .iter()
        .map(|hostname| (&*hostname.name, hostname.accepted.reason))
        .collect();
    assert_eq!(
        told,
        [("a.test", "Accepted"), ("b.test", "HostnameConflict")]
    );
    assert_eq!(found.accepted.reason, "HostnameConflict");
    assert!(found.accepted.message.starts_with("spec.hostnames[1]: "));
    assert_eq!(found.names, [Name::Domain("a.test".into())]);
}

#[test]
fn a_missing_and_a_denied_target_give_the_same_findings() {
    let referring = || {
        [
            namespace("t", "1", &[]),
            route("t", "backend")
                .host("x.test")
                .rule(&[], "o/q")
                .event(),
            route("t", "template")
                .host("y.test")
                .rules_from("o", "plan")
                .event(),
        ]
    };
    let missing = index_of(referring());
    let mut denied = index_of([
        provider("o", "q").event(),
        route("o", "plan").rule(&[], "q").event(),
    ]);
    apply(&mut denied, referring());
    for route in ["backend", "template"] {
        let missing = found(&missing, Kind::AIRoute, "t", route);
        assert!(!missing.resolved_refs.is_true);
        assert_eq!(found(&denied, Kind::AIRoute, "t", route), missing);
    }
}

#[test]
fn a_provider_and_a_template_count_the_routes_that_name_them() {
    let mut index = index_of([
        provider("o", "p").event(),
        route("o", "plan").rule(&[], "p").rule(&["m"], "p").event(),
        route("t", "main")
            .host("x.test")
            .rules_from("o", "plan")
            .event(),
        route("t", "own").host("y.test").rule(&[], "o/p").event(),
    ]);
    let count = |index: &Index, kind, name| found(index, kind, "o", name).counts.routes;
    assert_eq!(count(&index, Kind::AIProvider, "p"), Some(2));
    assert_eq!(count(&index, Kind::AIRoute, "plan"), Some(1));
    assert_eq!(
        found(&index, Kind::AIRoute, "t", "main").counts.routes,
        None
    );
    index.apply(delete(Kind::AIRoute, "t", "own"));
    index.apply(delete(Kind::AIRoute, "t", "main"));
    assert_eq!(count(&index, Kind::AIProvider, "p"), Some(1));
    assert_eq!(count(&index, Kind::AIRoute, "plan"), Some(0));
}

#[test]
fn a_quota_counts_the_consumers_of_each_group_that_it_selects() {
    let mut index = index_of([
        consumer("a", "one")
            .groups(&["gold", "gold", "lab"])
            .event(),
        consumer("a", "two").groups(&["gold"]).event(),
        consumer("b", "far").groups(&["gold"]).event(),
        quota("a", "q").groups(&["gold", "gould", "gold"]).event(),
        quota(PLATFORM, "fleet")
            .groups(&["gold"])
            .namespaces("plan", "x")
            .event(),
    ]);
    let count = |index: &Index| -> Vec<(String, i64)> {
        let groups = found(index, Kind::TokenQuota, "a", "q").counts.groups;
        let told = |it: GroupStatus| (it.name, it.consumers);
        groups.into_iter().map(told).collect()
    };
    let gold = |consumers| vec![("gold".to_owned(), consumers), ("gould".to_owned(), 0)];
    assert_eq!(count(&index), gold(2));
    index.apply(consumer("a", "one").groups(&["lab"]).generation(2).event());
    assert_eq!(count(&index), gold(1));
    index.apply(delete(Kind::Consumer, "a", "two"));
    assert_eq!(count(&index), gold(0));
    let fleet = found(&index, Kind::TokenQuota, PLATFORM, "fleet");
    assert!(fleet.counts.groups.is_empty());
}
