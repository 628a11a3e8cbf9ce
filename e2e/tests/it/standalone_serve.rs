//! The whole gateway in one process, on a folder of files.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use turnpike_e2e::ports::free_address;
use turnpike_e2e::scene::await_answer;
use turnpike_e2e::{
    Call, FileScene, Gateway, Process, Program, Scene, eventually, gateway, places, python,
    resources,
};

#[test]
fn quickstart_answers_what_the_readme_and_the_start_up_show() -> Result<()> {
    FileScene::run(async |scene| {
        let root = places::root()?;
        let quickstart = root.join("examples/quickstart");
        let standalone = Standalone::start(scene, &quickstart, &[]).await?;
        let address = standalone.gateway.address();
        let printed = standalone.process.stdout() + &standalone.process.stderr();
        for words in [
            "curl http://",
            &format!(":{}/v1", address.port()),
            "Bearer ",
        ] {
            ensure!(printed.contains(words), "{words} is not printed: {printed}");
        }

        let readme = std::fs::read_to_string(root.join("README.md"))?;
        let here = |block: &str| block.replace(":8080/", &format!(":{}/", address.port()));
        let curl = here(code(&readme, "sh", "curl http://localhost:8080")?);
        let answer = run_shell(&curl).await?;
        ensure!(answer.contains("Hello, Turnpike"), "{curl}: {answer}");
        let script = scene.folder.join("readme.py");
        std::fs::write(&script, here(code(&readme, "python", "from openai")?))?;
        let answer = python::run_file(&script, &[]).await?;
        ensure!(answer.contains("Hello, Turnpike"), "{answer}");
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
fn what_does_not_fit_the_memory_budget_is_refused() -> Result<()> {
    FileScene::run(async |scene| {
        let key = "tk-files-0123456789abcdef0123";
        let yaml = resources::echo_provider("echo")
            + &resources::consumer("alice", "gold", key)
            + &resources::route("main", "files.test", "echo");
        scene.write("all.yaml", &yaml)?;
        let flags = ["--memory-budget", "16KiB"];
        let standalone = Standalone::start(scene, &scene.resources(), &flags).await?;
        let gateway = &standalone.gateway;
        let call = Call::say("files.test", "echo", "small").key(key);
        await_answer(gateway, call).await?;
        let large = "large ".repeat(4_000);
        let call = Call::say("files.test", "echo", &large).key(key);
        let refused = gateway.send(call).await?;
        refused.expect_error(503, "overloaded")?;
        let metrics = standalone.metrics().await?;
        let is_there = metrics.contains("turnpike_memory_budget_bytes 16384");
        ensure!(is_there, "{metrics}");

        let mut program = tokio::process::Command::new(places::program("turnpike")?);
        program.args(["serve", "--memory-budget", "much", "-f"]);
        let output = program.arg(scene.resources()).output().await?;
        ensure!(output.status.code() == Some(2), "{output:?}");
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
pub(super) struct Standalone {
    pub(super) process: Process,
    pub(super) gateway: Gateway,
    admin: SocketAddr,
}

impl Standalone {
    pub(super) async fn start(scene: &FileScene, files: &Path, more: &[&str]) -> Result<Self> {
        let program = places::program("turnpike")?.into();
        Self::launch(scene, program, Vec::new(), files, more).await
    }

    /// One that may have that many file descriptors open.
    pub(super) async fn start_with_few(scene: &FileScene, descriptors: usize) -> Result<Self> {
        let limit = format!("ulimit -n {descriptors}; exec \"$0\" \"$@\"");
        let program = places::program("turnpike")?.into_os_string();
        let before = vec!["-c".into(), limit.into(), program];
        Self::launch(scene, "/bin/sh".into(), before, &scene.resources(), &[]).await
    }

    async fn launch(
        scene: &FileScene,
        program: OsString,
        mut arguments: Vec<OsString>,
        files: &Path,
        more: &[&str],
    ) -> Result<Self> {
        let (listen, admin) = (free_address()?, free_address()?);
        let (listen_flag, admin_flag) = (listen.to_string(), admin.to_string());
        arguments.extend(["serve".into(), "-f".into(), files.into()]);
        let ports = ["--listen", &listen_flag, "--admin", &admin_flag];
        arguments.extend(ports.iter().chain(more).map(OsString::from));
        let program = Program::new("turnpike", program, arguments);
        let standalone = Self {
            process: Process::spawn(&scene.folder, program)?,
            gateway: Gateway::at(listen),
            admin,
        };
        standalone.await_ready().await?;
        Ok(standalone)
    }

    /// What it counts.
    pub(super) async fn metrics(&self) -> Result<String> {
        gateway::get(self.admin, "/metrics").await?.text()
    }

    /// The lines of its access log so far.
    pub(super) fn log_lines(&self) -> Result<Vec<Value>> {
        let text = self.process.stdout();
        let lines = text.lines().filter(|line| line.starts_with('{'));
        lines
            .map(|line| serde_json::from_str(line).with_context(|| line.to_owned()))
            .collect()
    }

    async fn await_ready(&self) -> Result<()> {
        eventually("turnpike is ready", async || {
            self.process.check_runs()?;
            let answer = gateway::get(self.admin, "/readyz").await?;
            ensure!(answer.status == 200, "{}", answer.status);
            Ok(())
        })
        .await
    }
}

/// The code block of a Markdown text that begins with these words.
fn code<'a>(markdown: &'a str, language: &str, beginning: &str) -> Result<&'a str> {
    markdown
        .split("```")
        .filter_map(|block| block.strip_prefix(language))
        .map(str::trim)
        .find(|block| block.starts_with(beginning))
        .with_context(|| format!("no {language} block begins with {beginning}"))
}

async fn run_shell(command: &str) -> Result<String> {
    let output = tokio::process::Command::new("sh")
        .args(["-c", command])
        .output()
        .await
        .context("running sh")?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command}: {error}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
