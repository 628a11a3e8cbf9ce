//! Milliseconds since the epoch, injected so that tests own the time.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Returns milliseconds since the epoch.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Returns the machine's clock; a clock before 1970 reads as 0.
pub fn system_clock() -> Clock {
    Arc::new(|| {
        let elapsed = SystemTime::now().duration_since(UNIX_EPOCH);
        elapsed.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
    })
}
