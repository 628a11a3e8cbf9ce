//! Two controllers of one cluster: one writes status, and another soon after that one is killed.

use std::time::Instant;

use anyhow::{Result, ensure};
use turnpike_e2e::fleet::{Controller, Source};
use turnpike_e2e::{Scene, resources};

#[test]
fn a_killed_leader_is_replaced() -> Result<()> {
    Scene::run_alone(async |scene| {
        let leader = &scene.fleet.controller;
        leader.await_metric("turnpike_controller_leads 1").await?;
        let source = Source::Cluster(scene.cluster);
        let folder = scene.folder.join("second");
        let second = Controller::start(&folder, source).await?;
        leader
            .await_metric("turnpike_controller_replicas_reporting 1")
            .await?;
        second.await_metric("turnpike_controller_leads 0").await?;

        leader.process().kill();
        let killed = Instant::now();
        scene.apply(&resources::echo_provider("echo")).await?;
        // No data plane of the fleet has found the second controller: it is not theirs.
        scene
            .await_condition("aiprovider", "echo", "Accepted", "True")
            .await?;
        let took = killed.elapsed();
        println!("status written by another controller {took:?} after the kill");

        // The first comes back, and follows.
        leader.start_again().await?;
        second
            .await_metric("turnpike_controller_replicas_reporting 1")
            .await?;
        leader.await_metric("turnpike_controller_leads 0").await?;

        // A clean end gives the Lease back at once.
        let status = second.process().terminate().await?;
        ensure!(status.success(), "{status}");
        let ended = Instant::now();
        leader.await_metric("turnpike_controller_leads 1").await?;
        println!("led again {:?} after the clean end", ended.elapsed());
        Ok(())
    })
}
