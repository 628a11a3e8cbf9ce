//! `floods`: what a data plane and its other callers notice of a flood of frames over HTTP/2.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::bench::load::Load;
use crate::bench::proxy::itself;
use crate::bench::{median, memory, micros, quantile, table};
use crate::eventually::eventually;
use crate::fleet::{Controller, DataPlane, Source};
use crate::flood::{Kind, Target};
use crate::gateway::chat_body;
use crate::ports::free_address;
use crate::process::Process;
use crate::{places, resources};

const HOST: &str = "bench.test";
const KEY: &str = "tk-bench-0123456789abcdef0123";
const MEGABYTE: f64 = 1e6;
/// Only a flood that nobody ends takes so long.
const LONGEST: Duration = Duration::from_secs(30);
/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// How much is measured.
#[derive(Debug, Args)]
pub struct Options {
    /// Rounds; in each, requests are timed without and with a flood of each kind
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Requests of other callers, over four connections, that are timed
    #[arg(long, default_value_t = 5_000)]
    requests: usize,
    /// Frames a second; a connection that was ended is followed by another one at once
    #[arg(long, default_value_t = 20_000)]
    frames: u64,
}

/// Runs it and prints the table.
pub async fn run(options: Options) -> Result<()> {
    let world = World::start(&places::run_folder()?).await?;
    let mut rows = Vec::new();
    for kind in Kind::ALL {
        let mut samples = Vec::new();
        for round in 0..=options.rounds {
            let sample = world.sample(kind, &options).await?;
            // The first round warms up.
            if round > 0 {
                samples.push(sample);
            }
        }
        eprintln!("{}: done", kind.name());
        rows.push(row(kind, &samples));
    }
    println!();
    let headings = [
        "flood",
        "connections ended",
        "frames each",
        "memory, MB",
        "p99 without, µs",
        "p99 with, µs",
        "ratio",
    ];
    table::print(&headings, &rows);
    Ok(())
}

/// What one round showed.
struct Sample {
    /// Connections that were ended, and frames written until then.
    ended: f64,
    frames: f64,
    /// The most that the data plane grew by.
    growth: f64,
    quiet: f64,
    flooded: f64,
}

fn row(kind: Kind, samples: &[Sample]) -> Vec<String> {
    let of = |figure: fn(&Sample) -> f64| median(&samples.iter().map(figure).collect::<Vec<_>>());
    let ratio = of(|sample| sample.flooded / sample.quiet);
    vec![
        kind.name().to_owned(),
        format!("{:.0}", of(|sample| sample.ended)),
        format!("{:.0}", of(|sample| sample.frames / sample.ended)),
        format!("{:.1}", of(|sample| sample.growth)),
        format!("{:.0}", of(|sample| sample.quiet)),
        format!("{:.0}", of(|sample| sample.flooded)),
        format!("{ratio:.2}"),
    ]
}

struct World {
    data_plane: DataPlane,
    load: Load,
    _controller: Controller,
    _model: Process,
}

impl World {
    async fn start(folder: &Path) -> Result<Self> {
        let model = free_address()?;
        let model_process = itself(folder, "serve-model", &[("--listen", model)])?;
        let files = folder.join("resources");
        std::fs::create_dir_all(&files)?;
        std::fs::write(files.join("all.yaml"), yaml(model))?;
        let controller = Controller::start(folder, Source::Folder(&files)).await?;
        let data_plane = DataPlane::start(folder, "dataplane", &controller, None).await?;
        let load = Load::chat(HOST, KEY, 12);
        let world = Self {
            data_plane,
            load,
            _controller: controller,
            _model: model_process,
        };
        eventually("the data plane answers", async || {
            world.load.run(world.address(), 1, 1).await.map(drop)
        })
        .await?;
        Ok(world)
    }

    fn address(&self) -> SocketAddr {
        self.data_plane.gateway().address()
    }

    async fn sample(&self, kind: Kind, options: &Options) -> Result<Sample> {
        let quiet = self.p99(options).await?;
        let target = Target {
            address: self.address(),
            host: HOST.to_owned(),
            key: KEY.to_owned(),
            body: chat_body("bench", "x", false).to_string(),
        };
        let stop = CancellationToken::new();
        let flooding = tokio::spawn(flood(target, kind, options.frames, stop.clone()));
        let pid = self.data_plane.process().id().context("it has ended")?;
        let watching = tokio::spawn(watch(pid, stop.clone()));
        let flooded = self.p99(options).await?;
        stop.cancel();
        let (ended, frames) = flooding.await??;
        Ok(Sample {
            ended,
            frames,
            growth: watching.await??,
            quiet,
            flooded,
        })
    }

    async fn p99(&self, options: &Options) -> Result<f64> {
        let times = self.load.run(self.address(), 4, options.requests).await?;
        Ok(micros(quantile(&times, 0.99)))
    }
}

/// Floods one connection after the other; gives how many were ended, and the frames written.
async fn flood(
    target: Target,
    kind: Kind,
    per_second: u64,
    stop: CancellationToken,
) -> Result<(f64, f64)> {
    let (mut ended, mut frames) = (0.0, 0.0);
    loop {
        let flood = target.flood(kind, per_second, LONGEST);
        let Some(outcome) = stop.run_until_cancelled(flood).await else {
            return Ok((ended, frames));
        };
        let outcome = outcome?;
        ended += f64::from(u8::from(outcome.is_closed));
        frames += outcome.frames as f64;
    }
}

/// Gives the megabytes that a process grows by at the most.
async fn watch(pid: u32, stop: CancellationToken) -> Result<f64> {
    let before = memory::of(pid)?.now;
    let mut most = before;
    while stop.run_until_cancelled(sleep(LOOK)).await.is_some() {
        most = most.max(memory::of(pid)?.now);
    }
    Ok((most - before) as f64 / MEGABYTE)
}

fn yaml(model: SocketAddr) -> String {
    let url = format!("http://{model}/v1");
    resources::provider("model", "OpenAI", &url, "bench", "")
        + &resources::consumer("alice", "gold", KEY)
        + &resources::quota("plan", "gold", "requests: 100M, window: 1m", "Allow")
        + &resources::route("bench", HOST, "model")
}
