//! The controller killed and started again under load: what is loaded goes on working.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Result, anyhow, ensure};
use turnpike_e2e::scene::{await_answer, is_long};
use turnpike_e2e::{Call, Scene, eventually, resources};

#[test]
fn loaded_domains_are_served_while_the_controller_is_killed_and_started() -> Result<()> {
    Scene::run_alone(async |scene| {
        let (host, key) = (scene.host("loaded"), scene.key("alice"));
        let yaml = resources::echo_provider("echo")
            + &resources::consumer("alice", "gold", &key)
            + &resources::route("main", &host, "echo");
        scene.apply(&yaml).await?;
        let call = Call::say(&host, "echo", "hello").key(&key);
        for number in 0..2 {
            await_answer(scene.fleet.gateway(number), call.clone()).await?;
        }

        let load = Load::default();
        let restarts = async {
            for round in 0..if is_long() { 50 } else { 3 } {
                load.await_more(50).await?;
                scene.fleet.controller.process().kill();
                load.await_more(50).await?;
                scene.fleet.controller.start_again().await?;
                let host = scene.host(&format!("new-{round}"));
                scene.apply(&resources::route("new", &host, "echo")).await?;
                for number in 0..2 {
                    let call = Call::say(&host, "echo", "hello").key(&key);
                    await_answer(scene.fleet.gateway(number), call).await?;
                }
            }
            load.stop.store(true, Ordering::Relaxed);
            anyhow::Ok(())
        };
        let (first, second) = (load.run(scene, 0, &call), load.run(scene, 1, &call));
        let (restarts, first, second) = tokio::join!(restarts, first, second);
        load.stop.store(true, Ordering::Relaxed);
        restarts.and(first).and(second)
    })
}

#[derive(Default)]
struct Load {
    served: AtomicUsize,
    stop: AtomicBool,
}

impl Load {
    /// Sends one request after the other until it is told to stop; none may fail.
    async fn run(&self, scene: &Scene, number: usize, call: &Call<'_>) -> Result<()> {
        while !self.stop.load(Ordering::Relaxed) {
            let answer = scene.fleet.gateway(number).send(call.clone()).await;
            let served = answer.and_then(turnpike_e2e::Answer::expect_ok);
            if let Err(error) = served {
                self.stop.store(true, Ordering::Relaxed);
                return Err(anyhow!("a request failed under load: {error:#}"));
            }
            self.served.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn await_more(&self, count: usize) -> Result<()> {
        let before = self.served.load(Ordering::Relaxed);
        eventually("the load goes on", async || {
            let served = self.served.load(Ordering::Relaxed) - before;
            ensure!(
                served >= count || self.stop.load(Ordering::Relaxed),
                "{served}"
            );
            Ok(())
        })
        .await
    }
}
