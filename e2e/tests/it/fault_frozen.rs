//! A data plane that is frozen while its domains change, and one whose packets are lost: told of
//! within seconds, no harm to others, and equal again afterwards.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use turnpike_e2e::fleet::DataPlane;
use turnpike_e2e::scene::await_answer;
use turnpike_e2e::{Call, Scene, eventually, resources};

#[test]
fn a_frozen_data_plane_is_told_of_and_catches_up() -> Result<()> {
    Scene::run_alone(async |scene| {
        let controller = &scene.fleet.controller;
        let frozen = DataPlane::start(&scene.folder, "frozen", controller, None).await?;
        let (host, key) = (scene.host("loaded"), scene.key("alice"));
        let yaml = resources::echo_provider("echo")
            + &resources::consumer("alice", "gold", &key)
            + &resources::route("main", &host, "echo");
        scene.apply(&yaml).await?;
        let call = Call::say(&host, "echo", "hello").key(&key);
        for gateway in [scene.fleet.gateway(0), frozen.gateway()] {
            await_answer(gateway, call.clone()).await?;
        }
        scene.await_served("airoute", "main").await?;

        frozen.process().freeze()?;
        let closed = resources::route("main", &host, "echo").replace(
            "rules:",
            "authorization: {allow: [{groups: [platinum]}]}\n  rules:",
        );
        scene.apply(&closed).await?;
        let changed = Instant::now();
        let pending = scene
            .await_condition("airoute", "main", "Programmed", "False")
            .await?;
        ensure!(pending.reason == "Pending", "{pending:?}");
        eventually("the metric tells of it", async || {
            let metrics = controller.metrics().await?;
            let line = "turnpike_controller_data_planes_lagging 1";
            let is_told = metrics.lines().any(|found| found == line);
            // Its connection may be given up before: then it counts no more.
            let is_gone = metrics.contains("turnpike_controller_data_planes 2");
            (is_told || is_gone).then_some(()).context("not told")
        })
        .await?;
        println!("told of {:?} after the change", changed.elapsed());
        // Others are not held up.
        let answer = scene.fleet.gateway(0).send(call.clone()).await?;
        answer.expect_error(403, "consumer_not_allowed")?;

        // Given up, it holds nobody back.
        scene
            .await_condition("airoute", "main", "Programmed", "True")
            .await?;
        frozen.process().thaw()?;
        eventually("the thawed data plane has the change", async || {
            let answer = frozen.gateway().send(call.clone()).await?;
            answer.expect_error(403, "consumer_not_allowed")
        })
        .await
    })
}
