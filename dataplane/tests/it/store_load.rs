//! Domains are loaded when first asked for, once for all who ask, and kept up to date.

use std::sync::Arc;

use turnpike_dataplane::store::{Asker, Bounds, DomainView, FetchError, Store};
use turnpike_snapshot::proto::client_message::Message as Up;
use turnpike_snapshot::{Name, Snapshot};

use crate::store_controller::{Controller, DataPlane, LOAD_TIMEOUT, Say, Stream};
use crate::store_snapshots::{NAMESPACE, domain, fleet, host, object, provider, tenant, whole};

type Fetch = tokio::task::JoinHandle<Result<Arc<DomainView>, FetchError>>;

fn fetch(store: &Store, host: &'static str) -> Fetch {
    let store = store.clone();
    tokio::spawn(async move { store.fetch_domain(host, Asker::Nobody).await })
}

fn route(view: &DomainView) -> &str {
    &view.routes[0].name
}

async fn start() -> (Controller, DataPlane, Stream) {
    let mut controller = Controller::start();
    let data_plane = DataPlane::start(&controller);
    let stream = controller.greet(&[]).await;
    (controller, data_plane, stream)
}

#[tokio::test(start_paused = true)]
async fn the_first_request_loads_its_domain_with_all_that_it_refers_to() {
    let (_controller, data_plane, mut stream) = start().await;
    assert!(data_plane.store.get_domain("a.test").is_none());

    let fetched = fetch(&data_plane.store, "a.test");
    assert_eq!(stream.asked().await, ["domain/a.test"]);
    stream.put(whole("a.test", "main")).await;

    let view = fetched.await.unwrap().unwrap();
    assert_eq!((route(&view), &*view.namespace), ("main", NAMESPACE));
    assert_eq!(&*view.tenant.load().unwrap().uid, "uid-1");
    assert!(view.fleet.load().is_some());
    let provider = view.routes[0].rules[0].backends[0].provider.load().unwrap();
    assert_eq!(provider.state.as_ref().unwrap().vendor, "Echo");
    assert!(data_plane.store.get_domain("a.test").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_hundred_requests_share_one_question_and_outlive_the_one_that_asked_it() {
    let (_controller, data_plane, mut stream) = start().await;
    let first = fetch(&data_plane.store, "a.test");
    assert_eq!(stream.asked().await, ["domain/a.test"]);
    let others: Vec<_> = (0..100)
        .map(|_| fetch(&data_plane.store, "a.test"))
        .collect();
    tokio::task::yield_now().await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());

    // The next thing said is the acknowledgement: nobody asked again.
    stream.put(whole("a.test", "main")).await;
    for other in others {
        assert_eq!(route(&other.await.unwrap().unwrap()), "main");
    }
}

#[tokio::test(start_paused = true)]
async fn many_cold_domains_at_once_are_all_served() {
    let (_controller, data_plane, mut stream) = start().await;
    let hosts: Vec<String> = (0..200).map(|number| format!("h{number}.test")).collect();
    let fetches: Vec<_> = hosts
        .iter()
        .cloned()
        .map(|host| {
            let store = data_plane.store.clone();
            tokio::spawn(async move { store.fetch_domain(&host, Asker::Nobody).await })
        })
        .collect();
    let mut waiting = hosts.len();
    let mut acks = 0;
    while waiting > 0 || acks > 0 {
        match stream.next().await {
            Up::Subscribe(subscribe) => {
                // Latest first: the order of the answers does not matter.
                for held in subscribe.names.iter().rev() {
                    let host = held.name.strip_prefix("domain/").unwrap();
                    stream.say(whole(host, host)).await;
                    waiting -= 1;
                    acks += 1;
                }
            }
            Up::Ack(_) => acks -= 1,
            other => panic!("{other:?}"),
        }
    }
    for (host, fetch) in hosts.iter().zip(fetches) {
        assert_eq!(route(&fetch.await.unwrap().unwrap()), host);
    }
}

#[tokio::test(start_paused = true)]
async fn a_miss_is_remembered_until_the_host_is_created() {
    let (_controller, data_plane, mut stream) = start().await;
    let fetched = fetch(&data_plane.store, "a.test");
    stream.asked().await;
    stream.put(vec![Say::Absent(host("a.test"))]).await;
    assert_eq!(fetched.await.unwrap().unwrap_err(), FetchError::Unknown);

    let again = data_plane.store.fetch_domain("a.test", Asker::Nobody).await;
    assert_eq!(again.unwrap_err(), FetchError::Unknown);

    stream.put(whole("a.test", "main")).await;
    let view = data_plane
        .store
        .fetch_domain("a.test", Asker::Nobody)
        .await
        .unwrap();
    assert_eq!(route(&view), "main");
}

#[tokio::test(start_paused = true)]
async fn a_timeout_is_not_remembered() {
    let (_controller, data_plane, mut stream) = start().await;
    let store = &data_plane.store;
    let late = store.fetch_domain("a.test", Asker::Nobody).await;
    assert_eq!(late.unwrap_err(), FetchError::Unavailable);
    assert_eq!(stream.asked().await, ["domain/a.test"]);

    // Asked for still: the next request waits for the same answer.
    let fetched = fetch(store, "a.test");
    tokio::task::yield_now().await;
    stream.put(whole("a.test", "main")).await;
    assert_eq!(route(&fetched.await.unwrap().unwrap()), "main");
}

/// What may happen to a host that is asked for before it exists.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Event {
    /// The controller says that there is none.
    Miss,
    /// The request gives up waiting, or is told of the miss.
    Timeout,
    /// The controller sends what has just been created.
    Create,
}

#[tokio::test(start_paused = true)]
async fn every_order_of_miss_timeout_and_creation_ends_in_served() {
    use Event::{Create, Miss, Timeout};
    // A controller reads what it sends when it sends it: it never says of what it
    // has created that there is none.
    let orders: [&[Event]; 8] = [
        &[Create],
        &[Miss, Create],
        &[Timeout, Create],
        &[Miss, Timeout, Create],
        &[Timeout, Miss, Create],
        &[Timeout, Timeout, Create],
        &[Create, Timeout],
        &[Miss, Create, Timeout],
    ];
    for order in orders {
        let (_controller, data_plane, mut stream) = start().await;
        let fetched = fetch(&data_plane.store, "a.test");
        stream.asked().await;
        for event in order {
            match event {
                Miss => stream.put(vec![Say::Absent(host("a.test"))]).await,
                Create => stream.put(whole("a.test", "main")).await,
                Timeout => tokio::time::advance(LOAD_TIMEOUT).await,
            }
        }
        let view = data_plane.store.fetch_domain("a.test", Asker::Nobody).await;
        assert_eq!(route(&view.unwrap()), "main", "{order:?}");
        drop(fetched);
    }
}

#[tokio::test(start_paused = true)]
async fn creation_and_miss_in_one_unit_leave_what_was_said_last() {
    let (_controller, data_plane, mut stream) = start().await;
    let fetched = fetch(&data_plane.store, "a.test");
    stream.asked().await;
    let mut unit = vec![Say::Absent(host("a.test"))];
    unit.extend(whole("a.test", "main"));
    stream.put(unit).await;
    assert_eq!(route(&fetched.await.unwrap().unwrap()), "main");
}

#[tokio::test(start_paused = true)]
async fn a_change_reaches_all_and_what_is_in_flight_keeps_what_it_began_with() {
    let (_controller, data_plane, mut stream) = start().await;
    let fetched = fetch(&data_plane.store, "a.test");
    stream.asked().await;
    stream.put(whole("a.test", "old")).await;
    let in_flight = fetched.await.unwrap().unwrap();
    let slot = &in_flight.routes[0].rules[0].backends[0].provider;
    let held = slot.load().unwrap();
    slot.runtime()
        .key_turn
        .store(7, std::sync::atomic::Ordering::Relaxed);

    let new = Say::Upsert(host("a.test"), domain("new"));
    stream.put(vec![provider("OpenAI"), new]).await;
    assert_eq!(
        route(&data_plane.store.get_domain("a.test").unwrap()),
        "new"
    );
    assert_eq!(route(&in_flight), "old");
    assert_eq!(held.state.as_ref().unwrap().vendor, "Echo");
    assert_eq!(
        slot.load().unwrap().state.as_ref().unwrap().vendor,
        "OpenAI"
    );
    let turn = slot
        .runtime()
        .key_turn
        .load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(turn, 7, "runtime state outlives a change");
}

#[tokio::test(start_paused = true)]
async fn a_deleted_host_is_unknown_at_once() {
    let (_controller, data_plane, mut stream) = start().await;
    let fetched = fetch(&data_plane.store, "a.test");
    stream.asked().await;
    stream.put(whole("a.test", "main")).await;
    fetched.await.unwrap().unwrap();
    stream
        .put(vec![Say::Absent(host("a.test")), Say::Drop(Name::Fleet)])
        .await;
    let gone = data_plane.store.fetch_domain("a.test", Asker::Nobody).await;
    assert_eq!(gone.unwrap_err(), FetchError::Unknown);
}

#[tokio::test(start_paused = true)]
async fn a_refused_snapshot_leaves_the_one_before_and_the_rest_of_its_unit_applies() {
    let (_controller, data_plane, mut stream) = start().await;
    let fetched = fetch(&data_plane.store, "a.test");
    stream.asked().await;
    stream.put(whole("a.test", "old")).await;
    let view = fetched.await.unwrap().unwrap();

    let new = Say::Upsert(host("a.test"), domain("new"));
    stream.say(vec![provider("Nope"), new]).await;
    let nack = stream.nacked().await;
    assert_eq!((nack.unit, &*nack.name), (2, "provider/tenant/echo"));
    assert!(nack.message.contains("Nope"), "{}", nack.message);
    stream.acked().await;

    let slot = &view.routes[0].rules[0].backends[0].provider;
    assert_eq!(slot.load().unwrap().state.as_ref().unwrap().vendor, "Echo");
    assert_eq!(
        route(&data_plane.store.get_domain("a.test").unwrap()),
        "new"
    );

    // A refusal is no latch.
    stream.put(vec![provider("OpenAI")]).await;
    assert_eq!(
        slot.load().unwrap().state.as_ref().unwrap().vendor,
        "OpenAI"
    );
}

#[tokio::test(start_paused = true)]
async fn a_domain_without_its_policy_is_refused_and_served_once_it_is_whole() {
    let (_controller, data_plane, mut stream) = start().await;
    let fetched = fetch(&data_plane.store, "a.test");
    stream.asked().await;
    stream
        .say(vec![fleet(), Say::Upsert(host("a.test"), domain("main"))])
        .await;
    let nack = stream.nacked().await;
    assert!(nack.message.contains("tenant/tenant"), "{}", nack.message);
    stream.acked().await;
    assert_eq!(fetched.await.unwrap().unwrap_err(), FetchError::Unavailable);
    // Answered from memory, without waiting for the load timeout.
    let again = data_plane.store.fetch_domain("a.test", Asker::Nobody).await;
    assert_eq!(again.unwrap_err(), FetchError::Unavailable);

    stream.put(whole("a.test", "main")).await;
    assert!(data_plane.store.get_domain("a.test").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_missing_provider_harms_only_its_own_backend() {
    let (_controller, data_plane, mut stream) = start().await;
    let fetched = fetch(&data_plane.store, "a.test");
    stream.asked().await;
    let domain = Say::Upsert(host("a.test"), domain("main"));
    stream.put(vec![tenant(), fleet(), domain]).await;
    let view = fetched.await.unwrap().unwrap();
    let slot = &view.routes[0].rules[0].backends[0].provider;
    assert!(slot.load().is_none());
    stream.put(vec![provider("Echo")]).await;
    assert!(
        slot.load().is_some(),
        "a provider that comes later finds who waits for it"
    );
}

#[tokio::test(start_paused = true)]
async fn an_alias_shares_its_wildcards_domain_until_the_host_gets_its_own() {
    let (_controller, data_plane, mut stream) = start().await;
    let store = &data_plane.store;
    let alias = |name| Say::Upsert(host(name), Snapshot::Alias("*.lab.test".into()));
    let fetched = fetch(store, "a.lab.test");
    stream.asked().await;
    let mut unit = whole("*.lab.test", "lab");
    unit.push(alias("a.lab.test"));
    stream.put(unit).await;
    assert_eq!(&*fetched.await.unwrap().unwrap().host, "*.lab.test");

    let fetched = fetch(store, "b.lab.test");
    stream.asked().await;
    stream.put(vec![alias("b.lab.test")]).await;
    let shared = fetched.await.unwrap().unwrap();
    assert!(Arc::ptr_eq(
        &shared,
        &store.get_domain("a.lab.test").unwrap()
    ));

    stream
        .put(vec![Say::Upsert(host("a.lab.test"), domain("own"))])
        .await;
    stream
        .put(vec![Say::Upsert(host("*.lab.test"), domain("lab-2"))])
        .await;
    assert_eq!(route(&store.get_domain("a.lab.test").unwrap()), "own");
    assert_eq!(route(&store.get_domain("b.lab.test").unwrap()), "lab-2");

    // And back under the wildcard when its own is deleted.
    stream.put(vec![alias("a.lab.test")]).await;
    assert_eq!(route(&store.get_domain("a.lab.test").unwrap()), "lab-2");
}

#[tokio::test(start_paused = true)]
async fn an_alias_of_nothing_is_refused() {
    let (_controller, data_plane, mut stream) = start().await;
    let fetched = fetch(&data_plane.store, "a.lab.test");
    stream.asked().await;
    let alias = Snapshot::Alias("*.lab.test".into());
    stream
        .say(vec![Say::Upsert(host("a.lab.test"), alias)])
        .await;
    assert!(stream.nacked().await.message.contains("domain/*.lab.test"));
    assert_eq!(fetched.await.unwrap().unwrap_err(), FetchError::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn misses_are_bounded_and_the_oldest_is_unsubscribed() {
    let mut controller = Controller::start();
    let bounds = Bounds {
        domain_misses: 2,
        ..Bounds::default()
    };
    let data_plane = DataPlane::with(controller.controllers(), bounds);
    let mut stream = controller.greet(&[]).await;
    for name in ["a.test", "b.test", "c.test"] {
        let fetched = fetch(&data_plane.store, name);
        stream.asked().await;
        stream.put(vec![Say::Absent(host(name))]).await;
        assert_eq!(fetched.await.unwrap().unwrap_err(), FetchError::Unknown);
    }
    assert_eq!(stream.unsubscribed().await, ["domain/a.test"]);
    assert_eq!(data_plane.store.census().misses, 2);

    // Forgotten, not remembered as anything: the next request asks anew.
    let fetched = fetch(&data_plane.store, "a.test");
    assert_eq!(stream.asked().await, ["domain/a.test"]);
    stream.put(whole("a.test", "main")).await;
    assert_eq!(route(&fetched.await.unwrap().unwrap()), "main");
}

#[tokio::test(start_paused = true)]
async fn what_was_not_asked_for_is_not_kept() {
    let (_controller, data_plane, mut stream) = start().await;
    stream.put(whole("a.test", "main")).await;
    assert!(data_plane.store.get_domain("a.test").is_none());
    assert_eq!(data_plane.store.census().domains, 0);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_refers_to_any_more_is_let_go() {
    let (_controller, data_plane, mut stream) = start().await;
    let fetched = fetch(&data_plane.store, "a.test");
    stream.asked().await;
    stream.put(whole("a.test", "main")).await;
    let in_flight = fetched.await.unwrap().unwrap();
    assert_eq!(data_plane.store.census().dependencies, 3);

    let gone = [
        Name::Provider(object("echo")),
        Name::Tenant(NAMESPACE.into()),
        Name::Fleet,
    ];
    let mut unit = vec![Say::Absent(host("a.test"))];
    unit.extend(gone.map(Say::Drop));
    stream.put(unit).await;
    assert_eq!(data_plane.store.census().dependencies, 0);
    let slot = &in_flight.routes[0].rules[0].backends[0].provider;
    assert!(
        slot.load().is_some(),
        "a request in flight keeps what it began with"
    );
}
