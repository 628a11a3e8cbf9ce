//! How one stream fares, written by its task and read by anybody without a lock.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// What has no acknowledgement, and since when.
#[derive(Debug)]
pub(crate) struct Pulse {
    epoch: Instant,
    unacknowledged: AtomicUsize,
    /// Milliseconds since `epoch`; meaningful where something is unacknowledged.
    oldest: AtomicU64,
    withheld: AtomicUsize,
}

/// One look at a [`Pulse`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beat {
    /// Units sent and not acknowledged.
    pub unacknowledged: usize,
    /// How long the oldest of them has waited.
    pub oldest: Duration,
    /// Withdrawals that nobody has accepted.
    pub withheld: usize,
}

impl Pulse {
    pub(crate) fn new(epoch: Instant) -> Self {
        Self {
            epoch,
            unacknowledged: AtomicUsize::new(0),
            oldest: AtomicU64::new(0),
            withheld: AtomicUsize::new(0),
        }
    }

    /// Notes how many units wait since when, and what is withheld.
    pub(crate) fn note(&self, unacknowledged: usize, oldest: Option<Instant>, withheld: usize) {
        if let Some(oldest) = oldest {
            let since = oldest.saturating_duration_since(self.epoch).as_millis();
            let since = u64::try_from(since).unwrap_or(u64::MAX);
            self.oldest.store(since, Ordering::Relaxed);
        }
        self.unacknowledged.store(unacknowledged, Ordering::Relaxed);
        self.withheld.store(withheld, Ordering::Relaxed);
    }

    pub(crate) fn beat(&self, now: Instant) -> Beat {
        let unacknowledged = self.unacknowledged.load(Ordering::Relaxed);
        let since = Duration::from_millis(self.oldest.load(Ordering::Relaxed));
        let oldest = match unacknowledged {
            0 => Duration::ZERO,
            _ => now.saturating_duration_since(self.epoch + since),
        };
        Beat {
            unacknowledged,
            oldest,
            withheld: self.withheld.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_counts_only_while_something_waits() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let pulse = Pulse::new(start);
        assert_eq!(pulse.beat(start + second), Beat::default());
        pulse.note(2, Some(start + second), 3);
        let beat = pulse.beat(start + 5 * second);
        assert_eq!((beat.unacknowledged, beat.oldest), (2, 4 * second));
        pulse.note(0, None, 0);
        assert_eq!(pulse.beat(start + 9 * second), Beat::default());
    }
}
