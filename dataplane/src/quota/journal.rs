//! Settlements that the store could not take, kept until it can.
//!
//! ```text
//! record ──► queue (bounded, oldest dropped and counted) ──► run: batches, oldest first ──► store
//!                          ▲                                      │ not taken
//!                          └──────────── back to the front ◄──────┘ and a pause
//! ```
//!
//! Exactly once is the store's doing, by the reservation's id; here a settlement may be sent twice.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::charge::Settlement;
use super::counters::QuotaCounters;
use super::store::{QuotaStore, StoreError};

/// Settlements on their way at once: they share one pipelined connection.
const BATCH: usize = 64;
/// Pause after a failed batch; doubles up to [`MAX_PAUSE`], so that a store that came back is exact
/// again within that time.
const MIN_PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(2);

/// The queue's writing end. Cheap to clone; clones share.
#[derive(Clone)]
pub struct Journal {
    queue: Arc<Queue>,
}

struct Queue {
    settlements: Mutex<VecDeque<Settlement>>,
    /// When full, the oldest settlement is dropped and counted.
    capacity: usize,
    wake: Notify,
    counters: Arc<QuotaCounters>,
}

impl Journal {
    pub fn new(capacity: usize, counters: Arc<QuotaCounters>) -> Self {
        Self {
            queue: Arc::new(Queue {
                settlements: Mutex::default(),
                capacity: capacity.max(1),
                wake: Notify::new(),
                counters,
            }),
        }
    }

    /// Keeps a settlement for later. Never waits.
    pub fn record(&self, settlement: Settlement) {
        QuotaCounters::add(&self.queue.counters.journaled, 1);
        self.queue
            .edit(|settlements| settlements.push_back(settlement));
        self.queue.wake.notify_one();
    }

    /// Replays what is recorded until `stop`, then tries to empty the queue for `flush_within`.
    ///
    /// Ends by itself after that; what is left is dropped, counted and logged.
    pub async fn run(
        self,
        store: Arc<impl QuotaStore>,
        stop: CancellationToken,
        flush_within: Duration,
    ) {
        let queue = &*self.queue;
        // Cancelled only between batches: a batch is out of the queue while it is on its way.
        let mut pause = MIN_PAUSE;
        while stop.run_until_cancelled(queue.filled()).await.is_some() {
            pause = queue.replay_or_pause(&*store, pause, &stop).await;
        }
        let deadline = Instant::now() + flush_within;
        let never = CancellationToken::new();
        while !queue.is_empty() && Instant::now() < deadline {
            let step = queue.replay_or_pause(&*store, MIN_PAUSE, &never);
            // A batch cut off by the deadline goes back to the queue, and is counted below.
            let _ = timeout_at(deadline, step).await;
        }
        queue.abandon();
    }
}

impl Queue {
    async fn filled(&self) {
        while self.is_empty() {
            self.wake.notified().await;
        }
    }

    /// Sends one batch. After a failure waits for `pause` or `stop`; returns the next pause.
    async fn replay_or_pause(
        &self,
        store: &impl QuotaStore,
        pause: Duration,
        stop: &CancellationToken,
    ) -> Duration {
        match self.replay(store).await {
            Ok(()) => MIN_PAUSE,
            Err(error) => {
                warn!(%error, queued = self.settlements.lock().len(), "settlements wait for the quota store");
                stop.run_until_cancelled(sleep(pause)).await;
                (pause * 2).min(MAX_PAUSE)
            }
        }
    }

    /// Sends the oldest settlements. Those that the store may take later stay, in their order.
    async fn replay(&self, store: &impl QuotaStore) -> Result<(), StoreError> {
        let mut batch = Batch::take(self);
        let results = join_all(batch.settlements.iter().map(|s| store.settle(s))).await;
        let mut failure = Ok(());
        let mut results = results.into_iter();
        batch.settlements.retain(|_| match results.next() {
            Some(Err(error)) => {
                QuotaCounters::add(&self.counters.store_errors, 1);
                let keep = error.is_retryable();
                if !keep {
                    warn!(%error, "settlement dropped");
                    QuotaCounters::add(&self.counters.dropped, 1);
                }
                failure = Err(error);
                keep
            }
            _ => {
                QuotaCounters::add(&self.counters.replayed, 1);
                false
            }
        });
        failure
    }

    fn is_empty(&self) -> bool {
        self.settlements.lock().is_empty()
    }

    /// Changes the queue, then brings it back under its bound.
    fn edit<T>(&self, change: impl FnOnce(&mut VecDeque<Settlement>) -> T) -> T {
        let mut settlements = self.settlements.lock();
        let result = change(&mut settlements);
        let surplus = settlements.len().saturating_sub(self.capacity);
        settlements.drain(..surplus);
        QuotaCounters::add(&self.counters.dropped, surplus);
        QuotaCounters::set(&self.counters.queued, settlements.len() as u64);
        result
    }

    fn abandon(&self) {
        let left = self.edit(std::mem::take).len();
        if left > 0 {
            QuotaCounters::add(&self.counters.dropped, left);
            warn!(
                settlements = left,
                "lost: the quota store did not come back before the end"
            );
        }
    }
}

/// Settlements on their way. Dropped, it puts back to the front of the queue what it still holds.
struct Batch<'a> {
    queue: &'a Queue,
    settlements: Vec<Settlement>,
}

impl<'a> Batch<'a> {
    fn take(queue: &'a Queue) -> Self {
        let settlements = queue.edit(|all| {
            let size = all.len().min(BATCH);
            all.drain(..size).collect()
        });
        Self { queue, settlements }
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        let back = std::mem::take(&mut self.settlements);
        self.queue.edit(|all| {
            for settlement in back.into_iter().rev() {
                all.push_front(settlement);
            }
        });
    }
}

#[cfg(test)]
mod tests;
