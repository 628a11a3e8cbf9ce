//! What one test needs: a namespace of its own on the run's API server and fleet, or a folder of
//! files with a fleet of its own. A test that fails shows the logs of all that it ran against.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use parking_lot::RwLock;
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::eventually::eventually;
use crate::fleet::{DataPlane, Fleet, Source};
use crate::gateway::{Call, Gateway};
use crate::kubernetes::Cluster;
use crate::places;
use crate::process::show_logs;
use crate::redis::{Durability, Redis};

/// Ends a test that hangs.
const TIMEOUT: Duration = Duration::from_secs(240);
const LONG_TIMEOUT: Duration = Duration::from_secs(1800);

/// Held by all tests of the shared fleet; alone by the one that harms it.
static FLEET_IN_USE: RwLock<()> = RwLock::new(());

/// Whether soak and kill tests shall run for minutes.
pub fn is_long() -> bool {
    std::env::var_os("TURNPIKE_LONG").is_some_and(|value| value == "1")
}

/// A namespace of its own, and the fleet that serves it.
#[derive(Debug)]
pub struct Scene {
    pub cluster: &'static Cluster,
    pub fleet: &'static Fleet,
    pub namespace: String,
    /// Logs and data of what this test starts itself.
    pub folder: PathBuf,
}

/// One condition of a status.
#[derive(Debug, Clone)]
pub struct Condition {
    pub status: String,
    pub reason: String,
    pub message: String,
    pub observed_generation: i64,
    /// The generation of the object at that moment.
    pub generation: i64,
}

impl Scene {
    /// Runs a test beside others.
    pub fn run(test: impl AsyncFnOnce(&Self) -> Result<()>) -> Result<()> {
        let _turn = FLEET_IN_USE.read();
        Self::play(test)
    }

    /// Runs a test that harms the shared fleet, while no other uses it. It must mend it again.
    pub fn run_alone(test: impl AsyncFnOnce(&Self) -> Result<()>) -> Result<()> {
        let _turn = FLEET_IN_USE.write();
        Self::play(test)
    }

    fn play(test: impl AsyncFnOnce(&Self) -> Result<()>) -> Result<()> {
        let cluster = Cluster::shared()?;
        let folder = test_folder()?;
        let outcome = play(&folder, limit(), async {
            let scene = Self {
                cluster,
                fleet: shared_fleet(cluster).await?,
                namespace: format!("e2e-{}", places::unique()),
                folder: folder.clone(),
            };
            scene
                .kubectl(&["create", "namespace", &scene.namespace])
                .await?;
            let outcome = test(&scene).await;
            let name = scene.namespace.as_str();
            scene
                .kubectl(&["delete", "namespace", name, "--wait=false"])
                .await?;
            outcome
        });
        if outcome.is_err() {
            show_logs(&places::run_folder()?.join("fleet"));
        }
        outcome
    }

    /// A host name that only this test uses.
    pub fn host(&self, label: &str) -> String {
        format!("{label}.{}.test", self.namespace)
    }

    /// An API key that only this test uses.
    pub fn key(&self, consumer: &str) -> String {
        format!("tk-{consumer}-{}-4f1d0c62b7a94e15", self.namespace)
    }

    /// One of the two doors of the fleet.
    pub fn gateway(&self) -> &Gateway {
        self.fleet.gateway(0)
    }

    /// Runs kubectl in this namespace.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.cluster.kubectl(&self.here(arguments)).await
    }

    /// Applies YAML in this namespace.
    pub async fn apply(&self, yaml: &str) -> Result<()> {
        let arguments = self.here(&["apply", "-f", "-"]);
        self.cluster.kubectl_with_input(&arguments, yaml).await?;
        Ok(())
    }

    /// Applies YAML that the API server must refuse, and returns its words.
    pub async fn refusal(&self, yaml: &str) -> Result<String> {
        match self.apply(yaml).await {
            Ok(()) => bail!("accepted:\n{yaml}"),
            Err(error) => Ok(format!("{error:#}")),
        }
    }

    pub async fn delete(&self, kind: &str, name: &str) -> Result<()> {
        self.kubectl(&["delete", kind, name]).await.map(drop)
    }

    /// An object as JSON.
    pub async fn object(&self, kind: &str, name: &str) -> Result<Value> {
        let text = self.kubectl(&["get", kind, name, "-o", "json"]).await?;
        serde_json::from_str(&text).context("kubectl's JSON")
    }

    /// A condition as it is now.
    pub async fn condition(&self, kind: &str, name: &str, r#type: &str) -> Result<Condition> {
        let object = self.object(kind, name).await?;
        let conditions = object["status"]["conditions"].as_array();
        let condition = conditions
            .into_iter()
            .flatten()
            .find(|condition| condition["type"] == r#type)
            .with_context(|| format!("{kind} {name} has no {type}: {}", object["status"]))?;
        let text = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
        Ok(Condition {
            status: text("status"),
            reason: text("reason"),
            message: text("message"),
            observed_generation: condition["observedGeneration"].as_i64().unwrap_or(-1),
            generation: object["metadata"]["generation"].as_i64().unwrap_or(-2),
        })
    }

    /// Waits until a condition has a status for the object's newest generation.
    pub async fn await_condition(
        &self,
        kind: &str,
        name: &str,
        r#type: &str,
        status: &str,
    ) -> Result<Condition> {
        let what = format!("{kind} {name} is {type}={status}");
        eventually(&what, async || {
            let condition = self.condition(kind, name, r#type).await?;
            let is_current = condition.observed_generation == condition.generation;
            ensure!(is_current && condition.status == status, "{condition:?}");
            Ok(condition)
        })
        .await
    }

    /// Waits until all of a resource's conditions are true.
    pub async fn await_served(&self, kind: &str, name: &str) -> Result<()> {
        for r#type in ["Accepted", "ResolvedRefs", "Programmed"] {
            self.await_condition(kind, name, r#type, "True").await?;
        }
        Ok(())
    }

    /// A Redis and two data planes of this test's own, beside the shared controller.
    pub async fn own_data_planes(&self) -> Result<(Redis, [DataPlane; 2])> {
        let redis = Redis::start(&self.folder, Durability::EveryWrite).await?;
        let controller = &self.fleet.controller;
        let first = DataPlane::start(&self.folder, "own-0", controller, Some(&redis)).await?;
        let second = DataPlane::start(&self.folder, "own-1", controller, Some(&redis)).await?;
        Ok((redis, [first, second]))
    }

    fn here<'a>(&'a self, arguments: &[&'a str]) -> Vec<&'a str> {
        [&["--namespace", self.namespace.as_str()], arguments].concat()
    }
}

/// A folder of YAML files, and whatever a test starts on it.
#[derive(Debug)]
pub struct FileScene {
    /// Logs and data of what this test starts.
    pub folder: PathBuf,
}

impl FileScene {
    /// Runs a test beside others.
    pub fn run(test: impl AsyncFnOnce(&Self) -> Result<()>) -> Result<()> {
        let folder = test_folder()?;
        play(&folder, limit(), async {
            let scene = Self {
                folder: folder.clone(),
            };
            std::fs::create_dir_all(scene.resources()).context("making the folder of files")?;
            test(&scene).await
        })
    }

    /// The folder that the gateway reads.
    pub fn resources(&self) -> PathBuf {
        self.folder.join("resources")
    }

    /// Writes a file of resources: beside it first, then in its place, as editors do.
    pub fn write(&self, name: &str, yaml: &str) -> Result<()> {
        let new = self.folder.join(format!("{name}.new"));
        std::fs::write(&new, yaml).context("writing a resource file")?;
        std::fs::rename(&new, self.resources().join(name)).context("moving it into place")
    }

    /// A separate controller on the files, two data planes, and their Redis.
    pub async fn fleet(&self) -> Result<Fleet> {
        let resources = self.resources();
        Fleet::start(&self.folder, Source::Folder(&resources)).await
    }
}

/// Runs a test beside others that uses neither a namespace nor the shared fleet.
pub fn run_beside(test: impl AsyncFnOnce(&Path) -> Result<()>) -> Result<()> {
    let folder = test_folder()?;
    play(&folder, limit(), test(&folder))
}

/// Runs a test that starts all that it needs in a folder of its own, while no test uses the shared
/// fleet: for what keeps the whole machine busy. It is ended after the limit.
pub fn run_apart(limit: Duration, test: impl AsyncFnOnce(&Path) -> Result<()>) -> Result<()> {
    let _turn = FLEET_IN_USE.write();
    let folder = test_folder()?;
    play(&folder, limit, test(&folder))
}

/// Waits until a host answers a chat completion with 200.
pub async fn await_answer(gateway: &Gateway, call: Call<'_>) -> Result<()> {
    eventually(&format!("{} answers", call.host), async || {
        gateway.send(call.clone()).await?.expect_ok().map(drop)
    })
    .await
}

async fn shared_fleet(cluster: &'static Cluster) -> Result<&'static Fleet> {
    static FLEET: OnceCell<Result<Fleet, String>> = OnceCell::const_new();
    let start = || async {
        let folder = places::run_folder().map_err(|e| format!("{e:#}"))?;
        let source = Source::Cluster(cluster);
        Fleet::start(&folder.join("fleet"), source)
            .await
            .map_err(|error| format!("{error:#}"))
    };
    let fleet = FLEET.get_or_init(start).await;
    fleet.as_ref().map_err(|error| anyhow!("no fleet: {error}"))
}

fn limit() -> Duration {
    if is_long() { LONG_TIMEOUT } else { TIMEOUT }
}

fn play(folder: &Path, limit: Duration, test: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("making a runtime")?;
    let outcome = runtime.block_on(async {
        tokio::time::timeout(limit, test)
            .await
            .unwrap_or_else(|_| Err(anyhow!("the test hangs: not done in {limit:?}")))
    });
    if outcome.is_err() {
        show_logs(folder);
    }
    outcome
}

/// `run-…/NAME-OF-THE-TEST`; libtest names the threads.
fn test_folder() -> Result<PathBuf> {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("main").replace("::", ".");
    let folder = places::run_folder()?.join(format!("{name}-{}", places::unique()));
    std::fs::create_dir_all(&folder).context("making the test's folder")?;
    Ok(folder)
}
