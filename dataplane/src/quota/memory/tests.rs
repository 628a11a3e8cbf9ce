//! Any interleaving of reservations, settlements, repeats and lapses, against a naive model that keeps
//! every event and adds up anew each time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::executor::block_on;
use proptest::prelude::*;
use uuid::Uuid;

use super::super::charge::{Charge, CounterName, Reservation, ReservationId, Unit};
use super::*;

const WINDOW: Duration = Duration::from_millis(100);
const TTL: Duration = Duration::from_millis(150);
const LIMITS: [u64; 2] = [1000, 5];

impl MemoryStore {
    fn totals(&self, counter: &CounterKey, window_id: u64) -> (u64, u64) {
        let mut shard = self.shard(counter).lock();
        let bucket = shard.counters.get_mut(counter, window_id);
        bucket.map_or((0, 0), |bucket| (bucket.used, bucket.reserved))
    }

    fn is_empty(&self) -> bool {
        self.shards.iter().all(|shard| {
            let shard = shard.lock();
            shard.counters.len() == 0 && shard.reservations.len() == 0
        })
    }
}

fn store_at(start_ms: u64) -> (MemoryStore, Arc<AtomicU64>) {
    let now = Arc::new(AtomicU64::new(start_ms));
    let clock = now.clone();
    let store = MemoryStore::new(Arc::new(move || clock.load(Ordering::Relaxed)));
    (store, now)
}

fn counter(limit: &str) -> CounterKey {
    CounterKey::new(CounterName {
        namespace_uid: "uid".into(),
        quota: "team/gold".into(),
        limit: limit.into(),
        subject: CounterName::subject_of(Some(("team", "alice")), None),
    })
}

fn request(number: u64, tokens: u64) -> Reserve {
    let charge = |limit, unit, max, estimate| Charge {
        counter: counter(limit),
        unit,
        limit: max,
        window: WINDOW,
        estimate,
    };
    Reserve {
        id: ReservationId::from_uuid(Uuid::from_u128(number.into())),
        charges: vec![
            charge("tokens", Unit::Tokens, LIMITS[0], tokens),
            charge("calls", Unit::Requests, LIMITS[1], 1),
        ],
        ttl: TTL,
    }
}

fn reserve(store: &MemoryStore, request: &Reserve) -> Admission {
    block_on(QuotaStore::reserve(store, request)).unwrap()
}

fn settle(store: &MemoryStore, settlement: &Settlement) {
    block_on(QuotaStore::settle(store, settlement)).unwrap();
}

fn reserved(admission: Admission) -> Reservation {
    match admission {
        Admission::Admitted { reservation, .. } => reservation,
        other => panic!("not admitted: {other:?}"),
    }
}

#[test]
fn all_charges_or_none() {
    let (store, _) = store_at(1000);
    for number in 0..5 {
        reserved(reserve(&store, &request(number, 10)));
    }
    let sixth = reserve(&store, &request(5, 10));
    assert!(matches!(sixth, Admission::Exceeded { charge: 1, .. }));
    assert_eq!(store.totals(&counter("tokens"), 10), (0, 50));
    assert_eq!(store.totals(&counter("calls"), 10), (0, 5));
}

#[test]
fn a_request_over_the_whole_limit_can_never_pass() {
    let (store, _) = store_at(1000);
    let admission = reserve(&store, &request(1, 1001));
    assert!(matches!(admission, Admission::TooLarge { charge: 0, .. }));
}

#[test]
fn standings_tell_what_remains_after_this_request() {
    let (store, _) = store_at(1000);
    let Admission::Admitted { standings, .. } = reserve(&store, &request(1, 300)) else {
        panic!("not admitted");
    };
    let remaining: Vec<u64> = standings.iter().map(|s| s.remaining).collect();
    assert_eq!(remaining, [700, 4]);
    assert_eq!(standings[0].reset_after, Duration::from_secs(1));
}

#[test]
fn a_settlement_goes_to_the_window_of_its_reservation() {
    let (store, now) = store_at(1000);
    let reservation = reserved(reserve(&store, &request(1, 300)));
    now.store(1130, Ordering::Relaxed);
    settle(&store, &Settlement::used(reservation, 200));
    assert_eq!(store.totals(&counter("tokens"), 10), (200, 0));
    assert_eq!(store.totals(&counter("tokens"), 11), (0, 0));
}

#[test]
fn a_reservation_that_was_settled_first_is_not_made() {
    let (store, _) = store_at(1000);
    let request = request(1, 300);
    let placed = judge::place(request.id, &request.charges, 1000);
    settle(&store, &Settlement::released(placed));
    assert!(block_on(QuotaStore::reserve(&store, &request)).is_err());
    assert_eq!(store.totals(&counter("tokens"), 10), (0, 0));
}

#[test]
fn two_charges_on_one_counter_are_refused() {
    let (store, _) = store_at(1000);
    let mut request = request(1, 1);
    request.charges[1].counter = request.charges[0].counter.clone();
    let error = block_on(QuotaStore::reserve(&store, &request)).unwrap_err();
    assert!(!error.is_retryable());
}

#[test]
fn counters_of_past_windows_are_forgotten() {
    let (store, now) = store_at(0);
    for number in 0..2000 {
        now.fetch_add(37, Ordering::Relaxed);
        if let Admission::Admitted { reservation, .. } = reserve(&store, &request(number, 1)) {
            settle(&store, &Settlement::used(reservation, 1));
        }
    }
    now.fetch_add(3_600_000, Ordering::Relaxed);
    for number in 0..100 {
        settle(
            &store,
            &Settlement::used(
                Reservation {
                    id: request(number, 1).id,
                    entries: vec![],
                },
                0,
            ),
        );
        let shard = store.shard(&counter("calls"));
        shard.lock().sweep(now.load(Ordering::Relaxed));
    }
    assert!(store.is_empty());
}

/// What the model remembers of one admitted request.
struct Event {
    reservation: Reservation,
    lapses_ms: u64,
    /// Tokens and requests, once settled.
    settled: Option<[u64; 2]>,
}

#[derive(Default)]
struct Model {
    events: Vec<Event>,
}

impl Model {
    /// Used and reserved of one counter in one window: 0 = tokens, 1 = calls.
    fn totals(&self, which: usize, window_id: u64, now_ms: u64) -> (u64, u64) {
        let mut totals = (0, 0);
        for event in &self.events {
            let entry = &event.reservation.entries[which];
            if entry.window_id != window_id {
                continue;
            }
            match event.settled {
                Some(amounts) => totals.0 += amounts[which],
                None if event.lapses_ms > now_ms => totals.1 += entry.estimate,
                None => {}
            }
        }
        totals
    }

    /// Says whether a request fits, calculated with fractions.
    fn admits(&self, request: &Reserve, now_ms: u64) -> bool {
        let window_ms = WINDOW.as_millis() as u64;
        let id = now_ms / window_ms;
        let left = (window_ms - now_ms % window_ms) as f64 / window_ms as f64;
        request.charges.iter().enumerate().all(|(which, charge)| {
            let sum = |(used, reserved)| used + reserved;
            let current = sum(self.totals(which, id, now_ms));
            let previous = sum(self.totals(which, id - 1, now_ms));
            let weight = (left * 65536.0).ceil() / 65536.0;
            let counted = current as f64 + (previous as f64 * weight).ceil();
            counted + charge.estimate as f64 <= charge.limit as f64
        })
    }
}

#[derive(Clone, Debug)]
enum Step {
    Advance(u64),
    Reserve(u64),
    /// Which event (modulo), true tokens, requests.
    Settle(usize, u64, u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (1u64..80).prop_map(Step::Advance),
        3 => (1u64..600).prop_map(Step::Reserve),
        3 => (any::<usize>(), 0u64..600, 0u64..2).prop_map(|(e, t, r)| Step::Settle(e, t, r)),
    ]
}

proptest! {
    #[test]
    fn any_interleaving_keeps_the_ledger(steps in prop::collection::vec(step(), 1..120)) {
        let (store, clock) = store_at(10_000);
        let mut model = Model::default();
        for (number, step) in steps.into_iter().enumerate() {
            let now_ms = clock.load(Ordering::Relaxed);
            match step {
                Step::Advance(ms) => {
                    clock.fetch_add(ms, Ordering::Relaxed);
                }
                Step::Reserve(tokens) => {
                    let request = request(number as u64, tokens);
                    let admission = reserve(&store, &request);
                    let is_admitted = matches!(admission, Admission::Admitted { .. });
                    prop_assert_eq!(is_admitted, model.admits(&request, now_ms));
                    if let Admission::Admitted { reservation, .. } = admission {
                        let lapses_ms = now_ms + TTL.as_millis() as u64;
                        model.events.push(Event { reservation, lapses_ms, settled: None });
                    }
                }
                Step::Settle(which, tokens, requests) => {
                    let count = model.events.len();
                    let Some(event) = model.events.get_mut(which % count.max(1)) else { continue };
                    let reservation = event.reservation.clone();
                    settle(&store, &Settlement { reservation, tokens, requests });
                    event.settled.get_or_insert([tokens, requests]);
                }
            }
            prop_assert!(agrees(&store, &model, clock.load(Ordering::Relaxed)));
        }
        for event in &mut model.events {
            settle(&store, &Settlement::used(event.reservation.clone(), 1));
            event.settled.get_or_insert([1, 1]);
        }
        prop_assert!(agrees(&store, &model, clock.load(Ordering::Relaxed)));
    }
}

/// Compares both counters in the windows that count.
fn agrees(store: &MemoryStore, model: &Model, now_ms: u64) -> bool {
    let id = now_ms / WINDOW.as_millis() as u64;
    [id - 1, id].into_iter().all(|id| {
        ["tokens", "calls"]
            .iter()
            .enumerate()
            .all(|(which, limit)| {
                let mut shard = store.shard(&counter(limit)).lock();
                shard.sweep(now_ms);
                drop(shard);
                store.totals(&counter(limit), id) == model.totals(which, id, now_ms)
            })
    })
}
