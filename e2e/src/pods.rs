//! A whole cluster of one node, with real pods, for one test. It takes root; `cargo xtask` leaves
//! these tests out where that cannot be, and builds the images that they run.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::process::Command;
use tokio::task::spawn_blocking;

use crate::kubernetes::Cluster;
use crate::{eventually, places, scene};

/// Ends a test that hangs.
const TIMEOUT: Duration = Duration::from_secs(900);
/// A socket's 107 bytes less `/kubelet/pod-resources/` and a number.
const MAX_PATH: usize = 70;

/// A running cluster.
#[derive(Debug)]
pub struct PodCluster {
    pub cluster: Cluster,
    /// Logs of what the test starts itself.
    pub folder: PathBuf,
    /// The socket of its container runtime.
    containerd: String,
}

/// A pod of one container.
#[derive(Debug, Clone)]
pub struct Pod {
    pub name: String,
    pub ip: String,
    pub restarts: i64,
    pub is_ready: bool,
    /// It was told to end.
    pub is_ending: bool,
    container: String,
}

impl PodCluster {
    /// Runs a test on a cluster of its own, while no test uses the shared fleet. When it fails, its
    /// pods' state, events and logs are shown.
    pub fn run(test: impl AsyncFnOnce(&Self) -> Result<()>) -> Result<()> {
        scene::run_apart(TIMEOUT, async |folder| {
            let state = state_folder()?;
            let pods = Self::start(&state, folder).await?;
            let outcome = test(&pods).await;
            if outcome.is_err() {
                pods.show().await;
            }
            let stopped = spawn_blocking(move || Cluster::stop(&state)).await;
            outcome.and(stopped.context("stopping the cluster")?)
        })
    }

    async fn start(state: &Path, folder: &Path) -> Result<Self> {
        let images = images()?;
        let place = state.to_owned();
        let starting = spawn_blocking(move || Cluster::start_with_pods(&place));
        let pods = Self {
            cluster: starting.await.context("starting the cluster")??,
            folder: folder.to_owned(),
            containerd: variable(state, "CONTAINERD_ADDRESS")?,
        };
        for name in ["turnpike.tar", "redis.tar"] {
            let archive = images.join(name).display().to_string();
            pods.ctr(&["images", "import", &archive]).await?;
        }
        Ok(pods)
    }

    /// The pods of one component of the chart.
    pub async fn pods(&self, namespace: &str, component: &str) -> Result<Vec<Pod>> {
        let label = format!("app.kubernetes.io/component={component}");
        let listing = ["--namespace", namespace, "get", "pods", "--output=json"];
        let text = self
            .cluster
            .kubectl(&[&listing[..], &["--selector", &label]].concat())
            .await?;
        let list: Value = serde_json::from_str(&text).context("kubectl's JSON")?;
        let items = list["items"].as_array().context("no items")?;
        Ok(items.iter().map(Pod::read).collect())
    }

    /// Waits until a component has that many pods, all of them ready and none ending.
    pub async fn await_pods(
        &self,
        namespace: &str,
        component: &str,
        count: usize,
    ) -> Result<Vec<Pod>> {
        eventually(&format!("{count} pods of {component}"), async || {
            let pods = self.pods(namespace, component).await?;
            let is_settled = pods.iter().all(|pod| pod.is_ready && !pod.is_ending);
            ensure!(pods.len() == count && is_settled, "{pods:?}");
            Ok(pods)
        })
        .await
    }

    /// Ends a pod's process at once, as a crash would, and waits until the pod runs again.
    pub async fn kill(&self, namespace: &str, component: &str, pod: &Pod) -> Result<()> {
        self.ctr(&["tasks", "kill", "--signal", "SIGKILL", &pod.container])
            .await?;
        eventually(&format!("{} runs again", pod.name), async || {
            let pods = self.pods(namespace, component).await?;
            let again = pods.iter().find(|again| again.name == pod.name);
            let again = again.context("the pod is gone")?;
            ensure!(again.is_ready && again.restarts > pod.restarts, "{again:?}");
            Ok(())
        })
        .await
    }

    /// The address of a Service, which this machine reaches as pods do.
    pub async fn service(&self, namespace: &str, name: &str, port: u16) -> Result<SocketAddr> {
        let path = "jsonpath={.spec.clusterIP}";
        let get = [
            "--namespace",
            namespace,
            "get",
            "service",
            name,
            "--output",
            path,
        ];
        let ip = self.cluster.kubectl(&get).await?;
        Ok(SocketAddr::new(
            ip.parse().context("the Service's address")?,
            port,
        ))
    }

    async fn ctr(&self, arguments: &[&str]) -> Result<()> {
        let output = Command::new("ctr")
            .args(["--address", &self.containerd, "--namespace", "k8s.io"])
            .args(arguments)
            .kill_on_drop(true)
            .output()
            .await
            .context("running ctr")?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "ctr {}: {stderr}",
            arguments.join(" ")
        );
        Ok(())
    }

    /// Prints what a person would look at first.
    async fn show(&self) {
        for question in [
            &["get", "pods", "--all-namespaces", "--output=wide"][..],
            &[
                "get",
                "events",
                "--all-namespaces",
                "--sort-by=.lastTimestamp",
            ],
            &[
                "--namespace=turnpike-system",
                "logs",
                "--selector=app.kubernetes.io/name=turnpike",
                "--prefix",
                "--tail=15",
            ],
        ] {
            match self.cluster.kubectl(question).await {
                Ok(text) => eprintln!("---- kubectl {}\n{text}", question.join(" ")),
                Err(error) => eprintln!("{error:#}"),
            }
        }
    }
}

impl Pod {
    fn read(object: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let status = &object["status"];
        let container = &status["containerStatuses"][0];
        let id = text(&container["containerID"]);
        Self {
            name: text(&object["metadata"]["name"]),
            ip: text(&status["podIP"]),
            restarts: container["restartCount"].as_i64().unwrap_or_default(),
            is_ready: container["ready"] == true,
            is_ending: !object["metadata"]["deletionTimestamp"].is_null(),
            container: id.trim_start_matches("containerd://").to_owned(),
        }
    }
}

/// Prints a figure even when the test passes: libtest keeps back what `println` writes.
pub fn tell(line: &str) {
    // A closed standard output harms no test.
    let _ = writeln!(std::io::stdout(), "pods: {line}");
}

/// Where the cluster is; the kubelet makes sockets below it, whose paths have a limit.
fn state_folder() -> Result<PathBuf> {
    let state = places::run_folder()?.join("pods");
    ensure!(
        state.as_os_str().len() <= MAX_PATH,
        "{} is longer than {MAX_PATH} bytes: choose another target folder by CARGO_TARGET_DIR",
        state.display()
    );
    Ok(state)
}

/// The folder of the archives that `cargo xtask` wrote.
fn images() -> Result<PathBuf> {
    let folder = std::env::var_os("TURNPIKE_E2E_IMAGES");
    folder
        .map(PathBuf::from)
        .context("no images; run `cargo xtask e2e pods` as root")
}

/// A variable of the file that tells how to use a cluster.
fn variable(state: &Path, name: &str) -> Result<String> {
    let text = std::fs::read_to_string(state.join("env")).context("reading the cluster's env")?;
    let mut words = text.split_whitespace();
    let value = words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    Ok(value.with_context(|| format!("no {name}"))?.to_owned())
}
