//! A controller that starts again finds every status as it should be, and writes none.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use turnpike_e2e::scene::await_answer;
use turnpike_e2e::{Call, Scene, eventually, resources};

const OF_EACH_KIND: usize = 75;

#[test]
fn a_restart_writes_nothing_when_nothing_changed() -> Result<()> {
    Scene::run_alone(async |scene| {
        let controller = &scene.fleet.controller;
        let before = metric(scene, "turnpike_controller_status_writes_total").await?;
        let yaml: String = (0..OF_EACH_KIND).map(|at| tenant(scene, at)).collect();
        let broken = resources::route("broken", &scene.host("broken"), "absent");
        scene.apply(&(yaml + &broken)).await?;
        let call_key = scene.key("c-1");
        let host = scene.host("h-1");
        let call = Call::say(&host, "echo", "hello").key(&call_key);
        await_answer(scene.gateway(), call).await?;
        eventually("every status tells all that there is to tell", async || {
            let objects = objects(scene).await?;
            ensure!(objects.len() == 4 * OF_EACH_KIND + 1, "{}", objects.len());
            for object in &objects {
                is_told(object)?;
            }
            Ok(())
        })
        .await?;
        let written = metric(scene, "turnpike_controller_status_writes_total").await? - before;
        let count = 4 * OF_EACH_KIND + 1;
        println!("{count} objects made, {written} statuses written");

        let versions = versions(scene).await?;
        let events = scene.kubectl(&["get", "events", "-o", "name"]).await?;
        controller.process().kill();
        controller.start_again().await?;
        for name in ["turnpike_controller_leads", "turnpike_controller_synced"] {
            await_metric(scene, name, 1).await?;
        }
        await_metric(scene, "turnpike_controller_data_planes", 2).await?;
        // Objects are looked at in order of kind and name; this is the last.
        let last = resources::quota("zzz", "gold", "requests: 9, window: 1h", "Allow");
        scene.apply(&last).await?;
        let wait = ["wait", "--for=condition=Ready", "atq/zzz", "--timeout=30s"];
        scene.kubectl(&wait).await?;
        scene.delete("tokenquota", "zzz").await?;

        let now = self::versions(scene).await?;
        let changed = now
            .iter()
            .filter(|(name, version)| versions.get(*name) != Some(*version));
        let changed: Vec<_> = changed.collect();
        ensure!(changed.is_empty(), "written again: {changed:?}");
        let events_now = scene.kubectl(&["get", "events", "-o", "name"]).await?;
        ensure!(events_now == events, "{events_now}");
        Ok(())
    })
}

/// One object of each kind, well.
fn tenant(scene: &Scene, at: usize) -> String {
    let (name, group) = (format!("c-{at}"), format!("g-{at}"));
    resources::echo_provider(&format!("p-{at}"))
        + &resources::consumer(&name, &group, &scene.key(&name))
        + &resources::quota(
            &format!("q-{at}"),
            &group,
            "requests: 9000, window: 1h",
            "Allow",
        )
        + &resources::route(
            &format!("r-{at}"),
            &scene.host(&format!("h-{at}")),
            &format!("p-{at}"),
        )
}

/// Whether a status is complete: its sum and, by its kind, hostnames and counts.
fn is_told(object: &Value) -> Result<()> {
    let (status, name) = (&object["status"], &object["metadata"]["name"]);
    let ready = &status["conditions"][0];
    let expected = if name == "broken" { "False" } else { "True" };
    let is_ready = ready["type"] == "Ready" && ready["status"] == expected;
    let is_complete = match object["kind"].as_str() {
        Some("AIProvider") => status["routes"] == 1,
        Some("TokenQuota") => status["groups"][0]["consumers"] == 1,
        Some("AIRoute") => status["hostnames"]
            .as_array()
            .is_some_and(|it| it.len() == 1),
        _ => true,
    };
    ensure!(is_ready && is_complete, "{name}: {status}");
    Ok(())
}

async fn objects(scene: &Scene) -> Result<Vec<Value>> {
    let text = scene.kubectl(&["get", "turnpike", "-o", "json"]).await?;
    let list: Value = serde_json::from_str(&text)?;
    Ok(list["items"].as_array().cloned().unwrap_or_default())
}

/// The resourceVersion of each object, by kind and name.
async fn versions(scene: &Scene) -> Result<BTreeMap<String, String>> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let objects = objects(scene).await?.into_iter();
    Ok(objects
        .map(|object| {
            let meta = &object["metadata"];
            let name = format!("{} {}", text(&object["kind"]), text(&meta["name"]));
            (name, text(&meta["resourceVersion"]))
        })
        .collect())
}

async fn metric(scene: &Scene, name: &str) -> Result<u64> {
    let metrics = scene.fleet.controller.metrics().await?;
    let mut lines = metrics.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let value = value.with_context(|| format!("no metric {name}"))?;
    value.parse().with_context(|| format!("{name} {value}"))
}

async fn await_metric(scene: &Scene, name: &str, expected: u64) -> Result<()> {
    eventually(&format!("{name} {expected}"), async || {
        let found = metric(scene, name).await?;
        ensure!(found == expected, "{found}");
        Ok(())
    })
    .await
}
