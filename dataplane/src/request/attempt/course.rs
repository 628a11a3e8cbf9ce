//! Where a request goes next after an attempt that failed, and when. Pure: chance and what happened
//! are arguments.
//!
//! ```text
//! first ─► attempt ─ failed ─┬─ not for another attempt, or none left ──► over
//!             ▲              ├─ failover, and a backend is left: at once ─┐
//!             │              └─ else, an attempt left: after a pause ─────┤
//!             └───────────────────────────────────────────────────────────┘
//! ```
//! Backends that were tried come again only after a pause, once no other is left.

use std::sync::Arc;
use std::time::Duration;

use rand::{Rng, RngExt};
use turnpike_snapshot::retries::{Failure, Retries};

use super::choose::{Candidate, candidate, nobody, pick};
use crate::access_log::End;
use crate::metrics::UpstreamFault;
use crate::request::error::{RequestError, Result};
use crate::store::view::RuleView;

/// The longest pause of our own.
const MAX_PAUSE: Duration = Duration::from_secs(2);
/// The longest pause that a provider may ask for; no caller waits longer for a retry.
const MAX_ASKED: Duration = Duration::from_secs(10);

/// The attempts of one request.
pub(super) struct Course<'a> {
    rule: &'a RuleView,
    model: &'a Arc<str>,
    /// One bit a backend.
    tried: u64,
    current: Option<usize>,
    /// Attempts made after all backends were tried.
    retries: u32,
    /// Pauses made.
    rounds: u32,
}

/// What to do after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// The failure is the answer.
    Over,
    /// Choose again after this pause.
    Again(Duration),
}

impl<'a> Course<'a> {
    pub(super) fn new(rule: &'a RuleView, model: &'a Arc<str>) -> Self {
        Self {
            rule,
            model,
            tried: 0,
            current: None,
            retries: 0,
            rounds: 0,
        }
    }

    /// Chooses the backend of the next attempt.
    ///
    /// Errors: 404 where no backend offers the model, 503 where the chosen one cannot be used; that
    /// is an attempt that failed.
    pub(super) fn choose(&mut self, rng: &mut impl Rng) -> Result<Candidate<'a>> {
        let same = self.current.filter(|_| !self.rule.retries.is_failover);
        let index = match same {
            Some(index) => index,
            None => pick(self.rule, self.model, self.tried, rng)
                .ok_or_else(|| nobody(self.rule, self.model))?,
        };
        self.current = Some(index);
        candidate(&self.rule.backends[index], self.model)
    }

    /// Decides what follows an attempt that failed before its first content.
    pub(super) fn after(&mut self, error: &RequestError, rng: &mut impl Rng) -> Turn {
        let Some(current) = self.current else {
            return Turn::Over;
        };
        let Retries {
            conditions,
            is_failover,
            attempts,
            backoff,
            ..
        } = &self.rule.retries;
        if !failure(error).is_some_and(|failure| conditions.contains(&failure)) {
            return Turn::Over;
        }
        self.tried |= bit(current);
        let is_another_left =
            *is_failover && pick(self.rule, self.model, self.tried, rng).is_some();
        if is_another_left && self.retries == 0 {
            return Turn::Again(Duration::ZERO);
        }
        if self.retries >= *attempts {
            return Turn::Over;
        }
        if is_another_left {
            self.retries += 1;
            return Turn::Again(Duration::ZERO);
        }
        let pause = match error.asked_pause() {
            Some(asked) if asked <= MAX_ASKED => asked,
            // Who is asked next may be another.
            Some(_) if !is_failover => return Turn::Over,
            _ => pause(*backoff, self.rounds, rng),
        };
        self.retries += 1;
        self.rounds += 1;
        self.tried = 0;
        Turn::Again(pause)
    }
}

/// A random part of the backoff, which doubles each time: callers that failed together do not come
/// back together.
fn pause(backoff: Duration, retries: u32, rng: &mut impl Rng) -> Duration {
    let longest = backoff
        .saturating_mul(2u32.saturating_pow(retries))
        .min(MAX_PAUSE);
    longest.mul_f64(rng.random_range(0.0..=1.0))
}

/// How an attempt failed; `None`: another one would fail alike.
fn failure(error: &RequestError) -> Option<Failure> {
    match error.upstream_fault()? {
        UpstreamFault::Unreachable | UpstreamFault::Unavailable => Some(Failure::Connect),
        UpstreamFault::Timeout if error.end() == End::Timeout("connect") => Some(Failure::Connect),
        UpstreamFault::Timeout => Some(Failure::Timeout),
        UpstreamFault::Capacity => Some(Failure::RateLimited),
        UpstreamFault::Transient | UpstreamFault::Cut | UpstreamFault::Garbage => {
            Some(Failure::Server)
        }
        UpstreamFault::Credential => Some(Failure::CredentialRejected),
        UpstreamFault::ClientFault
        | UpstreamFault::ContextExceeded
        | UpstreamFault::ContentPolicy
        | UpstreamFault::ModelMissing => None,
    }
}

/// A rule has 16 backends at most.
pub(super) fn bit(index: usize) -> u64 {
    1u64.checked_shl(u32::try_from(index).unwrap_or(u32::MAX))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests;
