//! How long to wait before the next try: doubling, with jitter, bounded.

use std::time::Duration;

use rand::{Rng, RngExt};

/// A controller that restarts is back within tens of milliseconds.
const SHORTEST: Duration = Duration::from_millis(50);
/// Once it is back, no data plane is without it for longer than this.
const LONGEST: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: SHORTEST }
    }
}

impl Backoff {
    /// Gives the next pause: somewhere in the upper half of the current bound, so
    /// that many data planes do not come back at one moment.
    pub(super) fn next(&mut self, rng: &mut impl Rng) -> Duration {
        let bound = self.next;
        self.next = (bound * 2).min(LONGEST);
        bound.mul_f64(rng.random_range(0.5..=1.0))
    }

    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_begin_anew() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut backoff = Backoff::default();
        for bound_ms in [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000] {
            let bound = Duration::from_millis(bound_ms);
            let pause = backoff.next(&mut rng);
            assert!(pause <= bound && pause >= bound / 2, "{pause:?} {bound:?}");
        }
        backoff.reset();
        assert!(backoff.next(&mut rng) <= SHORTEST);
    }
}
