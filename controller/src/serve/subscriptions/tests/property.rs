//! Any interleaving of changes, subscriptions, deliveries, refusals and
//! reconnections ends with the client holding what the index says, no more;
//! and on the way it never has a reference that it was told nothing of.

use proptest::prelude::*;
use turnpike_snapshot::consumer::Consumer;
use turnpike_snapshot::credential::{Credential, FleetKey};
use turnpike_snapshot::name::ObjectName;
use turnpike_snapshot::tenant::{Fleet, FleetQuota, Tenant};
use turnpike_snapshot::{Name, Snapshot};

use super::model::{Line, domain, host, provider, provider_name};

#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a test holds few of them")]
enum Action {
    Set(Name, Option<Snapshot>),
    Publish,
    Subscribe(Name),
    Unsubscribe(Name),
    Hear,
    Send,
    Deliver,
    Reconnect,
    EndStatement,
    Accept,
}

fn object(name: &str) -> ObjectName {
    ObjectName::new("t", name)
}

fn credential() -> Name {
    Name::Credential {
        realm: "t".into(),
        id: FleetKey::new("k", vec![0; 32]).credential_id(&[0; 32]),
    }
}

fn hosts() -> impl Strategy<Value = Name> {
    prop::sample::select(vec!["a.test", "x.a.test", "y.a.test", "b.test"]).prop_map(host)
}

fn roots() -> impl Strategy<Value = Name> {
    prop_oneof![4 => hosts(), 1 => Just(credential())]
}

fn some_of(names: &'static [&'static str]) -> impl Strategy<Value = Vec<&'static str>> {
    prop::sample::subsequence(names, 0..=names.len())
}

fn domain_change() -> impl Strategy<Value = (Name, Snapshot)> {
    let wildcards = prop::sample::select(vec!["*.a.test", "*.test", "*"]).prop_map(host);
    let version = prop_oneof![4 => 0..3_u64, 1 => Just(13)];
    (
        prop_oneof![hosts(), wildcards],
        version,
        some_of(&["p", "q", "r"]),
    )
        .prop_map(|(name, version, providers)| (name, domain(version, &providers)))
}

fn provider_change() -> impl Strategy<Value = (Name, Snapshot)> {
    let version = prop_oneof![4 => 0..3_u64, 1 => Just(13)];
    let vendor = prop_oneof![4 => Just("Echo"), 1 => Just("Future")];
    (prop::sample::select(vec!["p", "q", "r"]), version, vendor)
        .prop_map(|(name, version, vendor)| (provider_name(name), provider(version, vendor)))
}

fn shared_change() -> impl Strategy<Value = (Name, Snapshot)> {
    let quotas = some_of(&["m", "n"]);
    (quotas, 0..3_u8, 0..5_u8).prop_map(|(quotas, version, kind)| match kind {
        0 => (Name::Tenant("t".into()), tenant(version, &quotas)),
        1 => (Name::Fleet, fleet(&quotas)),
        2 => (credential(), credential_of(version)),
        3 => (Name::Consumer(object("c")), consumer(version)),
        _ => (Name::Quota(object("m")), quota(version)),
    })
}

fn tenant(version: u8, quotas: &[&str]) -> Snapshot {
    Snapshot::Tenant(Tenant {
        uid: version.to_string(),
        quotas: quotas.iter().map(|name| object(name)).collect(),
        ..Tenant::default()
    })
}

fn fleet(quotas: &[&str]) -> Snapshot {
    let quotas = quotas.iter().map(|name| FleetQuota {
        quota: object(name),
        namespace_labels: Default::default(),
    });
    Snapshot::Fleet(Fleet {
        quotas: quotas.collect(),
    })
}

fn credential_of(version: u8) -> Snapshot {
    Snapshot::Credential(Credential {
        consumer: object("c"),
        not_after: Some(version.into()),
    })
}

fn consumer(version: u8) -> Snapshot {
    Snapshot::Consumer(Consumer {
        name: object("c"),
        groups: vec![version.to_string()],
        is_suspended: false,
    })
}

fn quota(version: u8) -> Snapshot {
    Snapshot::Quota(turnpike_snapshot::quota::Quota {
        selector: turnpike_snapshot::quota::QuotaSelector::default(),
        per: Vec::new(),
        limits: Vec::new(),
        exceeded_message: Some(version.to_string()),
        on_store_failure: turnpike_snapshot::quota::OnStoreFailure::Allow,
    })
}

fn action() -> impl Strategy<Value = Action> {
    let change = prop_oneof![3 => domain_change(), 2 => provider_change(), 2 => shared_change()];
    prop_oneof![
        6 => (change, prop::bool::weighted(0.75)).prop_map(|((name, snapshot), exists)| {
            Action::Set(name, exists.then_some(snapshot))
        }),
        4 => Just(Action::Publish),
        4 => roots().prop_map(Action::Subscribe),
        2 => roots().prop_map(Action::Unsubscribe),
        6 => Just(Action::Hear),
        6 => Just(Action::Send),
        6 => Just(Action::Deliver),
        1 => Just(Action::Reconnect),
        1 => Just(Action::EndStatement),
        1 => Just(Action::Accept),
    ]
}

fn run(line: &mut Line, action: Action) {
    match action {
        Action::Set(name, snapshot) => line.set(name, snapshot),
        Action::Publish => line.publish(),
        Action::Subscribe(name) => line.subscribe(name),
        Action::Unsubscribe(name) => line.unsubscribe(name),
        Action::Hear => line.hear(),
        Action::Send => line.send(),
        Action::Deliver => line.deliver(),
        Action::Reconnect => line.reconnect(),
        Action::EndStatement => line.end_statement(),
        Action::Accept => line.accept(),
    }
}

/// Takes out of the world what the client refuses or is too old for.
fn heal(line: &mut Line) {
    let names: Vec<Name> = line.world.snapshots.lock().keys().cloned().collect();
    for name in names {
        match name {
            Name::Domain(_) => line.set(name, Some(domain(99, &["p", "r"]))),
            Name::Provider(_) => line.set(name, Some(provider(99, "Echo"))),
            _ => {}
        }
    }
}

fn assert_nothing_lags(line: &Line) {
    for name in line.client.held.keys() {
        for holder in line.hub.delivery(name).holders {
            assert_eq!(
                holder.standing,
                crate::serve::hub::Standing::Current,
                "{name}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_interleaving_ends_with_what_the_index_says(
        actions in prop::collection::vec(action(), 0..120)
    ) {
        let mut line = Line::new();
        for action in actions {
            run(&mut line, action);
        }
        line.settle();
        heal(&mut line);
        line.settle();
        line.accept();
        line.settle();
        prop_assert_eq!(&line.client.held, &line.world.closure(&line.client.subscribed));
        assert_nothing_lags(&line);

        for name in line.client.subscribed.clone() {
            line.unsubscribe(name);
        }
        line.settle();
        prop_assert!(line.client.held.is_empty(), "left: {:?}", line.client.held);
        prop_assert!(line.server.is_empty());
        prop_assert!(line.hub.is_empty());
    }
}
