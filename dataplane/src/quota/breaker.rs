//! Keeps a dead store from costing time: after some failures in a row calls are refused at once, and
//! one probe at a time is let through. Time is an argument.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Failures in a row that open it. More than one, since a reply may be late once.
pub(super) const THRESHOLD: u32 = 3;
/// Pause before a probe; recovery is noticed within it.
const OPEN_FOR: Duration = Duration::from_millis(500);

/// Closed, or open until a time.
#[derive(Default)]
pub(super) struct Breaker {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    failures: u32,
    open_until: Option<Instant>,
}

impl Breaker {
    /// Says whether a call may go out. While open: one in each pause, as a probe; a probe that is
    /// never reported merely costs its pause.
    pub(super) fn try_pass(&self, now: Instant) -> bool {
        let mut state = self.state.lock();
        match state.open_until {
            None => true,
            Some(until) if now < until => false,
            Some(_) => {
                state.open_until = Some(now + OPEN_FOR);
                true
            }
        }
    }

    /// Closes it. Says whether it was open.
    pub(super) fn succeeded(&self) -> bool {
        let mut state = self.state.lock();
        std::mem::take(&mut *state).open_until.is_some()
    }

    /// Counts a failure; from [`THRESHOLD`] in a row on it is open. Returns how many in a row.
    pub(super) fn failed(&self, now: Instant) -> u32 {
        let mut state = self.state.lock();
        state.failures = state.failures.saturating_add(1);
        if state.failures >= THRESHOLD {
            state.open_until = Some(now + OPEN_FOR);
        }
        state.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(now: Instant) -> Breaker {
        let breaker = Breaker::default();
        for failures in 1..=THRESHOLD {
            assert!(breaker.try_pass(now));
            assert_eq!(breaker.failed(now), failures);
        }
        breaker
    }

    #[test]
    fn opens_only_after_failures_in_a_row() {
        let now = Instant::now();
        let breaker = Breaker::default();
        for _ in 0..3 * THRESHOLD {
            breaker.failed(now);
            assert!(!breaker.succeeded());
        }
        assert!(breaker.try_pass(now));
        assert!(!opened(now).try_pass(now));
    }

    #[test]
    fn lets_one_probe_through_in_each_pause() {
        let now = Instant::now();
        let breaker = opened(now);
        let later = now + OPEN_FOR;
        assert!(breaker.try_pass(later));
        assert!(!breaker.try_pass(later));
        assert!(breaker.try_pass(later + OPEN_FOR));
    }

    #[test]
    fn a_probe_closes_or_reopens_it() {
        let now = Instant::now();
        let breaker = opened(now);
        assert!(breaker.try_pass(now + OPEN_FOR));
        breaker.failed(now + OPEN_FOR);
        assert!(!breaker.try_pass(now + OPEN_FOR));
        assert!(breaker.succeeded());
        assert!(!breaker.succeeded());
        assert!(breaker.try_pass(now + OPEN_FOR));
    }
}
