//! `turnpike serve`: a controller over a directory and a data plane, joined by
//! pipes within this process. Snapshots travel as they do between machines.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use anyhow::{Context, anyhow};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;
use turnpike_controller::config::PLATFORM_NAMESPACE;
use turnpike_controller::run::Controller;
use turnpike_controller::serve::grpc::Dialer;
use turnpike_controller::source::directory;
use turnpike_controller::world::World;
use turnpike_dataplane::config::{ByteSize, CallerFlags};
use turnpike_dataplane::listen::Drain;
use turnpike_dataplane::store::Limits;
use turnpike_dataplane::store::demand::{BoxIo, Controllers};
use turnpike_dataplane::upstream::Addresses;
use turnpike_dataplane::{Config, DataPlane, machine};

use crate::directory::Directory;
use crate::greeting::{self, Started};

/// As a data plane of its own process ends by default.
const DRAIN: Drain = Drain {
    delay: Duration::ZERO,
    limit: Duration::from_secs(600),
};
/// The controller is in this process: an answer that takes longer will not come.
const LOAD_TIMEOUT: Duration = Duration::from_secs(5);
/// What `turnpike serve` tells whoever looks at a directory for the first time.
const NOTES: &str = "NOTES.txt";

/// What goes wrong, and what becomes of resources.
const LOGGED: &str = "warn,turnpike_controller::status=info";

/// The flags of `turnpike serve`.
#[derive(Args)]
pub(crate) struct Flags {
    #[command(flatten)]
    directory: Directory,

    /// Where callers connect; HTTP/1.1 and cleartext HTTP/2
    #[arg(
        long,
        env = "TURNPIKE_LISTEN",
        value_name = "ADDR",
        default_value = "127.0.0.1:8080"
    )]
    listen: SocketAddr,

    /// Where callers connect over TLS, with the certificates that routes name; HTTP/1.1 and HTTP/2.
    /// Default: nowhere
    #[arg(long, env = "TURNPIKE_LISTEN_TLS", value_name = "ADDR")]
    listen_tls: Option<SocketAddr>,

    #[command(flatten)]
    callers: CallerFlags,

    /// Where /livez, /readyz and /metrics are answered
    #[arg(
        long,
        env = "TURNPIKE_ADMIN",
        value_name = "ADDR",
        default_value = "127.0.0.1:9090"
    )]
    admin: SocketAddr,

    /// A Redis to count in; without one, counters are in memory and end with the process
    #[arg(long, env = "TURNPIKE_REDIS", value_name = "URL")]
    redis: Option<String>,

    /// Bytes of request bodies and answers that may be held in memory, such as 512MiB; beyond it
    /// requests are refused with 503. Default: 70 % of the container's memory limit, if it has one
    #[arg(long, env = "TURNPIKE_MEMORY_BUDGET", value_name = "BYTES")]
    memory_budget: Option<ByteSize>,
}

/// Runs until SIGINT or SIGTERM; a second one does not wait for open requests.
pub(crate) fn run(flags: Flags) -> anyhow::Result<ExitCode> {
    flags.directory.path()?;
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow!("another TLS provider is installed already"))?;
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_target(false)
        .with_ansi(io::stderr().is_terminal())
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| LOGGED.into()))
        .init();
    machine::raise_descriptors();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(machine::workers())
        .enable_all()
        .build()
        .context("starting the runtime")?
        .block_on(serve(flags))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(flags: Flags) -> anyhow::Result<()> {
    let path = flags.directory.path()?;
    let shutdown = CancellationToken::new();
    let (controller, dialer) = Controller::from_directory(path, PLATFORM_NAMESPACE)?;
    let world = controller.world();
    let data_plane = DataPlane::bind(config(&flags)).await?;

    // Outlives the data plane's drain: open requests may still need a credential.
    let stop_controller = CancellationToken::new();
    let mut controller = tokio::spawn(controller.run(stop_controller.clone()));
    let serving = async {
        world
            .synced()
            .wait_for(|synced| *synced)
            .await
            .context("reading the directory")?;
        greet(path, &world, &data_plane)?;
        // The controller ends with the last dialer: this one is kept until the data plane is done.
        data_plane
            .run(controllers(dialer.clone()), shutdown.clone())
            .await
    };
    let ended = tokio::select! {
        ended = serving => ended,
        () = signalled(shutdown.clone()) => Ok(()),
        ended = &mut controller => {
            ended.context("the controller")??;
            return Err(anyhow!("the controller ended"));
        }
    };
    stop_controller.cancel();
    controller.await.context("the controller")??;
    ended
}

fn config(flags: &Flags) -> Config {
    Config {
        name: "turnpike".into(),
        listen: flags.listen,
        listen_tls: flags.listen_tls,
        terms: flags.callers.clone().into_terms(),
        admin: flags.admin,
        redis: flags.redis.clone(),
        load_timeout: LOAD_TIMEOUT,
        limits: Limits::default(),
        state_dir: None,
        // People run models beside it.
        provider_addresses: Addresses::Any,
        drain: DRAIN,
        memory_budget: flags.memory_budget.map(|size| size.0),
    }
}

fn controllers(dialer: Dialer) -> Controllers {
    Controllers::Connector(Arc::new(move || {
        let dialer = dialer.clone();
        Box::pin(async move { Ok(Box::pin(dialer.dial().await?) as BoxIo) })
    }))
}

/// The first signal starts the drain; the second ends the wait.
async fn signalled(shutdown: CancellationToken) {
    let next = async || {
        let (Ok(mut terminate), Ok(mut interrupt)) = (
            signal(SignalKind::terminate()),
            signal(SignalKind::interrupt()),
        ) else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    next().await;
    eprintln!("turnpike: open requests finish; once more to end them");
    shutdown.cancel();
    next().await;
}

/// Says what is served.
fn greet(path: &Path, world: &World, data_plane: &DataPlane) -> anyhow::Result<()> {
    let faults = directory::check(path, PLATFORM_NAMESPACE)?.len();
    let hosts: Vec<String> = world.read(|index| index.hosts().map(str::to_owned).collect());
    let notes = fs::read_to_string(path.join(NOTES)).ok();
    eprint!(
        "{}",
        greeting::text(&Started {
            listen: data_plane.listen_address(),
            listen_tls: data_plane.listen_tls_address(),
            admin: data_plane.admin_address(),
            directory: path,
            hosts: &hosts,
            faults,
            notes: notes.as_deref(),
        })
    );
    Ok(())
}
