//! `handshakes`: what TLS costs a data plane with many certificates, of which some are hot.
//!
//! A controller reads a folder with a Secret and a route for each of many hosts; a data plane learns
//! of a host by its first handshake. Memory is read once every hot host was asked for by one full
//! handshake; then CPU time of a full and of a resumed one is compared with a plain rustls server
//! of one certificate, in turns. Measured programs run on one core, the load on the other. A
//! handshake ends with the close of its connection; no request is sent.

mod certificates;
mod plain;
mod shaker;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use tokio::time::sleep;

use self::certificates::{Authority, PLAIN, host};
use self::shaker::Shaker;
use crate::bench::verdict::{self, Judged};
use crate::bench::{cpu, median, memory, micros, role};
use crate::eventually::eventually;
use crate::fleet::{Controller, DataPlane, Source};
use crate::places;
use crate::ports::free_address;
use crate::process::Process;

pub use self::plain::serve;

/// Resident memory of the data plane with all hot certificates, in MB.
const MEMORY: f64 = 200.0;
/// CPU time of a full handshake, in times that of plain rustls.
const FULL: f64 = 1.2;
/// How long the controller may take to read the folder.
const PATIENCE: Duration = Duration::from_secs(1800);
/// After which a program has given back what memory it gives back soon.
const SETTLED: Duration = Duration::from_secs(5);
const MEGABYTE: f64 = 1e6;

/// How much is measured.
#[derive(Debug, Args)]
pub struct Options {
    /// Certificates that the controller knows
    #[arg(long, default_value_t = 50_000)]
    certificates: usize,
    /// Of these the ones that are shown
    #[arg(long, default_value_t = 5_000)]
    hot: usize,
    /// Rounds in which the servers take turns, after one that warms up; figures are medians
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Handshakes a round and server, of each kind
    #[arg(long, default_value_t = 2_000)]
    handshakes: usize,
    /// Connections at a time
    #[arg(long, default_value_t = 8)]
    connections: usize,
}

/// Runs it and prints the table.
pub async fn run(options: Options) -> Result<()> {
    ensure!(
        0 < options.hot && options.hot <= options.certificates,
        "more hot certificates than there are"
    );
    role::pin(std::process::id(), role::LOAD)?;
    let folder = places::run_folder()?.join("handshakes");
    let world = World::start(&folder, &options).await?;
    let mut rows = world.memory(&options).await?;
    rows.extend(world.cpu(&options).await?);
    verdict::print("handshakes", &rows);
    Ok(())
}

struct World {
    authority: Authority,
    data_plane: DataPlane,
    plain: (std::net::SocketAddr, Process),
    _controller: Controller,
}

impl World {
    async fn start(folder: &Path, options: &Options) -> Result<Self> {
        let authority = Authority::make()?;
        let files = folder.join("resources");
        std::fs::create_dir_all(&files)?;
        std::fs::write(files.join("shared.yaml"), certificates::shared())?;
        let controller = Controller::start(folder, Source::Folder(&files)).await?;
        write_all(&authority, folder, &files, options.certificates)?;
        await_known(&controller, options.certificates).await?;
        let address = free_address()?;
        let [chain, key] = authority.write_plain(folder)?;
        let flags: [(&str, &Path); 2] = [("--chain", &chain), ("--key", &key)];
        let plain = role::start(folder, "serve-tls", address, &flags)?;
        let data_plane = DataPlane::start(folder, "dataplane", &controller, None).await?;
        for process in [&plain, data_plane.process()] {
            role::pin(process.id().context("it runs")?, role::MEASURED)?;
        }
        Ok(Self {
            authority,
            data_plane,
            plain: (address, plain),
            _controller: controller,
        })
    }

    /// One full handshake with every hot host.
    async fn memory(&self, options: &Options) -> Result<Vec<Judged>> {
        let resident = || memory::of(id(self.data_plane.process())?);
        let idle = resident()?;
        let shaker = Shaker::full(&self.authority)?;
        let hosts = (0..options.hot).map(host);
        let begun = Instant::now();
        shaker
            .shake(self.data_plane.tls(), hosts, options.connections)
            .await?;
        eprintln!("{} hosts: shown in {:.1?}", options.hot, begun.elapsed());
        sleep(SETTLED).await;
        let hot = resident()?;
        let megabytes = |bytes: u64| bytes as f64 / MEGABYTE;
        let each = hot.now.saturating_sub(idle.now) as f64 / options.hot as f64;
        let known = options.certificates as f64;
        Ok(vec![
            Judged::told("certificates that the controller knows", known),
            Judged::told("  of them hot", options.hot as f64),
            Judged::told("data plane memory, none shown, MB", megabytes(idle.now)),
            Judged::at_most("  all hot ones shown once, MB", megabytes(hot.now), MEMORY),
            Judged::told("  the most so far, MB", megabytes(hot.peak)),
            Judged::told("  of that a certificate, KB", each / 1e3),
        ])
    }

    async fn cpu(&self, options: &Options) -> Result<Vec<Judged>> {
        let full = Shaker::full(&self.authority)?;
        let [ours, plain] = self.compare(&full, options, options.hot).await?;
        let resuming = Shaker::resuming(&self.authority)?;
        // As many names as a caller keeps sessions of.
        let few = options.hot.min(shaker::SESSIONS);
        let [our_resumed, plain_resumed] = self.compare(&resuming, options, few).await?;
        Ok(vec![
            Judged::told("CPU of a full handshake, plain rustls, µs", plain),
            Judged::told("  the data plane, µs", ours),
            Judged::at_most("  in times that of plain rustls", ours / plain, FULL),
            Judged::told(
                "CPU of a resumed handshake, plain rustls, µs",
                plain_resumed,
            ),
            Judged::told("  the data plane, µs", our_resumed),
            Judged::told(
                "  in times that of plain rustls",
                our_resumed / plain_resumed,
            ),
        ])
    }

    /// Microseconds of CPU time a handshake, of the data plane and of the plain server.
    async fn compare(&self, shaker: &Shaker, options: &Options, names: usize) -> Result<[f64; 2]> {
        let (plain, process) = &self.plain;
        let targets = [
            (self.data_plane.tls(), self.data_plane.process()),
            (*plain, process),
        ];
        let mut figures: [Vec<f64>; 2] = Default::default();
        for round in 0..=options.rounds {
            for ((address, process), figures) in targets.iter().zip(&mut figures) {
                let hosts = (0..options.handshakes).map(|number| match address == plain {
                    true => PLAIN.to_owned(),
                    false => host(number % names),
                });
                let before = cpu::time_of(id(process)?)?;
                let kinds = shaker.shake(*address, hosts, options.connections).await?;
                let took = cpu::time_of(id(process)?)? - before;
                // The first round warms up, and makes the sessions that the others resume.
                if round > 0 {
                    kinds.check(shaker.resumes())?;
                    figures.push(micros(took) / options.handshakes as f64);
                }
            }
            eprintln!("{}: round {round} of {}", shaker.name(), options.rounds);
        }
        Ok(figures.map(|figures| median(&figures)))
    }
}

fn id(process: &Process) -> Result<u32> {
    process.id().context("it does not run")
}

/// Moves all files into the controller's folder at once, so that it reads them once.
fn write_all(authority: &Authority, folder: &Path, files: &Path, count: usize) -> Result<()> {
    let begun = Instant::now();
    let made = folder.join("made");
    authority.write_all(&made, count)?;
    std::fs::rename(&made, files.join("hosts")).context("moving the certificates")?;
    eprintln!("{count} certificates: made in {:.1?}", begun.elapsed());
    Ok(())
}

/// Waits until the controller has a route and a Secret for each.
async fn await_known(controller: &Controller, count: usize) -> Result<()> {
    let begun = Instant::now();
    loop {
        controller.process().check_runs()?;
        let page = eventually("the index is shown", async || {
            controller.debug_index("").await
        });
        let objects = &page.await?["objects"];
        let known = |kind| objects[kind].as_u64().context("no count of objects");
        let fewer = known("AIRoute")?.min(known("Secret")?);
        if fewer >= count as u64 {
            eprintln!("{count} certificates: known after {:.1?}", begun.elapsed());
            return Ok(());
        }
        ensure!(begun.elapsed() < PATIENCE, "only {fewer} hosts are known");
        sleep(Duration::from_millis(200)).await;
    }
}
