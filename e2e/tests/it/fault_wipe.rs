//! A cluster that was emptied while no controller ran: a data plane that reconnects keeps what
//! it holds until somebody says that it may go.

use anyhow::{Context, Result, ensure};
use turnpike_e2e::fleet::DataPlane;
use turnpike_e2e::scene::await_answer;
use turnpike_e2e::{Call, Scene, eventually, resources};

/// More than are let go without a question.
const HOSTS: usize = 120;

#[test]
fn an_emptied_cluster_takes_nothing_away_until_somebody_says_so() -> Result<()> {
    Scene::run_alone(async |scene| {
        let controller = &scene.fleet.controller;
        let data_plane = DataPlane::start(&scene.folder, "own", controller, None).await?;
        let key = scene.key("alice");
        let host = |number: usize| scene.host(&format!("wiped-{number}"));
        let routes: String = (0..HOSTS)
            .map(|number| resources::route(&format!("r{number}"), &host(number), "echo"))
            .collect();
        let shared = resources::echo_provider("echo") + &resources::consumer("alice", "gold", &key);
        scene.apply(&(shared + &routes)).await?;
        for number in 0..HOSTS {
            let host = host(number);
            let call = Call::say(&host, "echo", "hello").key(&key);
            await_answer(data_plane.gateway(), call).await?;
        }

        controller.process().kill();
        scene
            .kubectl(&["delete", "airoutes", "--all", "--wait=false"])
            .await?;
        controller.start_again().await?;
        eventually("the withdrawals are withheld", async || {
            let metrics = controller.metrics().await?;
            let line = metrics
                .lines()
                .find_map(|line| line.strip_prefix("turnpike_controller_withheld_withdrawals "));
            let withheld: f64 = line.context("no such metric")?.parse()?;
            ensure!(withheld >= HOSTS as f64, "{withheld}");
            Ok(())
        })
        .await?;
        for number in 0..HOSTS {
            let host = host(number);
            let call = Call::say(&host, "echo", "hello").key(&key);
            data_plane.gateway().send(call).await?.expect_ok()?;
        }

        controller.accept_mass_delete().await?;
        for number in 0..HOSTS {
            let host = host(number);
            eventually(&host, async || {
                let call = Call::say(&host, "echo", "hello").key(&key);
                let answer = data_plane.gateway().send(call).await?;
                answer.expect_error(404, "unknown_host")
            })
            .await?;
        }
        Ok(())
    })
}
