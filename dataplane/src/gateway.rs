//! Everything that a request may use, built once by `run` and shared by all.

use std::sync::Arc;

use crate::metrics::Metrics;
use crate::store::Store;

/// The shared parts of the data plane.
pub struct Gateway {
    /// What is known of domains, credentials and consumers.
    pub store: Store,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}
