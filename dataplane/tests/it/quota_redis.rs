//! Quotas in a real Redis: shared by several data planes, stopped, flushed, frozen, demoted.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::join_all;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use turnpike_dataplane::quota::{
    Admission, Ask, Charge, CounterKey, CounterName, Decision, MemoryStore, OnStoreFailure,
    QuotaCounters, QuotaSettings, QuotaStore, Quotas, RedisSettings, RedisStore, Reservation,
    ReservationId, Reserve, Settlement, Store, StoreError, Unit,
};

use crate::quota_server::{RedisServer, eventually};

const HOUR: Duration = Duration::from_secs(3600);
const TTL: Duration = Duration::from_secs(600);

fn counter(limit: &str) -> CounterKey {
    CounterKey::new(CounterName {
        namespace_uid: "uid-1".into(),
        quota: "team/gold".into(),
        limit: limit.into(),
        subject: CounterName::subject_of(Some(("team", "alice")), Some("team")),
    })
}

fn charge(name: &str, unit: Unit, limit: u64, estimate: u64) -> Charge {
    Charge {
        counter: counter(name),
        unit,
        limit,
        window: HOUR,
        estimate,
    }
}

fn tokens(limit: u64, estimate: u64) -> Reserve {
    Reserve {
        id: ReservationId::random(),
        charges: vec![charge("tokens", Unit::Tokens, limit, estimate)],
        ttl: TTL,
    }
}

/// A store whose calls are not cut short by a busy machine.
fn patient_store(server: &RedisServer) -> RedisStore {
    let settings = RedisSettings {
        call_timeout: Duration::from_secs(20),
        ..RedisSettings::new(server.url())
    };
    RedisStore::open(&settings, Arc::default()).unwrap()
}

async fn reserve(store: &RedisStore, request: &Reserve) -> Option<Reservation> {
    match store.reserve(request).await.unwrap() {
        Admission::Admitted { reservation, .. } => Some(reservation),
        _ => None,
    }
}

/// Used and reserved of one limit, over all windows: a test may run across the turn of an hour.
async fn totals(server: &RedisServer, limit: &str) -> (i64, i64) {
    let pattern = format!("tq:{{uid-1}}:team/gold:{limit}:*");
    let keys: Vec<String> = server.run(&["KEYS", &pattern]).await;
    let mut totals = (0, 0);
    for key in keys.iter().filter(|key| !key.ends_with(":h")) {
        let bucket: HashMap<String, i64> = server.run(&["HGETALL", key]).await;
        totals.0 += bucket.get("u").unwrap_or(&0);
        totals.1 += bucket.get("r").unwrap_or(&0);
    }
    totals
}

/// The quota part of one data plane: the service with its journal.
struct Plane {
    quotas: Quotas,
    counters: Arc<QuotaCounters>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Plane {
    fn start(server: &RedisServer) -> Self {
        let counters = Arc::new(QuotaCounters::default());
        let settings = RedisSettings {
            call_timeout: Duration::from_secs(1),
            ..RedisSettings::new(server.url())
        };
        let store = RedisStore::open(&settings, counters.clone()).unwrap();
        let stop = CancellationToken::new();
        let (quotas, task) = Quotas::spawn(
            Store::Redis(Box::new(store)),
            counters.clone(),
            QuotaSettings::default(),
            stop.clone(),
        );
        Self {
            quotas,
            counters,
            stop,
            task,
        }
    }

    async fn admit(&self, estimate: u64, on_store_failure: OnStoreFailure) -> Decision {
        let ask = Ask {
            charge: charge("tokens", Unit::Tokens, 1_000_000, estimate),
            on_store_failure,
        };
        self.quotas.admit(vec![ask], TTL).await
    }

    async fn until_checked(&self) {
        eventually("quotas are checked again", async || {
            match self.admit(1, OnStoreFailure::Allow).await {
                Decision::Admitted { ticket, .. } => {
                    ticket.release().await;
                    true
                }
                Decision::Unchecked { ticket } => {
                    ticket.release().await;
                    false
                }
                _ => false,
            }
        })
        .await;
        eventually("the journal is empty", async || {
            self.counters.queued.load(Ordering::Relaxed) == 0
                && self.counters.journaled.load(Ordering::Relaxed)
                    == self.counters.replayed.load(Ordering::Relaxed)
        })
        .await;
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_data_planes_never_exceed_the_limit_together() {
    let server = RedisServer::start().await;
    let stores = [patient_store(&server), patient_store(&server)].map(Arc::new);
    let requests = (0..200).map(|i| {
        let store = stores[i % 2].clone();
        tokio::spawn(async move { reserve(&store, &tokens(10_000, 1000)).await })
    });
    let admitted: Vec<Reservation> = join_all(requests.collect::<Vec<_>>())
        .await
        .into_iter()
        .filter_map(|task| task.unwrap())
        .collect();
    assert_eq!(admitted.len(), 10);
    assert_eq!(totals(&server, "tokens").await, (0, 10_000));
    for reservation in admitted {
        let settlement = Settlement::used(reservation, 700);
        stores[0].settle(&settlement).await.unwrap();
    }
    assert_eq!(totals(&server, "tokens").await, (7000, 0));
}

#[tokio::test]
async fn a_second_settlement_changes_nothing() {
    let server = RedisServer::start().await;
    let store = patient_store(&server);
    let reservation = reserve(&store, &tokens(1000, 500)).await.unwrap();
    for amount in [120, 120, 999] {
        let settlement = Settlement::used(reservation.clone(), amount);
        store.settle(&settlement).await.unwrap();
    }
    assert_eq!(totals(&server, "tokens").await, (120, 0));
}

#[tokio::test]
async fn a_reservation_that_was_settled_first_is_not_made() {
    let server = RedisServer::start().await;
    let store = patient_store(&server);
    let request = tokens(1000, 500);
    let reservation = reserve(&store, &request).await.unwrap();
    let settlement = Settlement::released(reservation);
    store.settle(&settlement).await.unwrap();
    let late = store.reserve(&request).await;
    assert!(!late.unwrap_err().is_retryable());
    assert_eq!(totals(&server, "tokens").await, (0, 0));
}

#[tokio::test]
async fn a_refusal_charges_no_limit_and_names_the_one_in_the_way() {
    let server = RedisServer::start().await;
    let store = patient_store(&server);
    let request = || Reserve {
        charges: vec![
            charge("tokens", Unit::Tokens, 1000, 10),
            charge("calls", Unit::Requests, 2, 1),
        ],
        ..tokens(0, 0)
    };
    assert!(reserve(&store, &request()).await.is_some());
    assert!(reserve(&store, &request()).await.is_some());
    let refused = store.reserve(&request()).await.unwrap();
    let Admission::Exceeded {
        charge: 1,
        retry_after,
        standings,
    } = refused
    else {
        panic!("{refused:?}");
    };
    assert!(retry_after >= Duration::from_secs(1) && retry_after <= standings[1].reset_after);
    assert_eq!((standings[0].remaining, standings[1].remaining), (980, 0));
    assert_eq!(totals(&server, "tokens").await, (0, 20));
    assert_eq!(totals(&server, "calls").await, (0, 2));
    let too_large = store.reserve(&tokens(1000, 1001)).await.unwrap();
    assert!(matches!(too_large, Admission::TooLarge { charge: 0, .. }));
}

#[tokio::test]
async fn usage_made_while_redis_is_stopped_is_written_once_it_is_back() {
    let mut server = RedisServer::start().await;
    let plane = Plane::start(&server);
    let Decision::Admitted { ticket: open, .. } = plane.admit(500, OnStoreFailure::Deny).await
    else {
        panic!("not admitted");
    };
    let Decision::Admitted { ticket, .. } = plane.admit(500, OnStoreFailure::Deny).await else {
        panic!("not admitted");
    };
    ticket.settle(100).await;

    server.kill();
    open.settle(20).await;
    for _ in 0..30 {
        let Decision::Unchecked { ticket } = plane.admit(500, OnStoreFailure::Allow).await else {
            panic!("not served");
        };
        ticket.settle(3).await;
        let denied = plane.admit(500, OnStoreFailure::Deny).await;
        assert!(matches!(denied, Decision::StoreDown { charge: 0 }));
    }

    server.resume_process().await;
    plane.until_checked().await;
    assert_eq!(totals(&server, "tokens").await, (100 + 20 + 30 * 3, 0));
    plane.end().await;
}

#[tokio::test]
async fn after_flushall_counts_what_was_settled_since() {
    let server = RedisServer::start().await;
    let store = patient_store(&server);
    let before = reserve(&store, &tokens(1000, 500)).await.unwrap();
    let settled = reserve(&store, &tokens(1000, 500)).await.unwrap();
    store.settle(&Settlement::used(settled, 400)).await.unwrap();
    let () = server.run(&["FLUSHALL"]).await;

    let after = reserve(&store, &tokens(1000, 600)).await.unwrap();
    for _ in 0..2 {
        let late = Settlement::used(before.clone(), 7);
        store.settle(&late).await.unwrap();
    }
    assert_eq!(totals(&server, "tokens").await, (7, 600));
    store.settle(&Settlement::used(after, 8)).await.unwrap();
    assert_eq!(totals(&server, "tokens").await, (15, 0));
}

#[tokio::test]
async fn flushed_scripts_are_loaded_again() {
    let server = RedisServer::start().await;
    let store = patient_store(&server);
    let reservation = reserve(&store, &tokens(1000, 500)).await.unwrap();
    let () = server.run(&["SCRIPT", "FLUSH"]).await;
    store
        .settle(&Settlement::used(reservation, 10))
        .await
        .unwrap();
    let () = server.run(&["SCRIPT", "FLUSH"]).await;
    assert!(reserve(&store, &tokens(1000, 500)).await.is_some());
    assert_eq!(totals(&server, "tokens").await, (10, 500));
}

#[tokio::test]
async fn what_a_killed_data_plane_reserved_lapses_by_itself() {
    let server = RedisServer::start().await;
    let killed = patient_store(&server);
    let ttl = Duration::from_millis(300);
    let request = Reserve {
        ttl,
        ..tokens(1000, 1000)
    };
    assert!(reserve(&killed, &request).await.is_some());
    drop(killed);

    let store = patient_store(&server);
    eventually("the whole limit is free again", async || {
        reserve(&store, &tokens(1000, 1000)).await.is_some()
    })
    .await;
    assert_eq!(totals(&server, "tokens").await, (0, 1000));
}

#[tokio::test]
async fn a_settlement_of_a_lapsed_reservation_counts_once() {
    let server = RedisServer::start().await;
    let store = patient_store(&server);
    let lapsing = Reserve {
        ttl: Duration::from_millis(1),
        ..tokens(1000, 600)
    };
    let reservation = reserve(&store, &lapsing).await.unwrap();
    eventually("the reservation has lapsed", async || {
        reserve(&store, &tokens(1000, 900)).await.is_some()
    })
    .await;
    for _ in 0..2 {
        let late = Settlement::used(reservation.clone(), 33);
        store.settle(&late).await.unwrap();
    }
    assert_eq!(totals(&server, "tokens").await, (33, 900));
}

#[tokio::test]
async fn a_frozen_redis_costs_its_timeout_until_the_breaker_opens() {
    let server = RedisServer::start().await;
    let counters = Arc::new(QuotaCounters::default());
    let settings = RedisSettings {
        call_timeout: Duration::from_millis(100),
        ..RedisSettings::new(server.url())
    };
    let store = RedisStore::open(&settings, counters.clone()).unwrap();
    eventually("the store answers", async || {
        store.reserve(&tokens(1000, 1)).await.is_ok()
    })
    .await;

    server.freeze();
    let mut timeouts = 0;
    eventually("the breaker opens", async || {
        match store.reserve(&tokens(1000, 1)).await {
            Err(StoreError::Timeout) => timeouts += 1,
            Err(StoreError::Unavailable(_)) => return true,
            other => panic!("{other:?}"),
        }
        false
    })
    .await;
    assert_eq!(timeouts, 3);
    assert_eq!(counters.breaker_open.load(Ordering::Relaxed), 1);

    server.thaw();
    eventually("the store answers again", async || {
        store.reserve(&tokens(1000, 1)).await.is_ok()
    })
    .await;
    assert_eq!(counters.breaker_open.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_reservation_that_ran_after_its_timeout_is_given_back() {
    let server = RedisServer::start().await;
    let plane = Plane::start(&server);
    plane.until_checked().await;
    server.freeze();
    let decision = plane.admit(500, OnStoreFailure::Deny).await;
    assert!(matches!(decision, Decision::StoreDown { charge: 0 }));
    let decision = plane.admit(500, OnStoreFailure::Allow).await;
    let Decision::Unchecked { ticket } = decision else {
        panic!("not served");
    };
    ticket.settle(9).await;
    server.thaw();
    plane.until_checked().await;
    assert_eq!(totals(&server, "tokens").await, (9, 0));
    plane.end().await;
}

#[tokio::test]
async fn a_redis_that_was_demoted_or_is_full_is_tried_again_later() {
    let server = RedisServer::start().await;
    let store = patient_store(&server);
    assert!(reserve(&store, &tokens(1000, 1)).await.is_some());
    let faults: [[&[&str]; 2]; 2] = [
        [
            &["REPLICAOF", "127.0.0.1", "1"],
            &["REPLICAOF", "NO", "ONE"],
        ],
        [
            &["CONFIG", "SET", "maxmemory", "1"],
            &["CONFIG", "SET", "maxmemory", "0"],
        ],
    ];
    for [fault, mend] in faults {
        let () = server.run(fault).await;
        let error = store.reserve(&tokens(1000, 1)).await.unwrap_err();
        assert!(error.is_retryable(), "{error}");
        let () = server.run(mend).await;
        assert!(reserve(&store, &tokens(1000, 1)).await.is_some());
    }
}

#[tokio::test]
async fn a_key_of_another_type_is_refused_for_good() {
    let server = RedisServer::start().await;
    let store = patient_store(&server);
    let reservation = reserve(&store, &tokens(1000, 1)).await.unwrap();
    let keys: Vec<String> = server.run(&["KEYS", "tq:*tokens*[0-9]"]).await;
    let () = server.run(&["SET", &keys[0], "not a hash"]).await;
    let settled = store.settle(&Settlement::used(reservation, 1)).await;
    assert!(!settled.unwrap_err().is_retryable());
}

#[tokio::test]
async fn starts_without_redis_and_finds_it_later() {
    let mut server = RedisServer::prepare();
    let store = patient_store(&server);
    let error = store.reserve(&tokens(1000, 1)).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    server.resume_process().await;
    eventually("the store answers", async || {
        store.reserve(&tokens(1000, 1)).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn one_round_trip_each_and_every_key_expires_in_one_slot() {
    let server = RedisServer::start().await;
    let store = patient_store(&server);
    let warm_up = reserve(&store, &tokens(10_000, 5)).await.unwrap();
    store.settle(&Settlement::used(warm_up, 5)).await.unwrap();
    let () = server.run(&["CONFIG", "RESETSTAT"]).await;
    for settles in [true, false] {
        let request = Reserve {
            charges: vec![
                charge("tokens", Unit::Tokens, 10_000, 10),
                charge("calls", Unit::Requests, 10, 1),
            ],
            ..tokens(0, 0)
        };
        let reservation = reserve(&store, &request).await.unwrap();
        if settles {
            let settlement = Settlement::used(reservation, 5);
            store.settle(&settlement).await.unwrap();
        }
    }
    let stats: String = server.run(&["INFO", "commandstats"]).await;
    assert!(stats.contains("cmdstat_evalsha:calls=3,"), "{stats}");
    assert!(!stats.contains("cmdstat_eval:"), "{stats}");
    let keys: Vec<String> = server.run(&["KEYS", "*"]).await;
    for key in keys {
        let left: i64 = server.run(&["PTTL", &key]).await;
        assert!(left > 0, "{key} never expires");
        assert!(key.starts_with("tq:{uid-1}:"), "{key}");
    }
}

/// How one request of the ledger test ends.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Settled(u64),
    SettledTwice(u64),
    Released,
    Journaled(u64),
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        (0u64..3000).prop_map(Fate::Settled),
        (0u64..3000).prop_map(Fate::SettledTwice),
        Just(Fate::Released),
        (0u64..3000).prop_map(Fate::Journaled),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_any_mix_of_outcomes_the_counters_are_the_ledger() {
    let server = RedisServer::start().await;
    let stores = [patient_store(&server), patient_store(&server)].map(Arc::new);
    let mut runner = TestRunner::deterministic();
    let fates = prop::collection::vec(fate(), 2000);
    let fates = fates.new_tree(&mut runner).unwrap().current();
    let ledger = Arc::new(AtomicU64::new(0));
    let requests = fates.into_iter().enumerate().map(|(i, fate)| {
        let stores = [stores[i % 2].clone(), stores[(i + 1) % 2].clone()];
        let ledger = ledger.clone();
        tokio::spawn(async move { live(&stores, fate, &ledger).await })
    });
    for task in requests.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let expected = ledger.load(Ordering::Relaxed) as i64;
    assert_eq!(totals(&server, "tokens").await, (expected, 0));
}

async fn live(stores: &[Arc<RedisStore>; 2], fate: Fate, ledger: &AtomicU64) {
    let request = tokens(1 << 40, 1000);
    let reservation = reserve(&stores[0], &request).await.unwrap();
    let settlement = match fate {
        Fate::Settled(n) | Fate::SettledTwice(n) | Fate::Journaled(n) => {
            ledger.fetch_add(n, Ordering::Relaxed);
            Settlement::used(reservation, n)
        }
        Fate::Released => Settlement::released(reservation),
    };
    if matches!(fate, Fate::Journaled(_)) {
        // Another connection wrote it first, as when a replay follows a lost reply.
        stores[1].settle(&settlement).await.unwrap();
    }
    let times = if matches!(fate, Fate::Settled(_)) {
        1
    } else {
        2
    };
    for _ in 0..times {
        stores[0].settle(&settlement).await.unwrap();
    }
}

/// The script with its clock replaced, so that both stores decide at the same millisecond.
fn script_at(now_ms: u64) -> redis::Script {
    let clock = format!("{{'{}', '{}'}}", now_ms / 1000, now_ms % 1000 * 1000);
    let code = include_str!("../../src/quota/redis/reserve.lua");
    assert!(code.contains("redis.call('TIME')"));
    redis::Script::new(&code.replace("redis.call('TIME')", &clock))
}

#[tokio::test]
async fn the_script_and_the_memory_store_decide_alike() {
    let server = RedisServer::start().await;
    let mut connection = server.connect().await;
    let now = Arc::new(AtomicU64::new(1_900_000_000_000));
    let clock = now.clone();
    let memory = MemoryStore::new(Arc::new(move || clock.load(Ordering::Relaxed)));
    let mut runner = TestRunner::deterministic();
    let steps = prop::collection::vec((0u64..40_000, 1u64..700, 1u64..90_000), 600);
    let steps = steps.new_tree(&mut runner).unwrap().current();
    let mut admitted = 0;
    for (i, (advance_ms, estimate, ttl_ms)) in steps.into_iter().enumerate() {
        let now_ms = now.fetch_add(advance_ms, Ordering::Relaxed) + advance_ms;
        let mut request = tokens(1000, estimate);
        request.charges[0].window = Duration::from_secs(60);
        request.ttl = Duration::from_millis(ttl_ms);
        let decision = memory.reserve(&request).await.unwrap();
        let reply: Vec<u64> = script_at(now_ms)
            .key("settled")
            .key("tq:{uid-1}:base")
            .arg(i)
            .arg(ttl_ms)
            .arg(60_000)
            .arg(1000)
            .arg(estimate)
            .arg(86_400_000)
            .invoke_async(&mut connection)
            .await
            .unwrap();
        let is_admitted = matches!(decision, Admission::Admitted { .. });
        admitted += usize::from(is_admitted);
        assert_eq!(is_admitted, reply[0] == 0, "step {i}: {reply:?}");
        assert_eq!(reply[1], now_ms);
    }
    assert!((50..550).contains(&admitted), "{admitted} admitted");
}
