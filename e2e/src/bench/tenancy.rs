//! `tenancy`: how soon it is in force that somebody shall have less, or something else: a provider's
//! key replaced, a grant withdrawn, a consumer suspended, its key revoked, a provider blocked; and how
//! soon a condition tells of a bad apply. A real API server, one controller, two data planes; each
//! time runs from the API server's answer until both data planes, or a watch, show it.

mod report;
mod world;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;
use serde_json::{Value, json};

use self::world::World;
use crate::fleet::{Controller, DataPlane, Source};
use crate::gateway::Gateway;
use crate::kubernetes::Cluster;
use crate::places;

pub use self::report::{Report, Row};

/// Statuses that show a change; 200 shows that it is undone.
struct Change {
    what: &'static str,
    path: String,
    there: Value,
    back: Value,
    shown_by: &'static [u16],
}

/// How much is measured.
#[derive(Debug, Args)]
pub struct Options {
    /// Changes of each kind, one after the other
    #[arg(long, default_value_t = 200)]
    pub samples: usize,
    /// Where all figures go as JSON, besides
    #[arg(long)]
    pub json: Option<PathBuf>,
}

/// Runs it and prints the table.
pub async fn run(options: Options) -> Result<()> {
    let cluster = Cluster::shared()?;
    let folder = places::run_folder()?.join("tenancy");
    let controller = Controller::start(&folder, Source::Cluster(cluster)).await?;
    let first = DataPlane::start(&folder, "dataplane-0", &controller, None).await?;
    let second = DataPlane::start(&folder, "dataplane-1", &controller, None).await?;
    let gateways = [first.gateway(), second.gateway()];
    let report = measure(cluster, gateways, options.samples).await?;
    report.print();
    if let Some(file) = &options.json {
        std::fs::write(file, report.json().to_string())?;
    }
    Ok(())
}

/// Measures on data planes of a controller that serves any host.
pub async fn measure(cluster: &Cluster, gateways: [&Gateway; 2], samples: usize) -> Result<Report> {
    ensure!(samples > 0, "nothing to measure");
    let world = World::build(cluster, gateways).await?;
    let outcome = measure_all(&world, samples).await;
    world.remove(cluster).await?;
    outcome
}

async fn measure_all(world: &World<'_>, samples: usize) -> Result<Report> {
    let mut rows = vec![Row {
        what: "key of a provider replaced → sent to it",
        times: rotate(world, samples).await?,
    }];
    eprintln!("keys replaced");
    for change in changes(world) {
        rows.push(Row {
            times: repeat(world, &change, samples).await?,
            what: change.what,
        });
        eprintln!("{}", change.what);
    }
    rows.push(Row {
        what: "bad reference applied → ResolvedRefs=False",
        times: bad_references(world, samples).await?,
    });
    rows.push(Row {
        what: "bad URL applied → Accepted=False",
        times: bad_urls(world, samples).await?,
    });
    Ok(Report { rows })
}

fn changes(world: &World<'_>) -> [Change; 4] {
    [
        Change {
            what: "grant withdrawn → refused",
            path: world.provider_path(),
            there: json!({"spec": {"grants": null}}),
            back: json!({"spec": {"grants": world.grants()}}),
            shown_by: &[404, 503],
        },
        Change {
            what: "consumer suspended → refused",
            path: world.consumer_path(),
            there: json!({"spec": {"state": "Suspended"}}),
            back: json!({"spec": {"state": "Active"}}),
            shown_by: &[403],
        },
        Change {
            what: "key of a consumer revoked → refused",
            path: world.consumer_path(),
            there: json!({"spec": {"apiKeys": null}}),
            back: json!({"spec": {"apiKeys": world.api_keys()}}),
            shown_by: &[401],
        },
        Change {
            what: "provider blocked → refused",
            path: world.provider_path(),
            there: json!({"spec": {"state": "Blocked"}}),
            back: json!({"spec": {"state": "Active"}}),
            shown_by: &[503],
        },
    ]
}

/// Replaces the provider's key, until it got the new one from both data planes.
async fn rotate(world: &World<'_>, samples: usize) -> Result<Vec<Duration>> {
    let mut times = Vec::with_capacity(samples);
    for number in 0..samples {
        let key = format!("sk-bench-{number:06}-0123456789abcdef");
        let secret = json!({"stringData": {"k": &key}});
        let written = world.merge(&world.secret_path(), &secret).await?;
        let expected = format!("Bearer {key}");
        for gateway in world.gateways {
            world
                .until(written.at, async || {
                    let is_answered = world.ask(gateway).await? == 200;
                    let sent = world.model.last()?;
                    Ok(is_answered && sent.header("authorization") == Some(&expected))
                })
                .await?;
        }
        times.push(written.at.elapsed());
    }
    Ok(times)
}

/// Makes a change and undoes it; the times of the first.
async fn repeat(world: &World<'_>, change: &Change, samples: usize) -> Result<Vec<Duration>> {
    let mut times = Vec::with_capacity(samples);
    for _ in 0..samples {
        let written = world.merge(&change.path, &change.there).await?;
        for gateway in world.gateways {
            world
                .until(written.at, async || {
                    Ok(change.shown_by.contains(&world.ask(gateway).await?))
                })
                .await?;
        }
        times.push(written.at.elapsed());
        let undone = world.merge(&change.path, &change.back).await?;
        for gateway in world.gateways {
            world
                .until(undone.at, async || Ok(world.ask(gateway).await? == 200))
                .await?;
        }
    }
    Ok(times)
}

async fn bad_references(world: &World<'_>, samples: usize) -> Result<Vec<Duration>> {
    let with = |provider: &str| json!({"spec": {"rules": [{"backendRefs": [{"name": provider}]}]}});
    let path = world.path("airoutes", "bad");
    let forms = [with("nothing"), with("bad")];
    conditions(world, &path, &forms, "ResolvedRefs", samples).await
}

async fn bad_urls(world: &World<'_>, samples: usize) -> Result<Vec<Duration>> {
    let with = |port: u32| json!({"spec": {"url": format!("http://127.0.0.1:{port}/v1")}});
    let path = world.path("aiproviders", "bad");
    conditions(world, &path, &[with(99_999), with(9)], "Accepted", samples).await
}

/// Applies a bad form and then a good one; the times until a watch tells of the bad one.
async fn conditions(
    world: &World<'_>,
    path: &str,
    [bad, good]: &[Value; 2],
    condition: &str,
    samples: usize,
) -> Result<Vec<Duration>> {
    let mut watch = world.watch(path).await?;
    let mut times = Vec::with_capacity(samples);
    for _ in 0..samples {
        let written = world.merge(path, bad).await?;
        let told = watch.until(&written, condition, "False").await?;
        times.push(told.saturating_duration_since(written.at));
        let mended = world.merge(path, good).await?;
        watch.until(&mended, condition, "True").await?;
    }
    Ok(times)
}
