//! The `turnpike-controller` command: reads flags, sets the process up, runs.
//!
//! Exit status: 0 after a clean end, 2 for a mistake in flags, else 1.

use std::io;
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;
use tracing_subscriber::EnvFilter;
use turnpike_controller::config::{Config, Flags};
use turnpike_controller::run::Controller;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let config = match Flags::parse().into_config() {
        Ok(config) => config,
        Err(mistake) => {
            eprintln!("error: {mistake}");
            return ExitCode::from(2);
        }
    };
    match start(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(config: Config) -> anyhow::Result<()> {
    let provider = rustls::crypto::ring::default_provider();
    provider
        .install_default()
        .map_err(|_| anyhow!("another TLS provider is installed already"))?;
    tracing_subscriber::fmt()
        .json()
        .with_writer(io::stderr)
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()))
        .init();
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?
        .block_on(run(config))
}

async fn run(config: Config) -> anyhow::Result<()> {
    let shutdown = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    let signalled = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        info!("shutting down");
        shutdown.cancel();
        std::future::pending().await
    };
    tokio::select! {
        ended = serve(config, shutdown.clone()) => ended,
        () = signalled => Ok(()),
    }
}

async fn serve(config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
    let binding = Controller::bind(config);
    let Some(controller) = shutdown.run_until_cancelled(binding).await else {
        return Ok(());
    };
    let controller = controller?;
    info!(
        listen = controller.listen_address().map(tracing::field::display),
        admin = controller.admin_address().map(tracing::field::display),
        "listening"
    );
    controller.run(shutdown).await
}
