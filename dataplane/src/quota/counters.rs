//! Figures of the quota module that the metrics endpoint shows. Written here, read anywhere.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters since the start, but for the two gauges `queued` and `breaker_open`.
#[derive(Debug, Default)]
pub struct QuotaCounters {
    /// Settlements that went to the journal instead of the store.
    pub journaled: AtomicU64,
    /// Settlements of the journal that reached the store.
    pub replayed: AtomicU64,
    /// Settlements lost: the journal was full, the store refused them for good, or the process
    /// ended before they could be written.
    pub dropped: AtomicU64,
    /// Settlements in the journal now.
    pub queued: AtomicU64,
    /// Calls to the store that failed.
    pub store_errors: AtomicU64,
    /// 1 while calls to the store are refused without trying.
    pub breaker_open: AtomicU64,
}

impl QuotaCounters {
    pub(super) fn add(counter: &AtomicU64, n: usize) {
        counter.fetch_add(n as u64, Ordering::Relaxed);
    }

    pub(super) fn set(gauge: &AtomicU64, value: u64) {
        gauge.store(value, Ordering::Relaxed);
    }
}
