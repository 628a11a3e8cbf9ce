//! A data plane of one controller, in the status that another writes.

use anyhow::{Context, Result, ensure};
use turnpike_e2e::fleet::{Controller, DataPlane, Source};
use turnpike_e2e::scene::await_answer;
use turnpike_e2e::{Call, Scene, eventually, resources};

#[test]
fn a_laggard_of_a_follower_is_shown_by_the_leader() -> Result<()> {
    Scene::run_alone(async |scene| {
        let leader = &scene.fleet.controller;
        let folder = scene.folder.join("second");
        let second = Controller::start(&folder, Source::Cluster(scene.cluster)).await?;
        eventually("the second controller reports", async || {
            let metrics = leader.metrics().await?;
            let line = "turnpike_controller_replicas_reporting 1";
            let is_there = metrics.lines().any(|found| found == line);
            is_there.then_some(()).context("it does not")
        })
        .await?;
        let third = DataPlane::start(&folder, "dp-of-follower", &second, None).await?;

        let (host, key) = (scene.host("far"), scene.key("alice"));
        let yaml = |backend: &str| {
            resources::echo_provider("echo")
                + &resources::echo_provider("other")
                + &resources::consumer("alice", "gold", &key)
                + &resources::route("main", &host, backend)
        };
        scene.apply(&yaml("echo")).await?;
        let call = Call::say(&host, "echo", "hello").key(&key);
        await_answer(third.gateway(), call.clone()).await?;
        let served = scene
            .await_condition("airoute", "main", "Programmed", "True")
            .await?;
        ensure!(
            served.observed_generation == served.generation,
            "{served:?}"
        );

        third.process().freeze()?;
        scene.apply(&yaml("other")).await?;
        let pending = scene
            .await_condition("airoute", "main", "Programmed", "False")
            .await?;
        ensure!(pending.reason == "Pending", "{pending:?}");

        // Its connection is given up as dead; then nobody waits for it.
        scene
            .await_condition("airoute", "main", "Programmed", "True")
            .await?;
        third.process().thaw()?;
        eventually("the thawed data plane has the newest", async || {
            let answer = third.gateway().send(call.clone()).await?;
            answer.expect_ok().map(drop)
        })
        .await?;
        Ok(())
    })
}
