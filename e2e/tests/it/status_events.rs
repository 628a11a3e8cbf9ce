//! Events tell people what went wrong and that it is well again, and nothing else.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use turnpike_e2e::{Scene, eventually, resources};

#[test]
fn what_breaks_and_heals_is_an_event() -> Result<()> {
    Scene::run(async |scene| {
        let well = resources::echo_provider("well")
            + &resources::route("well", &scene.host("well"), "well");
        let broken = resources::route("broken", &scene.host("broken"), "absent");
        scene.apply(&(well + &broken)).await?;
        let warning = await_event(scene, "broken", "BackendNotFound").await?;
        ensure!(warning["type"] == "Warning", "{warning}");
        let note = warning["message"].as_str().unwrap_or_default();
        ensure!(note.contains("spec.rules[0].backendRefs[0]"), "{warning}");
        let described = scene.kubectl(&["describe", "air", "broken"]).await?;
        ensure!(described.contains("BackendNotFound"), "{described}");

        scene.apply(&resources::echo_provider("absent")).await?;
        let normal = await_event(scene, "broken", "Ready").await?;
        ensure!(normal["type"] == "Normal", "{normal}");
        scene.await_served("airoute", "well").await?;
        let of_well = events(scene, "well").await?;
        ensure!(of_well.is_empty(), "{of_well:?}");
        Ok(())
    })
}

#[test]
fn a_lost_hostname_is_an_event() -> Result<()> {
    Scene::run(async |scene| {
        // Of two claims of the same second, the first by name has the host.
        let other = format!("a-{}", scene.namespace);
        let cluster = scene.cluster;
        cluster.kubectl(&["create", "namespace", &other]).await?;
        let yaml = resources::echo_provider("echo")
            + &resources::route("main", &scene.host("claimed"), "echo");
        cluster
            .kubectl_with_input(&["apply", "-n", &other, "-f", "-"], &yaml)
            .await?;
        let wait = ["wait", "-n", &other, "--for=condition=Ready", "air/main"];
        cluster.kubectl(&wait).await?;
        scene.apply(&yaml).await?;
        let event = await_event(scene, "main", "HostnameConflict").await?;
        ensure!(event["type"] == "Warning", "{event}");
        let drop_namespace = ["delete", "namespace", &other, "--wait=false"];
        cluster.kubectl(&drop_namespace).await.map(drop)
    })
}

async fn await_event(scene: &Scene, name: &str, reason: &str) -> Result<Value> {
    eventually(&format!("an event {reason} of {name}"), async || {
        let events = events(scene, name).await?;
        let mut found = events.iter().filter(|event| event["reason"] == reason);
        found.next().cloned().with_context(|| format!("{events:?}"))
    })
    .await
}

async fn events(scene: &Scene, name: &str) -> Result<Vec<Value>> {
    let selector = format!("involvedObject.name={name}");
    let get = ["get", "events", "--field-selector", &selector, "-o", "json"];
    let list: Value = serde_json::from_str(&scene.kubectl(&get).await?)?;
    Ok(list["items"].as_array().cloned().unwrap_or_default())
}
