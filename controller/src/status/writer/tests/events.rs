//! Events: for what a person should see, and never many.

use super::*;

/// A route that claims `x.test`, older the smaller its age.
fn claim(namespace: &str, age: i64) -> Event {
    let route = testing::route(namespace, "r").created(age);
    route.host("x.test").rule(&[], "p").event()
}

fn backend(namespace: &str) -> Event {
    testing::provider(namespace, "p").event()
}

/// Whose, type and reason.
fn told(event: &Value) -> String {
    let regarding = &event["regarding"];
    format!(
        "{}/{} {} {}",
        regarding["namespace"].as_str().unwrap(),
        regarding["name"].as_str().unwrap(),
        event["type"].as_str().unwrap(),
        event["reason"].as_str().unwrap()
    )
}

#[tokio::test(start_paused = true)]
async fn a_conflict_and_its_end_are_told() {
    let (mut scene, _seat) = Scene::new(&[], |hub| Some(hub.join("dp-1")));
    scene
        .world
        .apply([backend("a"), backend("b"), claim("a", 1), claim("b", 2)]);
    let event = scene.events.recv().await.unwrap();
    assert_eq!(told(&event), "b/r Warning HostnameConflict");
    let note = event["note"].as_str().unwrap();
    assert!(note.starts_with("spec.hostnames[0]: x.test"), "{note}");
    assert_eq!(event["regarding"]["apiVersion"], "turnpike.dev/v1alpha1");
    scene
        .world
        .apply([testing::delete(Kind::AIRoute, "a", "r")]);
    let event = scene.events.recv().await.unwrap();
    assert_eq!(told(&event), "b/r Normal Ready");
    assert_eq!(scene.writes.events_written(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_well_or_waits_is_no_event_and_neither_is_a_restart() {
    let (mut scene, _seat) = Scene::new(&[], holder(Standing::Lagging));
    scene.apply("p", 1);
    assert_eq!(scene.next().await, written("p", 1, "Pending"));
    let gone = testing::route("a", "r").host("x.test").rule(&[], "gone");
    scene.world.apply([gone.clone().event()]);
    let (_, patch) = scene.heard.recv().await.unwrap();
    let event = scene.events.recv().await.unwrap();
    assert_eq!(told(&event), "a/r Warning BackendNotFound");

    let (mut restarted, _seat) = Scene::new(&[], |hub| Some(hub.join("dp-1")));
    let mut known = gone;
    known.0.status = serde_json::from_value(patch["status"].clone()).unwrap();
    restarted.world.apply([known.event()]);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(restarted.heard.try_recv().is_err(), "nothing changed");
    assert!(restarted.events.try_recv().is_err());
    assert!(scene.events.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_faults_writes_all_statuses_and_few_events() {
    let (mut scene, _) = Scene::new(&[], nobody);
    let routes = (0..2_000).map(|number| {
        let route = testing::route("a", &format!("r-{number}"));
        let host = format!("{number}.test");
        route.host(&host).rule(&[], "gone").event()
    });
    scene.world.apply(routes);
    for _ in 0..2_000 {
        scene.heard.recv().await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    let (written, dropped) = (scene.writes.events_written(), scene.writes.events_dropped());
    assert_eq!(written + dropped, 2_000);
    assert!((1..=64).contains(&written), "{written}");
}
