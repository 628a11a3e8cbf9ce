//! The journal against a store that can be taken away. Time is paused: pauses cost nothing.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::JoinHandle;
use uuid::Uuid;

use super::super::charge::{Admission, Reservation, ReservationId, Reserve};
use super::*;

const FLUSH: Duration = Duration::from_secs(5);

#[derive(Default)]
struct FakeStore {
    is_down: AtomicBool,
    /// Answers nothing, as a frozen server does.
    is_frozen: AtomicBool,
    refused: Option<u64>,
    taken: Mutex<Vec<u64>>,
    changed: Notify,
}

impl QuotaStore for FakeStore {
    async fn reserve(&self, _: &Reserve) -> Result<Admission, StoreError> {
        Err(StoreError::Timeout)
    }

    async fn settle(&self, settlement: &Settlement) -> Result<(), StoreError> {
        if self.is_frozen.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if self.is_down.load(Ordering::SeqCst) {
            return Err(StoreError::Timeout);
        }
        if self.refused == Some(settlement.tokens) {
            return Err(StoreError::Refused("no".to_owned()));
        }
        self.taken.lock().push(settlement.tokens);
        self.changed.notify_one();
        Ok(())
    }
}

impl FakeStore {
    async fn wait_for(&self, count: usize) -> Vec<u64> {
        loop {
            let taken = self.taken.lock().clone();
            if taken.len() >= count {
                return taken;
            }
            self.changed.notified().await;
        }
    }
}

/// A settlement that its tokens tell apart.
fn numbered(number: u64) -> Settlement {
    let id = ReservationId::from_uuid(Uuid::from_u128(number.into()));
    let entries = Vec::new();
    Settlement::used(Reservation { id, entries }, number)
}

struct Setup {
    journal: Journal,
    store: Arc<FakeStore>,
    counters: Arc<QuotaCounters>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

fn start(capacity: usize, store: FakeStore) -> Setup {
    let counters = Arc::new(QuotaCounters::default());
    let journal = Journal::new(capacity, counters.clone());
    let store = Arc::new(store);
    let stop = CancellationToken::new();
    let replay = journal.clone().run(store.clone(), stop.clone(), FLUSH);
    Setup {
        journal,
        store,
        counters,
        stop,
        task: tokio::spawn(replay),
    }
}

impl Setup {
    fn down() -> FakeStore {
        let store = FakeStore::default();
        store.is_down.store(true, Ordering::SeqCst);
        store
    }

    async fn stopped(self) -> (Vec<u64>, Arc<QuotaCounters>) {
        self.stop.cancel();
        self.task.await.unwrap();
        let taken = self.store.taken.lock().clone();
        (taken, self.counters)
    }
}

fn read(counter: &std::sync::atomic::AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

#[tokio::test(start_paused = true)]
async fn what_was_kept_is_replayed_in_order_when_the_store_is_back() {
    let setup = start(1000, Setup::down());
    (0..200).for_each(|n| setup.journal.record(numbered(n)));
    tokio::time::advance(Duration::from_secs(10)).await;
    assert!(setup.store.taken.lock().is_empty());

    setup.store.is_down.store(false, Ordering::SeqCst);
    let taken = setup.store.wait_for(200).await;
    assert_eq!(taken, (0..200).collect::<Vec<_>>());
    let (_, counters) = setup.stopped().await;
    assert_eq!(read(&counters.journaled), 200);
    assert_eq!(read(&counters.replayed), 200);
    assert_eq!(read(&counters.dropped), 0);
    assert_eq!(read(&counters.queued), 0);
}

#[tokio::test(start_paused = true)]
async fn a_full_journal_drops_the_oldest_and_counts_them() {
    let setup = start(10, Setup::down());
    (0..25).for_each(|n| setup.journal.record(numbered(n)));
    setup.store.is_down.store(false, Ordering::SeqCst);
    let (taken, counters) = setup.stopped().await;
    assert_eq!(taken, (15..25).collect::<Vec<_>>());
    assert_eq!(read(&counters.dropped), 15);
    assert_eq!(read(&counters.replayed), 10);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_refused_for_good_does_not_block_the_rest() {
    let store = FakeStore {
        refused: Some(1),
        ..FakeStore::default()
    };
    let setup = start(10, store);
    (0..3).for_each(|n| setup.journal.record(numbered(n)));
    assert_eq!(setup.store.wait_for(2).await, [0, 2]);
    let (_, counters) = setup.stopped().await;
    assert_eq!(read(&counters.dropped), 1);
}

#[tokio::test(start_paused = true)]
async fn the_end_writes_what_is_left() {
    let setup = start(10, FakeStore::default());
    setup.stop.cancel();
    setup.journal.record(numbered(7));
    let (taken, _) = setup.stopped().await;
    assert_eq!(taken, [7]);
}

#[tokio::test(start_paused = true)]
async fn the_end_waits_for_a_dead_store_no_longer_than_its_deadline() {
    for frozen in [false, true] {
        let store = Setup::down();
        let setup = start(10, store);
        setup.stop.cancel();
        setup.store.is_frozen.store(frozen, Ordering::SeqCst);
        (0..3).for_each(|n| setup.journal.record(numbered(n)));
        let begin = Instant::now();
        let (taken, counters) = setup.stopped().await;
        assert_eq!(begin.elapsed(), FLUSH);
        assert!(taken.is_empty());
        assert_eq!(read(&counters.dropped), 3);
    }
}
