//! `soak`: a long mixed load on a data plane whose configuration changes all the while, and what it
//! leaves behind: memory, reservations, requests in flight, missing lines in the access log.
//!
//! Whole answers and streams; some requests have bodies of megabytes, some callers hang up in
//! mid-answer. Every second memory is read; its slope over requests and over time, after a warm-up,
//! should be zero within its standard error. Seeded: the same requests come each time, only their
//! order among connections differs.

mod churn;
mod load;
mod log;
mod report;
mod samples;
mod world;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Args;
use tokio_util::sync::CancellationToken;

use self::load::Load;
use self::samples::Samples;
use self::world::World;
use crate::places;

pub use self::report::Report;

/// How much is sent, and what of it.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// How long requests are sent
    #[arg(long, default_value_t = 10.0)]
    pub minutes: f64,
    /// Ends after so many requests, if that is earlier
    #[arg(long)]
    pub requests: Option<u64>,
    /// Connections that send, each one request at a time
    #[arg(long, default_value_t = 16)]
    pub connections: usize,
    /// Of a hundred requests, so many are given up in mid-answer
    #[arg(long, default_value_t = 10)]
    pub cancelled: u32,
    /// Of a hundred requests, so many have a big body
    #[arg(long, default_value_t = 10)]
    pub big: u32,
    /// Megabytes of the largest body; others have halves of it, down to 1
    #[arg(long, default_value_t = 16)]
    pub largest: usize,
    /// Seconds after which memory counts
    #[arg(long, default_value_t = 120)]
    pub warm_up: u64,
    /// Milliseconds between two changes of the configuration
    #[arg(long, default_value_t = 500)]
    pub churn: u64,
    /// Counts in a redis-server of its own: in memory, the ids of settled requests are kept for a
    /// day under a quota as long as this one's, and memory grows with them
    #[arg(long)]
    pub redis: bool,
    /// Of the choice of requests
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// Runs it and prints the table.
pub async fn run(options: Options) -> Result<()> {
    let folder = places::run_folder()?.join("soak");
    let report = measure(&folder, &options).await?;
    report.print();
    Ok(())
}

/// Sends the load through a data plane of its own; logs and resources go to the folder.
pub async fn measure(folder: &Path, options: &Options) -> Result<Report> {
    ensure!(
        options.cancelled + options.big <= 100 && options.largest > 0,
        "more than a hundred of a hundred, or bodies of nothing"
    );
    let world = World::start(folder, options.redis).await?;
    let lines = world.settled_lines().await?;
    let load = Load::new(options, world.address());
    let stop = CancellationToken::new();
    let churning = tokio::spawn(churn::run(
        world.churn(),
        Duration::from_millis(options.churn),
        stop.clone(),
    ));
    let sampling = Samples::spawn(world.data_plane_id()?, load.done(), stop.clone());
    let begun = Instant::now();
    let failures = load.run().await;
    let took = begun.elapsed();
    stop.cancel();
    let changes = churning.await??;
    let samples = sampling.await??;
    Ok(Report {
        requests: load.done().get(),
        failures: failures?,
        took,
        changes,
        warm_up: Duration::from_secs(options.warm_up),
        samples,
        left: world.left(lines).await?,
    })
}
