//! `fleet`: more than one machine can be given. The real index, compile and serve code of a
//! controller with synthetic objects instead of an API server, and with simulated data planes in
//! the same process; nothing goes through a socket, and no status is written.

mod changes;
mod client;
mod report;
mod streams;
mod tenants;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, ensure};
use clap::Args;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use turnpike_controller::compile;
use turnpike_controller::config::PLATFORM_NAMESPACE;
use turnpike_controller::index::Index;
use turnpike_controller::index::hostnames::HostnamePolicy;
use turnpike_controller::serve::Hub;
use turnpike_controller::source::{Event, Kind};
use turnpike_controller::world::World;
use turnpike_snapshot::Version;
use turnpike_snapshot::credential::FleetKey;

use self::changes::{Change, Reach};
use self::streams::Streams;
use self::tenants::Tenants;
use crate::bench::memory;

pub use self::report::{
    ChangeCost, Churned, Delivered, IndexSize, Reconnected, Report, Subscribed,
};

/// The hosts that tenants may claim.
const HOSTNAMES: &str = "{namespace}.maas.example.com";

/// A change of all tenants for so many of one.
const FLEET_SHARE: usize = 20;

/// How much is simulated.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Tenants in the index: each a Namespace, an AIRoute with one host, and a Consumer
    #[arg(long, default_value_t = 1_000_000)]
    pub domains: u32,
    /// Data planes
    #[arg(long, default_value_t = 1000)]
    pub streams: usize,
    /// Tenants that each data plane asks for, drawn by Zipf's law
    #[arg(long, default_value_t = 1000)]
    pub interest: usize,
    /// Changes of each kind that are applied and compiled without streams; of those that concern
    /// all tenants a twentieth
    #[arg(long, default_value_t = 2000)]
    pub changes: usize,
    /// Changes of each kind that are delivered
    #[arg(long, default_value_t = 50)]
    pub deliveries: usize,
    /// Rounds of churn
    #[arg(long, default_value_t = 20)]
    pub rounds: usize,
    /// Tenants that each stream gives up and asks for in a round
    #[arg(long, default_value_t = 10)]
    pub redrawn: usize,
    /// Routes that change in a round
    #[arg(long, default_value_t = 200)]
    pub edits: usize,
    /// Routes with rules and a provider of their own instead of the platform's template
    #[arg(long)]
    pub plain: bool,
    /// Of everything that is drawn
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Where all figures go as JSON, besides
    #[arg(long)]
    pub json: Option<PathBuf>,
}

/// Runs it and prints the tables.
pub async fn run(options: Options) -> Result<()> {
    let report = simulate(&options).await?;
    report.print();
    if let Some(file) = &options.json {
        std::fs::write(file, report.json().to_string())?;
    }
    Ok(())
}

/// Runs it.
pub async fn simulate(options: &Options) -> Result<Report> {
    ensure!(
        options.domains > 0 && options.streams > 0,
        "nothing to simulate"
    );
    let tenants = Tenants {
        fleet_key: FleetKey::new("simulated", vec![7; 32]),
        is_plain: options.plain,
    };
    let mut random = SmallRng::seed_from_u64(options.seed);
    let mut report = Report::default();
    let policy = HostnamePolicy::new([HOSTNAMES.parse()?]);
    let mut index = Index::new(vec![tenants.fleet_key.clone()], PLATFORM_NAMESPACE)
        .with_hostname_policy(policy);
    report.index = build(&mut index, &tenants, options.domains)?;
    let kinds = || Change::ALL.into_iter().filter(|kind| kind.exists(&tenants));
    for kind in kinds() {
        let cost = measure(&mut index, &tenants, kind, options, &mut random)?;
        report.changes.push(cost);
    }
    eprintln!("changes applied and compiled");

    let world = World::new(index, Hub::new());
    let mut streams = Streams::new(tenants.clone(), world, options.domains, random);
    report.subscribed = streams.subscribe(options.streams, options.interest).await?;
    eprintln!("{} streams subscribed", options.streams);
    for kind in kinds() {
        let delivered = streams.change(kind, options.deliveries).await?;
        report.deliveries.push(delivered);
    }
    eprintln!("changes delivered");
    let Options {
        rounds,
        redrawn,
        edits,
        ..
    } = *options;
    report.churn = streams.churn(rounds, redrawn, edits).await?;
    eprintln!("churned");
    report.reconnected = streams.reconnect(&mut report.churn).await?;
    Ok(report)
}

/// Fills the index; its size at a tenth and at the end.
fn build(index: &mut Index, tenants: &Tenants, domains: u32) -> Result<Vec<IndexSize>> {
    let empty = memory::own()?.now;
    let begun = Instant::now();
    for event in tenants.platform()? {
        index.apply(event);
    }
    let mut sizes = Vec::new();
    for tenant in 0..domains {
        for event in tenants.all(tenant)? {
            index.apply(event);
        }
        let count = tenant + 1;
        if count == domains || count == domains.div_ceil(10) {
            let size = IndexSize {
                domains: count,
                bytes: memory::own()?.now.saturating_sub(empty),
                took: begun.elapsed(),
            };
            eprintln!("{count} domains in the index");
            sizes.push(size);
        }
    }
    for kind in Kind::ALL {
        index.apply(Event::Synced(kind));
    }
    Ok(sizes)
}

/// Applies one kind of change to tenants at random, and compiles what each touched.
fn measure(
    index: &mut Index,
    tenants: &Tenants,
    kind: Change,
    options: &Options,
    random: &mut SmallRng,
) -> Result<ChangeCost> {
    let mut cost = ChangeCost {
        kind: kind.name(),
        apply: Vec::with_capacity(options.changes),
        compile: Vec::with_capacity(options.changes),
        names: 0,
    };
    let times = match kind.reach(tenants) {
        Reach::Tenant => options.changes,
        Reach::Fleet => options.changes.div_ceil(FLEET_SHARE),
    };
    for form in 1..=times as u64 {
        let tenant = random.random_range(0..options.domains);
        if let Some(prior) = kind.prior() {
            index.apply(prior.event(tenants, tenant, form)?);
        }
        let event = kind.event(tenants, tenant, form)?;
        let begun = Instant::now();
        let touched = index.apply(event);
        cost.apply.push(begun.elapsed());
        let begun = Instant::now();
        for name in &touched.names {
            if let Some(snapshot) = compile::snapshot(index, name) {
                std::hint::black_box(Version::of(&snapshot));
            }
        }
        cost.compile.push(begun.elapsed());
        cost.names = cost.names.max(touched.names.len());
        if let Some(undo) = kind.undo() {
            index.apply(undo.event(tenants, tenant, form)?);
        }
    }
    Ok(cost)
}
