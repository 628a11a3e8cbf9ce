//! `domains`: what many tenants cost, and what each of them notices of the others.
//!
//! One world for each number of tenants, each with an etcd, an API server, a controller and data
//! planes of its own, all at once on this machine; one is measured at a time, in turn, so that
//! what the machine does meanwhile meets all of them. The first number is the few that the
//! others are compared with. Needs no cluster of its own; `KUBECONFIG` is not looked at.

mod change;
mod edits;
mod figures;
mod fleetwide;
mod requests;
mod tenants;
mod world;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use clap::{Args, ValueEnum};
use futures::future::try_join_all;
use tokio::time::sleep;

use self::figures::{Figures, millis};
use self::tenants::{Layout, MODELS, Shape};
use self::world::{World, memory_of, restart};
use crate::bench::{caller, quantile};
use crate::places;

/// Bytes of a large request.
const LARGE: usize = 10_000_000;
/// A large body for so many small ones.
const LARGE_SHARE: usize = 5;
/// After which a program has given back what memory it gives back soon.
const SETTLED: Duration = Duration::from_secs(5);
/// Routes that are changed again and again.
const CHANGED: usize = 100;
const MEGABYTE: f64 = 1e6;

/// How much is measured.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Numbers of tenants; the first are the few that the others are compared with
    #[arg(long, value_delimiter = ',', default_value = "10,10000,50000")]
    domains: Vec<usize>,
    /// A namespace for each tenant, one for all, or both, one after the other
    #[arg(long, value_enum, default_value = "namespaces")]
    layout: Layouts,
    /// Routes with rules and a provider of their own instead of the platform's template
    #[arg(long)]
    plain: bool,
    /// Routes created and routes changed, and first requests to cold domains, over all rounds
    #[arg(long, default_value_t = 1000)]
    samples: usize,
    /// Rounds in which the worlds take turns
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Creations and changes a second
    #[arg(long, default_value_t = 10.0)]
    rate: f64,
    /// Requests to loaded domains a round
    #[arg(long, default_value_t = 5000)]
    requests: usize,
    /// Domains that a data plane has loaded
    #[arg(long, default_value_t = 1000)]
    active: usize,
    /// Domains that it has loaded when its memory is measured again
    #[arg(long, default_value_t = 5000)]
    more_active: usize,
    /// Starts of controller and data plane that are timed
    #[arg(long, default_value_t = 3)]
    starts: usize,
    /// Random edits, all at once
    #[arg(long, default_value_t = 10_000)]
    edits: usize,
    /// Seconds of rest after the edits, before memory is compared
    #[arg(long, default_value_t = 30)]
    rest: u64,
    /// Seconds without a write of a status after which a world counts as quiet
    #[arg(long, default_value_t = 5)]
    quiet: u64,
    /// Of the random edits
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only these parts
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Where all figures go as JSON; default: the run's folder
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Layouts {
    Namespaces,
    Shared,
    Both,
}

/// What is measured, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Starts of both planes, memory of the controller
    Start,
    /// Memory of a data plane
    Memory,
    /// Routes created
    Create,
    /// Routes changed
    Change,
    /// First requests to cold domains
    Cold,
    /// Requests to loaded domains
    Loaded,
    /// A quota and a template of all tenants
    Fleetwide,
    /// Memory after many edits
    Edits,
}

/// Runs it and prints a table for each layout.
pub async fn run(options: Options) -> Result<()> {
    ensure!(
        options.rounds > 0 && options.samples >= options.rounds,
        "too few samples"
    );
    // The client of the API server needs one; the process has no other.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let layouts = match options.layout {
        Layouts::Namespaces => vec![Layout::Namespaces],
        Layouts::Shared => vec![Layout::Shared],
        Layouts::Both => vec![Layout::Namespaces, Layout::Shared],
    };
    let folder = places::run_folder()?;
    let file = match options.json.clone() {
        Some(file) => file,
        None => folder.join("figures.json"),
    };
    let mut all = serde_json::Map::new();
    for layout in layouts {
        let name = layout.as_str();
        let figures = measure(&options, layout, &folder.join(name)).await?;
        all.insert(name.to_owned(), figures.json());
        std::fs::write(&file, serde_json::to_string(&all)?)?;
        figures.print(&format!("domains, {name}"), &options.many());
        println!("all figures: {}", file.display());
    }
    Ok(())
}

impl Options {
    /// The numbers that are compared with the first.
    fn many(&self) -> Vec<usize> {
        match self.domains.as_slice() {
            [only] => vec![*only],
            all => all[1..].to_vec(),
        }
    }

    fn includes(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    /// Loaded domains of a world; the rest is cold, or changed.
    fn active_of(&self, size: usize) -> usize {
        match size > 2 * CHANGED {
            true => self.active.min(size / 2),
            false => size.min(self.active),
        }
    }

    /// Routes of a world that are changed: its last ones.
    fn changed_of(&self, size: usize) -> Vec<usize> {
        let count = CHANGED.min(size / 4).max(1);
        (size - count..size).collect()
    }

    fn samples_a_round(&self) -> usize {
        self.samples.div_ceil(self.rounds)
    }
}

async fn measure(options: &Options, layout: Layout, folder: &Path) -> Result<Figures> {
    let shape = Shape {
        layout,
        is_plain: options.plain,
    };
    let samples = options.samples_a_round() * options.rounds;
    let starting = options.domains.iter().map(|&size| {
        let folder = folder.join(format!("world-{size}"));
        let more = if options.includes(Part::Create) {
            samples
        } else {
            0
        };
        let quiet = Duration::from_secs(options.quiet);
        async move { World::start(&folder, shape, size, more, quiet).await }
    });
    let worlds = try_join_all(starting).await?;
    let few = if worlds.len() > 1 { 1 } else { 0 };
    let bench = Bench {
        options,
        many: &worlds[few..],
        few: worlds.first().context("no number of tenants")?,
    };
    let mut figures = Figures::default();
    for part in Part::value_variants() {
        if !options.includes(*part) {
            continue;
        }
        let begun = Instant::now();
        bench.measure(*part, &mut figures).await?;
        eprintln!("{part:?}: measured in {:.0?}", begun.elapsed());
    }
    Ok(figures)
}

struct Bench<'a> {
    options: &'a Options,
    few: &'a World,
    many: &'a [World],
}

impl Bench<'_> {
    async fn measure(&self, part: Part, figures: &mut Figures) -> Result<()> {
        match part {
            Part::Start => self.starts(figures).await,
            Part::Memory => self.memory(figures).await,
            Part::Create => self.create(figures).await,
            Part::Change => self.change(figures).await,
            Part::Cold => self.cold(figures).await,
            Part::Loaded => self.loaded(figures).await,
            Part::Fleetwide => self.fleetwide(figures).await,
            Part::Edits => self.edits(figures).await,
        }
    }

    async fn starts(&self, figures: &mut Figures) -> Result<()> {
        for _ in 0..self.options.starts {
            for world in self.many {
                let size = world.size;
                figures.add_round(size, "start.list", bare_list(world).await?.as_secs_f64());
                let took = world.restart_controller().await?;
                figures.add_round(size, "start.controller", took.as_secs_f64());
                world.await_quiet().await?;
                let memory = world.controller_memory()?;
                figures.add_round(size, "controller.peak", memory.peak as f64 / MEGABYTE);
                figures.add_round(size, "controller.steady", memory.now as f64 / MEGABYTE);
                let data_plane = &world.data_planes[0];
                let took = restart(data_plane.process(), data_plane.admin()).await?;
                figures.add_round(size, "start.dataplane", took.as_secs_f64());
            }
        }
        Ok(())
    }

    async fn memory(&self, figures: &mut Figures) -> Result<()> {
        for world in self.many {
            let data_plane = &world.data_planes[0];
            restart(data_plane.process(), data_plane.admin()).await?;
            let resident = || memory_of(data_plane.process());
            let active = self.options.active_of(world.size);
            let more = self.options.more_active.min(world.size);
            world.load(data_plane, 0..active).await?;
            sleep(SETTLED).await;
            let before = resident()?.now as f64;
            figures.set(world.size, "dataplane.active", before / MEGABYTE);
            if more > active {
                world.load(data_plane, active..more).await?;
                sleep(SETTLED).await;
                let each = (resident()?.now as f64 - before) / (more - active) as f64;
                figures.set(world.size, "dataplane.further", each / 1024.0);
            }
        }
        Ok(())
    }

    async fn create(&self, figures: &mut Figures) -> Result<()> {
        let each = self.options.samples_a_round();
        for round in 0..self.options.rounds {
            for world in self.many {
                world.await_quiet().await?;
                let first = world.size + round * each;
                let tenants: Vec<usize> = (first..first + each).collect();
                let times = change::create(world, &tenants, self.options.rate).await?;
                figures.add_times(world.size, "create", &times.in_force);
                figures.add_times(world.size, "create.watch", &times.watch);
            }
        }
        Ok(())
    }

    async fn change(&self, figures: &mut Figures) -> Result<()> {
        let each = self.options.samples_a_round();
        for world in self.many {
            change::prepare(world, &self.options.changed_of(world.size)).await?;
        }
        for round in 0..self.options.rounds {
            for world in self.many {
                world.await_quiet().await?;
                let tenants = self.options.changed_of(world.size);
                let (done, rate) = (round * each, self.options.rate);
                let times = change::change(world, &tenants, done, each, rate).await?;
                figures.add_times(world.size, "change", &times.in_force);
                figures.add_times(world.size, "change.watch", &times.watch);
            }
        }
        Ok(())
    }

    async fn cold(&self, figures: &mut Figures) -> Result<()> {
        let small = self.options.samples_a_round();
        let large = small.div_ceil(LARGE_SHARE);
        let body = caller::large(MODELS[0], LARGE);
        let bodies = [
            ("cold.small", small, None),
            ("cold.large", large, Some(&body)),
        ];
        for world in self.many {
            let data_plane = &world.data_planes[0];
            restart(data_plane.process(), data_plane.admin()).await?;
        }
        let mut next: Vec<usize> = vec![0; self.many.len()];
        for _ in 0..self.options.rounds {
            for (world, next) in self.many.iter().zip(&mut next) {
                world.await_quiet().await?;
                for (name, count, body) in bodies {
                    self.cold_round(world, next, name, count, body, figures)
                        .await?;
                }
            }
        }
        Ok(())
    }

    /// Takes the next tenants that the data plane has not loaded; starts it anew when none is left.
    async fn cold_round(
        &self,
        world: &World,
        next: &mut usize,
        name: &str,
        count: usize,
        body: Option<&Bytes>,
        figures: &mut Figures,
    ) -> Result<()> {
        let end = world.size - self.options.changed_of(world.size).len();
        if *next + count > end {
            let data_plane = &world.data_planes[0];
            restart(data_plane.process(), data_plane.admin()).await?;
            *next = 0;
        }
        let tenants = *next..(*next + count).min(end);
        *next = tenants.end;
        let pairs = requests::cold(world, tenants, body).await?;
        let size = world.size;
        figures.add_times(size, &format!("{name}.cold"), &pairs.cold);
        figures.add_times(size, &format!("{name}.loaded"), &pairs.loaded);
        let p99 = |times: &[Duration]| millis(quantile(times, 0.99));
        let added = p99(&pairs.cold) - p99(&pairs.loaded);
        figures.add_round(size, &format!("{name}.added"), added);
        Ok(())
    }

    async fn loaded(&self, figures: &mut Figures) -> Result<()> {
        let is_alone = self.many[0].size == self.few.size;
        let few = (!is_alone).then_some(self.few);
        let worlds: Vec<&World> = few.into_iter().chain(self.many).collect();
        for world in &worlds {
            let data_plane = &world.data_planes[0];
            let active = self.options.active_of(world.size);
            world.load(data_plane, 0..active).await?;
            world.await_quiet().await?;
        }
        for _ in 0..self.options.rounds {
            for world in &worlds {
                let active = self.options.active_of(world.size);
                let times = requests::loaded(world, active, self.options.requests).await?;
                figures.add_times(world.size, "loaded", &times);
            }
        }
        let base = figures.median_of_rounds(self.few.size, "loaded.p99");
        for world in self.many {
            let own = figures.median_of_rounds(world.size, "loaded.p99");
            if let (Some(base), Some(own)) = (base, own) {
                figures.set(world.size, "loaded.ratio", own / base);
            }
        }
        Ok(())
    }

    async fn fleetwide(&self, figures: &mut Figures) -> Result<()> {
        for round in 0..self.options.rounds {
            for world in self.many {
                world.await_quiet().await?;
                let mut reached = vec![("quota", fleetwide::quota(world, round).await?)];
                if !self.options.plain {
                    world.await_quiet().await?;
                    reached.push(("template", fleetwide::template(world).await?));
                }
                for (name, reach) in reached {
                    let size = world.size;
                    figures.add_round(size, &format!("{name}.messages"), reach.messages);
                    figures.add_round(size, &format!("{name}.ms"), millis(reach.in_force));
                }
            }
        }
        Ok(())
    }

    async fn edits(&self, figures: &mut Figures) -> Result<()> {
        let Options {
            edits, seed, rest, ..
        } = *self.options;
        for world in self.many {
            let rest = Duration::from_secs(rest);
            let outcome = edits::run(world, edits, rest, seed).await?;
            let times = |(before, after): (u64, u64)| after as f64 / before as f64;
            figures.set(world.size, "edits.controller", times(outcome.controller));
            figures.set(world.size, "edits.dataplane", times(outcome.data_plane));
            figures.set(world.size, "edits.rate", outcome.rate);
        }
        Ok(())
    }
}

/// Reads what a controller reads at its start, and does nothing with it.
async fn bare_list(world: &World) -> Result<Duration> {
    let begun = Instant::now();
    let kinds = [
        "/apis/turnpike.dev/v1alpha1/airoutes",
        "/apis/turnpike.dev/v1alpha1/consumers",
        "/api/v1/namespaces",
    ];
    try_join_all(kinds.map(|kind| world.api.list(kind))).await?;
    Ok(begun.elapsed())
}
