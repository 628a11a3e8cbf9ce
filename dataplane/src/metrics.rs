//! What is counted, for Prometheus.

/// All counters.
#[derive(Debug, Default)]
pub struct Metrics {}
