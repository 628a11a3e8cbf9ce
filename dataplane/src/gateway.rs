//! Everything that a request may use, built once by `run` and shared by all.

use std::sync::Arc;

use crate::metrics::Metrics;
use crate::quota::{Estimator, Quotas};
use crate::store::Store;

/// The shared parts of the data plane.
pub struct Gateway {
    /// What is known of domains, credentials and consumers.
    pub store: Store,
    /// Admits requests and settles what they used.
    pub quotas: Quotas,
    /// What was learned of each model's tokens.
    pub estimator: Estimator,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}
