//! Floods are charged to who makes them.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use turnpike_dataplane::store::{Asker, Bounds, FetchError};
use turnpike_snapshot::proto::client_message::Message as Up;
use turnpike_snapshot::{Name, Snapshot};

use crate::store_controller::{Controller, DataPlane, Say, Stream};
use crate::store_snapshots::{NAMESPACE, fleet_key, host, whole};

const FLOOD: Asker = Asker::V4(Ipv4Addr::new(10, 0, 0, 1));
const HONEST: Asker = Asker::V4(Ipv4Addr::new(10, 0, 0, 2));

/// Answers as a controller does that knows `*.lab.test` and every `cold….test`.
/// Gives the data plane, and how many names it has asked for.
async fn start() -> (Controller, DataPlane, Arc<AtomicUsize>) {
    let mut controller = Controller::start();
    let data_plane = DataPlane::start(&controller);
    let stream = controller.greet(&[fleet_key("k1")]).await;
    data_plane.up().await;
    let asked = Arc::new(AtomicUsize::new(0));
    tokio::spawn(answer(stream, asked.clone()));
    (controller, data_plane, asked)
}

async fn answer(mut stream: Stream, asked: Arc<AtomicUsize>) {
    loop {
        if let Up::Subscribe(subscribe) = stream.next().await {
            asked.fetch_add(subscribe.names.len(), Ordering::Relaxed);
            let names = subscribe.names.iter();
            let unit = names.flat_map(|held| said_of(&held.name)).collect();
            stream.say(unit).await;
        }
    }
}

fn said_of(name: &str) -> Vec<Say> {
    match name.strip_prefix("domain/") {
        Some(name) if name.ends_with(".lab.test") => {
            let alias = Snapshot::Alias("*.lab.test".into());
            let mut unit = whole("*.lab.test", "lab");
            unit.push(Say::Upsert(host(name), alias));
            unit
        }
        Some(name) if name.starts_with("cold") => whole(name, "main"),
        _ => vec![Say::Absent(name.parse::<Name>().unwrap())],
    }
}

/// Whether each of these look-ups was refused for being too many.
async fn flood_hosts(data_plane: &DataPlane, from: usize, count: usize) -> Vec<bool> {
    let look_up = |number| {
        let store = data_plane.store.clone();
        async move {
            let answer = store.fetch_domain(&format!("no{number}.test"), FLOOD).await;
            matches!(answer, Err(FetchError::TooManyLookups(_)))
        }
    };
    join_all((from..from + count).map(look_up)).await
}

#[tokio::test(start_paused = true)]
async fn random_hosts_under_a_wildcard_stay_within_their_bound() {
    let (_controller, data_plane, _) = start().await;
    let store = &data_plane.store;
    assert!(store.fetch_domain("cold.test", HONEST).await.is_ok());
    for round in 0..20 {
        let look_up = |number| async move {
            let name = format!("r{round}-{number}.lab.test");
            store.fetch_domain(&name, FLOOD).await
        };
        let answers = join_all((0..1_000).map(look_up)).await;
        assert!(answers.iter().all(Result::is_ok), "they exist");
    }
    let census = store.census();
    assert_eq!(census.aliases, Bounds::default().aliases);
    assert_eq!((census.domains, census.pending), (1, 0));
    assert!(store.get_domain("cold.test").is_some());
    assert!(store.fetch_domain("new.lab.test", HONEST).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn unknown_hosts_of_one_address_leave_others_alone() {
    let (_controller, data_plane, asked) = start().await;
    let store = &data_plane.store;
    assert!(store.fetch_domain("cold.test", HONEST).await.is_ok());
    let mut refused = 0;
    for round in 0..10 {
        let flood = flood_hosts(&data_plane, round * 2_000, 2_000);
        let honest = async {
            let name = format!("cold{round}.test");
            store.fetch_domain(&name, HONEST).await
        };
        let (flood, honest) = tokio::join!(flood, honest);
        assert!(honest.is_ok(), "{round}");
        refused += flood.into_iter().filter(|refused| *refused).count();
    }
    assert!(refused > 15_000, "{refused}");
    assert!(asked.load(Ordering::Relaxed) < 5_000);
    assert_eq!(
        store.activity().refused_domains,
        u64::try_from(refused).unwrap()
    );
    // What is loaded, and what is remembered not to exist, is answered all the same.
    assert!(store.fetch_domain("cold.test", FLOOD).await.is_ok());
    let known = store.fetch_domain("no0.test", FLOOD).await;
    assert_eq!(known.unwrap_err(), FetchError::Unknown);
    let cold = store.fetch_domain("cold-new.test", FLOOD).await;
    let Err(FetchError::TooManyLookups(after)) = cold else {
        panic!("{cold:?}");
    };
    tokio::time::advance(after + Duration::from_secs(1)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(store.fetch_domain("cold-new.test", FLOOD).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn wrong_keys_of_one_address_leave_others_and_other_tenants_alone() {
    let (_controller, data_plane, asked) = start().await;
    let store = &data_plane.store;
    let wrong = |realm: &'static str, number: usize, asker| async move {
        let key = format!("wrong-{number}");
        let answer = store.fetch_credential(realm, key.as_bytes(), asker).await;
        answer.unwrap_err()
    };
    assert_eq!(wrong("other", 0, HONEST).await, FetchError::Unknown);
    let answers = join_all((0..2_000).map(|number| wrong(NAMESPACE, number, FLOOD))).await;
    assert!(answers.contains(&FetchError::Unknown));
    let more = join_all((2_000..4_000).map(|number| wrong(NAMESPACE, number, FLOOD))).await;
    assert!(
        more.iter()
            .all(|error| matches!(error, FetchError::TooManyLookups(_)))
    );
    assert_eq!(wrong(NAMESPACE, 9_000, HONEST).await, FetchError::Unknown);
    assert_eq!(wrong("other", 9_000, FLOOD).await, FetchError::Unknown);

    // The same wrong key over and over is never looked up again.
    let before = asked.load(Ordering::Relaxed);
    for _ in 0..100 {
        assert_eq!(wrong("other", 0, FLOOD).await, FetchError::Unknown);
    }
    assert_eq!(asked.load(Ordering::Relaxed), before);
}

#[tokio::test(start_paused = true)]
async fn questions_that_nobody_answers_are_held_to_a_share() {
    let mut controller = Controller::start();
    let data_plane = DataPlane::start(&controller);
    let _silent = controller.greet(&[]).await;
    data_plane.up().await;
    let refused = flood_hosts(&data_plane, 0, 10_000).await;
    assert_eq!(refused.iter().filter(|refused| !**refused).count(), 2_500);
    assert_eq!(data_plane.store.census().pending, 2_500);
}

#[test]
fn an_asker_is_read_from_an_address() {
    assert_eq!(Asker::from(IpAddr::from([10, 0, 0, 1])), FLOOD);
}
