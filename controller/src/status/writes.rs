//! How much was written to the API server, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of statuses and events.
#[derive(Debug, Default)]
pub struct Writes {
    written: AtomicU64,
    failed: AtomicU64,
    events_written: AtomicU64,
    events_dropped: AtomicU64,
}

impl Writes {
    /// Statuses that the API server took.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Attempts that failed; each is repeated.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Events that the API server took.
    pub fn events_written(&self) -> u64 {
        self.events_written.load(Ordering::Relaxed)
    }

    /// Events that were too many, or that the API server did not take.
    pub fn events_dropped(&self) -> u64 {
        self.events_dropped.load(Ordering::Relaxed)
    }

    pub(crate) fn status_written(&self) {
        self.written.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn status_failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn event_written(&self) {
        self.events_written.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn event_dropped(&self) {
        self.events_dropped.fetch_add(1, Ordering::Relaxed);
    }
}
