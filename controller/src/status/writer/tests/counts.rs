//! Counts are told, and do not multiply writes.

use super::*;
use crate::status::agenda::COUNT_PAUSE;

/// A route on a host of its own that sends everything to `a/p`.
fn route(number: usize) -> Event {
    let route = testing::route("t", &format!("r-{number}"));
    let host = format!("{number}.test");
    route.host(&host).rule(&[], "a/p").event()
}

#[tokio::test(start_paused = true)]
async fn a_thousand_routes_make_few_writes_of_the_provider_that_they_name() {
    let (mut scene, _) = Scene::new(&[], nobody);
    scene.apply("p", 1);
    let start = Instant::now();
    let mut writes = Vec::new();
    for number in 0..1_000 {
        scene.world.apply([route(number)]);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(COUNT_PAUSE).await;
    while let Ok((path, patch)) = scene.heard.try_recv() {
        if path.contains("aiproviders") {
            writes.push(patch["status"]["routes"].as_i64().unwrap());
        }
    }
    let pauses = start.elapsed().as_secs() / COUNT_PAUSE.as_secs();
    assert_eq!(writes.last(), Some(&1_000));
    assert!(writes.len() as u64 <= 1 + pauses, "{writes:?}");
    assert_eq!(scene.writes.written() as usize, 1_000 + writes.len());
}

#[tokio::test(start_paused = true)]
async fn what_a_status_has_no_more_is_taken_out_of_it() {
    let (mut scene, _) = Scene::new(&[], nobody);
    let template = || testing::route("a", "r").rule(&[], "p");
    scene.world.apply([template().event()]);
    let (_, patch) = scene.heard.recv().await.unwrap();
    assert_eq!(
        (&patch["status"]["routes"], &patch["status"]["hostnames"]),
        (&json!(0), &Value::Null)
    );
    let served = template().host("x.test").generation(2);
    scene.world.apply([served.event()]);
    let (_, patch) = scene.heard.recv().await.unwrap();
    let status = patch["status"].as_object().unwrap();
    assert_eq!(status.get("routes"), Some(&Value::Null));
    assert_eq!(status["hostnames"][0]["name"], "x.test");
}

#[tokio::test(start_paused = true)]
async fn ready_and_hostnames_are_part_of_the_one_write() {
    let (mut scene, _seat) = Scene::new(&[], |hub| Some(hub.join("dp-1")));
    let route = testing::route("a", "r").host("x.test").rule(&[], "p");
    scene
        .world
        .apply([testing::provider("a", "p").event(), route.event()]);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let mut told = Vec::new();
    while let Ok((path, patch)) = scene.heard.try_recv() {
        let ready = &patch["status"]["conditions"][0];
        assert_eq!(
            (&ready["type"], &ready["status"]),
            (&json!("Ready"), &json!("True"))
        );
        told.push(path);
    }
    assert_eq!(told.len(), 2, "{told:?}");
}
