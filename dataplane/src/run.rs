//! Builds every part and runs them.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::access_log::{AccessLog, Writer};
use crate::admin::{Admin, Health};
use crate::budget::{self, Budget, container_limit};
use crate::config::Config;
use crate::drains::Drains;
use crate::gateway::Gateway;
use crate::listen::{Door, Handshakes, Listener};
use crate::machine;
use crate::metrics::Metrics;
use crate::quota::{
    Estimator, MemoryStore, QuotaCounters, QuotaSettings, Quotas, RedisSettings, RedisStore,
    Store as QuotaStore, system_clock,
};
use crate::store::demand::{self, Controllers};
use crate::store::{Bounds, Limits, StateDir, Store, eviction};
use crate::upstream::Pool;

/// How long the end of the process may wait for requests that were cut: they notice at once, and each
/// call to the quota store is bounded far below this.
const SETTLED_WITHIN: Duration = Duration::from_secs(2);
/// How long the end of the process may wait for the access log's reader.
const LOG_WITHIN: Duration = Duration::from_secs(2);

/// A data plane whose ports are bound and whose parts are built.
pub struct DataPlane {
    config: Config,
    listener: Listener,
    tls: Option<(Listener, Arc<Handshakes>)>,
    door: Door,
    admin: Admin,
    gateway: Arc<Gateway>,
    quotas: Owned,
    log_writer: Writer,
    state_dir: Option<StateDir>,
}

/// A task, and how it is told to end.
struct Owned {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Owned {
    async fn end(self, what: &'static str) -> anyhow::Result<()> {
        self.stop.cancel();
        self.task.await.context(what)
    }
}

impl DataPlane {
    /// Binds the ports and builds the parts; nothing is served yet.
    pub async fn bind(config: Config) -> anyhow::Result<Self> {
        let listener = Listener::bind(config.listen)
            .with_context(|| format!("binding {} for callers", config.listen))?;
        let tls = match config.listen_tls {
            Some(address) => Some(
                Listener::bind(address)
                    .with_context(|| format!("binding {address} for callers over TLS"))?,
            ),
            None => None,
        };
        let admin = Admin::bind(config.admin)
            .await
            .with_context(|| format!("binding {} for health and metrics", config.admin))?;
        let (access_log, log_writer) =
            AccessLog::spawn(io::stdout()).context("starting the access log")?;
        let store = Store::new(config.load_timeout, Bounds::default());
        if tls.is_some() {
            store.follow_fleet_certificates();
        }
        let state_dir = open_state_dir(&store, config.state_dir.clone()).await?;
        let counters = Arc::new(QuotaCounters::default());
        let (quotas, quota_task) = spawn_quotas(config.redis.as_deref(), counters.clone())?;
        let budget = Budget::new(budget::Bounds::new(config.memory_budget, container_limit()));
        let lost = access_log.dropped_count();
        let metrics = Metrics::new(store.clone(), counters, lost, budget.clone());
        let metrics = Arc::new(metrics);
        let handshakes = Handshakes::new(store.clone(), metrics.clone());
        // Each connection of a caller may need another one to a provider.
        let door = Door::new(config.terms.clone(), machine::descriptors() / 2);
        let gateway = Arc::new(Gateway {
            store,
            quotas,
            estimator: Estimator::default(),
            upstream: Pool::new(config.provider_addresses.clone()),
            budget,
            drains: Drains::new(metrics.clone()),
            metrics,
            access_log,
            settling: TaskTracker::new(),
        });
        Ok(Self {
            config,
            listener,
            tls: tls.map(|listener| (listener, Arc::new(handshakes))),
            door,
            admin,
            gateway,
            quotas: quota_task,
            log_writer,
            state_dir,
        })
    }

    /// Gives the address that callers connect to.
    pub fn listen_address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// Gives the address that callers connect to over TLS; `None`: there is none.
    pub fn listen_tls_address(&self) -> Option<SocketAddr> {
        self.tls.as_ref().map(|(listener, _)| listener.address())
    }

    /// Gives the address of health and metrics.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin.address()
    }

    /// Serves until `shutdown`, then drains: not ready from that moment on, open
    /// requests finish, usage not written yet is written.
    pub async fn run(
        self,
        controllers: Controllers,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        let Self {
            config,
            listener,
            tls,
            door,
            admin,
            gateway,
            quotas,
            log_writer,
            state_dir,
        } = self;
        let disk = state_dir.map(|state_dir| spawn_disk(state_dir, &gateway.store));
        let demand = spawn_demand(&gateway.store, controllers, &config.name);
        let eviction = spawn_eviction(&gateway.store, config.limits);
        let admin = spawn_admin(admin, &gateway, &config.name, shutdown.clone());
        let in_the_clear = listener.serve(
            gateway.clone(),
            door.clone(),
            config.drain,
            shutdown.clone(),
        );
        let secured = async {
            if let Some((listener, handshakes)) = tls {
                let door = door.secured(handshakes);
                listener
                    .serve(gateway.clone(), door, config.drain, shutdown)
                    .await;
            }
        };
        tokio::join!(in_the_clear, secured);
        gateway.settling.close();
        let settled = timeout(SETTLED_WITHIN, gateway.settling.wait()).await;
        if settled.is_err() {
            warn!("requests that were cut have not ended; their usage may be lost");
        }
        drop(gateway);
        quotas.end("writing the last usage").await?;
        demand.end("closing the snapshot stream").await?;
        eviction.end("ending eviction").await?;
        if let Some(disk) = disk {
            disk.end("writing the last snapshots").await?;
        }
        write_out(log_writer).await;
        admin.end("closing the admin port").await
    }
}

/// Binds and runs.
pub async fn run(
    config: Config,
    controllers: Controllers,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    DataPlane::bind(config)
        .await?
        .run(controllers, shutdown)
        .await
}

fn spawn_quotas(
    redis: Option<&str>,
    counters: Arc<QuotaCounters>,
) -> anyhow::Result<(Quotas, Owned)> {
    let store = match redis {
        Some(url) => {
            let settings = RedisSettings::new(url);
            let store = RedisStore::open(&settings, counters.clone()).context("--redis")?;
            QuotaStore::Redis(Box::new(store))
        }
        None => QuotaStore::Memory(MemoryStore::new(system_clock())),
    };
    let stop = CancellationToken::new();
    let (quotas, task) = Quotas::spawn(store, counters, QuotaSettings::default(), stop.clone());
    Ok((quotas, Owned { stop, task }))
}

/// Waits for the last lines of the access log, on a thread that nobody waits for
/// should a connection that was cut still hold the log open.
async fn write_out(writer: Writer) {
    let (done, written) = oneshot::channel();
    let join = move || {
        writer.join();
        let _ = done.send(());
    };
    let spawned = std::thread::Builder::new()
        .name("access-log-end".into())
        .spawn(join);
    if spawned.is_err() || timeout(LOG_WITHIN, written).await.is_err() {
        warn!("the last lines of the access log may be lost");
    }
}

fn spawn_demand(store: &Store, controllers: Controllers, name: &str) -> Owned {
    let stop = CancellationToken::new();
    let run = demand::run(store.clone(), controllers, name.to_owned(), stop.clone());
    Owned {
        task: tokio::spawn(run),
        stop,
    }
}

/// What was on disk is in force before the listener takes anything.
async fn open_state_dir(store: &Store, path: Option<PathBuf>) -> anyhow::Result<Option<StateDir>> {
    let Some(path) = path else {
        return Ok(None);
    };
    let opened = spawn_blocking(move || StateDir::open(&path)).await;
    let (state_dir, restorable) = opened
        .context("reading --state-dir")?
        .context("--state-dir")?;
    store.restore(restorable);
    Ok(Some(state_dir))
}

fn spawn_disk(state_dir: StateDir, store: &Store) -> Owned {
    let stop = CancellationToken::new();
    Owned {
        task: tokio::spawn(state_dir.keep(store.clone(), stop.clone())),
        stop,
    }
}

fn spawn_eviction(store: &Store, limits: Limits) -> Owned {
    let stop = CancellationToken::new();
    let run = eviction::run(store.clone(), limits, stop.clone());
    Owned {
        task: tokio::spawn(run),
        stop,
    }
}

fn spawn_admin(admin: Admin, gateway: &Gateway, name: &str, draining: CancellationToken) -> Owned {
    let health = Health {
        name: name.into(),
        store: gateway.store.clone(),
        metrics: gateway.metrics.clone(),
        draining,
    };
    let stop = CancellationToken::new();
    Owned {
        task: tokio::spawn(admin.serve(health, stop.clone())),
        stop,
    }
}
