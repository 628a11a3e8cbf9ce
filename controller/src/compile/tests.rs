//! Resources in, whole snapshots and findings out.
