//! Whether bytes come fast enough. Pure: time is told to it.

use std::time::Duration;

/// Bytes a second that a sender has to reach: far below any line that works.
pub const FLOOR: u64 = 1024;
/// What is averaged over, in time of waiting. The first is not judged: lines have to warm up, and
/// the sender may wait for `100 Continue`.
pub const WINDOW: Duration = Duration::from_secs(10);

/// Counts one window after the other.
#[derive(Debug)]
pub(super) struct Meter {
    bytes: u64,
    waited: Duration,
    is_judged: bool,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            bytes: 0,
            waited: Duration::ZERO,
            is_judged: false,
        }
    }
}

impl Meter {
    /// How much more waiting until there is something to judge.
    pub(super) fn left(&self) -> Duration {
        WINDOW.saturating_sub(self.waited)
    }

    /// Counts bytes that have come.
    pub(super) fn got(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// Counts time in which the sender was waited for, and judges if a window is over.
    pub(super) fn is_too_slow_after(&mut self, waited: Duration) -> bool {
        self.waited += waited;
        if self.waited < WINDOW {
            return false;
        }
        let is_too_slow = self.is_judged && self.bytes < FLOOR * WINDOW.as_secs();
        *self = Self {
            is_judged: true,
            ..Self::default()
        };
        is_too_slow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds until a sender of so many bytes a second is found too slow.
    fn found_after(bytes_per_second: usize) -> Option<u32> {
        let mut meter = Meter::default();
        (1..=100).find(|_| {
            meter.got(bytes_per_second);
            meter.is_too_slow_after(Duration::from_secs(1))
        })
    }

    #[test]
    fn who_is_below_the_floor_is_found_after_the_second_window() {
        for (bytes, expected) in [
            (0, Some(20)),
            (1, Some(20)),
            (1023, Some(20)),
            (1024, None),
            (1 << 20, None),
        ] {
            assert_eq!(found_after(bytes), expected, "{bytes}");
        }
    }

    #[test]
    fn a_burst_helps_its_own_window_alone() {
        let mut meter = Meter::default();
        meter.got(1 << 30);
        assert!(!meter.is_too_slow_after(WINDOW));
        meter.got(FLOOR as usize * 10);
        assert!(!meter.is_too_slow_after(WINDOW));
        assert!(meter.is_too_slow_after(WINDOW));
    }

    #[test]
    fn time_in_which_nobody_waited_does_not_count() {
        let mut meter = Meter::default();
        for _ in 0..1000 {
            meter.got(1);
            assert!(!meter.is_too_slow_after(Duration::ZERO));
        }
        assert_eq!(meter.left(), WINDOW);
        assert!(!meter.is_too_slow_after(WINDOW / 4));
        assert_eq!(meter.left(), WINDOW * 3 / 4);
    }
}
