//! What nobody asks for is forgotten, and loaded again when asked for.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::advance;
use turnpike_dataplane::store::{Asker, Bounds, DomainView, FetchError, Limits};
use turnpike_snapshot::proto::client_message::Message as Up;
use turnpike_snapshot::{Name, Snapshot};

use crate::store_controller::{Controller, DataPlane, Say, Stream};
use crate::store_snapshots::{
    NAMESPACE, credential, credential_name, fleet_key, host, object, whole,
};

const API_KEY: &str = "sk-turnpike-alice-0123456789";
const HOUR: Duration = Duration::from_secs(3600);

async fn start(limits: Limits) -> (Controller, DataPlane, Stream) {
    let mut controller = Controller::start();
    let data_plane = DataPlane::within(controller.controllers(), Bounds::default(), limits);
    let stream = controller.greet(&[fleet_key("k1")]).await;
    data_plane.up().await;
    (controller, data_plane, stream)
}

fn idle(after: Duration) -> Limits {
    Limits {
        idle: Some(after),
        bytes: None,
    }
}

async fn load(data_plane: &DataPlane, stream: &mut Stream, name: &str) -> Arc<DomainView> {
    let (store, asked) = (data_plane.store.clone(), name.to_owned());
    let fetched = tokio::spawn(async move { store.fetch_domain(&asked, Asker::Nobody).await });
    assert_eq!(stream.asked().await, [format!("domain/{name}")]);
    stream.put(whole(name, "main")).await;
    fetched.await.unwrap().unwrap()
}

async fn load_key(data_plane: &DataPlane, stream: &mut Stream) {
    let store = data_plane.store.clone();
    let fetched = tokio::spawn(async move {
        store
            .fetch_credential(NAMESPACE, API_KEY.as_bytes(), Asker::Nobody)
            .await
    });
    stream.asked().await;
    stream.put(credential(&fleet_key("k1"), API_KEY)).await;
    fetched.await.unwrap().unwrap();
}

/// Lets time pass as the sweeper sees it: second by second.
async fn pass(time: Duration) {
    for _ in 0..time.as_secs() {
        advance(Duration::from_secs(1)).await;
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_idle_is_forgotten_and_loaded_again_when_asked_for() {
    let (_controller, data_plane, mut stream) = start(idle(Duration::from_secs(60))).await;
    let in_flight = load(&data_plane, &mut stream, "a.test").await;
    load_key(&data_plane, &mut stream).await;
    let held = data_plane.store.bytes();

    // In use, a domain stays; its key, unused, goes.
    for _ in 0..8 {
        pass(Duration::from_secs(10)).await;
        assert!(data_plane.store.get_domain("a.test").is_some());
    }
    let name = credential_name(&fleet_key("k1"), API_KEY);
    assert_eq!(stream.unsubscribed().await, [name.to_string()]);
    let consumer = Name::Consumer(object("alice"));
    stream.put(vec![Say::Drop(consumer)]).await;
    assert_eq!(data_plane.store.census().credentials, 0);
    assert!(data_plane.store.bytes() < held);

    pass(Duration::from_secs(70)).await;
    assert_eq!(stream.unsubscribed().await, ["domain/a.test"]);
    let gone = [
        Name::Provider(object("echo")),
        Name::Tenant(NAMESPACE.into()),
        Name::Fleet,
    ];
    stream.put(gone.map(Say::Drop).into()).await;
    let census = data_plane.store.census();
    assert_eq!((census.domains, census.dependencies), (0, 0));
    assert_eq!(data_plane.store.bytes(), 0);
    assert_eq!(data_plane.store.activity().evicted_idle, 2);

    // A request in flight keeps what it began with.
    let slot = &in_flight.routes[0].rules[0].backends[0].provider;
    assert!(slot.load().is_some() && in_flight.tenant.load().is_some());

    load(&data_plane, &mut stream, "a.test").await;
}

#[tokio::test(start_paused = true)]
async fn a_pushed_change_is_no_use() {
    let (_controller, data_plane, mut stream) = start(idle(Duration::from_secs(60))).await;
    load(&data_plane, &mut stream, "a.test").await;
    pass(Duration::from_secs(40)).await;
    stream.put(whole("a.test", "changed")).await;
    pass(Duration::from_secs(30)).await;
    assert_eq!(stream.unsubscribed().await, ["domain/a.test"]);
}

#[tokio::test(start_paused = true)]
async fn misses_and_aliases_are_forgotten_too_and_their_wildcard_when_it_is_dropped() {
    let (_controller, data_plane, mut stream) = start(idle(Duration::from_secs(60))).await;
    let store = data_plane.store.clone();
    let missed = tokio::spawn(async move { store.fetch_domain("miss.test", Asker::Nobody).await });
    stream.asked().await;
    stream.put(vec![Say::Absent(host("miss.test"))]).await;
    assert_eq!(missed.await.unwrap().unwrap_err(), FetchError::Unknown);
    let store = data_plane.store.clone();
    let fetched =
        tokio::spawn(async move { store.fetch_domain("a.lab.test", Asker::Nobody).await });
    stream.asked().await;
    let mut unit = whole("*.lab.test", "lab");
    let alias = Snapshot::Alias("*.lab.test".into());
    unit.push(Say::Upsert(host("a.lab.test"), alias));
    stream.put(unit).await;
    fetched.await.unwrap().unwrap();

    pass(Duration::from_secs(70)).await;
    let mut unsaid = stream.unsubscribed().await;
    unsaid.sort();
    assert_eq!(unsaid, ["domain/a.lab.test", "domain/miss.test"]);
    stream.put(vec![Say::Drop(host("*.lab.test"))]).await;
    assert!(data_plane.store.get_domain("*.lab.test").is_none());
    assert_eq!(data_plane.store.census().aliases, 0);
}

#[tokio::test(start_paused = true)]
async fn without_a_controller_nothing_is_forgotten() {
    let (controller, data_plane, mut stream) = start(idle(Duration::from_secs(60))).await;
    load(&data_plane, &mut stream, "a.test").await;
    drop((stream, controller));
    pass(HOUR).await;
    assert!(data_plane.store.get_domain("a.test").is_some());
}

#[tokio::test(start_paused = true)]
async fn over_the_budget_the_least_recently_used_go_first() {
    let limits = Limits {
        idle: None,
        bytes: Some(40_000),
    };
    let (_controller, data_plane, mut stream) = start(limits).await;
    load(&data_plane, &mut stream, "busy.test").await;
    let mut loaded = 0;
    while data_plane.store.bytes() <= 40_000 {
        pass(Duration::from_secs(1)).await;
        load(&data_plane, &mut stream, &format!("h{loaded}.test")).await;
        loaded += 1;
        assert!(data_plane.store.get_domain("busy.test").is_some());
    }
    assert!(loaded > 20, "{loaded}");
    pass(Duration::from_secs(2)).await;
    let unsaid = stream.unsubscribed().await;
    let expected: Vec<_> = (0..unsaid.len())
        .map(|n| format!("domain/h{n}.test"))
        .collect();
    assert_eq!(sorted_by_number(unsaid), expected);
    assert!(data_plane.store.bytes() <= 36_000, "a tenth is free again");
    assert!(data_plane.store.get_domain("busy.test").is_some());
    assert_eq!(
        data_plane.store.activity().evicted_over_budget,
        expected.len() as u64
    );
}

fn sorted_by_number(mut names: Vec<String>) -> Vec<String> {
    names.sort_by_key(|name| (name.len(), name.clone()));
    names
}

#[tokio::test(start_paused = true)]
async fn those_in_use_go_only_when_nothing_else_is_left() {
    let limits = Limits {
        idle: None,
        bytes: Some(10_000),
    };
    let (_controller, data_plane, mut stream) = start(limits).await;
    for number in 0..30 {
        load(&data_plane, &mut stream, &format!("h{number}.test")).await;
    }
    pass(Duration::from_secs(2)).await;
    let Up::Unsubscribe(unsubscribe) = stream.next().await else {
        panic!("nothing was forgotten");
    };
    assert!(unsubscribe.names.len() > 15);
    assert!(data_plane.store.bytes() <= 10_000);
}
