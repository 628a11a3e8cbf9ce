//! The store of one process: sharded maps under short locks, the same arithmetic as in Redis.
//!
//! Bounded by traffic: a counter lives as long as it can count (two windows and the reservation's
//! ttl), a settled id for some seconds; both are dropped as later calls pass by.

mod counters;
mod prehashed;
mod reservations;

use std::hash::BuildHasher;
use std::time::Duration;

use foldhash::quality::RandomState;
use parking_lot::Mutex;
use smallvec::SmallVec;

use self::counters::Counters;
use self::reservations::{Hold, Reservations, Stage};
use super::charge::{Admission, CounterKey, Reserve, Settlement};
use super::clock::{Clock, system_clock};
use super::judge;
use super::store::{QuotaStore, StoreError};
use super::window::{self, Counts, Moment};

/// Locks to spread tenants over; a tenant is in one shard, so that one lock charges all or none.
const SHARDS: usize = 16;

/// Keeps quotas in this process.
pub struct MemoryStore {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
    clock: Clock,
}

#[derive(Default)]
struct Shard {
    counters: Counters,
    reservations: Reservations,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(system_clock())
    }
}

impl MemoryStore {
    pub fn new(clock: Clock) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::default(),
            clock,
        }
    }

    fn shard(&self, counter: &CounterKey) -> &Mutex<Shard> {
        let hash = self.hasher.hash_one(&counter.namespace_uid) as usize;
        &self.shards[hash % SHARDS]
    }
}

impl QuotaStore for MemoryStore {
    async fn reserve(&self, reserve: &Reserve) -> Result<Admission, StoreError> {
        if let Some(fault) = reserve.find_fault() {
            return Err(StoreError::Refused(fault.to_owned()));
        }
        let now_ms = (self.clock)();
        let Some(first) = reserve.charges.first() else {
            return Ok(judge::admitted(reserve, &[], now_ms));
        };
        let mut shard = self.shard(&first.counter).lock();
        shard.sweep(now_ms);
        shard.reserve(reserve, now_ms)
    }

    async fn settle(&self, settlement: &Settlement) -> Result<(), StoreError> {
        if let Some(first) = settlement.reservation.entries.first() {
            let now_ms = (self.clock)();
            let mut shard = self.shard(&first.counter).lock();
            shard.sweep(now_ms);
            shard.settle(settlement, now_ms);
        }
        Ok(())
    }
}

impl Shard {
    fn reserve(&mut self, reserve: &Reserve, now_ms: u64) -> Result<Admission, StoreError> {
        let known = self.reservations.find(reserve.id);
        if known == Some(Stage::Settled) {
            return Err(StoreError::Refused("settled before reserved".to_owned()));
        }
        let counts = reserve.charges.iter().map(|charge| {
            let current = Moment::at(now_ms, charge.window).id;
            self.counters.counts(&charge.counter, current)
        });
        let counts: SmallVec<[Counts; 4]> = counts.collect();
        let obstacle = judge::find_obstacle(&reserve.charges, &counts, now_ms);
        Ok(match obstacle {
            Some(obstacle) => judge::refused(reserve, &counts, now_ms, obstacle),
            None => {
                if known.is_none() {
                    self.hold(reserve, now_ms);
                }
                judge::admitted(reserve, &counts, now_ms)
            }
        })
    }

    fn hold(&mut self, reserve: &Reserve, now_ms: u64) {
        let ttl_ms = u64::try_from(reserve.ttl.as_millis()).unwrap_or(u64::MAX);
        let lapses_ms = now_ms.saturating_add(ttl_ms);
        let counters = &mut self.counters;
        let holds = reserve.charges.iter().map(|charge| {
            let window_id = Moment::at(now_ms, charge.window).id;
            let keep_ms = now_ms.saturating_add(window::keep_ms(charge.window, reserve.ttl));
            let bucket = counters.touch(&charge.counter, window_id, keep_ms, now_ms);
            bucket.reserved += charge.estimate;
            Hold {
                counter: charge.counter.clone(),
                window_id,
                amount: charge.estimate,
            }
        });
        let holds = holds.collect();
        self.reservations.hold(reserve.id, holds, lapses_ms);
    }

    fn settle(&mut self, settlement: &Settlement, now_ms: u64) {
        let reservation = &settlement.reservation;
        let Some(holds) = self.reservations.settle(reservation.id, now_ms) else {
            return;
        };
        for entry in &reservation.entries {
            let keep_ms = now_ms + window::keep_ms(entry.window, Duration::ZERO);
            let bucket = self
                .counters
                .touch(&entry.counter, entry.window_id, keep_ms, now_ms);
            bucket.used = bucket.used.saturating_add(settlement.amount(entry.unit));
        }
        self.release(&holds);
    }

    fn release(&mut self, holds: &[Hold]) {
        for hold in holds {
            if let Some(bucket) = self.counters.get_mut(&hold.counter, hold.window_id) {
                bucket.reserved -= hold.amount;
            }
        }
    }

    fn sweep(&mut self, now_ms: u64) {
        for holds in self.reservations.sweep(now_ms) {
            self.release(&holds);
        }
        self.counters.sweep(now_ms);
    }
}

#[cfg(test)]
mod tests;
