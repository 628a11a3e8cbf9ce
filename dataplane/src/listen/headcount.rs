//! How many connections each address has open.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::store::Asker;

/// Counts by address; those without connections take no memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Headcount(Arc<Mutex<HashMap<Asker, usize>>>);

/// One connection's; it is given back when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    of: Asker,
    headcount: Headcount,
}

impl Headcount {
    /// Takes a seat, unless the address has `limit` already.
    pub(super) fn take(&self, of: Asker, limit: usize) -> Option<Seat> {
        let mut counts = self.0.lock();
        let count = counts.entry(of).or_default();
        if *count >= limit {
            return None;
        }
        *count += 1;
        drop(counts);
        let headcount = self.clone();
        Some(Seat { of, headcount })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut counts = self.headcount.0.lock();
        if let Some(count) = counts.get_mut(&self.of) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.of);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_own_count_and_leaves_nothing_behind() {
        let headcount = Headcount::default();
        let (one, other) = (Asker::V4([10, 0, 0, 1].into()), Asker::V6([1, 2, 3, 4]));
        let seats: Vec<_> = (0..2).map(|_| headcount.take(one, 2)).collect();
        assert!(seats.iter().all(Option::is_some));
        assert!(headcount.take(one, 2).is_none());
        assert!(headcount.take(other, 2).is_some());
        drop(seats);
        assert!(headcount.take(one, 2).is_some());
        assert!(headcount.0.lock().is_empty());
    }
}
