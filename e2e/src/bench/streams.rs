//! `streams`: what open streams notice of changes to the very objects that they run on.
//!
//! A real API server, one controller, one data plane, a model server that holds its streams until
//! it is told to end them. Thousands of streams are opened over many tenants, most of them over
//! HTTP/1.1 and some over HTTP/2 and TLS; then routes, providers, their keys, consumers' keys,
//! quotas and certificates are changed as fast as the API server takes it; once the last change is
//! in force, the model sends one more event and a clean end on each. Memory is read in between, and
//! before and after by a process that has served the same before.

mod changes;
mod held;
mod report;
mod tenants;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use tokio::time::sleep;

use self::held::Held;
use self::report::Memory;
use self::tenants::Tenants;
use crate::bench::api::Api;
use crate::bench::{descriptors, memory, role};
use crate::eventually::eventually;
use crate::fleet::{Controller, DataPlane, Source};
use crate::gateway::{Call, Gateway};
use crate::kubernetes::Cluster;
use crate::places;
use crate::ports::free_address;

pub use self::report::Report;

/// After the last write, before memory is read under open streams.
const SETTLED: Duration = Duration::from_secs(2);
/// Sockets and files beside those of streams.
const SPARE: usize = 150;

/// How much is measured.
#[derive(Debug, Args)]
pub struct Options {
    /// Streams that are open at once
    #[arg(long, default_value_t = 10_000)]
    pub streams: usize,
    /// Of these over HTTP/2 and TLS, a hundred on a connection
    #[arg(long, default_value_t = 600)]
    pub over_http2: usize,
    /// Tenants that the streams are spread over, each with objects of its own
    #[arg(long, default_value_t = 100)]
    pub tenants: usize,
    /// Changes, of each kind and tenant in turn
    #[arg(long, default_value_t = 10_000)]
    pub changes: usize,
    /// Changes that are under way at once
    #[arg(long, default_value_t = 8)]
    pub writers: usize,
    /// Seconds of rest after streams have ended, before memory is read: idle connections to
    /// providers are kept for 50 s
    #[arg(long, default_value_t = 60)]
    pub rest: u64,
}

/// Runs it and prints the table.
pub async fn run(options: Options) -> Result<()> {
    descriptors::allow(options.descriptors())?;
    let cluster = Cluster::shared()?;
    let folder = places::run_folder()?.join("streams");
    let controller = Controller::start(&folder, Source::Cluster(cluster)).await?;
    let data_plane = DataPlane::start(&folder, "dataplane", &controller, None).await?;
    let report = measure(cluster, &controller, &data_plane, &folder, &options).await?;
    report.print();
    Ok(())
}

impl Options {
    /// What a data plane needs: two for a stream, but for those that share a connection.
    fn descriptors(&self) -> u64 {
        (2 * self.streams - self.over_http2 + SPARE) as u64
    }
}

/// Measures on a data plane of a controller that serves any host; logs go to the folder.
pub async fn measure(
    cluster: &Cluster,
    controller: &Controller,
    data_plane: &DataPlane,
    folder: &Path,
    options: &Options,
) -> Result<Report> {
    ensure!(
        options.tenants > 0 && options.over_http2 <= options.streams,
        "no tenants, or more streams over HTTP/2 than there are"
    );
    let model = free_address()?;
    let process = role::start(folder, "serve-model", model, &[])?;
    let tenants = Tenants::new(model, options.tenants)?;
    let world = World {
        api: Api::connect(cluster.kubeconfig()).await?,
        controller,
        data_plane,
        model: Gateway::at(model),
        tenants,
        options,
    };
    world.build().await?;
    let outcome = world.measure().await;
    process.check_runs()?;
    world.remove().await?;
    outcome
}

struct World<'a> {
    api: Api,
    controller: &'a Controller,
    data_plane: &'a DataPlane,
    model: Gateway,
    tenants: Tenants,
    options: &'a Options,
}

impl World<'_> {
    async fn measure(&self) -> Result<Report> {
        let fresh = self.memory()?;
        // What is made once and kept is not the streams'.
        let cut = self.end(self.open().await?).await?;
        ensure!(cut.is_empty(), "cut before any change: {cut:?}");
        let before = self.memory()?;
        let held = self.open().await?;
        sleep(SETTLED).await;
        let open = self.memory()?;
        let begun = Instant::now();
        changes::make(self).await?;
        let took = begun.elapsed();
        changes::await_last(self).await?;
        let in_force = begun.elapsed() - took;
        sleep(SETTLED).await;
        let changed = self.memory()?;
        let cut = self.end(held).await?;
        let after = self.memory()?;
        Ok(Report {
            streams: self.options.streams,
            cut,
            changes: self.options.changes,
            took,
            in_force,
            memory: Memory {
                fresh,
                before,
                open,
                changed,
                after,
            },
        })
    }

    async fn open(&self) -> Result<Held> {
        let begun = Instant::now();
        let held = held::open(self).await?;
        eprintln!("{} streams: open in {:.1?}", held.len(), begun.elapsed());
        Ok(held)
    }

    /// Has the model end all streams, and lets the data plane rest. What was not as it should be.
    async fn end(&self, held: Held) -> Result<Vec<String>> {
        let host = self.model.address().to_string();
        self.model
            .send(Call::get(&host, "/release"))
            .await?
            .expect_ok()?;
        let cut = held.finish().await;
        sleep(Duration::from_secs(self.options.rest)).await;
        Ok(cut)
    }

    /// Resident memory of the data plane, in bytes.
    fn memory(&self) -> Result<u64> {
        let id = self.data_plane.process().id();
        Ok(memory::of(id.context("the data plane does not run")?)?.now)
    }

    /// Makes the objects and waits until every tenant is served in both ways.
    async fn build(&self) -> Result<()> {
        for posted in self.tenants.all() {
            self.api.create(&posted).await?;
        }
        for tenant in 0..self.tenants.count() {
            let what = format!("tenant {tenant} is served");
            eventually(&what, async || changes::ask(self, tenant, 0).await).await?;
        }
        Ok(())
    }

    async fn remove(&self) -> Result<()> {
        for tenant in 0..self.tenants.count() {
            let path = format!("/api/v1/namespaces/{}", self.tenants.namespace(tenant));
            self.api.delete(&path).await?;
        }
        Ok(())
    }
}
