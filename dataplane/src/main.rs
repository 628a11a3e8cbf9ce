//! The `turnpike-dataplane` command: reads flags, sets the process up, runs.
//!
//! Exit status: 0 after a clean end, 2 for a mistake in flags or in the state
//! directory, else 1.

use std::io;
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;
use tracing_subscriber::EnvFilter;
use turnpike_dataplane::config::Mistake;
use turnpike_dataplane::quota::redis::InvalidRedisUrl;
use turnpike_dataplane::store::StateDirError;
use turnpike_dataplane::{DataPlane, Flags, machine};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match start(Flags::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            let is_mistake = error.is::<Mistake>()
                || error.is::<InvalidRedisUrl>()
                || error.is::<StateDirError>();
            ExitCode::from(if is_mistake { 2 } else { 1 })
        }
    }
}

fn start(flags: Flags) -> anyhow::Result<()> {
    let provider = rustls::crypto::ring::default_provider();
    provider
        .install_default()
        .map_err(|_| anyhow!("another TLS provider is installed already"))?;
    tracing_subscriber::fmt()
        .json()
        .with_writer(io::stderr)
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()))
        .init();
    machine::raise_descriptors();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(machine::workers())
        .enable_all()
        .build()
        .context("starting the runtime")?
        .block_on(run(flags))
}

async fn run(flags: Flags) -> anyhow::Result<()> {
    let shutdown = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;

    let controllers = flags.controllers()?;
    let data_plane = DataPlane::bind(flags.into_config(name())).await?;
    info!(
        listen = %data_plane.listen_address(),
        listen_tls = data_plane.listen_tls_address().map(tracing::field::display),
        admin = %data_plane.admin_address(),
        workers = machine::workers(),
        descriptors = machine::descriptors(),
        "listening"
    );
    let signalled = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        info!("draining");
        shutdown.cancel();
        std::future::pending().await
    };
    tokio::select! {
        ended = data_plane.run(controllers, shutdown.clone()) => ended,
        () = signalled => Ok(()),
    }
}

/// The pod's name in a cluster, else the machine's; several on one machine differ by the process.
fn name() -> String {
    let host = std::env::var("HOSTNAME")
        .or_else(|_| std::fs::read_to_string("/proc/sys/kernel/hostname"))
        .unwrap_or_default();
    format!("{}-{}", host.trim(), std::process::id())
}
