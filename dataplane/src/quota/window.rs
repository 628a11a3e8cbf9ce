//! The arithmetic of sliding windows: two buckets, the previous one weighted by how much of it still
//! lies within the window that ends now. Pure; time is milliseconds since the epoch, as an argument.
//!
//! ```text
//!        previous bucket     │   current bucket
//!  ──────────┬───────────────┼──────────┬─────────►  time
//!            └─── the window that counts┘now
//!              counted = current + ceil(previous × remaining ÷ window)
//! ```
//!
//! Everything rounds towards counting too much, by at most 1/65,536 of the previous bucket. The
//! weight has 16 bits so that Redis, whose scripts know only doubles, gets the same integers as we
//! do for buckets under 2^37 and windows up to a year.

use std::time::Duration;

/// 1.0 as a weight.
const WHOLE: u64 = 1 << 16;
/// Longest window, 2^35 ms (398 days): beyond it the weight is not exact in a double.
const MAX_WINDOW_MS: u64 = 1 << 35;

/// A point in time as one window sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Number of the bucket since the epoch.
    pub id: u64,
    pub window_ms: u64,
    /// Until the next bucket begins: 1..=`window_ms`.
    pub remaining_ms: u64,
}

impl Moment {
    /// Finds the bucket of `now_ms`.
    pub fn at(now_ms: u64, window: Duration) -> Self {
        let window_ms = to_ms(window);
        Self {
            id: now_ms / window_ms,
            window_ms,
            remaining_ms: window_ms - now_ms % window_ms,
        }
    }
}

/// Used plus reserved, in the two buckets that count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub current: u64,
    pub previous: u64,
}

/// Returns a window's length in milliseconds, brought into the range that the arithmetic is exact in.
pub fn to_ms(window: Duration) -> u64 {
    let ms = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
    ms.clamp(1, MAX_WINDOW_MS)
}

/// Returns how long a bucket is kept after it was touched: as long as it can count, and as long as a
/// reservation in it can stand.
pub fn keep_ms(window: Duration, reservation_ttl: Duration) -> u64 {
    let ttl = u64::try_from(reservation_ttl.as_millis()).unwrap_or(u64::MAX);
    (2 * to_ms(window)).saturating_add(ttl)
}

/// Returns how long a settlement's id is remembered: as long as its buckets count, with a margin, and
/// no longer than a day. A duplicate comes from a lost reply and follows within seconds; the day bounds
/// what monthly windows make a store remember.
pub fn remember_ms(longest_window: Duration) -> u64 {
    const MARGIN_MS: u64 = 10 * 60 * 1000;
    const DAY_MS: u64 = 24 * 60 * 60 * 1000;
    (2 * to_ms(longest_window) + MARGIN_MS).min(DAY_MS)
}

/// Returns what counts at this moment.
pub fn counted(counts: Counts, moment: Moment) -> u64 {
    let weight = weight(moment.remaining_ms, moment.window_ms);
    let previous = (u128::from(counts.previous) * u128::from(weight)).div_ceil(WHOLE.into());
    let previous = u64::try_from(previous).unwrap_or(u64::MAX);
    counts.current.saturating_add(previous)
}

/// Says whether `amount` fits under `limit` beside what counts already.
pub fn fits(amount: u64, limit: u64, counts: Counts, moment: Moment) -> bool {
    counted(counts, moment)
        .checked_add(amount)
        .is_some_and(|total| total <= limit)
}

/// Returns how long until `amount` fits if nothing else comes; 0 if it fits now. It must not be over
/// the limit.
pub fn wait_ms(amount: u64, limit: u64, counts: Counts, moment: Moment) -> u64 {
    if fits(amount, limit, counts, moment) {
        return 0;
    }
    let room = limit.saturating_sub(amount);
    if counts.current <= room {
        // The previous bucket has to fade within this window.
        let until = fade(counts.previous, room - counts.current, moment.window_ms);
        return moment.remaining_ms.saturating_sub(until);
    }
    // Only once the current bucket has become the previous one, and faded.
    let until = fade(counts.current, room, moment.window_ms);
    moment.remaining_ms + moment.window_ms.saturating_sub(until)
}

/// Returns how long until nothing counts if nothing else comes.
pub fn reset_ms(counts: Counts, moment: Moment) -> u64 {
    match counts {
        Counts { current: 1.., .. } => moment.remaining_ms + moment.window_ms,
        Counts { previous: 1.., .. } => moment.remaining_ms,
        _ => 0,
    }
}

/// Returns the most remaining milliseconds at which a previous bucket of `amount` counts no more
/// than `room`.
fn fade(amount: u64, room: u64, window_ms: u64) -> u64 {
    if amount == 0 {
        return window_ms;
    }
    let weight = scale(room, WHOLE, amount).min(WHOLE);
    scale(weight, window_ms, WHOLE)
}

/// Returns the share of the previous bucket that still counts, of [`WHOLE`], rounded up.
fn weight(remaining_ms: u64, window_ms: u64) -> u64 {
    (remaining_ms * WHOLE).div_ceil(window_ms)
}

/// Returns `floor(a × b ÷ c)` without overflow on the way.
fn scale(a: u64, b: u64, c: u64) -> u64 {
    let product = u128::from(a) * u128::from(b) / u128::from(c);
    u64::try_from(product).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
