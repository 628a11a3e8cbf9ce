//! Which requests a route serves, and how fast changes of it take effect.

use anyhow::{Result, ensure};
use turnpike_e2e::gateway::text_of;
use turnpike_e2e::provider::{Behaviour, Provider};
use turnpike_e2e::scene::await_answer;
use turnpike_e2e::{Call, Scene, eventually, resources};

#[test]
fn host_that_was_asked_for_too_early_works_once_it_is_created() -> Result<()> {
    Scene::run(async |scene| {
        let (host, key) = (scene.host("soon"), scene.key("alice"));
        scene
            .apply(
                &(resources::echo_provider("echo") + &resources::consumer("alice", "gold", &key)),
            )
            .await?;
        let call = Call::say(&host, "echo", "hello").key(&key);
        let early = scene.gateway().send(call.clone()).await?;
        early.expect_error(404, "unknown_host")?;

        scene
            .apply(&resources::route("main", &host, "echo"))
            .await?;
        await_answer(scene.gateway(), call.clone()).await?;

        scene.delete("airoute", "main").await?;
        eventually("the deleted host is unknown", async || {
            let answer = scene.gateway().send(call.clone()).await?;
            answer.expect_error(404, "unknown_host")
        })
        .await
    })
}

#[test]
fn first_rule_that_matches_decides() -> Result<()> {
    Scene::run(async |scene| {
        let (first, second) = (Provider::start().await?, Provider::start().await?);
        let (host, key) = (scene.host("rules"), scene.key("alice"));
        let yaml = format!(
            "{first}{second}{alice}
---
apiVersion: turnpike.dev/v1alpha1
kind: AIRoute
metadata: {{name: main}}
spec:
  hostnames: [{host}]
  rules:
    - matches:
        - {{headers: [{{type: Exact, name: x-beta, value: \"1\"}}]}}
        - {{models: [\"*coder*\"], path: {{type: Exact, value: /v1/chat/completions}}}}
      backendRefs: [{{name: first, model: special}}]
    - backendRefs: [{{name: second}}]
",
            first = resources::provider("first", "OpenAI", &first.openai_url(), "special", ""),
            second = resources::provider("second", "OpenAI", &second.openai_url(), "\"*\"", ""),
            alice = resources::consumer("alice", "gold", &key),
        );
        scene.apply(&yaml).await?;
        let say = |model| Call::say(&host, model, "hello").key(&key);
        await_answer(scene.gateway(), say("plain")).await?;

        let count = |provider: &Provider| provider.received().len();
        ensure!(
            (count(&first), count(&second)) == (0, 1),
            "plain goes to the second"
        );
        scene
            .gateway()
            .send(say("big-coder-1"))
            .await?
            .expect_ok()?;
        ensure!(
            first.last()?.json()?["model"] == "special",
            "the rule's model is asked for"
        );
        let beta = say("plain").header("x-beta", "1");
        scene.gateway().send(beta).await?.expect_ok()?;
        ensure!(
            (count(&first), count(&second)) == (2, 1),
            "a header leads to the first"
        );
        Ok(())
    })
}

#[test]
fn body_reaches_a_provider_of_the_same_protocol_untouched() -> Result<()> {
    Scene::run(async |scene| {
        let provider = Provider::start().await?;
        let (host, key) = (scene.host("bytes"), scene.key("alice"));
        let yaml = resources::provider("same", "OpenAI", &provider.openai_url(), "m", "")
            + &resources::consumer("alice", "gold", &key)
            + &resources::route("main", &host, "same");
        scene.apply(&yaml).await?;
        await_answer(scene.gateway(), Call::say(&host, "m", "ready?").key(&key)).await?;

        // Spaces, order, an unknown member and a number that no float holds must all arrive.
        let body = "{ \"x_new\": 12345678901234567890123,\n \"messages\": [{\"role\":\"user\", \
                    \"content\":\"\\u00e9\\n\"}] , \"model\":\"m\" }";
        scene
            .gateway()
            .send(Call::chat(&host, body).key(&key))
            .await?
            .expect_ok()?;
        ensure!(provider.last()?.body == body, "{:?}", provider.last()?.body);
        Ok(())
    })
}

#[test]
fn keys_are_revoked_and_replaced_without_a_restart() -> Result<()> {
    Scene::run(async |scene| {
        let (host, old, new) = (scene.host("keys"), scene.key("old"), scene.key("new"));
        let yaml = resources::echo_provider("echo")
            + &resources::consumer("alice", "gold", &old)
            + &resources::route("main", &host, "echo");
        scene.apply(&yaml).await?;
        let say = |key| Call::say(&host, "echo", "hello").key(key);
        await_answer(scene.gateway(), say(&old)).await?;
        let x_api_key = Call::say(&host, "echo", "hello").header("x-api-key", old.as_str());
        scene.gateway().send(x_api_key).await?.expect_ok()?;
        scene
            .gateway()
            .send(say(&new))
            .await?
            .expect_error(401, "invalid_api_key")?;

        scene
            .apply(&resources::consumer("alice", "gold", &new))
            .await?;
        await_answer(scene.gateway(), say(&new)).await?;
        eventually("the old key is refused", async || {
            let answer = scene.gateway().send(say(&old)).await?;
            answer.expect_error(401, "invalid_api_key")
        })
        .await?;

        let suspend = "{\"spec\": {\"state\": \"Suspended\"}}";
        scene
            .kubectl(&["patch", "consumer", "alice", "--type=merge", "-p", suspend])
            .await?;
        eventually("a suspended consumer is refused", async || {
            let answer = scene.gateway().send(say(&new)).await?;
            ensure!(matches!(answer.status, 401 | 403), "{}", answer.status);
            Ok(())
        })
        .await
    })
}

#[test]
fn callers_without_a_key_pass_where_the_route_says_so() -> Result<()> {
    Scene::run(async |scene| {
        let host = scene.host("open");
        let yaml = format!(
            "{echo}
---
apiVersion: turnpike.dev/v1alpha1
kind: Consumer
metadata: {{name: guest}}
spec: {{groups: [guests]}}
---
apiVersion: turnpike.dev/v1alpha1
kind: AIRoute
metadata: {{name: main}}
spec:
  hostnames: [{host}]
  authentication: {{mode: Optional, anonymousConsumer: guest}}
  authorization: {{allow: [{{groups: [guests], models: [echo]}}]}}
  rules: [{{backendRefs: [{{name: echo}}]}}]
",
            echo = resources::echo_provider("echo"),
        );
        scene.apply(&yaml).await?;
        await_answer(scene.gateway(), Call::say(&host, "echo", "hello")).await?;
        let key = scene.key("nobody");
        let wrong = Call::say(&host, "echo", "hello").key(&key);
        scene
            .gateway()
            .send(wrong)
            .await?
            .expect_error(401, "invalid_api_key")
    })
}

#[test]
fn stream_in_flight_outlives_the_change_of_its_route() -> Result<()> {
    Scene::run(async |scene| {
        let provider = Provider::start().await?;
        let (host, key) = (scene.host("flight"), scene.key("alice"));
        let yaml = resources::provider("slow", "OpenAI", &provider.openai_url(), "m", "")
            + &resources::echo_provider("echo")
            + &resources::consumer("alice", "gold", &key)
            + &resources::route("main", &host, "slow");
        scene.apply(&yaml).await?;
        await_answer(scene.gateway(), Call::say(&host, "m", "ready?").key(&key)).await?;

        provider.behave(Behaviour::Good {
            chunks: 30,
            delay: std::time::Duration::from_millis(100),
        });
        let call = Call::stream(&host, "m", "count").key(&key);
        let mut stream = scene.gateway().send_streaming(call).await?;
        ensure!(stream.next().await?.is_some(), "the stream begins");
        scene
            .apply(&resources::route("main", &host, "echo"))
            .await?;
        await_answer(
            scene.gateway(),
            Call::say(&host, "echo", "moved?").key(&key),
        )
        .await?;

        let (events, end) = stream.rest().await;
        end?;
        ensure!(text_of(&events).ends_with("word29 "), "{events:?}");
        ensure!(events.last().is_some_and(|e| e == "[DONE]"), "{events:?}");
        Ok(())
    })
}
