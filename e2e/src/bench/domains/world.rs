//! One number of tenants: an etcd, an API server, a controller and two data planes of their own.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::time::sleep;

use super::tenants::{Layout, MODELS, Shape};
use crate::bench::api::{Api, for_all};
use crate::bench::caller::{Caller, Question, small};
use crate::bench::memory::{self, Memory};
use crate::bench::posted::Posted;
use crate::fleet::{Controller, DataPlane, Source};
use crate::gateway::get;
use crate::kubernetes::Cluster;
use crate::process::Process;

/// Requests to the API server at a time while tenants are made.
const WRITES: usize = 24;
/// How long a program may take to be ready, and statuses to be written.
const PATIENCE: Duration = Duration::from_secs(1800);

/// A world with its tenants.
pub(super) struct World {
    pub(super) size: usize,
    pub(super) shape: Shape,
    pub(super) api: Api,
    pub(super) controller: Controller,
    pub(super) data_planes: [DataPlane; 2],
    quiet: Duration,
    _cluster: Cluster,
}

impl World {
    /// Starts everything and makes `size` tenants, and `more` that lack only their route.
    pub(super) async fn start(
        folder: &Path,
        shape: Shape,
        size: usize,
        more: usize,
        quiet: Duration,
    ) -> Result<Self> {
        let state = folder.join("cluster");
        let cluster = tokio::task::spawn_blocking(move || Cluster::start_at(&state)).await??;
        let api = Api::connect(cluster.kubeconfig()).await?;
        for posted in shape.platform() {
            api.create(&posted).await?;
        }
        let policy = match shape.layout {
            Layout::Namespaces => "{namespace}.maas.example.com",
            Layout::Shared => "*",
        };
        let flags = [("--hostname-policy", policy)];
        let source = Source::Cluster(&cluster);
        let controller = Controller::start_with(folder, source, &flags).await?;
        let data_plane = |name| DataPlane::start(folder, name, &controller, None);
        let data_planes = [
            data_plane("dataplane-0").await?,
            data_plane("dataplane-1").await?,
        ];
        let world = Self {
            size,
            shape,
            api,
            controller,
            data_planes,
            quiet,
            _cluster: cluster,
        };
        world.populate(more).await?;
        Ok(world)
    }

    /// A request of a tenant.
    pub(super) fn question(&self, tenant: usize, model: &str) -> Question {
        Question {
            host: self.shape.host(tenant),
            key: self.shape.key(tenant),
            body: small(model),
        }
    }

    /// Has a data plane load tenants, by one request each.
    pub(super) async fn load(
        &self,
        data_plane: &DataPlane,
        tenants: impl IntoIterator<Item = usize>,
    ) -> Result<()> {
        let mut caller = Caller::connect(data_plane.gateway().address()).await?;
        for tenant in tenants {
            caller.time(&self.question(tenant, MODELS[0])).await?;
        }
        Ok(())
    }

    /// Waits until no status was written for a while.
    pub(super) async fn await_quiet(&self) -> Result<()> {
        let begun = Instant::now();
        let mut last = (self.status_writes().await?, Instant::now());
        while last.1.elapsed() < self.quiet {
            ensure!(begun.elapsed() < PATIENCE, "statuses are still written");
            sleep(Duration::from_millis(250)).await;
            let writes = self.status_writes().await?;
            if writes != last.0 {
                last = (writes, Instant::now());
            }
        }
        Ok(())
    }

    pub(super) async fn status_writes(&self) -> Result<f64> {
        self.controller_metric("turnpike_controller_status_writes_total")
            .await
    }

    /// Units that the controller sent so far, to all data planes.
    pub(super) async fn units(&self) -> Result<f64> {
        self.controller_metric("turnpike_controller_units_total")
            .await
    }

    pub(super) fn controller_memory(&self) -> Result<Memory> {
        memory_of(self.controller.process())
    }

    /// Kills the controller and starts it again; the time until it says that it is ready.
    pub(super) async fn restart_controller(&self) -> Result<Duration> {
        restart(self.controller.process(), self.controller.admin()).await
    }

    async fn controller_metric(&self, name: &str) -> Result<f64> {
        let text = self.controller.metrics().await?;
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let value = line.with_context(|| format!("no {name}"))?;
        Ok(value.trim().parse()?)
    }

    async fn populate(&self, more: usize) -> Result<()> {
        let begun = Instant::now();
        let Self { shape, size, .. } = *self;
        let all = 0..size + more;
        let namespaces = all.clone().filter_map(|n| shape.own_namespace(n));
        self.make("namespaces", namespaces).await?;
        self.make("consumers", all.flat_map(|n| shape.beside(n)))
            .await?;
        self.make("routes", (0..size).map(|n| shape.route(n)))
            .await?;
        let made = begun.elapsed();
        self.await_quiet().await?;
        let settled = begun.elapsed();
        eprintln!("{size} tenants: made in {made:.0?}, statuses written in {settled:.0?}");
        Ok(())
    }

    async fn make(&self, what: &str, objects: impl IntoIterator<Item = Posted>) -> Result<()> {
        let what = format!("{} tenants, {what}", self.size);
        for_all(&what, objects, WRITES, |posted| async move {
            self.api.create(&posted).await.map(drop)
        })
        .await?;
        Ok(())
    }
}

pub(super) fn memory_of(process: &Process) -> Result<Memory> {
    memory::of(process.id().context("it does not run")?)
}

/// Kills a program and starts it again; the time until it says that it is ready.
pub(super) async fn restart(process: &Process, admin: SocketAddr) -> Result<Duration> {
    process.kill();
    let begun = Instant::now();
    process.start()?;
    loop {
        process.check_runs()?;
        let answer = get(admin, "/readyz").await;
        if answer.is_ok_and(|answer| answer.status == 200) {
            return Ok(begun.elapsed());
        }
        ensure!(begun.elapsed() < PATIENCE, "not ready");
        sleep(Duration::from_millis(5)).await;
    }
}
