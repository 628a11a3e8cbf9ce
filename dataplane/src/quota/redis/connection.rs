//! One connection to Redis that fails fast: each call bounded in time, a breaker before it, and a new
//! connection when the old one stays silent. Knows no quota.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{
    Client, ErrorKind, FromRedisValue, RedisError, RedisResult, ScriptInvocation, ServerErrorKind,
};
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use super::super::breaker::{Breaker, THRESHOLD};
use super::super::counters::QuotaCounters;
use super::super::store::StoreError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Commands waiting to be written; callers beyond it wait, within their call's timeout.
const PIPELINE: usize = 1024;
/// Failed probes after which the connection is renewed again: 2 s, longer than it may take to connect.
const RENEW_EVERY: u32 = 4;

/// Calls scripts, or says quickly that it cannot.
pub(super) struct Connection {
    client: Client,
    config: ConnectionManagerConfig,
    manager: Mutex<ConnectionManager>,
    call_timeout: Duration,
    breaker: Breaker,
    counters: Arc<QuotaCounters>,
}

impl Connection {
    /// Prepares a connection; the first call makes it. Call it inside a Tokio runtime.
    pub(super) fn open(
        client: Client,
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
        let manager = ConnectionManager::new_lazy_with_config(client.clone(), config.clone())?;
        Ok(Self {
            client,
            config,
            manager: Mutex::new(manager),
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
        let mut connection = self.manager.lock().clone();
        let reply = timeout(self.call_timeout, invocation.invoke_async(&mut connection)).await;
        let result = match reply {
            Ok(reply) => reply.map_err(|error| classify(&error)),
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
            self.renew_connection();
        }
    }

    /// Starts over with a new connection: the old one may lead to a machine that is gone without a
    /// word, or to a primary that became a replica, and the client notices neither.
    fn renew_connection(&self) {
        let fresh =
            ConnectionManager::new_lazy_with_config(self.client.clone(), self.config.clone());
        if let Ok(fresh) = fresh {
            *self.manager.lock() = fresh;
        }
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
