//! The stream to a controller: lost and found again, and what is said on it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::time::Instant;
use turnpike_dataplane::Store;
use turnpike_dataplane::store::demand::Controllers;
use turnpike_dataplane::store::{Asker, Bounds, CredentialView, FetchError, Link};
use turnpike_snapshot::certificate::FleetCertificates;
use turnpike_snapshot::credential::FleetKey;
use turnpike_snapshot::proto::Subscribe;
use turnpike_snapshot::proto::client_message::Message as Up;
use turnpike_snapshot::{Name, Snapshot, Version};

use crate::store_controller::{Controller, DataPlane, LOAD_TIMEOUT, Say, Stream};
use crate::store_snapshots::{
    NAMESPACE, credential, credential_name, domain, fleet_key, host, whole,
};

const API_KEY: &str = "sk-turnpike-alice-0123456789";

type Fetch = tokio::task::JoinHandle<Result<Arc<CredentialView>, FetchError>>;

fn verify(store: &Store) -> Fetch {
    let store = store.clone();
    tokio::spawn(async move {
        store
            .fetch_credential(NAMESPACE, API_KEY.as_bytes(), Asker::Nobody)
            .await
    })
}

async fn load(data_plane: &DataPlane, stream: &mut Stream, name: &'static str) {
    let store = data_plane.store.clone();
    let fetched = tokio::spawn(async move { store.fetch_domain(name, Asker::Nobody).await });
    stream.asked().await;
    stream.put(whole(name, "main")).await;
    fetched.await.unwrap().unwrap();
}

async fn start(keys: &[FleetKey]) -> (Controller, DataPlane, Stream) {
    let mut controller = Controller::start();
    let data_plane = DataPlane::start(&controller);
    let stream = controller.greet(keys).await;
    data_plane.up().await;
    (controller, data_plane, stream)
}

#[tokio::test(start_paused = true)]
async fn the_hello_says_who_this_is_and_what_it_can_obey() {
    let mut controller = Controller::start();
    let _data_plane = DataPlane::start(&controller);
    let mut stream = controller.accept().await;
    let Up::Hello(hello) = stream.next().await else {
        panic!("not a Hello first");
    };
    assert_eq!(hello.protocol_version, turnpike_snapshot::PROTOCOL_VERSION);
    assert_eq!(hello.data_plane, "test");
    assert!(hello.features.contains(&"vendor/Echo".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_new_stream_begins_with_all_that_is_held_and_wanted() {
    let (mut controller, data_plane, mut stream) = start(&[]).await;
    load(&data_plane, &mut stream, "a.test").await;
    let store = data_plane.store.clone();
    let missed = tokio::spawn(async move { store.fetch_domain("miss.test", Asker::Nobody).await });
    stream.asked().await;
    stream.put(vec![Say::Absent(host("miss.test"))]).await;
    missed.await.unwrap().unwrap_err();
    drop(stream);

    let mut stream = controller.greet(&[]).await;
    let mut stated = stream.subscribed().await;
    stated.names.sort_by(|a, b| a.name.cmp(&b.name));
    let names: Vec<_> = stated
        .names
        .iter()
        .map(|held| (&*held.name, &*held.version))
        .collect();
    let version = Version::of(&domain("main")).to_bytes();
    assert_eq!(
        names,
        [("domain/a.test", &*version), ("domain/miss.test", &[])]
    );
    let mut dependencies: Vec<_> = stated.dependencies.iter().map(|held| &*held.name).collect();
    dependencies.sort();
    assert_eq!(
        dependencies,
        ["fleet", "provider/tenant/echo", "tenant/tenant"]
    );
    assert!(
        stated
            .dependencies
            .iter()
            .all(|held| held.version.len() == 16)
    );
}

#[tokio::test(start_paused = true)]
async fn the_platforms_certificates_are_asked_for_by_each_stream_and_stay() {
    let (mut controller, data_plane, mut stream) = start(&[]).await;
    data_plane.store.follow_fleet_certificates();
    load(&data_plane, &mut stream, "a.test").await;
    drop(stream);
    let name = Name::FleetCertificates;
    let mut stream = controller.greet(&[]).await;
    let asked = |stated: &Subscribe| {
        let held = stated
            .names
            .iter()
            .find(|held| held.name == name.to_string());
        held.map(|held| held.version.clone())
    };
    assert_eq!(asked(&stream.subscribed().await), Some(Vec::new()));
    let fleet = Snapshot::FleetCertificates(FleetCertificates::default());
    stream
        .put(vec![Say::Upsert(name.clone(), fleet.clone())])
        .await;
    assert!(data_plane.store.fleet_certificates().is_some());
    drop(stream);

    let mut stream = controller.greet(&[]).await;
    let stated = stream.subscribed().await;
    assert_eq!(asked(&stated), Some(Version::of(&fleet).to_bytes()));
    let is_twice = stated
        .dependencies
        .iter()
        .any(|held| held.name == name.to_string());
    assert!(!is_twice);
}

#[tokio::test(start_paused = true)]
async fn what_is_loaded_goes_on_without_a_controller() {
    let (controller, data_plane, mut stream) = start(&[]).await;
    load(&data_plane, &mut stream, "a.test").await;
    drop((stream, controller));
    let new = data_plane.store.fetch_domain("b.test", Asker::Nobody).await;
    assert_eq!(new.unwrap_err(), FetchError::Unavailable);
    assert_eq!(data_plane.store.link(), Link::Down);
    assert!(
        data_plane
            .store
            .fetch_domain("a.test", Asker::Nobody)
            .await
            .is_ok()
    );
}

#[tokio::test(start_paused = true)]
async fn after_a_long_outage_new_hosts_are_refused_without_waiting() {
    let (controller, data_plane, stream) = start(&[]).await;
    drop((stream, controller));
    let _ = data_plane.store.fetch_domain("a.test", Asker::Nobody).await;
    tokio::time::advance(LOAD_TIMEOUT).await;
    let asked = Instant::now();
    let refused = data_plane.store.fetch_domain("b.test", Asker::Nobody).await;
    assert_eq!(refused.unwrap_err(), FetchError::Unavailable);
    assert_eq!(asked.elapsed().as_millis(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_question_outlives_the_stream_that_it_was_asked_on() {
    let (mut controller, data_plane, mut stream) = start(&[]).await;
    let store = data_plane.store.clone();
    let fetched = tokio::spawn(async move { store.fetch_domain("a.test", Asker::Nobody).await });
    stream.asked().await;
    drop(stream);
    let mut stream = controller.greet(&[]).await;
    assert_eq!(stream.asked().await, ["domain/a.test"]);
    stream.put(whole("a.test", "main")).await;
    assert!(fetched.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_fails_is_tried_again() {
    let mut controller = Controller::start();
    let Controllers::Connector(connect) = controller.controllers() else {
        panic!("the test's controller is in process");
    };
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = tries.clone();
    let flaky = Controllers::Connector(Arc::new(move || {
        if counted.fetch_add(1, Ordering::Relaxed) < 3 {
            Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) })
        } else {
            connect()
        }
    }));
    let data_plane = DataPlane::with(flaky, Bounds::default());
    assert!(!data_plane.store.has_been_up());
    let mut stream = controller.greet(&[]).await;
    load(&data_plane, &mut stream, "a.test").await;
    assert_eq!(tries.load(Ordering::Relaxed), 4);
    assert!(data_plane.store.has_been_up());
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_does_not_greet_is_left() {
    let mut controller = Controller::start();
    let data_plane = DataPlane::start(&controller);
    let silent = controller.accept().await;
    let mut stream = controller.greet(&[]).await;
    load(&data_plane, &mut stream, "a.test").await;
    drop(silent);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_loaded_like_a_domain_and_known_from_then_on() {
    let key = fleet_key("k1");
    let (_controller, data_plane, mut stream) = start(std::slice::from_ref(&key)).await;
    let verified = verify(&data_plane.store);
    let name = credential_name(&key, API_KEY);
    assert_eq!(stream.asked().await, [name.to_string()]);
    stream.put(credential(&key, API_KEY)).await;
    let view = verified.await.unwrap().unwrap();
    assert_eq!(view.consumer.load().unwrap().groups, ["gold"]);
    assert!(verify(&data_plane.store).await.unwrap().is_ok());

    // Deleted: nobody's from that moment on.
    stream.put(vec![Say::Absent(name)]).await;
    let gone = verify(&data_plane.store).await.unwrap();
    assert_eq!(gone.unwrap_err(), FetchError::Unknown);
}

#[tokio::test(start_paused = true)]
async fn during_a_rotation_the_key_counts_under_either_fleet_key() {
    let keys = [fleet_key("k2"), fleet_key("k1")];
    let (_controller, data_plane, mut stream) = start(&keys).await;
    let verified = verify(&data_plane.store);
    let mut asked = stream.asked().await;
    if asked.len() == 1 {
        asked.extend(stream.asked().await);
    }
    assert_eq!(asked.len(), 2);
    stream
        .put(vec![Say::Absent(credential_name(&keys[0], API_KEY))])
        .await;
    stream.put(credential(&keys[1], API_KEY)).await;
    assert!(verified.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_new_fleet_key_set_drops_what_was_held_under_the_gone_key() {
    let old = fleet_key("k1");
    let new = fleet_key("k2");
    let (mut controller, data_plane, mut stream) = start(std::slice::from_ref(&old)).await;
    load(&data_plane, &mut stream, "a.test").await;
    let verified = verify(&data_plane.store);
    stream.asked().await;
    stream.put(credential(&old, API_KEY)).await;
    verified.await.unwrap().unwrap();
    drop(stream);

    let mut stream = controller.greet(std::slice::from_ref(&new)).await;
    let stated = stream.subscribed().await;
    let names: Vec<_> = stated.names.iter().map(|held| &*held.name).collect();
    assert_eq!(names, ["domain/a.test"], "no credential of the gone key");

    let verified = verify(&data_plane.store);
    assert_eq!(
        stream.asked().await,
        [credential_name(&new, API_KEY).to_string()]
    );
    stream.put(credential(&new, API_KEY)).await;
    assert!(verified.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_key_while_fleet_keys_change_is_served_under_the_new_one() {
    let old = fleet_key("k1");
    let new = fleet_key("k2");
    let (_controller, data_plane, mut stream) = start(std::slice::from_ref(&old)).await;
    let verified = verify(&data_plane.store);
    let asked = credential_name(&old, API_KEY).to_string();
    assert_eq!(stream.asked().await, [&*asked]);
    stream.welcome(std::slice::from_ref(&new)).await;
    assert_eq!(stream.unsubscribed().await, [asked]);
    assert_eq!(
        stream.asked().await,
        [credential_name(&new, API_KEY).to_string()]
    );
    stream.put(credential(&new, API_KEY)).await;
    assert!(verified.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn wrong_keys_are_bounded_and_remembered() {
    let mut controller = Controller::start();
    let bounds = Bounds {
        credential_misses: 1,
        ..Bounds::default()
    };
    let data_plane = DataPlane::with(controller.controllers(), bounds);
    let key = fleet_key("k1");
    let mut stream = controller.greet(std::slice::from_ref(&key)).await;
    data_plane.up().await;
    for wrong in ["wrong-1", "wrong-2"] {
        let store = data_plane.store.clone();
        let fetched = tokio::spawn(async move {
            store
                .fetch_credential(NAMESPACE, wrong.as_bytes(), Asker::Nobody)
                .await
        });
        stream.asked().await;
        stream
            .put(vec![Say::Absent(credential_name(&key, wrong))])
            .await;
        assert_eq!(fetched.await.unwrap().unwrap_err(), FetchError::Unknown);
        let again = data_plane
            .store
            .fetch_credential(NAMESPACE, wrong.as_bytes(), Asker::Nobody)
            .await;
        assert_eq!(again.unwrap_err(), FetchError::Unknown);
    }
    let oldest = credential_name(&key, "wrong-1").to_string();
    assert_eq!(stream.unsubscribed().await, [oldest]);
}
