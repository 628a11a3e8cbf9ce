//! The memory of a process while the load runs, read once a second.

use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::load::Done;
use crate::bench::memory;

const EVERY: Duration = Duration::from_secs(1);

/// One reading.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Since the first.
    pub at: Duration,
    /// Requests done so far.
    pub requests: u64,
    /// Resident bytes.
    pub resident: u64,
}

/// All readings, in order.
#[derive(Debug)]
pub struct Samples(pub Vec<Sample>);

impl Samples {
    /// Reads until it is told to stop, and once more.
    pub(super) fn spawn(pid: u32, done: Done, stop: CancellationToken) -> JoinHandle<Result<Self>> {
        tokio::spawn(async move {
            let begun = Instant::now();
            let mut ticks = tokio::time::interval(EVERY);
            let mut samples = Vec::new();
            let mut is_last = false;
            while !is_last {
                is_last = stop.run_until_cancelled(ticks.tick()).await.is_none();
                samples.push(Sample {
                    at: begun.elapsed(),
                    requests: done.get(),
                    resident: memory::of(pid)?.now,
                });
            }
            Ok(Self(samples))
        })
    }
}
