//! The whole gateway in one process, on a folder of files.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use turnpike_e2e::ports::free_address;
use turnpike_e2e::scene::await_answer;
use turnpike_e2e::{
    Call, FileScene, Gateway, Process, Program, Scene, eventually, gateway, places, python,
    resources,
};

#[test]
fn quickstart_answers_curl_and_the_sdk_as_it_prints() -> Result<()> {
    FileScene::run(async |scene| {
        let quickstart = places::root()?.join("examples/quickstart");
        let standalone = Standalone::start(scene, &quickstart, &[]).await?;
        let printed = standalone.process.stdout() + &standalone.process.stderr();
        let key = key_in(&printed).context("no API key is printed on start-up")?;
        let curl = tokio::process::Command::new("curl")
            .args(["-sS", "-H", &format!("authorization: Bearer {key}")])
            .args(["-H", "content-type: application/json", "-d"])
            .arg(gateway::chat_body("echo", "hello quickstart", false).to_string())
            .arg(format!(
                "http://localhost:{}/v1/chat/completions",
                standalone.gateway.address().port()
            ))
            .output()
            .await
            .context("curl is needed: apt-get install -y curl")?;
        let text = String::from_utf8_lossy(&curl.stdout);
        ensure!(text.contains("hello quickstart"), "{text}\n{printed}");

        let port = standalone.gateway.address().port();
        let base_url = format!("http://localhost:{port}/v1");
        let config = json!({"base_url": base_url, "key": key, "model": "echo"});
        let seen = python::run("quickstart.py", &config).await?;
        ensure!(seen.ends_with("all good\n"), "{seen}");
        Ok(())
    })
}

#[test]
fn same_files_work_in_a_cluster_and_without_one() -> Result<()> {
    Scene::run(async |cluster| {
        let (host, key) = (cluster.host("same"), cluster.key("alice"));
        let yaml = resources::echo_provider("echo")
            + &resources::consumer("alice", "gold", &key)
            + &resources::quota("plan", "gold", "requests: 100, window: 1h", "Allow")
            + &resources::route("main", &host, "echo");
        cluster.apply(&yaml).await?;
        let call = Call::say(&host, "echo", "hello").key(&key);
        await_answer(cluster.gateway(), call.clone()).await?;

        let scene = FileScene {
            folder: cluster.folder.clone(),
        };
        std::fs::create_dir_all(scene.resources())?;
        scene.write("all.yaml", &yaml)?;
        let standalone = Standalone::start(&scene, &scene.resources(), &[]).await?;
        await_answer(&standalone.gateway, call).await
    })
}

#[test]
fn edit_of_a_file_takes_effect_and_a_broken_edit_harms_nothing() -> Result<()> {
    FileScene::run(async |scene| {
        let key = "tk-files-0123456789abcdef0123";
        let shared = resources::echo_provider("echo") + &resources::consumer("alice", "gold", key);
        scene.write("shared.yaml", &shared)?;
        scene.write("one.yaml", &resources::route("one", "one.test", "echo"))?;
        let standalone = Standalone::start(scene, &scene.resources(), &[]).await?;
        let gateway = &standalone.gateway;
        let say = |host| Call::say(host, "echo", "hello").key(key);
        await_answer(gateway, say("one.test")).await?;
        gateway
            .send(say("two.test"))
            .await?
            .expect_error(404, "unknown_host")?;

        scene.write("two.yaml", &resources::route("two", "two.test", "echo"))?;
        await_answer(gateway, say("two.test")).await?;

        scene.write("three.yaml", "kind: [AIRoute\n  : nonsense")?;
        scene.write("two.yaml", &resources::route("two", "second.test", "echo"))?;
        await_answer(gateway, say("second.test")).await?;
        gateway.send(say("one.test")).await?.expect_ok()?;
        eventually("the broken file is named in the log", async || {
            let log = standalone.process.stdout() + &standalone.process.stderr();
            ensure!(log.contains("three.yaml"), "{log}");
            Ok(())
        })
        .await?;

        std::fs::remove_file(scene.resources().join("one.yaml"))?;
        eventually("the host of a removed file is unknown", async || {
            gateway
                .send(say("one.test"))
                .await?
                .expect_error(404, "unknown_host")
        })
        .await
    })
}

#[test]
fn secrets_of_files_are_read_and_quotas_counted_in_memory() -> Result<()> {
    FileScene::run(async |scene| {
        let provider = turnpike_e2e::Provider::start().await?;
        let key = "tk-files-0123456789abcdef0123";
        let credentials = "[{name: main, secretRef: {name: upstream}}]";
        let url = provider.openai_url();
        let yaml = resources::secret("upstream", "apiKey", "sk-files-0123456789abcdef")
            + &resources::provider("m", "OpenAI", &url, "m", credentials)
            + &resources::consumer("alice", "gold", key)
            + &resources::quota("plan", "gold", "requests: 2, window: 1h", "Deny")
            + &resources::route("main", "files.test", "m");
        scene.write("all.yaml", &yaml)?;
        let standalone = Standalone::start(scene, &scene.resources(), &[]).await?;
        let call = Call::say("files.test", "m", "hello").key(key);
        for _ in 0..2 {
            standalone.gateway.send(call.clone()).await?.expect_ok()?;
        }
        let over = standalone.gateway.send(call).await?;
        over.expect_error(429, "token_quota_exceeded")?;
        let sent = provider.last()?;
        ensure!(sent.header("authorization") == Some("Bearer sk-files-0123456789abcdef"));
        Ok(())
    })
}

#[test]
fn ends_cleanly_when_asked_and_with_2_for_a_mistake() -> Result<()> {
    FileScene::run(async |scene| {
        scene.write("all.yaml", &resources::echo_provider("echo"))?;
        let standalone = Standalone::start(scene, &scene.resources(), &[]).await?;
        let status = standalone.process.terminate().await?;
        ensure!(status.code() == Some(0), "{status}");

        let absent = scene.folder.join("absent");
        let output = tokio::process::Command::new(places::program("turnpike")?)
            .args(["serve", "-f"])
            .arg(&absent)
            .output()
            .await?;
        let words = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.code() == Some(2),
            "{}: {words}",
            output.status
        );
        ensure!(words.contains("absent"), "{words}");
        Ok(())
    })
}

/// A running `turnpike serve`.
struct Standalone {
    process: Process,
    gateway: Gateway,
}

impl Standalone {
    async fn start(scene: &FileScene, files: &Path, more: &[&str]) -> Result<Self> {
        let (listen, admin) = (free_address()?, free_address()?);
        let (listen_flag, admin_flag) = (listen.to_string(), admin.to_string());
        let files = files.display().to_string();
        let mut arguments = vec!["serve", "-f", &files];
        arguments.extend(["--listen", &listen_flag, "--admin", &admin_flag]);
        arguments.extend(more);
        let program = Program::new("turnpike", places::program("turnpike")?, arguments);
        let standalone = Self {
            process: Process::spawn(&scene.folder, program)?,
            gateway: Gateway::at(listen),
        };
        standalone.await_ready(admin).await?;
        Ok(standalone)
    }

    async fn await_ready(&self, admin: SocketAddr) -> Result<()> {
        eventually("turnpike is ready", async || {
            self.process.check_runs()?;
            let answer = gateway::get(admin, "/readyz").await?;
            ensure!(answer.status == 200, "{}", answer.status);
            Ok(())
        })
        .await
    }
}

/// The key in the `curl` command that is printed on start-up.
fn key_in(printed: &str) -> Option<String> {
    let (_, rest) = printed.split_once("Bearer ")?;
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_');
    Some(rest[..end.unwrap_or(rest.len())].to_owned())
}
