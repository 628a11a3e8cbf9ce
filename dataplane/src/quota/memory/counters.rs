//! What was used of each counter, window by window. Knows no clock.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use smallvec::SmallVec;

use super::prehashed::PrehashedMap;
use crate::quota::charge::CounterKey;
use crate::quota::window::Counts;

/// Counters looked at by one call: more than one call adds, so that maps shrink.
const SWEEP: usize = 32;

/// All counters of a shard.
#[derive(Default)]
pub(super) struct Counters {
    windows: PrehashedMap<CounterKey, Windows>,
    /// When to look next whether a counter can go: one for each, never after it can.
    due: BinaryHeap<Due>,
}

/// The windows of one counter that can still count, in the order of their first use.
type Windows = SmallVec<[Bucket; 2]>;

/// One counter in one window.
pub(super) struct Bucket {
    window_id: u64,
    pub(super) used: u64,
    /// The sum of what is held.
    pub(super) reserved: u64,
    keep_until_ms: u64,
}

struct Due {
    at_ms: u64,
    counter: CounterKey,
}

impl Counters {
    /// Used and reserved in a window and in the one before it.
    pub(super) fn counts(&self, counter: &CounterKey, current: u64) -> Counts {
        let mut counts = Counts::default();
        for bucket in self.windows.get(counter).into_iter().flatten() {
            let total = bucket.used.saturating_add(bucket.reserved);
            if bucket.window_id == current {
                counts.current = total;
            } else if bucket.window_id.checked_add(1) == Some(current) {
                counts.previous = total;
            }
        }
        counts
    }

    pub(super) fn get_mut(&mut self, counter: &CounterKey, window_id: u64) -> Option<&mut Bucket> {
        let windows = self.windows.get_mut(counter)?;
        windows.iter_mut().find(|b| b.window_id == window_id)
    }

    /// Gives a counter in a window, new if absent, and keeps it until `keep_until_ms` at least.
    pub(super) fn touch(
        &mut self,
        counter: &CounterKey,
        window_id: u64,
        keep_until_ms: u64,
        now_ms: u64,
    ) -> &mut Bucket {
        let due = &mut self.due;
        let windows = self.windows.entry(counter.clone()).or_insert_with(|| {
            due.push(Due {
                at_ms: keep_until_ms,
                counter: counter.clone(),
            });
            Windows::new()
        });
        let place = match windows.iter().position(|b| b.window_id == window_id) {
            Some(place) => place,
            None => {
                windows.retain(|bucket| bucket.keep_until_ms > now_ms);
                windows.push(Bucket {
                    window_id,
                    used: 0,
                    reserved: 0,
                    keep_until_ms,
                });
                windows.len() - 1
            }
        };
        let bucket = &mut windows[place];
        bucket.keep_until_ms = bucket.keep_until_ms.max(keep_until_ms);
        bucket
    }

    /// Drops some of the counters that can count no more.
    pub(super) fn sweep(&mut self, now_ms: u64) {
        for _ in 0..SWEEP {
            let Some(mut due) = self.due.peek_mut() else {
                return;
            };
            if due.at_ms > now_ms {
                return;
            }
            let windows = self.windows.get(&due.counter);
            let kept = windows.into_iter().flatten().map(|b| b.keep_until_ms);
            match kept.max().filter(|until_ms| *until_ms > now_ms) {
                Some(until_ms) => due.at_ms = until_ms,
                None => {
                    let Due { counter, .. } = std::collections::binary_heap::PeekMut::pop(due);
                    self.windows.remove(&counter);
                }
            }
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.windows.len(), self.due.len());
        self.windows.len()
    }
}

impl Ord for Due {
    /// The earliest is the greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        other.at_ms.cmp(&self.at_ms)
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.at_ms == other.at_ms
    }
}

impl Eq for Due {}
