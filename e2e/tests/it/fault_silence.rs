//! Packets between a data plane and its controller that are lost without a word: noticed by both
//! ends, told in status, and made good once packets arrive again.

use anyhow::Result;
use turnpike_e2e::fleet::DataPlane;
use turnpike_e2e::lossy::{Fate, LossyWire};
use turnpike_e2e::scene::await_answer;
use turnpike_e2e::{Call, Scene, eventually, resources};

fn route_for(host: &str, group: &str) -> String {
    let allowed = format!("authorization: {{allow: [{{groups: [{group}]}}]}}\n  rules:");
    resources::route("main", host, "echo").replace("rules:", &allowed)
}

#[test]
fn what_silent_packet_loss_took_is_made_good() -> Result<()> {
    Scene::run_alone(async |scene| {
        let controller = &scene.fleet.controller;
        let wire = LossyWire::start(controller.listen()).await?;
        let url = format!("http://{}", wire.address());
        let data_plane = DataPlane::start_at(&scene.folder, "far", &url, &[]).await?;
        let (host, key) = (scene.host("far"), scene.key("alice"));
        let shared = resources::echo_provider("echo") + &resources::consumer("alice", "gold", &key);
        scene.apply(&(shared + &route_for(&host, "gold"))).await?;
        let call = Call::say(&host, "echo", "hello").key(&key);
        await_answer(data_plane.gateway(), call.clone()).await?;
        scene.await_served("airoute", "main").await?;

        // The connection dies silently; another can be made.
        wire.set(Fate::CutOff);
        scene.apply(&route_for(&host, "platinum")).await?;
        eventually("the change arrives over a new connection", async || {
            let answer = data_plane.gateway().send(call.clone()).await?;
            answer.expect_error(403, "consumer_not_allowed")
        })
        .await?;
        scene.await_served("airoute", "main").await?;

        // Nothing arrives at all, for as long as it takes both ends to notice.
        wire.set(Fate::Lost);
        scene.apply(&route_for(&host, "gold")).await?;
        controller
            .await_metric("turnpike_controller_data_planes 2")
            .await?;
        // What it holds it serves, as it was; whom it does not know it cannot look up.
        let answer = data_plane.gateway().send(call.clone()).await?;
        answer.expect_error(403, "consumer_not_allowed")?;
        let unknown = scene.host("unknown");
        let unknown = Call::say(&unknown, "echo", "hello").key(&key);
        let answer = data_plane.gateway().send(unknown).await?;
        answer.expect_error(503, "snapshot_unavailable")?;
        // Nobody is held up by it.
        scene.await_served("airoute", "main").await?;
        await_answer(scene.fleet.gateway(0), call.clone()).await?;

        wire.set(Fate::Carried);
        controller
            .await_metric("turnpike_controller_data_planes 3")
            .await?;
        await_answer(data_plane.gateway(), call).await
    })
}
