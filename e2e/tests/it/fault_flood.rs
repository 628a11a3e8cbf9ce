//! A flood of hosts that exist, under a wildcard: each is answered, the data plane's memory of
//! them stays within its bound, and other tenants notice nothing.

use anyhow::{Context, Result, ensure};
use futures::stream::{self, StreamExt, TryStreamExt};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use turnpike_e2e::fleet::DataPlane;
use turnpike_e2e::scene::{await_answer, is_long};
use turnpike_e2e::{Call, Scene, gateway, resources};

const AT_ONCE: usize = 16;
/// So many hosts of wildcards a data plane remembers, as docs/operating.md says.
const REMEMBERED: usize = 10_000;
/// Names of this test besides: its hosts, its key.
const BESIDES: usize = 10;

#[test]
fn random_hosts_under_a_wildcard_are_answered_and_forgotten() -> Result<()> {
    let hosts = if is_long() { 100_000 } else { 12_000 };
    Scene::run_alone(async |scene| {
        let controller = &scene.fleet.controller;
        let data_plane = DataPlane::start(&scene.folder, "flooded", controller, None).await?;
        let (quiet, key) = (scene.host("quiet"), scene.key("alice"));
        let wildcard = scene.host("*");
        let yaml = resources::echo_provider("echo")
            + &resources::consumer("alice", "gold", &key)
            + &resources::route("wild", &format!("\"{wildcard}\""), "echo")
            + &resources::route("quiet", &quiet, "echo");
        scene.apply(&yaml).await?;
        let call = Call::say(&quiet, "echo", "hello").key(&key);
        await_answer(data_plane.gateway(), call.clone()).await?;

        let mut random = SmallRng::seed_from_u64(6);
        let labels: Vec<u64> = (0..hosts).map(|_| random.random()).collect();
        let (data_plane, key) = (&data_plane, &key);
        stream::iter(labels.iter().enumerate())
            .map(|(number, label)| async move {
                let host = scene.host(&format!("r{label:016x}"));
                let call = Call::say(&host, "echo", "hello").key(key);
                let answer = data_plane.gateway().send(call).await?;
                answer.expect_ok().with_context(|| format!("host {number}"))
            })
            .buffer_unordered(AT_ONCE)
            .try_for_each(async |_| Ok(()))
            .await?;

        let report = gateway::get(data_plane.admin(), "/debug/store").await?;
        let report = report.expect_ok()?.json()?;
        let names = report["names"].as_array().context("no names")?;
        let held = names.len();
        ensure!(held <= REMEMBERED + BESIDES, "{held} hosts are remembered");
        // Neither is an exact host pushed out by it.
        data_plane.gateway().send(call).await?.expect_ok()?;
        Ok(())
    })
}
