//! `proxy`: what a request, an event and an open stream cost in a data plane with route, key, quota,
//! metrics and log on, beside a bare hyper proxy and nginx, all before the same model server.
//!
//! The proxies run on one core, load and model server on the other, so that CPU time is one core's.

mod nginx;
mod open;
mod scenario;
mod world;

use anyhow::{Result, bail};
use clap::Args;

use self::scenario::Scenario;
use self::world::World;
use crate::places;

pub(super) use self::nginx::start as start_nginx;
pub(super) use self::world::itself;

/// What is held open, by the name of its table.
const OPEN: [(&str, open::Kind); 2] = [
    ("open", open::Kind::EventStream),
    ("sockets", open::Kind::WebSocket),
];

/// How much is measured.
#[derive(Debug, Args)]
pub struct Options {
    /// Rounds; the targets take turns in each, figures are medians of rounds
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Plain requests a round and target; streams and requests at a slow rate are fewer
    #[arg(long, default_value_t = 10_000)]
    requests: usize,
    /// Connections while CPU time is measured
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Streams that are open at once while memory is measured
    #[arg(long, default_value_t = 2_000)]
    open: usize,
    /// Counts in a redis-server of its own instead of in memory
    #[arg(long)]
    redis: bool,
    /// Measures only what this names: plain, large, burst, paced, translated, rate, delay, open or sockets
    #[arg(long)]
    only: Option<String>,
}

/// Runs it and prints the tables.
pub async fn run(options: Options) -> Result<()> {
    world::pin_load()?;
    let folder = places::run_folder()?;
    let world = World::start(&folder, options.redis).await?;
    let is_wanted = |name: &str| options.only.as_deref().is_none_or(|only| only == name);
    let names = Scenario::all().map(|scenario| scenario.name);
    if let Some(only) = &options.only
        && !OPEN.map(|(name, _)| name).contains(&only.as_str())
        && !names.contains(&only.as_str())
    {
        bail!("--only {only}: give {}, open or sockets", names.join(", "));
    }
    for scenario in Scenario::all() {
        if is_wanted(scenario.name) {
            scenario.run(&world, &options).await?;
        }
    }
    drop(world);
    for (name, kind) in OPEN {
        if is_wanted(name) {
            // Programs of its own: what others have let go of would be taken again unseen.
            let folder = folder.join(name);
            std::fs::create_dir_all(&folder)?;
            let world = World::start(&folder, options.redis).await?;
            open::run(&world, kind, options.open).await?;
        }
    }
    Ok(())
}
