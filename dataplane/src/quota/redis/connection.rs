//! One connection to Redis that fails fast: each call bounded in time, a breaker before it, and a new
//! connection when the old one stays silent. Knows no quota.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{
    Client, ErrorKind, FromRedisValue, RedisError, RedisResult, ScriptInvocation, ServerErrorKind,
};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use super::super::breaker::{Breaker, THRESHOLD};
use super::super::counters::QuotaCounters;
use super::super::store::StoreError;
use super::server::{Primary, Server};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Commands waiting to be written; callers beyond it wait, within their call's timeout.
const PIPELINE: usize = 1024;
/// Failed probes after which the connection is renewed again: 2 s, longer than it may take to connect.
const RENEW_EVERY: u32 = 4;

/// Calls scripts, or says quickly that it cannot.
pub(super) struct Connection {
    line: Arc<Line>,
    call_timeout: Duration,
    breaker: Breaker,
    counters: Arc<QuotaCounters>,
}

/// The way to the server, as far as it is known.
struct Line {
    server: Server,
    config: ConnectionManagerConfig,
    /// `None`: Sentinels have not named a primary yet.
    manager: watch::Sender<Option<ConnectionManager>>,
    /// Whether Sentinels are being asked.
    is_searching: AtomicBool,
}

impl Connection {
    /// Prepares a connection; the first call makes it. Call it inside a Tokio runtime.
    pub(super) fn open(
        server: Server,
        call_timeout: Duration,
        counters: Arc<QuotaCounters>,
    ) -> RedisResult<Self> {
        // No retries inside a connection attempt: a call would wait for them. The next call, let
        // through by the breaker, starts the next attempt.
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(call_timeout))
            .set_pipeline_buffer_size(PIPELINE);
        let line = Arc::new(Line {
            server,
            config,
            manager: watch::Sender::new(None),
            is_searching: AtomicBool::new(false),
        });
        line.renew()?;
        Ok(Self {
            line,
            call_timeout,
            breaker: Breaker::default(),
            counters,
        })
    }

    /// Runs a script once, within the timeout.
    pub(super) async fn call<T: FromRedisValue>(
        &self,
        invocation: &ScriptInvocation<'_>,
    ) -> Result<T, StoreError> {
        if !self.breaker.try_pass(Instant::now()) {
            return Err(StoreError::Unavailable("it failed just now".to_owned()));
        }
        let result = match timeout(self.call_timeout, self.line.invoke(invocation)).await {
            Ok(reply) => reply,
            Err(_) => Err(StoreError::Timeout),
        };
        match &result {
            Err(error) if error.is_retryable() => self.report_failure(error),
            _ => self.report_success(),
        }
        result
    }

    fn report_success(&self) {
        if self.breaker.succeeded() {
            info!("quota store answers again");
            QuotaCounters::set(&self.counters.breaker_open, 0);
        }
    }

    fn report_failure(&self, error: &StoreError) {
        let failures = self.breaker.failed(Instant::now());
        if failures == THRESHOLD {
            warn!(%error, "quota store does not answer");
            QuotaCounters::set(&self.counters.breaker_open, 1);
        }
        if failures >= THRESHOLD && (failures - THRESHOLD).is_multiple_of(RENEW_EVERY) {
            // What cannot be made anew stays as it is.
            let _ = self.line.renew();
        }
    }
}

impl Line {
    async fn invoke<T: FromRedisValue>(
        &self,
        invocation: &ScriptInvocation<'_>,
    ) -> Result<T, StoreError> {
        let known = self.manager.borrow().clone();
        let mut manager = match known {
            Some(manager) => manager,
            None => self.first().await?,
        };
        let reply = invocation.invoke_async(&mut manager).await;
        reply.map_err(|error| classify(&error))
    }

    /// Waits until the Sentinels have named a primary.
    async fn first(&self) -> Result<ConnectionManager, StoreError> {
        let mut managers = self.manager.subscribe();
        let named = managers.wait_for(Option::is_some).await;
        let manager = named.ok().and_then(|named| named.clone());
        manager.ok_or_else(|| StoreError::Unavailable("no primary is known".to_owned()))
    }

    /// Starts over with a new connection: the old one may lead to a machine that is gone without a
    /// word, or to a primary that became a replica, and the client notices neither.
    fn renew(self: &Arc<Self>) -> RedisResult<()> {
        match &self.server {
            Server::Fixed(client) => self.connect((**client).clone()),
            Server::Named(primary) => {
                if !self.is_searching.swap(true, Ordering::AcqRel) {
                    tokio::spawn(self.clone().search(primary.clone()));
                }
                Ok(())
            }
        }
    }

    async fn search(self: Arc<Self>, primary: Primary) {
        let found = primary.find().await;
        if let Err(error) = found.and_then(|client| self.connect(client)) {
            warn!(%error, "Sentinels name no primary for quotas");
        }
        self.is_searching.store(false, Ordering::Release);
    }

    /// The first call makes the connection.
    fn connect(&self, client: Client) -> RedisResult<()> {
        let manager = ConnectionManager::new_lazy_with_config(client, self.config.clone())?;
        self.manager.send_replace(Some(manager));
        Ok(())
    }
}

/// Sorts Redis' errors by what is known of the call. What a busy, loading, read-only or full server
/// says is worth a later try; only a fault of the script or its data is not.
fn classify(error: &RedisError) -> StoreError {
    let kind = error.kind();
    let is_script_fault = kind == ErrorKind::Server(ServerErrorKind::ResponseError)
        && error.detail().is_some_and(|d| d.contains("user_script"));
    let is_final = matches!(
        kind,
        ErrorKind::UnexpectedReturnType | ErrorKind::Server(ServerErrorKind::CrossSlot)
    );
    if is_script_fault || is_final || error.code() == Some("WRONGTYPE") {
        StoreError::Refused(error.to_string())
    } else if error.is_io_error() && !error.is_connection_refusal() {
        StoreError::Timeout
    } else {
        StoreError::Unavailable(error.to_string())
    }
}
