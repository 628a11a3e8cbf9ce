//! Benchmarks of the whole: what a request costs, how fast a new route is served, how both fare with
//! many tenants, how fast what is taken away is gone, what open streams notice of changes, what TLS
//! costs, and what a long load leaves behind.
//!
//! Each runs the release programs as processes of their own and prints what it compares side by
//! side, from one run.

pub mod baseline;
pub mod create_to_served;
pub mod domains;
pub mod fleet;
pub mod floods;
pub mod handshakes;
pub mod model;
pub mod proxy;
pub mod soak;
pub mod streams;
pub mod tenancy;
pub mod trend;
pub mod uploads;

mod api;
mod caller;
mod cpu;
mod descriptors;
mod load;
mod memory;
mod posted;
mod role;
mod table;
mod verdict;

use std::time::Duration;

/// The value below which a share of all lies; the list need not be sorted.
pub fn quantile(times: &[Duration], share: f64) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    let last = times.len().saturating_sub(1);
    let at = (last as f64 * share).round() as usize;
    times.get(at).copied().unwrap_or_default()
}

/// The middle of some figures; the list need not be sorted.
pub fn median(figures: &[f64]) -> f64 {
    let mut figures = figures.to_vec();
    figures.sort_unstable_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
