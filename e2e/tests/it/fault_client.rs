//! A client that errs: a hang-up, a body that is no request, a key that is nobody's.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use hyper::Method;
use turnpike_e2e::provider::{Behaviour, Provider};
use turnpike_e2e::scene::await_answer;
use turnpike_e2e::{Call, Scene, resources};

#[test]
fn client_that_hangs_up_ends_the_providers_work() -> Result<()> {
    Scene::run(async |scene| {
        let provider = Provider::start().await?;
        let (host, key) = (scene.host("hangup"), scene.key("alice"));
        let yaml = resources::provider("endless", "OpenAI", &provider.openai_url(), "m", "")
            + &resources::consumer("alice", "gold", &key)
            + &resources::route("main", &host, "endless");
        scene.apply(&yaml).await?;
        await_answer(scene.gateway(), Call::say(&host, "m", "ready?").key(&key)).await?;

        provider.behave(Behaviour::Good {
            chunks: 3_000,
            delay: Duration::from_millis(20),
        });
        let call = Call::stream(&host, "m", "go on").key(&key);
        let mut stream = scene.gateway().send_streaming(call).await?;
        ensure!(stream.next().await?.is_some(), "the stream begins");
        drop(stream);
        provider.await_abandoned(1).await?;

        provider.behave(Behaviour::Hang);
        let waiting = scene
            .gateway()
            .send(Call::say(&host, "m", "hello").key(&key));
        let impatient = tokio::time::timeout(Duration::from_millis(500), waiting).await;
        ensure!(impatient.is_err(), "an answer from a provider that hangs");
        provider.await_abandoned(2).await?;

        provider.behave(Behaviour::GOOD);
        scene
            .gateway()
            .send(Call::say(&host, "m", "hello").key(&key))
            .await?
            .expect_ok()?;
        Ok(())
    })
}

#[test]
fn body_that_is_no_request_is_refused_with_its_fault() -> Result<()> {
    Scene::run(async |scene| {
        let (host, key) = (scene.host("bodies"), scene.key("alice"));
        let small = resources::route("main", &host, "echo")
            .replace("  rules:", "  maxBodyBytes: 1000\n  rules:");
        let yaml =
            resources::echo_provider("echo") + &resources::consumer("alice", "gold", &key) + &small;
        scene.apply(&yaml).await?;
        let good = Call::say(&host, "echo", "hello").key(&key);
        await_answer(scene.gateway(), good.clone()).await?;

        let long = "x".repeat(2000);
        let messages = "\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}]";
        for (body, status, code) in [
            ("this is not json", 400, "invalid_json"),
            ("{\"model\": \"echo\", ", 400, "invalid_json"),
            ("", 400, "invalid_json"),
            ("[]", 400, "invalid_json"),
            (&format!("{{{messages}}}"), 400, "missing_model"),
            (
                &format!("{{\"model\": \"echo\", {messages}, \"x\": \"{long}\"}}"),
                413,
                "request_too_large",
            ),
        ] {
            let answer = scene
                .gateway()
                .send(Call::chat(&host, body.to_owned()).key(&key))
                .await?;
            answer
                .expect_error(status, code)
                .with_context(|| format!("{body:.40}"))?;
        }
        let twice = format!("{{\"model\": \"echo\", \"model\": \"other\", {messages}}}");
        let answer = scene
            .gateway()
            .send(Call::chat(&host, twice).key(&key))
            .await?;
        ensure!(
            answer.status == 400,
            "a model that comes twice: {}",
            answer.status
        );
        answer.error_code()?;
        scene.gateway().send(good).await?.expect_ok()?;
        Ok(())
    })
}

#[test]
fn paths_and_methods_that_are_no_operation_are_refused() -> Result<()> {
    Scene::run(async |scene| {
        let (host, key) = (scene.host("paths"), scene.key("alice"));
        let yaml = resources::echo_provider("echo")
            + &resources::consumer("alice", "gold", &key)
            + &resources::route("main", &host, "echo");
        scene.apply(&yaml).await?;
        await_answer(
            scene.gateway(),
            Call::say(&host, "echo", "ready?").key(&key),
        )
        .await?;

        let unknown = scene
            .gateway()
            .send(Call::get(&host, "/v1/nothing").key(&key))
            .await?;
        ensure!(unknown.status == 404, "{}", unknown.status);
        unknown.error_code()?;
        let mut wrong = Call::say(&host, "echo", "hello").key(&key);
        wrong.method = Method::GET;
        let answer = scene.gateway().send(wrong).await?;
        ensure!(answer.status == 405, "{}", answer.status);
        ensure!(answer.header("allow").is_some(), "{:?}", answer.headers);
        answer.error_code()?;
        Ok(())
    })
}

#[test]
fn wrong_and_missing_keys_are_refused_and_not_repeated() -> Result<()> {
    Scene::run(async |scene| {
        let (host, key, wrong) = (scene.host("keys"), scene.key("alice"), scene.key("mallory"));
        let yaml = resources::echo_provider("echo")
            + &resources::consumer("alice", "gold", &key)
            + &resources::route("main", &host, "echo");
        scene.apply(&yaml).await?;
        let say = || Call::say(&host, "echo", "hello");
        await_answer(scene.gateway(), say().key(&key)).await?;

        for (call, code) in [
            (say(), "missing_api_key"),
            (say().key(&wrong), "invalid_api_key"),
            (say().key("short"), "invalid_api_key"),
            (say().header("x-api-key", &*wrong), "invalid_api_key"),
        ] {
            let answer = scene.gateway().send(call).await?;
            answer.expect_error(401, code)?;
            for name in ["www-authenticate", "x-request-id"] {
                ensure!(answer.header(name).is_some(), "{:?}", answer.headers);
            }
            ensure!(!answer.text()?.contains(&wrong), "{}", answer.text()?);
        }
        Ok(())
    })
}
