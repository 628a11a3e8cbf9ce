//! The main job: four kinds of resources applied with kubectl, and a moment later an ordinary
//! OpenAI SDK is served by data planes that had never heard of the domain.

use anyhow::{Result, ensure};
use serde_json::json;
use turnpike_e2e::provider::Provider;
use turnpike_e2e::scene::await_answer;
use turnpike_e2e::{Call, Scene, python, resources};

const TRIAL_MESSAGE: &str = "the plan of trial is used up";

#[test]
fn sdk_is_served_by_two_data_planes_a_moment_after_kubectl_apply() -> Result<()> {
    Scene::run(async |scene| {
        let (openai, anthropic) = (Provider::start().await?, Provider::start().await?);
        let host = scene.host("chat");
        scene.apply(&resources(scene, &openai, &anthropic)).await?;
        let alice = scene.key("alice");
        for number in 0..2 {
            let call = Call::say(&host, "echo", "ready?").key(&alice);
            await_answer(scene.fleet.gateway(number), call).await?;
        }

        let seen = python::run(
            "main_job.py",
            &json!({
                "base_urls": [
                    scene.fleet.gateway(0).base_url(),
                    scene.fleet.gateway(1).base_url(),
                ],
                "host": host,
                "unknown_host": scene.host("unknown"),
                "keys": {
                    "good": alice,
                    "forbidden": scene.key("bob"),
                    "limited": scene.key("carol"),
                    "wrong": scene.key("nobody"),
                },
                "limit": 2,
                "limit_message": TRIAL_MESSAGE,
            }),
        )
        .await?;
        ensure!(seen.ends_with("all good\n"), "{seen}");
        check_what_providers_saw(&openai, &anthropic)?;

        for kind_and_name in [
            ("airoute", "main"),
            ("aiprovider", "echo"),
            ("aiprovider", "scripted"),
            ("aiprovider", "claude"),
            ("consumer", "alice"),
            ("tokenquota", "trial"),
        ] {
            scene.await_served(kind_and_name.0, kind_and_name.1).await?;
        }
        Ok(())
    })
}

fn check_what_providers_saw(openai: &Provider, anthropic: &Provider) -> Result<()> {
    let last = openai.last()?;
    ensure!(last.path == "/v1/chat/completions", "{}", last.path);
    ensure!(last.header("authorization") == Some("Bearer sk-scripted-0123456789abcdef"));
    ensure!(last.json()?["model"] == "gpt-upstream", "{:?}", last.body);
    let last = anthropic.last()?;
    ensure!(last.path == "/v1/messages", "{}", last.path);
    ensure!(last.header("x-api-key") == Some("sk-ant-scripted-0123456789"));
    ensure!(
        last.header("authorization").is_none(),
        "a caller's key went out"
    );
    ensure!(last.json()?["max_tokens"].is_u64(), "{:?}", last.body);
    Ok(())
}

fn resources(scene: &Scene, openai: &Provider, anthropic: &Provider) -> String {
    let consumers = [("alice", "gold"), ("bob", "bronze"), ("carol", "trial")]
        .map(|(name, group)| resources::consumer(name, group, &scene.key(name)))
        .concat();
    let secrets = resources::secret("scripted", "apiKey", "sk-scripted-0123456789abcdef")
        + &resources::secret("claude", "apiKey", "sk-ant-scripted-0123456789");
    format!(
        "{secrets}{consumers}{echo}{quota}
---
apiVersion: turnpike.dev/v1alpha1
kind: AIProvider
metadata: {{name: scripted}}
spec:
  protocol: OpenAI
  url: {openai}
  credentials: [{{name: main, secretRef: {{name: scripted}}}}]
  models: [{{name: gpt-test, upstreamModel: gpt-upstream}}]
---
apiVersion: turnpike.dev/v1alpha1
kind: AIProvider
metadata: {{name: claude}}
spec:
  protocol: Anthropic
  url: {anthropic}
  credentials: [{{name: main, secretRef: {{name: claude, key: apiKey}}}}]
  models: [{{name: claude-test}}]
---
apiVersion: turnpike.dev/v1alpha1
kind: AIRoute
metadata: {{name: main}}
spec:
  hostnames: [{host}]
  authentication: {{mode: Required}}
  authorization: {{allow: [{{groups: [gold, trial]}}]}}
  rules:
    - name: scripted
      matches: [{{models: [\"gpt-*\"]}}]
      backendRefs: [{{name: scripted}}]
    - name: claude
      matches: [{{models: [\"claude-*\"]}}]
      backendRefs: [{{name: claude}}]
    - name: echo
      matches: [{{models: [echo], path: {{type: PathPrefix, value: /v1}}}}]
      backendRefs: [{{name: echo}}]
",
        echo = resources::echo_provider("echo"),
        quota = resources::quota("trial", "trial", "requests: 2, window: 1h", "Allow"),
        openai = openai.openai_url(),
        anthropic = anthropic.anthropic_url(),
        host = scene.host("chat"),
    )
}
