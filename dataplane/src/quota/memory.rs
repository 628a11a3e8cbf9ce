//! The store of one process: sharded maps under short locks, the same arithmetic as in Redis.
//!
//! Bounded by traffic: a bucket lives as long as it can count (two windows and the reservation's
//! ttl), a settled id for a minute; both are dropped as later calls pass by.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use parking_lot::Mutex;

use super::charge::{Admission, Charge, CounterKey, ReservationId, Reserve, Settlement};
use super::clock::{Clock, system_clock};
use super::expiring::Expiring;
use super::judge;
use super::store::{QuotaStore, StoreError};
use super::window::{self, Counts, Moment};

/// Locks to spread tenants over; a tenant is in one shard, so that one lock charges all or none.
const SHARDS: usize = 16;
/// Lapsed entries dropped by one call: more than one call adds, so that shards shrink.
const SWEEP: usize = 32;
/// How long a settled id is remembered. No reply is lost within a process: what comes twice comes at
/// once. At 1,000 requests a second that is some 10 MB.
const REMEMBER_MS: u64 = 60_000;

/// Keeps quotas in this process.
pub struct MemoryStore {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
    clock: Clock,
}

#[derive(Default)]
struct Shard {
    buckets: Expiring<(CounterKey, u64), Bucket>,
    settled: Expiring<ReservationId, ()>,
}

/// One counter in one window.
#[derive(Default)]
struct Bucket {
    used: u64,
    /// Invariant: the sum of `holds`.
    reserved: u64,
    holds: Expiring<ReservationId, u64>,
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
            hasher: RandomState::new(),
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
        if self.settled.get(&reserve.id).is_some() {
            return Err(StoreError::Refused("settled before reserved".to_owned()));
        }
        let counts = reserve.charges.iter().map(|c| self.counts(c, now_ms));
        let counts: Vec<Counts> = counts.collect();
        Ok(
            match judge::find_obstacle(&reserve.charges, &counts, now_ms) {
                Some(obstacle) => judge::refused(reserve, &counts, now_ms, obstacle),
                None => {
                    self.hold(reserve, now_ms);
                    judge::admitted(reserve, &counts, now_ms)
                }
            },
        )
    }

    fn hold(&mut self, reserve: &Reserve, now_ms: u64) {
        let ttl_ms = u64::try_from(reserve.ttl.as_millis()).unwrap_or(u64::MAX);
        let lapses_ms = now_ms.saturating_add(ttl_ms);
        for charge in &reserve.charges {
            let moment = Moment::at(now_ms, charge.window);
            let keep_ms = window::keep_ms(charge.window, reserve.ttl);
            let key = (charge.counter.clone(), moment.id);
            let bucket = self.buckets.touch(&key, now_ms.saturating_add(keep_ms));
            if bucket.holds.get(&reserve.id).is_none() {
                bucket.reserved += charge.estimate;
                bucket.holds.insert(reserve.id, charge.estimate, lapses_ms);
            }
        }
    }

    fn settle(&mut self, settlement: &Settlement, now_ms: u64) {
        let reservation = &settlement.reservation;
        if self.settled.get(&reservation.id).is_some() {
            return;
        }
        self.settled
            .insert(reservation.id, (), now_ms + REMEMBER_MS);
        for entry in &reservation.entries {
            let keep_ms = now_ms + window::keep_ms(entry.window, Duration::ZERO);
            let key = (entry.counter.clone(), entry.window_id);
            let bucket = self.buckets.touch(&key, keep_ms);
            bucket.used = bucket.used.saturating_add(settlement.amount(entry.unit));
            if let Some(held) = bucket.holds.remove(&reservation.id) {
                bucket.reserved -= held;
            }
        }
    }

    fn counts(&mut self, charge: &Charge, now_ms: u64) -> Counts {
        let current = Moment::at(now_ms, charge.window).id;
        let previous = current.checked_sub(1);
        Counts {
            current: self.total(&charge.counter, current, now_ms),
            previous: previous.map_or(0, |id| self.total(&charge.counter, id, now_ms)),
        }
    }

    fn total(&mut self, counter: &CounterKey, window_id: u64, now_ms: u64) -> u64 {
        let Some(bucket) = self.buckets.get_mut(&(counter.clone(), window_id)) else {
            return 0;
        };
        while let Some((_, held)) = bucket.holds.pop_expired(now_ms) {
            bucket.reserved -= held;
        }
        bucket.used.saturating_add(bucket.reserved)
    }

    fn sweep(&mut self, now_ms: u64) {
        for _ in 0..SWEEP {
            let bucket = self.buckets.pop_expired(now_ms).is_some();
            if self.settled.pop_expired(now_ms).is_none() && !bucket {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests;
