//! Realtime through OpenAI's SDK, against a provider of the same library that the SDK stands on.

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};
use turnpike_e2e::fleet::{Controller, DataPlane, Source};
use turnpike_e2e::ports::free_address;
use turnpike_e2e::{Call, FileScene, eventually, python, resources};

const KEY: &str = "tk-realtime-0123456789abcdef";
/// The SDK connects to the host that it asks for.
const HOST: &str = "localhost";

#[test]
fn session_outlives_every_change_and_is_told_when_draining_ends() -> Result<()> {
    FileScene::run(async |scene| {
        let provider = free_address()?;
        let url = format!("http://{provider}/v1");
        scene.write("all.yaml", &yaml(&url, "sk-before-0123456789abcdef", HOST))?;
        let files = scene.resources();
        let source = Source::Folder(&files);
        let controller = Controller::start(&scene.folder, source).await?;
        let flags = [("--drain-delay", "0s"), ("--drain", "3s")];
        let data_plane =
            DataPlane::start_at(&scene.folder, "data-plane", &controller.url(), &flags).await?;
        let gateway = data_plane.gateway();
        let models = Call::get(HOST, "/v1/models").key(KEY);
        eventually("the host is served", async || {
            gateway.send(models.clone()).await?.expect_ok().map(drop)
        })
        .await?;
        let argument = json!({
            "base_url": format!("http://{HOST}:{}/v1", gateway.address().port()),
            "key": KEY,
            "model": "gpt-realtime",
            "provider_port": provider.port(),
            "provider_key": "sk-before-0123456789abcdef",
            "file": files.join("all.yaml"),
            "changed": yaml("http://127.0.0.1:1/v1", "sk-after-0123456789abcdef", "new.test"),
            "new_host": "new.test",
            "pid": data_plane.process().id(),
        });
        let printed = python::run("realtime.py", &argument).await?;
        ensure!(printed.contains("done"), "{printed}");
        eventually("the one line of the session", async || {
            let lines = data_plane.process().stdout();
            let sessions: Vec<Value> = lines
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok())
                .filter(|line: &Value| line["operation"] == "Realtime")
                .collect();
            let [session] = &sessions[..] else {
                bail!("{lines}");
            };
            let tokens = json!({"input": 30, "output": 15});
            ensure!(session["tokens"] == tokens, "{session}");
            ensure!(session["error"] == "going_away", "{session}");
            Ok(())
        })
        .await
    })
}

fn yaml(url: &str, provider_key: &str, host: &str) -> String {
    let provider = format!(
        r#"
---
apiVersion: turnpike.dev/v1alpha1
kind: AIProvider
metadata: {{name: m}}
spec:
  protocol: OpenAI
  url: {url}
  credentials: [{{name: main, secretRef: {{name: upstream}}}}]
  models: [{{name: gpt-realtime, upstreamModel: upstream-model}}]
"#
    );
    resources::secret("upstream", "apiKey", provider_key)
        + &provider
        + &resources::consumer("alice", "gold", KEY)
        + &resources::quota("plan", "gold", "tokens: 100000, window: 1h", "Deny")
        + &resources::route("main", host, "m")
}
