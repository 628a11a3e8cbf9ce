//! Objects that are deleted and made again at once, under the same names: the last one counts,
//! and nothing of an earlier one lives on.

use anyhow::Result;
use serde_json::json;
use turnpike_crds::{AIProvider, AIRoute, Consumer};
use turnpike_e2e::objects::Objects;
use turnpike_e2e::scene::{await_answer, is_long};
use turnpike_e2e::{Call, Scene, eventually, resources};

#[test]
fn what_is_deleted_and_made_again_at_once_counts_as_it_is_now() -> Result<()> {
    let rebirths: usize = if is_long() { 500 } else { 50 };
    Scene::run(async |scene| {
        let objects = Objects::of(scene).await?;
        let host = scene.host("reborn");
        let key = |turn: usize| scene.key(&format!("alice-{turn}"));
        let provider = json!({"vendor": "Echo", "models": [{"name": "echo"}]});
        objects.put::<AIProvider>("echo", provider.clone()).await?;
        for turn in 0..rebirths {
            let group = format!("group-{turn}");
            objects.delete::<Consumer>("alice").await?;
            let digest = resources::digest(&key(turn));
            let consumer =
                json!({"groups": [&group], "apiKeys": [{"name": "main", "sha256": digest}]});
            objects.put::<Consumer>("alice", consumer).await?;
            objects.delete::<AIRoute>("main").await?;
            if turn % 5 == 0 {
                objects.delete::<AIProvider>("echo").await?;
                objects.put::<AIProvider>("echo", provider.clone()).await?;
            }
            let route = json!({
                "hostnames": [&host],
                "authorization": {"allow": [{"groups": [&group]}]},
                "rules": [{"backendRefs": [{"name": "echo"}]}],
            });
            objects.put::<AIRoute>("main", route).await?;
            // Data planes hold some of the lives, and see others pass.
            let key = key(turn);
            let call = Call::say(&host, "echo", "hello").key(&key);
            match turn % 10 {
                0 => await_answer(scene.fleet.gateway(0), call).await?,
                5 => await_answer(scene.fleet.gateway(1), call).await?,
                _ => drop(scene.fleet.gateway(turn).send(call).await?),
            }
        }
        for number in 0..2 {
            let last = key(rebirths - 1);
            let call = Call::say(&host, "echo", "hello").key(&last);
            await_answer(scene.fleet.gateway(number), call).await?;
            for turn in 0..rebirths - 1 {
                let old = key(turn);
                eventually("a key of before is refused", async || {
                    let call = Call::say(&host, "echo", "hello").key(&old);
                    let answer = scene.fleet.gateway(number).send(call).await?;
                    answer.expect_error(401, "invalid_api_key")
                })
                .await?;
            }
        }
        for (kind, name) in [
            ("airoute", "main"),
            ("consumer", "alice"),
            ("aiprovider", "echo"),
        ] {
            scene.await_served(kind, name).await?;
        }
        Ok(())
    })
}
