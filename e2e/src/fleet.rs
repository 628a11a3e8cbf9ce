//! A separate controller and data planes. One fleet on the API server is shared by all tests of
//! a run: a Lease lets one controller write status, and tests want to know which.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use hyper::Method;
use serde_json::Value;

use crate::eventually::eventually;
use crate::gateway::{Call, Gateway, get};
use crate::kubernetes::{Cluster, PLATFORM_NAMESPACE};
use crate::places;
use crate::ports::free_address;
use crate::process::{Process, Program};
use crate::redis::{Durability, Redis};

/// The Secret of the platform namespace that controllers under test show where a route has no
/// certificate of its own; tests that need it write it.
pub const FLEET_CERTIFICATE: &str = "fleet-certificate";

/// Where a controller takes its resources from.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    Cluster(&'a Cluster),
    Folder(&'a Path),
}

/// A running `turnpike-controller`.
#[derive(Debug)]
pub struct Controller {
    process: Process,
    listen: SocketAddr,
    admin: SocketAddr,
    scheme: &'static str,
}

/// What a data plane shows to a controller, and what it trusts.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The CAs of the controller.
    pub ca: PathBuf,
    /// A service account's.
    pub token: PathBuf,
}

impl Controller {
    /// Starts one and waits until it is ready.
    pub async fn start(folder: &Path, source: Source<'_>) -> Result<Self> {
        let flags = [
            ("--hostname-policy", "*"),
            ("--public-url", "https://{host}"),
            ("--fleet-certificates", FLEET_CERTIFICATE),
        ];
        Self::start_with(folder, source, &flags).await
    }

    /// Starts one with more flags and waits until it is ready. Its channel to data planes is
    /// in the clear.
    pub async fn start_with(
        folder: &Path,
        source: Source<'_>,
        more: &[(&str, &str)],
    ) -> Result<Self> {
        Self::start_in(folder, source, more, Vec::new()).await
    }

    /// Starts one with more flags and environment variables and waits until it is ready.
    pub async fn start_in(
        folder: &Path,
        source: Source<'_>,
        more: &[(&str, &str)],
        environment: Vec<(OsString, OsString)>,
    ) -> Result<Self> {
        let mut arguments = match source {
            Source::Cluster(cluster) => path_flag("--kubeconfig", cluster.kubeconfig()),
            Source::Folder(folder) => path_flag("-f", folder),
        };
        arguments.push("--plaintext".into());
        arguments.extend(flags(more));
        Self::launch(folder, "http", arguments, environment).await
    }

    /// Starts one on a cluster with TLS and tokens, and waits until it is ready.
    pub async fn start_secured(
        folder: &Path,
        cluster: &Cluster,
        more: &[(&str, &str)],
    ) -> Result<Self> {
        let mut arguments = path_flag("--kubeconfig", cluster.kubeconfig());
        arguments.extend(flags(&[("--hostname-policy", "*")]));
        arguments.extend(flags(more));
        Self::launch(folder, "https", arguments, Vec::new()).await
    }

    async fn launch(
        folder: &Path,
        scheme: &'static str,
        mut arguments: Vec<OsString>,
        environment: Vec<(OsString, OsString)>,
    ) -> Result<Self> {
        let (listen, admin) = (free_address()?, free_address()?);
        arguments.extend(flags(&[
            ("--listen", &listen.to_string()),
            ("--admin", &admin.to_string()),
        ]));
        if !arguments.iter().any(|flag| flag == "--platform-namespace") {
            arguments.extend(flags(&[("--platform-namespace", PLATFORM_NAMESPACE)]));
        }
        let file = places::program("turnpike-controller")?;
        let program = Program {
            environment,
            ..Program::new("controller", file, arguments)
        };
        let process = Process::spawn(folder, program)?;
        let controller = Self {
            process,
            listen,
            admin,
            scheme,
        };
        controller.await_ready().await?;
        Ok(controller)
    }

    /// What data planes are given.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.listen)
    }

    /// Where data planes connect.
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Where health and metrics are answered.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Starts it again after a kill, on the same ports, and waits until it is ready.
    pub async fn start_again(&self) -> Result<()> {
        self.process.start()?;
        self.await_ready().await
    }

    /// Its metrics in Prometheus' text format.
    pub async fn metrics(&self) -> Result<String> {
        get(self.admin, "/metrics").await?.text()
    }

    /// Waits until its metrics have this line.
    pub async fn await_metric(&self, line: &str) -> Result<()> {
        eventually(line, async || {
            let metrics = self.metrics().await?;
            let is_there = metrics.lines().any(|found| found == line);
            is_there.then_some(()).context("another value")
        })
        .await
    }

    /// Lets a data plane lose most of what it holds.
    pub async fn accept_mass_delete(&self) -> Result<()> {
        let host = self.admin.to_string();
        let call = Call {
            method: Method::POST,
            ..Call::get(&host, "/accept-mass-delete")
        };
        let answer = Gateway::at(self.admin).send(call).await?;
        ensure!(answer.status < 300, "{}: {}", answer.status, answer.text()?);
        Ok(())
    }

    /// What `/debug/index` tells, by a query such as `name=domain/a.test`.
    pub async fn debug_index(&self, query: &str) -> Result<Value> {
        let path = format!("/debug/index?{query}");
        get(self.admin, &path).await?.expect_ok()?.json()
    }

    async fn await_ready(&self) -> Result<()> {
        await_ready(&self.process, self.admin).await
    }
}

/// A running `turnpike-dataplane`.
#[derive(Debug)]
pub struct DataPlane {
    process: Process,
    admin: SocketAddr,
    gateway: Gateway,
    tls: SocketAddr,
}

impl DataPlane {
    /// Starts one and waits until it is ready. Without Redis it counts in memory.
    pub async fn start(
        folder: &Path,
        name: &str,
        controller: &Controller,
        redis: Option<&Redis>,
    ) -> Result<Self> {
        let redis = redis.map(Redis::url);
        let redis = redis.as_deref().map(|url| ("--redis", url));
        Self::start_at(folder, name, &controller.url(), redis.as_slice()).await
    }

    /// Starts one for a secured controller and waits until it is ready.
    pub async fn start_secured(
        folder: &Path,
        name: &str,
        controller: &Controller,
        credentials: &Credentials,
    ) -> Result<Self> {
        let (ca, token) = (&credentials.ca, &credentials.token);
        let (ca, token) = (ca.display().to_string(), token.display().to_string());
        let more = [
            ("--controller-ca", ca.as_str()),
            ("--controller-token-file", token.as_str()),
        ];
        Self::start_at(folder, name, &controller.url(), &more).await
    }

    /// Starts one that finds its controller at another address, with more flags.
    pub async fn start_at(
        folder: &Path,
        name: &str,
        controller: &str,
        more: &[(&str, &str)],
    ) -> Result<Self> {
        let data_plane = Self::launch(folder, name, controller, more)?;
        data_plane.await_ready().await?;
        Ok(data_plane)
    }

    /// Starts one, which may never be ready.
    pub fn launch(
        folder: &Path,
        name: &str,
        controller: &str,
        more: &[(&str, &str)],
    ) -> Result<Self> {
        let (listen, tls, admin) = (free_address()?, free_address()?, free_address()?);
        let mut arguments = flags(&[
            ("--controller", controller),
            ("--listen", &listen.to_string()),
            ("--listen-tls", &tls.to_string()),
            ("--admin", &admin.to_string()),
        ]);
        // Providers under test are on this machine.
        if !more
            .iter()
            .any(|(flag, _)| *flag == "--allow-provider-cidr")
        {
            arguments.extend(flags(&[("--allow-provider-cidr", "127.0.0.0/8")]));
        }
        arguments.extend(flags(more));
        let file = places::program("turnpike-dataplane")?;
        let process = Process::spawn(folder, Program::new(name, file, arguments))?;
        Ok(Self {
            process,
            admin,
            gateway: Gateway::at(listen),
            tls,
        })
    }

    /// Starts it again after a kill, on the same ports, and waits until it is ready.
    pub async fn start_again(&self) -> Result<()> {
        self.process.start()?;
        self.await_ready().await
    }

    async fn await_ready(&self) -> Result<()> {
        await_ready(&self.process, self.admin).await
    }

    /// The door that clients use.
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// The door that they use over TLS.
    pub fn tls(&self) -> SocketAddr {
        self.tls
    }

    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Where health and metrics are answered.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// What it holds of a namespace and of the hosts named after it, by name, with the version;
    /// `None`: it knows that there is nothing.
    pub async fn held(&self, namespace: &str) -> Result<BTreeMap<String, Option<String>>> {
        let report = get(self.admin, "/debug/store").await?.expect_ok()?.json()?;
        let lists = [&report["names"], &report["dependencies"]];
        let entries = lists.into_iter().filter_map(Value::as_array).flatten();
        let mut held = BTreeMap::new();
        for entry in entries {
            let name = entry["name"].as_str().context("an entry without name")?;
            let is_settled = !matches!(entry["state"].as_str(), Some("Pending" | "Refused"));
            if name.contains(namespace) && is_settled {
                let version = entry["version"].as_str().map(str::to_owned);
                held.insert(name.to_owned(), version);
            }
        }
        Ok(held)
    }

    /// Its metrics in Prometheus' text format.
    pub async fn metrics(&self) -> Result<String> {
        get(self.admin, "/metrics").await?.text()
    }
}

/// A controller, two data planes and the Redis that they share.
#[derive(Debug)]
pub struct Fleet {
    pub folder: PathBuf,
    pub controller: Controller,
    pub data_planes: [DataPlane; 2],
    pub redis: Redis,
}

impl Fleet {
    /// Starts all; logs and data go to the folder.
    pub async fn start(folder: &Path, source: Source<'_>) -> Result<Self> {
        let redis = Redis::start(folder, Durability::EveryWrite).await?;
        let controller = Controller::start(folder, source).await?;
        let first = DataPlane::start(folder, "dataplane-0", &controller, Some(&redis)).await?;
        let second = DataPlane::start(folder, "dataplane-1", &controller, Some(&redis)).await?;
        Ok(Self {
            folder: folder.to_owned(),
            controller,
            data_planes: [first, second],
            redis,
        })
    }

    /// One of the two doors, in turn.
    pub fn gateway(&self, number: usize) -> &Gateway {
        self.data_planes[number % self.data_planes.len()].gateway()
    }
}

/// Waits until a program's admin listener says that it is ready.
pub(crate) async fn await_ready(process: &Process, admin: SocketAddr) -> Result<()> {
    eventually("/readyz says 200", async || {
        process.check_runs()?;
        let answer = get(admin, "/readyz").await.context("asking /readyz")?;
        ensure!(
            answer.status == 200,
            "{}: {}",
            answer.status,
            answer.text()?
        );
        Ok(())
    })
    .await
}

fn flags(pairs: &[(&str, &str)]) -> Vec<OsString> {
    pairs
        .iter()
        .flat_map(|(name, value)| [name.into(), value.into()])
        .collect()
}

fn path_flag(name: &str, path: &Path) -> Vec<OsString> {
    vec![name.into(), path.into()]
}
