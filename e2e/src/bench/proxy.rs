//! `proxy`: what a request costs in a data plane with route, key, quota and log on, beside a
//! bare reverse proxy, both to the same model server.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;

use crate::bench::load::Load;
use crate::bench::{cpu, median, micros, model, quantile, table};
use crate::eventually::eventually;
use crate::fleet::{Controller, DataPlane, Source};
use crate::gateway::chat_body;
use crate::ports::free_address;
use crate::process::{Process, Program};
use crate::redis::{Durability, Redis};
use crate::{places, resources};

const HOST: &str = "bench.test";
const KEY: &str = "tk-bench-0123456789abcdef0123";

/// How much is measured.
#[derive(Debug, Args)]
pub struct Options {
    /// Rounds; direct, bare and turnpike take turns in each, figures are medians of rounds
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Plain requests a round and target; a tenth as many streams
    #[arg(long, default_value_t = 10_000)]
    requests: usize,
    /// Connections while CPU time is measured; latency is measured with one
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Counts in a redis-server of its own instead of in memory
    #[arg(long)]
    redis: bool,
}

/// Runs it and prints the table.
pub async fn run(options: Options) -> Result<()> {
    let folder = places::run_folder()?;
    let world = World::start(&folder, options.redis).await?;
    for (name, load, requests) in [
        ("plain chat, 1 KB", load(false), options.requests),
        ("stream of 100 chunks", load(true), options.requests / 10),
    ] {
        let mut rounds = Rounds::default();
        for round in 0..=options.rounds {
            for (target, sums) in world.targets().into_iter().zip(rounds.0.iter_mut()) {
                let sample = sample(&target, &load, &options, requests).await?;
                // The first round warms up.
                if round > 0 {
                    sums.push(sample);
                }
            }
            eprintln!("{name}: round {round} of {}", options.rounds);
        }
        rounds.print(name);
    }
    Ok(())
}

/// What the load goes to.
struct Target {
    address: SocketAddr,
    /// Of the proxy in between, if there is one.
    pid: Option<u32>,
}

struct World {
    model: SocketAddr,
    baseline: SocketAddr,
    baseline_process: Process,
    data_plane: DataPlane,
    _controller: Controller,
    _model_process: Process,
    _redis: Option<Redis>,
}

impl World {
    async fn start(folder: &Path, with_redis: bool) -> Result<Self> {
        let (model, baseline) = (free_address()?, free_address()?);
        let model_process = itself(folder, "serve-model", &[("--listen", model)])?;
        let flags = [("--listen", baseline), ("--upstream", model)];
        let baseline_process = itself(folder, "serve-proxy", &flags)?;
        let files = folder.join("resources");
        std::fs::create_dir_all(&files)?;
        std::fs::write(files.join("all.yaml"), yaml(model))?;
        let redis = match with_redis {
            true => Some(Redis::start(folder, Durability::Nothing).await?),
            false => None,
        };
        let controller = Controller::start(folder, Source::Folder(&files)).await?;
        let data_plane = DataPlane::start(folder, "dataplane", &controller, redis.as_ref()).await?;
        let world = Self {
            model,
            baseline,
            baseline_process,
            data_plane,
            _controller: controller,
            _model_process: model_process,
            _redis: redis,
        };
        for target in world.targets() {
            eventually("the target answers", async || {
                load(false).run(target.address, 1, 1).await.map(drop)
            })
            .await?;
        }
        Ok(world)
    }

    /// Direct, bare, turnpike.
    fn targets(&self) -> [Target; 3] {
        let target = |address, pid| Target { address, pid };
        [
            target(self.model, None),
            target(self.baseline, self.baseline_process.id()),
            target(
                self.data_plane.gateway().address(),
                self.data_plane.process().id(),
            ),
        ]
    }
}

/// This very program, in another role.
fn itself(folder: &Path, role: &str, flags: &[(&str, SocketAddr)]) -> Result<Process> {
    let program = std::env::current_exe().context("finding this program")?;
    let mut arguments: Vec<OsString> = vec![role.into()];
    for (name, address) in flags {
        arguments.extend([OsString::from(name), address.to_string().into()]);
    }
    Process::spawn(folder, Program::new(role, program, arguments))
}

/// What one target showed in one round.
#[derive(Clone, Copy)]
struct Sample {
    cpu_micros: f64,
    p50: Duration,
    p99: Duration,
}

async fn sample(
    target: &Target,
    load: &Load,
    options: &Options,
    requests: usize,
) -> Result<Sample> {
    let cpu_now = || target.pid.map(cpu::time_of).transpose();
    let before = cpu_now()?;
    let sent = load
        .run(target.address, options.connections, requests)
        .await?;
    let after = cpu_now()?;
    let cpu = after.zip(before).map_or(Duration::ZERO, |(a, b)| a - b);
    let times = load.run(target.address, 1, requests / 5).await?;
    Ok(Sample {
        cpu_micros: micros(cpu) / sent.len() as f64,
        p50: quantile(&times, 0.5),
        p99: quantile(&times, 0.99),
    })
}

/// The samples of direct, bare and turnpike.
#[derive(Default)]
struct Rounds([Vec<Sample>; 3]);

impl Rounds {
    fn print(&self, name: &str) {
        let of = |target: usize, figure: fn(&Sample) -> f64| -> f64 {
            median(&self.0[target].iter().map(figure).collect::<Vec<_>>())
        };
        let row = |name: &str, figure: fn(&Sample) -> f64, is_added: bool| {
            let direct = of(0, figure);
            let less = if is_added { direct } else { 0.0 };
            let (bare, turnpike) = (of(1, figure) - less, of(2, figure) - less);
            vec![
                name.to_owned(),
                if is_added {
                    format!("{direct:.1}")
                } else {
                    "-".to_owned()
                },
                format!("{bare:.1}"),
                format!("{turnpike:.1}"),
                format!("{:.2}", turnpike / bare),
            ]
        };
        let rows = [
            row("CPU time a request, µs", |s| s.cpu_micros, false),
            row("added latency p50, µs", |s| micros(s.p50), true),
            row("added latency p99, µs", |s| micros(s.p99), true),
        ];
        let headings = [name, "direct", "bare hyper", "turnpike", "ratio"];
        println!();
        table::print(&headings, &rows);
    }
}

fn load(is_streaming: bool) -> Load {
    let text = "lorem ipsum ".repeat(75);
    let body = chat_body("bench", &text, is_streaming).to_string();
    Load {
        host: HOST.to_owned(),
        key: KEY.to_owned(),
        body: body.into(),
        least: if is_streaming {
            model::CHUNKS * 100
        } else {
            800
        },
    }
}

fn yaml(model: SocketAddr) -> String {
    let route = format!(
        "---
apiVersion: turnpike.dev/v1alpha1
kind: AIRoute
metadata: {{name: bench}}
spec:
  hostnames: [{HOST}]
  authorization: {{allow: [{{groups: [gold]}}]}}
  rules:
    - matches: [{{models: [\"other-*\"]}}]
      backendRefs: [{{name: model}}]
    - matches: [{{path: {{type: PathPrefix, value: /v1}}, models: [\"ben*\"]}}]
      backendRefs: [{{name: model}}]
"
    );
    resources::provider(
        "model",
        "OpenAI",
        &format!("http://{model}/v1"),
        "bench",
        "",
    ) + &resources::consumer("alice", "gold", KEY)
        + &resources::quota("tokens", "gold", "tokens: 1000000M, window: 1m", "Allow")
        + &resources::quota("requests", "gold", "requests: 100M, window: 1m", "Allow")
        + &route
}
