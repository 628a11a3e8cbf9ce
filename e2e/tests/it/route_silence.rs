//! Streams of which nothing comes for long, and callers that leave, as OpenAI's SDK sees them and the
//! access log tells them.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use turnpike_e2e::provider::{Behaviour, Provider};
use turnpike_e2e::scene::await_answer;
use turnpike_e2e::{Call, FileScene, eventually, python, resources};

use crate::standalone_serve::Standalone;

const HOST: &str = "silence.test";
const KEY: &str = "tk-silence-0123456789abcdef01";

#[test]
fn sdk_hears_out_silent_streams_and_leavers_are_charged_exactly() -> Result<()> {
    FileScene::run(async |scene| {
        let silent = Provider::start().await?;
        silent.behave(Behaviour::Hang);
        let words = Provider::start().await?;
        words.behave(Behaviour::Good {
            chunks: 40,
            delay: Duration::from_millis(25),
        });
        let echo = resources::echo_provider("slow").replace("name: echo", "name: slow");
        let rules = ["slow", "silent", "words"].map(|name| {
            format!("{{matches: [{{models: [{name}]}}], backendRefs: [{{name: {name}}}]}}")
        });
        let rules = format!(
            "  heartbeat: 1s\n  onDisconnect: Drain\n  rules: [{}]\n",
            rules.join(", ")
        );
        let route = resources::route("main", HOST, "slow");
        let (head, _) = route.split_once("  rules:").unwrap_or((&route, ""));
        let yaml = echo
            + &resources::provider("silent", "OpenAI", &silent.openai_url(), "silent", "")
            + &resources::provider("words", "OpenAI", &words.openai_url(), "words", "")
            + &resources::consumer("alice", "gold", KEY)
            + head
            + &rules;
        scene.write("all.yaml", &yaml)?;
        let standalone = Standalone::start(scene, &scene.resources(), &[]).await?;
        let gateway = &standalone.gateway;
        await_answer(gateway, Call::say(HOST, "slow", "ready?").key(KEY)).await?;

        let asked = json!({"base_url": gateway.base_url(), "host": HOST, "key": KEY});
        python::run("silence.py", &asked).await?;

        eventually("the one that left is read to its end", async || {
            let lines = standalone.log_lines()?;
            let of = |model: &str| {
                let is_of = |line: &&Value| line["model"]["requested"] == model;
                lines.iter().rfind(is_of).cloned().unwrap_or_default()
            };
            let timed_out = of("silent");
            ensure!(timed_out["status"] == 504, "{timed_out}");
            ensure!(timed_out["end"] == "timeout:firstToken", "{timed_out}");
            let left = of("words");
            ensure!(left["end"] == "client_gone", "{left}");
            ensure!(left["tokens"]["output"] == 40, "{left}");
            ensure!(left["tokens"]["estimated"].is_null(), "{left}");
            let metrics = standalone.metrics().await?;
            let whole = "turnpike_drains_total{end=\"whole\"} 1\n";
            ensure!(metrics.contains(whole), "{metrics}");
            Ok(())
        })
        .await
    })
}
