//! Whatever the order of events, the same objects end in the same snapshots, and
//! nothing changes that was not touched.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use turnpike_snapshot::name::ServicePort;
use turnpike_snapshot::{Name, Snapshot};

use crate::compile;
use crate::compile::finding::Findings;
use crate::index::Index;
use crate::index::hostnames::{HostnamePattern, HostnamePolicy};
use crate::source::{Event, Object, ObjectKey};
use crate::testing::*;

const HOSTS: [&str; 5] = ["x.test", "*.test", "*", "a.test", "y.x.test"];
const KEYS: [&str; 2] = [LONG_KEY, "sk-turnpike-9876543210"];

fn tenant() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", PLATFORM])
}

fn label() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["one", "two"])
}

/// Whom a grant admits; `None`: there is no grant.
fn granted() -> impl Strategy<Value = Option<Option<(&'static str, &'static str)>>> {
    prop::sample::select(vec![None, Some(None), Some(Some(("plan", "gold")))])
}

/// Hosts open to whoever is first, given by name, or closed.
fn policy() -> impl Strategy<Value = HostnamePolicy> {
    let given = || HostnamePattern::Name {
        text: "{namespace}.test".into(),
        is_below: false,
    };
    prop::sample::select(vec![
        HostnamePolicy::open(),
        HostnamePolicy::default(),
        HostnamePolicy::new([given()]),
        HostnamePolicy::new([HostnamePattern::Any, given()]),
    ])
}

fn empty(policy: &HostnamePolicy) -> Index {
    index().with_hostname_policy(policy.clone())
}

/// Any object of a small world, so that objects meet.
fn object() -> impl Strategy<Value = Object> {
    let host = || prop::sample::select(HOSTS.to_vec());
    let key = || prop::sample::select(KEYS.to_vec());
    let age = 0..3_i64;
    prop_oneof![
        (
            tenant(),
            label(),
            host(),
            label(),
            age.clone(),
            any::<bool>()
        )
            .prop_map(|(ns, name, host, backend, age, is_valid)| {
                let models = if is_valid { ["m*"] } else { ["["] };
                let route = route(ns, name).created(age).host(host);
                route.rule(&models, backend).anonymous(backend).object()
            }),
        (tenant(), label(), host(), tenant(), label(), age.clone()).prop_map(
            |(ns, name, host, of, template, age)| {
                let route = route(ns, name).created(age).host(host);
                let route = route.rule(&["m*"], &format!("{of}/{template}"));
                route.rules_from(of, template).object()
            }
        ),
        (
            tenant(),
            label(),
            granted(),
            label(),
            any::<bool>(),
            tenant()
        )
            .prop_map(|(ns, name, granted, backend, is_anonymous, of)| {
                let template = route(ns, name).rule(&[], &format!("{of}/{backend}"));
                let template = match granted {
                    Some(label) => template.grant(label),
                    None => template,
                };
                match is_anonymous {
                    true => template.anonymous(backend).object(),
                    false => template.object(),
                }
            }),
        (tenant(), label(), label(), granted(), any::<bool>()).prop_map(
            |(ns, name, secret, granted, is_bound)| {
                let provider = provider(ns, name).credential("c", secret, None);
                let models = if is_bound { &["m*", "["][..] } else { &[] };
                match granted {
                    Some(label) => provider.grant(label, models).object(),
                    None => provider.object(),
                }
            }
        ),
        (tenant(), label(), key(), label(), age).prop_map(|(ns, name, key, secret, age)| {
            let consumer = consumer(ns, name).created(age).key(key);
            consumer.secret_key(secret, "k").groups(&[secret]).object()
        }),
        (tenant(), label(), any::<bool>()).prop_map(|(ns, name, is_fleet)| {
            let quota = quota(ns, name).groups(&["one", "none"]);
            match is_fleet {
                true => quota.namespaces("plan", "gold").object(),
                false => quota.object(),
            }
        }),
        (tenant(), label(), key()).prop_map(|(ns, name, value)| applied(secret(
            ns,
            name,
            &[("k", value)]
        ))),
        (tenant(), label(), label(), any::<bool>()).prop_map(|(ns, name, of, is_named)| {
            let port = if is_named { "http" } else { "80" };
            provider(ns, name).service(of, port).object()
        }),
        (tenant(), label(), any::<bool>(), any::<bool>()).prop_map(
            |(ns, name, has_selector, is_named)| {
                let port = if is_named { "http" } else { "web" };
                applied(service(ns, name, has_selector, &[(port, 80)]))
            }
        ),
        (tenant(), label(), label(), 0..3_usize).prop_map(|(ns, name, of, pods)| {
            let pods = &["10.0.0.1", "10.0.0.2"][..pods];
            applied(slice((ns, name), of, &[("http", 8000)], pods))
        }),
        (tenant(), label(), any::<bool>(), host(), any::<bool>()).prop_map(
            |(ns, uid, is_gold, host, is_allowed)| {
                let labels = if is_gold {
                    &[("plan", "gold")][..]
                } else {
                    &[]
                };
                let hosts = if is_allowed { &[host][..] } else { &[] };
                applied(namespace_allowed(ns, uid, labels, hosts))
            }
        ),
    ]
}

fn applied(event: Event) -> Object {
    let Event::Apply(object) = event else {
        unreachable!("builders apply");
    };
    object
}

/// One that may be gone by the end.
fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => object().prop_map(Event::Apply),
        1 => object().prop_map(|object| Event::Delete(object.key())),
    ]
}

/// Every snapshot and every finding of the small world.
fn all(index: &Index) -> (BTreeMap<Name, Snapshot>, BTreeMap<ObjectKey, Findings>) {
    let mut names: BTreeSet<Name> = HOSTS.map(|host| Name::Domain(host.into())).into();
    names.insert(Name::Fleet);
    for ns in ["a", "b", PLATFORM] {
        names.insert(Name::Tenant(ns.into()));
        names.extend(KEYS.map(|key| Name::Credential {
            realm: ns.into(),
            id: credential_id(key),
        }));
        for label in ["one", "two"] {
            names.insert(Name::Provider(name(ns, label)));
            names.insert(Name::Rules(name(ns, label)));
            names.insert(Name::Consumer(name(ns, label)));
            names.insert(Name::Quota(name(ns, label)));
            names.insert(Name::Endpoints(ServicePort {
                service: name(ns, label),
                port: 80,
            }));
        }
    }
    let snapshots = names
        .into_iter()
        .filter_map(|name| Some((name.clone(), compile::snapshot(index, &name)?)));
    let findings = index
        .keys_with_status()
        .filter_map(|key| Some((key.clone(), compile::findings(index, &key)?)));
    (snapshots.collect(), findings.collect())
}

proptest! {
    #[test]
    fn the_end_alone_decides(
        events in prop::collection::vec(event(), 0..24),
        policy in policy(),
        seed in any::<u64>(),
    ) {
        let mut index = empty(&policy);
        apply(&mut index, events.clone());
        let mut last: BTreeMap<ObjectKey, Object> = BTreeMap::new();
        for event in events {
            match event {
                Event::Apply(object) => drop(last.insert(object.key(), object)),
                Event::Delete(key) => drop(last.remove(&key)),
                Event::Synced(_) => {}
            }
        }
        let mut left: Vec<Object> = last.into_values().collect();
        let mut seed = seed;
        let mut shuffled = empty(&policy);
        while !left.is_empty() {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = (seed >> 33) as usize % left.len();
            shuffled.apply(Event::Apply(left.swap_remove(at)));
        }
        prop_assert_eq!(all(&index), all(&shuffled));
    }

    #[test]
    fn what_was_not_touched_is_as_it_was(
        events in prop::collection::vec(event(), 0..24),
        policy in policy(),
    ) {
        let mut index = empty(&policy);
        let mut before = all(&index);
        for event in events {
            let touched = index.apply(event);
            let now = all(&index);
            let names: BTreeSet<&Name> = before.0.keys().chain(now.0.keys()).collect();
            for name in names {
                if before.0.get(name) != now.0.get(name) {
                    prop_assert!(touched.names.contains(name), "{} changed untouched", name);
                }
            }
            for (key, findings) in &now.1 {
                let before = before.1.get(key);
                let is_other_by_counts_alone = before.is_some_and(|before| {
                    let counts = before.counts.clone();
                    Findings { counts, ..findings.clone() } == *before
                });
                let is_touched = touched.objects.contains(key)
                    || is_other_by_counts_alone && touched.counted.contains(key);
                prop_assert!(before == Some(findings) || is_touched, "{} changed untouched", key);
            }
            before = now;
        }
    }

    #[test]
    fn objects_and_names_find_each_other(
        events in prop::collection::vec(event(), 0..24),
        policy in policy(),
    ) {
        let mut index = empty(&policy);
        apply(&mut index, events);
        let (_, findings) = all(&index);
        for (key, findings) in findings {
            for name in &findings.names {
                prop_assert!(compile::objects(&index, name).contains(&key), "{} lacks {}", name, key);
            }
        }
    }
}
