//! Waiting for a condition, with one deadline for all tests.

use std::time::Duration;

use anyhow::{Result, anyhow};
use tokio::time::{Instant, sleep};

/// How long anything may take to become true. Generous, as tests may share a slow machine; what
/// must be fast is measured by the benchmarks.
pub const DEADLINE: Duration = Duration::from_secs(30);

const PAUSE: Duration = Duration::from_millis(50);

/// Tries until it succeeds; after the deadline, the last error, with `what` was waited for.
pub async fn eventually<T>(what: &str, mut attempt: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let end = Instant::now() + DEADLINE;
    loop {
        match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() >= end => {
                return Err(anyhow!("not in {DEADLINE:?}: {what}: {error:#}"));
            }
            Err(_) => sleep(PAUSE).await,
        }
    }
}
