//! A time that certificates and tokens speak of.

use std::time::Duration;

use jiff::Timestamp;

/// Whole seconds since 1970, by the clock of whoever wrote it. Arithmetic stays within
/// what can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub i64);

impl Moment {
    /// Reads this machine's clock.
    pub fn now() -> Self {
        Self(Timestamp::now().as_second())
    }

    /// So much later.
    pub fn plus(self, duration: Duration) -> Self {
        let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(seconds))
    }

    /// So much earlier.
    pub fn minus(self, duration: Duration) -> Self {
        let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(seconds))
    }

    /// How long it is from here to then; zero where that is past.
    pub fn until(self, then: Self) -> Duration {
        let seconds = then.0.saturating_sub(self.0);
        Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
    }
}

/// From when until when something holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// The first moment.
    pub from: Moment,
    /// The first moment after.
    pub until: Moment,
}

impl Life {
    /// How long it is.
    pub fn span(self) -> Duration {
        self.from.until(self.until)
    }

    /// When two thirds of it are over: time for a successor.
    pub fn two_thirds(self) -> Moment {
        self.from.plus(self.span() / 3 * 2)
    }

    /// Whether it is over.
    pub fn has_ended(self, now: Moment) -> bool {
        now >= self.until
    }
}
