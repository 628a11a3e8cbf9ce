//! What is reserved by whom, and who has settled. Knows no clock.

use std::collections::VecDeque;

use smallvec::SmallVec;

use super::prehashed::PrehashedMap;
use crate::quota::charge::{CounterKey, ReservationId};

/// How long a settled id is remembered. No reply is lost within a process: what comes twice comes at
/// once. At 1,000 requests a second that is some 2 MB.
const REMEMBER_MS: u64 = 10_000;
/// Settled ids forgotten by one call: more than one call adds.
const SWEEP: usize = 32;

/// All reservations of a shard.
#[derive(Default)]
pub(super) struct Reservations {
    known: PrehashedMap<ReservationId, Known>,
    /// No reservation lapses before.
    first_lapse_ms: Option<u64>,
    /// In the order in which they are forgotten, and when.
    settled: VecDeque<(u64, ReservationId)>,
}

/// How far a reservation has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Held,
    Settled,
}

enum Known {
    Held { holds: Holds, lapses_ms: u64 },
    Settled,
}

pub(super) type Holds = SmallVec<[Hold; 2]>;

/// What a reservation holds of one counter.
#[derive(Debug)]
pub(super) struct Hold {
    pub(super) counter: CounterKey,
    pub(super) window_id: u64,
    pub(super) amount: u64,
}

impl Reservations {
    pub(super) fn find(&self, id: ReservationId) -> Option<Stage> {
        self.known.get(&id).map(|known| match known {
            Known::Held { .. } => Stage::Held,
            Known::Settled => Stage::Settled,
        })
    }

    /// Notes a new reservation.
    pub(super) fn hold(&mut self, id: ReservationId, holds: Holds, lapses_ms: u64) {
        let first_ms = self.first_lapse_ms.unwrap_or(u64::MAX);
        self.first_lapse_ms = Some(first_ms.min(lapses_ms));
        self.known.insert(id, Known::Held { holds, lapses_ms });
    }

    /// Notes a settlement and gives back what was still held for it; `None`: it is a repeated one.
    pub(super) fn settle(&mut self, id: ReservationId, now_ms: u64) -> Option<Holds> {
        let holds = match self.known.insert(id, Known::Settled) {
            Some(Known::Settled) => return None,
            Some(Known::Held { holds, .. }) => holds,
            None => Holds::new(),
        };
        self.settled.push_back((now_ms + REMEMBER_MS, id));
        Some(holds)
    }

    /// Forgets some of what has been settled for long, and gives back what has lapsed.
    ///
    /// All are looked through, but not before the first that was there at the last time would lapse:
    /// nearly all are settled long before they do.
    pub(super) fn sweep(&mut self, now_ms: u64) -> Vec<Holds> {
        for _ in 0..SWEEP {
            match self.settled.front() {
                Some((until_ms, id)) if *until_ms <= now_ms => self.known.remove(id),
                _ => break,
            };
            self.settled.pop_front();
        }
        if self.first_lapse_ms.is_none_or(|first_ms| first_ms > now_ms) {
            return Vec::new();
        }
        self.lapse(now_ms)
    }

    fn lapse(&mut self, now_ms: u64) -> Vec<Holds> {
        let mut first_ms = None;
        let lapsed = self.known.extract_if(|_, known| match known {
            Known::Held { lapses_ms, .. } if *lapses_ms <= now_ms => true,
            Known::Held { lapses_ms, .. } => {
                first_ms = Some(first_ms.map_or(*lapses_ms, |first: u64| first.min(*lapses_ms)));
                false
            }
            Known::Settled => false,
        });
        let lapsed = lapsed.filter_map(|(_, known)| match known {
            Known::Held { holds, .. } => Some(holds),
            Known::Settled => None,
        });
        let lapsed = lapsed.collect();
        self.first_lapse_ms = first_ms;
        lapsed
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }
}
