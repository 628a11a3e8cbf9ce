//! What is sent in each table, and how its figures are reckoned.

use std::time::Duration;

use anyhow::Result;

use super::Options;
use super::world::{HOST, KEY, Target, World};
use crate::bench::load::Load;
use crate::bench::{cpu, median, micros, model, quantile, table};

/// Requests a second while latency is measured.
const RATE: f64 = 200.0;

/// One table.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    title: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    /// CPU time of whole answers to prompts of so many bytes.
    Plain(usize),
    /// CPU time of one event of streams, of a model.
    Stream(&'static str, usize),
    /// Latency at a rate that loads nothing.
    Rate,
    /// How long an event is on its way.
    Delay,
}

/// Streams at a time whose events say when they were sent.
const STAMPED_STREAMS: usize = 4;

/// What one target showed in one round.
#[derive(Clone, Copy, Default)]
struct Sample {
    cpu_micros: f64,
    p50: Duration,
    p99: Duration,
}

impl Scenario {
    pub(super) fn all() -> [Self; 7] {
        let scenario = |name, title, kind| Self { name, title, kind };
        let burst = model::BURST;
        [
            scenario("plain", "plain chat, 1 KB", Kind::Plain(900)),
            scenario("large", "plain chat, 20 KB", Kind::Plain(20_000)),
            scenario(
                "burst",
                "events at saturation",
                Kind::Stream("bench-burst", burst),
            ),
            scenario(
                "paced",
                "events one by one",
                Kind::Stream("bench", model::CHUNKS),
            ),
            scenario(
                "translated",
                "translated events",
                Kind::Stream("claude", burst),
            ),
            scenario("rate", "200 requests/s", Kind::Rate),
            scenario("delay", "800 events/s", Kind::Delay),
        ]
    }

    pub(super) async fn run(&self, world: &World, options: &Options) -> Result<()> {
        let targets = world.targets();
        let mut samples: [Vec<Sample>; 4] = Default::default();
        for round in 0..=options.rounds {
            for (target, samples) in targets.iter().zip(samples.iter_mut()) {
                let sample = self.sample(target, options).await?;
                // The first round warms up.
                if round > 0 {
                    samples.push(sample);
                }
            }
            eprintln!("{}: round {round} of {}", self.title, options.rounds);
        }
        self.print(&targets, &samples);
        Ok(())
    }

    async fn sample(&self, target: &Target, options: &Options) -> Result<Sample> {
        let load = match self.kind {
            Kind::Plain(bytes) => Load::chat(HOST, KEY, bytes),
            Kind::Stream(model, events) => {
                // A proxy that does not translate passes the provider's own events.
                let native = model == "claude" && target.name != "turnpike";
                Load::stream(HOST, KEY, model, events, native)
            }
            Kind::Rate => Load::chat(HOST, KEY, 900),
            Kind::Delay => Load::stream(HOST, KEY, "bench-stamped", model::STAMPED, false),
        };
        let times = match self.kind {
            Kind::Rate => {
                let requests = options.requests / 20;
                Some(load.run_at(target.address, RATE, requests).await?)
            }
            Kind::Delay => Some(load.delays(target.address, STAMPED_STREAMS).await?),
            _ => None,
        };
        if let Some(times) = times {
            return Ok(Sample {
                cpu_micros: 0.0,
                p50: quantile(&times, 0.5),
                p99: quantile(&times, 0.99),
            });
        }
        let (requests, units) = match self.kind {
            Kind::Stream(_, events) => {
                let streams = (options.requests * 20 / events).max(options.connections);
                (streams, streams * events)
            }
            _ => (options.requests, options.requests),
        };
        let cpu_now = || target.pid.map(cpu::time_of).transpose();
        let before = cpu_now()?;
        load.run(target.address, options.connections, requests)
            .await?;
        let after = cpu_now()?;
        let cpu = after.zip(before).map_or(Duration::ZERO, |(a, b)| a - b);
        Ok(Sample {
            cpu_micros: micros(cpu) / units as f64,
            ..Sample::default()
        })
    }

    fn print(&self, targets: &[Target; 4], samples: &[Vec<Sample>; 4]) {
        let of = |target: usize, figure: fn(&Sample) -> f64| -> f64 {
            median(&samples[target].iter().map(figure).collect::<Vec<_>>())
        };
        let row = |name: &str, figure: fn(&Sample) -> f64, is_added: bool| {
            let less = if is_added { of(0, figure) } else { 0.0 };
            let figures = [0, 1, 2, 3].map(|target| of(target, figure) - less);
            let mut cells = vec![name.to_owned()];
            cells.push(match is_added {
                true => format!("{less:.1}"),
                false => "-".to_owned(),
            });
            cells.extend(figures[1..].iter().map(|figure| format!("{figure:.2}")));
            cells.push(format!("{:.2}", figures[3] / figures[1]));
            cells.push(format!("{:.2}", figures[3] / figures[2]));
            cells
        };
        let rows = match self.kind {
            Kind::Rate | Kind::Delay => vec![
                row("added latency p50, µs", |s| micros(s.p50), true),
                row("added latency p99, µs", |s| micros(s.p99), true),
            ],
            Kind::Plain(_) => vec![row("CPU time a request, µs", |s| s.cpu_micros, false)],
            Kind::Stream(..) => vec![row("CPU time an event, µs", |s| s.cpu_micros, false)],
        };
        let names = targets.map(|target| target.name);
        let mut headings = vec![self.title];
        headings.extend(names);
        headings.extend(["/ hyper", "/ nginx"]);
        println!();
        table::print(&headings, &rows);
    }
}
