//! The life of a ticket, with the store in memory and with one that is not there.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::charge::{CounterKey, CounterName, Unit};
use super::super::memory::MemoryStore;
use super::super::redis::{RedisSettings, RedisStore};
use super::*;

const NOW_MS: u64 = 1_000_000;
const TTL: Duration = Duration::from_secs(60);

struct Setup {
    quotas: Quotas,
    counters: Arc<QuotaCounters>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

fn start(store: impl FnOnce(Arc<QuotaCounters>) -> Store) -> Setup {
    let counters = Arc::new(QuotaCounters::default());
    let settings = QuotaSettings {
        flush_within: Duration::from_millis(1),
        clock: Arc::new(|| NOW_MS),
        ..QuotaSettings::default()
    };
    let stop = CancellationToken::new();
    let store = store(counters.clone());
    let (quotas, task) = Quotas::spawn(store, counters.clone(), settings, stop.clone());
    Setup {
        quotas,
        counters,
        stop,
        task,
    }
}

fn in_memory() -> Setup {
    start(|_| Store::Memory(MemoryStore::new(Arc::new(|| NOW_MS))))
}

/// A Redis that refuses connections.
fn without_redis() -> Setup {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let settings = RedisSettings::new(format!("redis://{address}"));
    start(|counters| Store::Redis(Box::new(RedisStore::open(&settings, counters).unwrap())))
}

fn asks(tokens: u64, on_store_failure: [OnStoreFailure; 2]) -> Vec<Ask> {
    let ask = |limit: &str, unit, estimate, on_store_failure| Ask {
        charge: Charge {
            counter: CounterKey::new(CounterName {
                namespace_uid: "uid".into(),
                quota: "team/gold".into(),
                limit: limit.into(),
                subject: CounterName::subject_of(None, Some("team")),
            }),
            unit,
            limit: 100,
            window: Duration::from_secs(60),
            estimate,
        },
        on_store_failure,
    };
    vec![
        ask("tokens", Unit::Tokens, tokens, on_store_failure[0]),
        ask("calls", Unit::Requests, 1, on_store_failure[1]),
    ]
}

const ALLOW: [OnStoreFailure; 2] = [OnStoreFailure::Allow; 2];
const DENY_SECOND: [OnStoreFailure; 2] = [OnStoreFailure::Allow, OnStoreFailure::Deny];

impl Setup {
    async fn ticket(&self, tokens: u64) -> Ticket {
        match self.quotas.admit(asks(tokens, ALLOW), TTL).await {
            Decision::Admitted { ticket, .. } | Decision::Unchecked { ticket } => ticket,
            _ => panic!("not admitted"),
        }
    }

    /// Tokens and calls that remain, as a request of nothing sees them.
    async fn remaining(&self) -> [u64; 2] {
        let mut asks = asks(0, ALLOW);
        asks[1].charge.estimate = 0;
        let Decision::Admitted { ticket, standings } = self.quotas.admit(asks, TTL).await else {
            panic!("not admitted");
        };
        ticket.release().await;
        [standings[0].remaining, standings[1].remaining]
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

#[tokio::test]
async fn settling_replaces_the_estimate() {
    let setup = in_memory();
    let ticket = setup.ticket(90).await;
    assert_eq!(setup.remaining().await, [10, 99]);
    ticket.settle(25).await;
    assert_eq!(setup.remaining().await, [75, 99]);
}

#[tokio::test]
async fn releasing_counts_nothing() {
    let setup = in_memory();
    setup.ticket(90).await.release().await;
    assert_eq!(setup.remaining().await, [100, 100]);
}

#[tokio::test]
async fn what_was_not_asked_for_counts_over_any_limit() {
    let setup = in_memory();
    setup.quotas.unasked(asks(0, ALLOW)).settle(150).await;
    let next = setup.quotas.admit(asks(1, ALLOW), TTL).await;
    assert!(matches!(next, Decision::Exceeded { charge: 0, .. }));
    setup.quotas.unasked(vec![]).settle(150).await;
    assert_eq!(read(&setup.counters.journaled), 0);
}

#[tokio::test]
async fn what_belongs_to_a_request_counts_as_none() {
    let setup = in_memory();
    let mut part = asks(90, ALLOW);
    part[1].charge.estimate = 0;
    setup.quotas.unasked(part.clone()).settle(10).await;
    let Decision::Admitted { ticket, .. } = setup.quotas.admit(part, TTL).await else {
        panic!("not admitted");
    };
    assert_eq!(setup.remaining().await, [0, 100]);
    ticket.settle(30).await;
    assert_eq!(setup.remaining().await, [60, 100]);
}

#[tokio::test]
async fn without_quotas_a_request_is_admitted_and_costs_nothing() {
    let setup = without_redis();
    let Decision::Admitted { ticket, standings } = setup.quotas.admit(vec![], TTL).await else {
        panic!("not admitted");
    };
    ticket.settle(5).await;
    assert!(standings.is_empty());
    assert_eq!(read(&setup.counters.journaled), 0);
}

#[tokio::test]
async fn a_ticket_lost_in_a_panic_settles_by_its_estimate() {
    let setup = in_memory();
    let ticket = setup.ticket(90).await;
    let lost = tokio::spawn(async move {
        let _ticket = ticket;
        panic!("as a handler may");
    });
    assert!(lost.await.is_err());
    assert_eq!(read(&setup.counters.journaled), 1);
    while read(&setup.counters.replayed) == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(setup.remaining().await, [10, 99]);
}

#[tokio::test]
async fn a_request_that_does_not_fit_leaves_nothing_behind() {
    let setup = in_memory();
    let ticket = setup.ticket(90).await;
    let second = setup.quotas.admit(asks(20, ALLOW), TTL).await;
    assert!(matches!(second, Decision::Exceeded { charge: 0, .. }));
    let third = setup.quotas.admit(asks(101, ALLOW), TTL).await;
    assert!(matches!(third, Decision::TooLarge { charge: 0, .. }));
    ticket.settle(90).await;
    assert_eq!(setup.remaining().await, [10, 99]);
    assert_eq!(read(&setup.counters.journaled), 0);
}

#[tokio::test]
async fn allow_serves_without_the_store_and_keeps_the_usage() {
    let setup = without_redis();
    let decision = setup.quotas.admit(asks(10, ALLOW), TTL).await;
    let Decision::Unchecked { ticket } = decision else {
        panic!("not served");
    };
    ticket.settle(25).await;
    assert_eq!(read(&setup.counters.journaled), 1);
    let counters = setup.counters.clone();
    setup.end().await;
    assert_eq!(read(&counters.dropped), 1);
}

#[tokio::test]
async fn one_deny_refuses_without_the_store_and_keeps_nothing() {
    let setup = without_redis();
    let decision = setup.quotas.admit(asks(10, DENY_SECOND), TTL).await;
    assert!(matches!(decision, Decision::StoreDown { charge: 1 }));
    assert_eq!(read(&setup.counters.journaled), 0);
    assert_eq!(read(&setup.counters.store_errors), 1);
}

#[tokio::test]
async fn the_breaker_opens_without_the_store() {
    let setup = without_redis();
    for _ in 0..10 {
        let _ = setup.quotas.admit(asks(10, DENY_SECOND), TTL).await;
    }
    assert_eq!(read(&setup.counters.breaker_open), 1);
}
