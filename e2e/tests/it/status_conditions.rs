//! What is wrong with a resource is said in its status, with the field; the rest is served.

use anyhow::{Result, ensure};
use turnpike_e2e::scene::await_answer;
use turnpike_e2e::{Call, Scene, eventually, resources};

#[test]
fn second_namespace_that_claims_a_host_waits_until_the_first_gives_it_up() -> Result<()> {
    Scene::run(async |scene| {
        let host = scene.host("claimed");
        let other = format!("{}-b", scene.namespace);
        let key = scene.key("alice");
        let yaml = resources::echo_provider("echo")
            + &resources::consumer("alice", "gold", &key)
            + &resources::route("main", &host, "echo");
        scene.apply(&yaml).await?;
        let call = Call::say(&host, "echo", "mine").key(&key);
        await_answer(scene.gateway(), call.clone()).await?;

        let cluster = scene.cluster;
        cluster.kubectl(&["create", "namespace", &other]).await?;
        cluster
            .kubectl_with_input(&["apply", "-n", &other, "-f", "-"], &yaml)
            .await?;
        let conflict = eventually("the second claim is refused", async || {
            let get = ["get", "airoute", "main", "-n", &other, "-o", "json"];
            let object: serde_json::Value = serde_json::from_str(&cluster.kubectl(&get).await?)?;
            let conditions = object["status"]["conditions"].as_array();
            let accepted = conditions
                .into_iter()
                .flatten()
                .find(|c| c["type"] == "Accepted" && c["status"] == "False");
            accepted
                .cloned()
                .ok_or_else(|| anyhow::anyhow!("{}", object["status"]))
        })
        .await?;
        ensure!(conflict["reason"] == "HostnameConflict", "{conflict}");
        let message = conflict["message"].as_str().unwrap_or_default();
        ensure!(message.contains("spec.hostnames[0]"), "{message}");
        let besides_the_host = message.replace(&host, "");
        ensure!(
            !besides_the_host.contains(&scene.namespace),
            "the owner is told: {message}"
        );
        scene
            .await_condition("airoute", "main", "Accepted", "True")
            .await?;
        scene.gateway().send(call.clone()).await?.expect_ok()?;

        scene.delete("airoute", "main").await?;
        await_answer(scene.gateway(), call).await?;
        cluster
            .kubectl(&["delete", "namespace", &other, "--wait=false"])
            .await?;
        Ok(())
    })
}

#[test]
fn missing_secret_is_named_and_harms_only_its_provider() -> Result<()> {
    Scene::run(async |scene| {
        let provider = turnpike_e2e::Provider::start().await?;
        let (host, key) = (scene.host("secret"), scene.key("alice"));
        let credentials = "[{name: main, secretRef: {name: absent, key: apiKey}}]";
        let url = provider.openai_url();
        let yaml = format!(
            "{lacking}{echo}{alice}
---
apiVersion: turnpike.dev/v1alpha1
kind: AIRoute
metadata: {{name: main}}
spec:
  hostnames: [{host}]
  rules:
    - {{matches: [{{models: [echo]}}], backendRefs: [{{name: echo}}]}}
    - {{backendRefs: [{{name: lacking}}]}}
",
            lacking = resources::provider("lacking", "OpenAI", &url, "m", credentials),
            echo = resources::echo_provider("echo"),
            alice = resources::consumer("alice", "gold", &key),
        );
        scene.apply(&yaml).await?;
        let echo = Call::say(&host, "echo", "hello").key(&key);
        await_answer(scene.gateway(), echo.clone()).await?;

        let resolved = scene.await_condition("aiprovider", "lacking", "ResolvedRefs", "False");
        let message = resolved.await?.message;
        for word in ["spec.credentials[0].secretRef", "absent"] {
            ensure!(message.contains(word), "{message}");
        }
        let faulty = Call::say(&host, "m", "hello").key(&key);
        let answer = scene.gateway().send(faulty.clone()).await?;
        ensure!(
            answer.status == 503,
            "{}: {}",
            answer.status,
            answer.text()?
        );
        answer.error_code()?;

        let unlabelled = resources::secret("absent", "apiKey", "sk-late-0123456789abcdef")
            .replace("\"true\"", "\"false\"");
        scene.apply(&unlabelled).await?;
        let resolved = scene
            .condition("aiprovider", "lacking", "ResolvedRefs")
            .await?;
        ensure!(
            resolved.status == "False",
            "an unlabelled Secret is not read: {resolved:?}"
        );
        scene
            .apply(&resources::secret(
                "absent",
                "apiKey",
                "sk-late-0123456789abcdef",
            ))
            .await?;
        scene
            .await_condition("aiprovider", "lacking", "ResolvedRefs", "True")
            .await?;
        await_answer(scene.gateway(), faulty).await?;
        let sent = provider.last()?;
        ensure!(sent.header("authorization") == Some("Bearer sk-late-0123456789abcdef"));
        scene.gateway().send(echo).await?.expect_ok()?;
        Ok(())
    })
}

#[test]
fn missing_provider_is_named_and_heals() -> Result<()> {
    Scene::run(async |scene| {
        let (host, key) = (scene.host("provider"), scene.key("alice"));
        let yaml =
            resources::consumer("alice", "gold", &key) + &resources::route("main", &host, "absent");
        scene.apply(&yaml).await?;
        let resolved = scene
            .await_condition("airoute", "main", "ResolvedRefs", "False")
            .await?;
        for word in ["spec.rules[0].backendRefs[0]", "absent"] {
            ensure!(resolved.message.contains(word), "{}", resolved.message);
        }
        let call = Call::say(&host, "echo", "hello").key(&key);
        eventually("503 while the provider is missing", async || {
            let answer = scene.gateway().send(call.clone()).await?;
            ensure!(answer.status == 503, "{}", answer.status);
            Ok(())
        })
        .await?;

        scene.apply(&resources::echo_provider("absent")).await?;
        await_answer(scene.gateway(), call).await?;
        scene.await_served("airoute", "main").await
    })
}

#[test]
fn quota_that_selects_other_namespaces_is_for_the_platform_only() -> Result<()> {
    Scene::run(async |scene| {
        let yaml = "apiVersion: turnpike.dev/v1alpha1
kind: TokenQuota
metadata: {name: greedy}
spec:
  selector: {namespaces: {matchLabels: {}}}
  limits: [{name: a, tokens: 1, window: 1m}]
";
        scene.apply(yaml).await?;
        let accepted = scene
            .await_condition("tokenquota", "greedy", "Accepted", "False")
            .await?;
        ensure!(accepted.reason == "NotPermitted", "{accepted:?}");
        ensure!(
            accepted.message.contains("spec.selector.namespaces"),
            "{accepted:?}"
        );
        Ok(())
    })
}

#[test]
fn status_follows_the_generation() -> Result<()> {
    Scene::run(async |scene| {
        let (host, key) = (scene.host("one"), scene.key("alice"));
        let yaml = resources::echo_provider("echo")
            + &resources::consumer("alice", "gold", &key)
            + &resources::route("main", &host, "echo");
        scene.apply(&yaml).await?;
        scene.await_served("airoute", "main").await?;
        let before = scene.condition("airoute", "main", "Programmed").await?;
        scene
            .apply(&resources::route("main", &scene.host("two"), "echo"))
            .await?;
        scene.await_served("airoute", "main").await?;
        let after = scene.condition("airoute", "main", "Programmed").await?;
        ensure!(
            after.observed_generation > before.observed_generation,
            "{before:?} {after:?}"
        );
        Ok(())
    })
}
