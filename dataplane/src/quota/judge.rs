//! Turns charges and counts into an answer. Pure; both stores decide by it.

use std::cmp::Reverse;
use std::time::Duration;

use super::charge::{Admission, Charge, Entry, Reservation, ReservationId, Reserve, Standing};
use super::window::{self, Counts, Moment};

/// Why charges were not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    TooLarge {
        charge: usize,
    },
    Exceeded {
        charge: usize,
        retry_after: Duration,
    },
}

/// Finds what stands in the way of the charges: one that can never fit, else the one that takes
/// longest to fit. `None` if all fit. `counts` are in the order of `charges`.
pub(super) fn find_obstacle(
    charges: &[Charge],
    counts: &[Counts],
    now_ms: u64,
) -> Option<Obstacle> {
    if let Some(charge) = charges.iter().position(|c| c.estimate > c.limit) {
        return Some(Obstacle::TooLarge { charge });
    }
    let waits = charges.iter().zip(counts).enumerate();
    let (wait_ms, Reverse(charge)) = waits
        .map(|(i, (charge, &counts))| (wait_ms(charge, counts, now_ms), Reverse(i)))
        .max()?;
    (wait_ms > 0).then(|| Obstacle::Exceeded {
        charge,
        retry_after: whole_seconds(wait_ms),
    })
}

/// Places the charges in the windows of `now_ms`.
pub(super) fn place(id: ReservationId, charges: &[Charge], now_ms: u64) -> Reservation {
    let entries = charges.iter().map(|charge| Entry {
        counter: charge.counter.clone(),
        unit: charge.unit,
        window_id: Moment::at(now_ms, charge.window).id,
        window: charge.window,
        estimate: charge.estimate,
    });
    Reservation {
        id,
        entries: entries.collect(),
    }
}

/// Builds the answer to a reservation that was made; `counts` are those from before it.
pub(super) fn admitted(reserve: &Reserve, counts: &[Counts], now_ms: u64) -> Admission {
    let pairs = reserve.charges.iter().zip(counts);
    let standings = pairs.map(|(charge, counts)| {
        let current = counts.current.saturating_add(charge.estimate);
        standing(charge, Counts { current, ..*counts }, now_ms)
    });
    Admission::Admitted {
        reservation: place(reserve.id, &reserve.charges, now_ms),
        standings: standings.collect(),
    }
}

/// Builds the answer to a reservation that was not made.
pub(super) fn refused(
    reserve: &Reserve,
    counts: &[Counts],
    now_ms: u64,
    obstacle: Obstacle,
) -> Admission {
    let pairs = reserve.charges.iter().zip(counts);
    let standings = pairs.map(|(charge, &counts)| standing(charge, counts, now_ms));
    let standings = standings.collect();
    match obstacle {
        Obstacle::TooLarge { charge } => Admission::TooLarge { charge, standings },
        Obstacle::Exceeded {
            charge,
            retry_after,
        } => Admission::Exceeded {
            charge,
            retry_after,
            standings,
        },
    }
}

fn wait_ms(charge: &Charge, counts: Counts, now_ms: u64) -> u64 {
    let moment = Moment::at(now_ms, charge.window);
    window::wait_ms(charge.estimate, charge.limit, counts, moment)
}

fn standing(charge: &Charge, counts: Counts, now_ms: u64) -> Standing {
    let moment = Moment::at(now_ms, charge.window);
    Standing {
        unit: charge.unit,
        limit: charge.limit,
        remaining: charge.limit.saturating_sub(window::counted(counts, moment)),
        reset_after: whole_seconds(window::reset_ms(counts, moment)),
    }
}

fn whole_seconds(ms: u64) -> Duration {
    Duration::from_secs(ms.div_ceil(1000))
}
