//! Everything that a request may use, built once by `run` and shared by all.

use std::sync::Arc;

use tokio_util::task::TaskTracker;

use crate::access_log::AccessLog;
use crate::budget::Budget;
use crate::drains::Drains;
use crate::metrics::Metrics;
use crate::quota::{Estimator, Quotas};
use crate::store::Store;
use crate::upstream::Pool;

/// The shared parts of the data plane.
pub struct Gateway {
    /// What is known of domains, credentials and consumers.
    pub store: Store,
    /// Admits requests and settles them.
    pub quotas: Quotas,
    /// What a model's tokens weigh.
    pub estimator: Estimator,
    /// Connections to providers.
    pub upstream: Pool,
    /// What requests may make the process hold.
    pub budget: Budget,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// One line for each request.
    pub access_log: AccessLog,
    /// Reads on what is left of answers whose callers have gone.
    pub drains: Drains,
    /// Owns the settlements on their way to the counters; wait for it before the quotas are stopped.
    /// It is over once every request has ended and is counted: a request holds a token of it while it
    /// is open, and at most one short task after that.
    pub settling: TaskTracker,
}
