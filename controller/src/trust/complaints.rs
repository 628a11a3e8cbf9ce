//! Refusals at the snapshot port: each is counted, and of many alike one is told.
//!
//! Whoever knocks again and again writes one line each [`QUIET`] for each cause, with the number of
//! those that were not told before it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::metrics::{Reason, Refusals};

/// Between two lines of one cause and one address.
const QUIET: Duration = Duration::from_secs(10);
/// Causes and addresses that are told apart; above, addresses share one line for each cause.
const MAX_TOLD: usize = 1024;

/// Takes refusals; cheap to clone, clones share.
#[derive(Clone, Debug, Default)]
pub struct Complaints {
    counts: Refusals,
    told: Arc<Mutex<Told>>,
}

impl Complaints {
    /// Counts there.
    pub fn new(counts: Refusals) -> Self {
        Self {
            counts,
            told: Arc::default(),
        }
    }

    /// Counts a refusal. `Some`: it is to be logged, with the number of those like it that were not.
    pub fn note(&self, reason: Reason, remote: Option<IpAddr>) -> Option<u64> {
        self.counts.count(reason);
        self.told.lock().note(reason, remote, Instant::now())
    }
}

/// When what was told last. Bounded.
#[derive(Debug, Default)]
struct Told(HashMap<(Reason, Option<IpAddr>), Line>);

#[derive(Debug)]
struct Line {
    at: Instant,
    unsaid: u64,
}

impl Told {
    fn note(&mut self, reason: Reason, remote: Option<IpAddr>, now: Instant) -> Option<u64> {
        let is_old = |line: &Line| now.saturating_duration_since(line.at) >= QUIET;
        let mut cause = (reason, remote);
        if self.0.len() >= MAX_TOLD && !self.0.contains_key(&cause) {
            self.0.retain(|_, line| !is_old(line));
            if self.0.len() >= MAX_TOLD {
                cause.1 = None;
            }
        }
        match self.0.get_mut(&cause) {
            Some(line) if !is_old(line) => {
                line.unsaid += 1;
                None
            }
            Some(line) => {
                line.at = now;
                Some(std::mem::take(&mut line.unsaid))
            }
            None => {
                let line = Line { at: now, unsaid: 0 };
                self.0.insert(cause, line);
                Some(0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u32) -> Option<IpAddr> {
        Some(std::net::Ipv4Addr::from_bits(last).into())
    }

    #[test]
    fn of_many_alike_one_is_told_and_the_next_tells_their_number() {
        let (mut told, now) = (Told::default(), Instant::now());
        let at = |millis: u64| now + Duration::from_millis(millis);
        assert_eq!(told.note(Reason::Token, address(1), at(0)), Some(0));
        for millis in 1..=5 {
            assert_eq!(told.note(Reason::Token, address(1), at(millis)), None);
        }
        assert_eq!(told.note(Reason::Account, address(1), at(6)), Some(0));
        assert_eq!(told.note(Reason::Token, address(2), at(6)), Some(0));
        assert_eq!(told.note(Reason::Token, address(1), at(10_000)), Some(5));
        assert_eq!(told.note(Reason::Token, address(1), at(10_001)), None);
    }

    #[test]
    fn a_flood_from_everywhere_is_bounded_and_told_once() {
        let (mut told, now) = (Told::default(), Instant::now());
        let flood = 0..MAX_TOLD as u32 + 500;
        let lines =
            flood.filter(|number| told.note(Reason::Token, address(*number), now).is_some());
        assert_eq!(lines.count(), MAX_TOLD + 1);
        assert_eq!(told.0.len(), MAX_TOLD + 1);
        assert_eq!(told.note(Reason::Token, address(0), now + QUIET), Some(0));
        assert_eq!(
            told.note(Reason::Token, address(u32::MAX), now + QUIET),
            Some(0)
        );
        assert_eq!(told.0.len(), 2);
    }

    #[test]
    fn all_are_counted() {
        let counts = Refusals::default();
        let complaints = Complaints::new(counts.clone());
        for _ in 0..3 {
            complaints.note(Reason::NoToken, address(1));
        }
        assert_eq!(counts.get(Reason::NoToken), 3);
    }
}
