//! Addresses that an AIProvider of a tenant must not reach through the gateway.

use anyhow::{Result, ensure};
use turnpike_e2e::fleet::DataPlane;
use turnpike_e2e::scene::await_answer;
use turnpike_e2e::{Call, Provider, Scene, eventually, resources};

#[test]
fn private_and_metadata_addresses_are_refused_by_number_and_by_name() -> Result<()> {
    Scene::run_alone(async |scene| {
        let provider = Provider::start().await?;
        let port = provider.address().port();
        let controller = &scene.fleet.controller.url();
        // What nobody uses here, so that this machine's own addresses are closed.
        let closed = [("--allow-provider-cidr", "10.255.0.0/16")];
        let closed = DataPlane::start_at(&scene.folder, "closed", controller, &closed).await?;
        let key = scene.key("alice");
        let mut yaml = resources::consumer("alice", "gold", &key);
        let hosts = [
            ("number", format!("http://127.0.0.1:{port}")),
            ("mapped", format!("http://[::ffff:127.0.0.1]:{port}")),
            ("name", format!("http://localhost:{port}")),
            ("metadata", "http://169.254.169.254".to_owned()),
        ];
        for (name, url) in &hosts {
            yaml += &resources::provider(name, "OpenAI", url, "m", "");
            yaml += &resources::route(name, &scene.host(name), name);
        }
        scene.apply(&yaml).await?;
        for (name, _) in &hosts {
            let host = scene.host(name);
            let call = Call::say(&host, "m", "hello").key(&key);
            let answer = eventually(name, async || {
                let answer = closed.gateway().send(call.clone()).await?;
                ensure!(answer.status != 404, "not served yet");
                Ok(answer)
            })
            .await?;
            answer.expect_error(502, "provider_unreachable")?;
            let told = answer.text()?;
            ensure!(told.contains("--allow-provider-cidr"), "{told}");
            ensure!(
                !told.contains("127.0.0.1") && !told.contains("169.254"),
                "{told}"
            );
        }
        // The fleet may reach this machine; the metadata's address even so not.
        let host = scene.host("number");
        await_answer(scene.gateway(), Call::say(&host, "m", "hello").key(&key)).await?;
        let host = scene.host("metadata");
        let answer = scene
            .gateway()
            .send(Call::say(&host, "m", "hello").key(&key))
            .await?;
        answer.expect_error(502, "provider_unreachable")
    })
}
