//! A real API server with our resources defined: the one that `KUBECONFIG` names, or one of this
//! run's own, started by `e2e/cluster/up` and stopped when the run ends.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::{guard, places};

/// Where the controller under test looks for what is the platform's.
pub const PLATFORM_NAMESPACE: &str = "turnpike-system";

/// A Kubernetes API server.
#[derive(Debug)]
pub struct Cluster {
    kubeconfig: PathBuf,
    kubectl: PathBuf,
}

/// How much of Kubernetes is started.
#[derive(Debug, Clone, Copy)]
enum Mode {
    /// etcd and the API server.
    ApiOnly,
    /// Everything that pods need; only for root.
    Full,
}

impl Cluster {
    /// The cluster of this run; started and given our definitions by the first who asks.
    pub fn shared() -> Result<&'static Self> {
        static CLUSTER: OnceLock<Result<Cluster, String>> = OnceLock::new();
        CLUSTER
            .get_or_init(|| Self::start().map_err(|error| format!("{error:#}")))
            .as_ref()
            .map_err(|error| anyhow!("no cluster: {error}"))
    }

    /// One of the caller's own, whatever `KUBECONFIG` says; takes a few seconds and blocks.
    pub fn start_at(state: &Path) -> Result<Self> {
        let cluster = start_own(state, Mode::ApiOnly)?;
        cluster.define_resources()?;
        Ok(cluster)
    }

    /// One of the caller's own with real pods, and without our definitions; blocks.
    pub fn start_with_pods(state: &Path) -> Result<Self> {
        start_own(state, Mode::Full)
    }

    /// Stops a cluster that was started at a folder, before this process ends; blocks.
    pub fn stop(state: &Path) -> Result<()> {
        output_of(Command::new(tool()?.join("down")).arg(state)).map(drop)
    }

    /// The same cluster as a service account sees it, by a token of an hour.
    pub async fn as_account(&self, folder: &Path, namespace: &str, account: &str) -> Result<Self> {
        let create = ["--namespace", namespace, "create", "token", account];
        let token = self.kubectl(&create).await?;
        let view = [
            "config",
            "view",
            "--raw",
            "--minify",
            "--flatten",
            "--output=json",
        ];
        let mut config: Value = serde_json::from_str(&self.kubectl(&view).await?)?;
        config["users"][0]["user"] = json!({"token": token});
        let kubeconfig = folder.join(format!("{namespace}-{account}.kubeconfig"));
        std::fs::write(&kubeconfig, config.to_string()).context("writing a kubeconfig")?;
        Ok(Self {
            kubeconfig,
            kubectl: self.kubectl.clone(),
        })
    }

    /// The file that names its address and credentials.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The kubectl that is used.
    pub fn kubectl_file(&self) -> &Path {
        &self.kubectl
    }

    /// Runs kubectl; an error has what it wrote to standard error.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.kubectl_with_input(arguments, "").await
    }

    /// Runs kubectl with a text on standard input.
    pub async fn kubectl_with_input(&self, arguments: &[&str], input: &str) -> Result<String> {
        run_with_input("kubectl", self.command(arguments), arguments, input).await
    }

    /// Runs helm with a text on standard input, which `--values -` reads.
    pub async fn helm(&self, arguments: &[&str], input: &str) -> Result<String> {
        let beside = self.kubectl.with_file_name("helm");
        let helm = match beside.exists() {
            true => beside,
            false => built_programs()?.join("helm"),
        };
        let mut command = Command::new(helm);
        command
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(arguments);
        run_with_input("helm", command, arguments, input).await
    }

    fn start() -> Result<Self> {
        let cluster = match std::env::var_os("KUBECONFIG") {
            Some(kubeconfig) => Self {
                kubeconfig: announced(first_path(&kubeconfig)?),
                kubectl: match find("kubectl") {
                    Some(kubectl) => kubectl,
                    None => built_programs()?.join("kubectl"),
                },
            },
            None => start_own(&places::run_folder()?.join("cluster"), Mode::ApiOnly)?,
        };
        cluster.define_resources()?;
        Ok(cluster)
    }

    fn define_resources(&self) -> Result<()> {
        let manifests = places::root()?.join("crds/manifests");
        let folder = manifests.display().to_string();
        self.kubectl_now(&["apply", "--server-side", "--force-conflicts", "-f", &folder])?;
        self.kubectl_now(&["wait", "--for=condition=Established", "-f", &folder])?;
        let created = self.kubectl_now(&["create", "namespace", PLATFORM_NAMESPACE]);
        match created {
            Err(error) if !error.to_string().contains("AlreadyExists") => Err(error),
            _ => Ok(()),
        }
    }

    fn kubectl_now(&self, arguments: &[&str]) -> Result<String> {
        let output = self.command(arguments).output();
        text_of("kubectl", arguments, output.context("running kubectl")?)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.kubectl);
        command
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(arguments);
        command
    }
}

async fn run_with_input(
    name: &str,
    command: Command,
    arguments: &[&str],
    input: &str,
) -> Result<String> {
    let mut child = tokio::process::Command::from(command)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("starting {name}"))?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    // Read beside, as the program may write before it has read all.
    let writing = async {
        // A program that needs no more closes its end.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
    };
    let (output, ()) = tokio::join!(child.wait_with_output(), writing);
    text_of(
        name,
        arguments,
        output.with_context(|| format!("running {name}"))?,
    )
}

fn text_of(name: &str, arguments: &[&str], output: Output) -> Result<String> {
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{name} {}: {}",
        arguments.join(" "),
        stderr.trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned())
}

/// Starts a cluster of our own; the guard stops it when this process ends.
fn start_own(state: &Path, mode: Mode) -> Result<Cluster> {
    let tool = tool()?;
    guard::at_end(&format!(
        "'{}' '{}'",
        tool.join("down").display(),
        state.display()
    ));
    let mut up = Command::new(tool.join("up"));
    match mode {
        Mode::ApiOnly => up.arg("--api-only"),
        Mode::Full => &mut up,
    };
    up.arg(state);
    Ok(Cluster {
        kubeconfig: output_of(&mut up)?.into(),
        kubectl: built_programs()?.join("kubectl"),
    })
}

/// The folder of the scripts that start and stop clusters.
fn tool() -> Result<PathBuf> {
    Ok(places::root()?.join("e2e/cluster"))
}

/// The folder of kubectl, etcd and kube-apiserver; builds them if need be.
fn built_programs() -> Result<PathBuf> {
    output_of(&mut Command::new(tool()?.join("build"))).map(PathBuf::from)
}

fn output_of(command: &mut Command) -> Result<String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("starting {command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?} ended with {}",
        output.status
    );
    Ok(String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned())
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// Says which cluster the tests are about to write to.
fn announced(kubeconfig: PathBuf) -> PathBuf {
    eprintln!("using the cluster of KUBECONFIG={}", kubeconfig.display());
    kubeconfig
}

fn first_path(list: &std::ffi::OsStr) -> Result<PathBuf> {
    match std::env::split_paths(list).next() {
        Some(path) if !path.as_os_str().is_empty() => Ok(path),
        _ => bail!("KUBECONFIG is empty"),
    }
}
