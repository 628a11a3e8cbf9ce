//! No key appears in a log, a metric, a status or an answer, whatever happens to the request.

use anyhow::{Result, ensure};
use hyper::StatusCode;
use turnpike_e2e::provider::{Behaviour, Provider};
use turnpike_e2e::scene::await_answer;
use turnpike_e2e::secure::{Caller, Certified, tls_secret};
use turnpike_e2e::{Call, Scene, eventually, gateway, resources};

const PROVIDER_KEY: &str = "sk-canary-provider-7d3f9a1c5e";
const WRONG_KEY: &str = "tk-canary-nobody-2b8e6f0a4d";
const PROMPT: &str = "canary-prompt-91c4e7";
const BROKEN_KEY: &str = "canary-broken-\\n-6a5d2e";

#[test]
fn no_key_and_no_content_is_seen_outside_the_request() -> Result<()> {
    Scene::run(async |scene| {
        let provider = Provider::start().await?;
        let (host, key) = (scene.host("canary"), scene.key("canary-consumer"));
        let from_secret = scene.key("canary-secret");
        let yaml = yaml(scene, &provider, &host, &key, &from_secret);
        scene.apply(&yaml).await?;
        await_answer(scene.gateway(), Call::say(&host, "m", PROMPT).key(&key)).await?;
        await_answer(
            scene.gateway(),
            Call::say(&host, "m", PROMPT).key(&from_secret),
        )
        .await?;

        let shown = Certified::make(&[&host])?;
        let private: Vec<&str> = shown.key.lines().filter(|it| !it.contains('-')).collect();
        let yaml = shown.secret("own") + &tls_secret("torn", &shown.chain, &torn(&shown.key));
        scene.apply(&yaml).await?;
        let refs = r#"{"spec": {"tls": {"certificateRefs": [{"name": "own"}, {"name": "torn"}]}}}"#;
        scene
            .kubectl(&["patch", "airoute", "main", "--type=merge", "-p", refs])
            .await?;
        let caller = Caller::trusting(&[&shown])?;
        eventually("the host is served over TLS", async || {
            let call = Call::say(&host, "m", PROMPT).key(&key);
            let tls = scene.fleet.data_planes[0].tls();
            caller.send(tls, call).await?.expect_ok().map(drop)
        })
        .await?;
        scene
            .await_condition("airoute", "main", "ResolvedRefs", "False")
            .await?;

        let secrets = [
            PROVIDER_KEY,
            WRONG_KEY,
            "canary-broken",
            PROMPT,
            &key,
            &from_secret,
        ];
        let mut places = Vec::new();
        for behaviour in [
            Behaviour::GOOD,
            Behaviour::Status(StatusCode::UNAUTHORIZED),
            Behaviour::Status(StatusCode::INTERNAL_SERVER_ERROR),
            Behaviour::Status(StatusCode::BAD_REQUEST),
            Behaviour::Garbage,
            Behaviour::Cut { after: 1 },
            Behaviour::Hang,
        ] {
            provider.behave(behaviour);
            for key in [key.as_str(), WRONG_KEY] {
                for call in [
                    Call::say(&host, "m", PROMPT),
                    Call::stream(&host, "m", PROMPT),
                ] {
                    // A stream that is cut may end in an error of the transport.
                    if let Ok(answer) = scene.gateway().send(call.key(key)).await {
                        places.push(("an answer".to_owned(), answer.text()?));
                    }
                }
            }
        }
        places.extend(everywhere(scene).await?);
        for (place, text) in &places {
            for secret in secrets.iter().chain(&private) {
                ensure!(!text.contains(secret), "{secret} in {place}: {text}");
            }
        }
        Ok(())
    })
}

/// A key without its end.
fn torn(key: &str) -> String {
    key.lines().take(2).collect::<Vec<_>>().join("\n")
}

/// Logs, metrics and status of everything.
async fn everywhere(scene: &Scene) -> Result<Vec<(String, String)>> {
    let fleet = scene.fleet;
    let mut places = vec![
        (
            "the controller's log".into(),
            fleet.controller.process().stdout(),
        ),
        (
            "the controller's log".into(),
            fleet.controller.process().stderr(),
        ),
        (
            "the controller's metrics".into(),
            fleet.controller.metrics().await?,
        ),
    ];
    for plane in &fleet.data_planes {
        places.push(("a data plane's access log".into(), plane.process().stdout()));
        places.push(("a data plane's log".into(), plane.process().stderr()));
        places.push(("a data plane's metrics".into(), plane.metrics().await?));
        let store = gateway::get(plane.admin(), "/debug/store").await?.text()?;
        places.push(("a data plane's /debug/store".into(), store));
    }
    let kinds = "airoutes,aiproviders,consumers,tokenquotas";
    let status = scene
        .kubectl(&["get", kinds, "-o", "jsonpath={.items[*].status}"])
        .await?;
    ensure!(status.contains("Accepted"), "no status: {status}");
    places.push(("a status".into(), status));
    let access_log = fleet.data_planes[0].process().stdout();
    ensure!(
        access_log.contains(&scene.namespace),
        "no access log: {access_log}"
    );
    Ok(places)
}

fn yaml(scene: &Scene, provider: &Provider, host: &str, key: &str, from_secret: &str) -> String {
    let credentials = "[{name: main, secretRef: {name: upstream}}]";
    let broken = "[{name: main, secretRef: {name: broken}}]";
    let url = provider.openai_url();
    format!(
        "{upstream}{from_secret}{broken_secret}{provider}{broken}{consumer}{route}
---
apiVersion: turnpike.dev/v1alpha1
kind: Consumer
metadata: {{name: by-secret, namespace: {namespace}}}
spec:
  apiKeys: [{{name: main, secretRef: {{name: consumer, key: apiKey}}}}]
",
        namespace = scene.namespace,
        upstream = resources::secret("upstream", "apiKey", PROVIDER_KEY),
        from_secret = resources::secret("consumer", "apiKey", from_secret),
        broken_secret = resources::secret("broken", "apiKey", BROKEN_KEY),
        provider = resources::provider("m", "OpenAI", &url, "m", credentials),
        broken = resources::provider("broken", "OpenAI", &url, "m", broken),
        consumer = resources::consumer("alice", "gold", key),
        route = resources::route("main", host, "m"),
    )
}
