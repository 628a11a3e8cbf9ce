//! Builds every part and runs them.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access_log::AccessLog;
use crate::config::Config;
use crate::gateway::Gateway;
use crate::listen::Listener;
use crate::metrics::Metrics;
use crate::quota::{self, Estimator, MemoryStore, QuotaSettings, Quotas};
use crate::store::demand::Controllers;
use crate::store::{Bounds, Store};
use crate::upstream::Pool;

/// A data plane whose ports are bound.
pub struct DataPlane {
    config: Config,
    listener: Listener,
    gateway: Arc<Gateway>,
}

impl DataPlane {
    /// Binds the ports and builds the parts.
    pub async fn bind(config: Config) -> anyhow::Result<Self> {
        let listener = Listener::bind(config.listen)
            .await
            .with_context(|| format!("binding {}", config.listen))?;
        let store = Store::new(config.load_timeout, Bounds::default());
        let counting = quota::Store::Memory(MemoryStore::default());
        let (quotas, _) = Quotas::spawn(
            counting,
            Arc::default(),
            QuotaSettings::default(),
            CancellationToken::new(),
        );
        let (access_log, _) =
            AccessLog::spawn(std::io::stdout()).context("starting the access log")?;
        let gateway = Arc::new(Gateway {
            store,
            quotas,
            estimator: Estimator::default(),
            upstream: Pool::new(),
            metrics: Arc::new(Metrics::default()),
            access_log,
            settling: TaskTracker::new(),
        });
        Ok(Self {
            config,
            listener,
            gateway,
        })
    }

    /// Gives the address that callers connect to.
    pub fn listen_address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// Serves until `shutdown`, then drains.
    pub async fn run(
        self,
        _controllers: Controllers,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        self.listener
            .serve(self.gateway, self.config.drain, shutdown)
            .await;
        Ok(())
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
