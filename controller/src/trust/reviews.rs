//! What the API server said of tokens, by their digests; pure, bounded, forgetful.
//!
//! A sound token is believed again without asking for [`FRESH`]. It is kept for longer, up
//! to its end, for the time when the API server cannot be asked.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use crate::trust::moment::Moment;
use crate::trust::token::Account;

/// For so long an answer is taken for the truth. A deleted account or pod gets no new
/// stream after it.
pub const FRESH: Duration = Duration::from_secs(60);
/// A refusal is asked about again sooner: an account may be made after its token was tried.
const FRESH_REFUSAL: Duration = Duration::from_secs(5);
/// Tokens remembered as sound: those of each data plane, old and new, many times over.
const MAX_SOUND: usize = 16_384;
/// Tokens remembered as refused; a flood of them pushes no sound one out.
const MAX_REFUSED: usize = 1_024;

/// In place of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// Of this token.
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }
}

/// What the API server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is this account's, until then.
    Sound(Account, Moment),
    /// It is not accepted, in words that show nothing of it.
    Refused(Arc<str>),
}

/// What is remembered of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remembered {
    /// Said a moment ago.
    Fresh(Verdict),
    /// It was sound when it was asked about, some time ago.
    Stale(Account, Moment),
    /// Nothing of use.
    Nothing,
}

/// All that is remembered.
#[derive(Debug)]
pub struct Reviews {
    sound: Bounded<(Account, Moment)>,
    refused: Bounded<Arc<str>>,
}

impl Default for Reviews {
    fn default() -> Self {
        Self {
            sound: Bounded::new(MAX_SOUND),
            refused: Bounded::new(MAX_REFUSED),
        }
    }
}

impl Reviews {
    /// Looks a token up; `clock` is the time that its end is told in.
    pub fn get(&self, token: TokenDigest, now: Instant, clock: Moment) -> Remembered {
        if let Some((_, reason)) = self.refused.get(token, now, FRESH_REFUSAL) {
            return Remembered::Fresh(Verdict::Refused(reason.clone()));
        }
        match self.sound.get(token, now, Duration::MAX) {
            Some((age, (account, until))) if clock < *until => match age < FRESH {
                true => Remembered::Fresh(Verdict::Sound(account.clone(), *until)),
                false => Remembered::Stale(account.clone(), *until),
            },
            _ => Remembered::Nothing,
        }
    }

    /// Remembers what was said in place of what was said before.
    pub fn put(&mut self, token: TokenDigest, verdict: Verdict, now: Instant, clock: Moment) {
        match verdict {
            Verdict::Sound(account, until) => {
                self.refused.remove(token);
                self.sound
                    .put(token, (account, until), now, |(_, until)| clock < *until);
            }
            Verdict::Refused(reason) => {
                self.sound.remove(token);
                self.refused.put(token, reason, now, |_| true);
            }
        }
    }
}

#[derive(Debug)]
struct Bounded<T> {
    entries: HashMap<TokenDigest, (Instant, T)>,
    bound: usize,
}

impl<T> Bounded<T> {
    fn new(bound: usize) -> Self {
        Self {
            entries: HashMap::new(),
            bound,
        }
    }

    /// What was said less than so long ago, with its age.
    fn get(&self, token: TokenDigest, now: Instant, within: Duration) -> Option<(Duration, &T)> {
        let (said, value) = self.entries.get(&token)?;
        let age = now.saturating_duration_since(*said);
        (age < within).then_some((age, value))
    }

    /// When full, forgets what is of no use, else what was said first.
    fn put(&mut self, token: TokenDigest, value: T, now: Instant, is_of_use: impl Fn(&T) -> bool) {
        if self.entries.len() >= self.bound && !self.entries.contains_key(&token) {
            self.entries.retain(|_, (_, value)| is_of_use(value));
            let oldest = self.entries.iter().min_by_key(|(_, (said, _))| *said);
            let oldest = oldest.map(|(token, _)| *token);
            if self.entries.len() >= self.bound
                && let Some(oldest) = oldest
            {
                self.entries.remove(&oldest);
            }
        }
        self.entries.insert(token, (now, value));
    }

    fn remove(&mut self, token: TokenDigest) {
        self.entries.remove(&token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOCK: Moment = Moment(1_800_000_000);

    fn account() -> Account {
        "ns/dp".parse().unwrap()
    }

    fn sound(seconds: u64) -> Verdict {
        Verdict::Sound(account(), CLOCK.plus(Duration::from_secs(seconds)))
    }

    fn refused() -> Verdict {
        Verdict::Refused("no".into())
    }

    #[test]
    fn an_answer_is_fresh_for_a_minute_and_stale_until_the_token_ends() {
        let (mut reviews, token, now) = (Reviews::default(), TokenDigest::of("a"), Instant::now());
        assert_eq!(reviews.get(token, now, CLOCK), Remembered::Nothing);
        reviews.put(token, sound(600), now, CLOCK);
        let look = |seconds: u64| {
            let passed = Duration::from_secs(seconds);
            reviews.get(token, now + passed, CLOCK.plus(passed))
        };
        let until = CLOCK.plus(Duration::from_secs(600));
        assert_eq!(look(59), Remembered::Fresh(sound(600)));
        assert_eq!(look(60), Remembered::Stale(account(), until));
        assert_eq!(look(599), Remembered::Stale(account(), until));
        assert_eq!(look(600), Remembered::Nothing);
    }

    #[test]
    fn a_token_that_ends_within_a_minute_is_not_believed_longer() {
        let (mut reviews, token, now) = (Reviews::default(), TokenDigest::of("a"), Instant::now());
        reviews.put(token, sound(10), now, CLOCK);
        let later = CLOCK.plus(Duration::from_secs(10));
        assert_eq!(reviews.get(token, now, later), Remembered::Nothing);
    }

    #[test]
    fn the_newest_word_counts() {
        let (mut reviews, token, now) = (Reviews::default(), TokenDigest::of("a"), Instant::now());
        reviews.put(token, sound(600), now, CLOCK);
        reviews.put(token, refused(), now, CLOCK);
        assert_eq!(reviews.get(token, now, CLOCK), Remembered::Fresh(refused()));
        let later = now + FRESH_REFUSAL;
        assert_eq!(reviews.get(token, later, CLOCK), Remembered::Nothing);
        reviews.put(token, sound(600), now, CLOCK);
        assert_eq!(
            reviews.get(token, now, CLOCK),
            Remembered::Fresh(sound(600))
        );
    }

    #[test]
    fn a_flood_of_refusals_is_bounded_and_pushes_no_sound_token_out() {
        let (mut reviews, token, now) = (Reviews::default(), TokenDigest::of("a"), Instant::now());
        reviews.put(token, sound(600), now, CLOCK);
        for number in 0..3 * MAX_REFUSED {
            let junk = TokenDigest::of(&number.to_string());
            let then = now + Duration::from_nanos(number as u64);
            reviews.put(junk, refused(), then, CLOCK);
        }
        assert_eq!(reviews.refused.entries.len(), MAX_REFUSED);
        assert_eq!(
            reviews.get(token, now, CLOCK),
            Remembered::Fresh(sound(600))
        );
    }

    #[test]
    fn of_too_many_the_ended_and_then_the_oldest_make_room() {
        let mut entries = Bounded::new(2);
        let now = Instant::now();
        let at = |seconds: u64| now + Duration::from_secs(seconds);
        let token = |name: &str| TokenDigest::of(name);
        entries.put(token("ended"), false, at(2), |is_alive| *is_alive);
        entries.put(token("old"), true, at(0), |is_alive| *is_alive);
        entries.put(token("new"), true, at(1), |is_alive| *is_alive);
        assert!(entries.get(token("ended"), at(3), Duration::MAX).is_none());
        entries.put(token("newest"), true, at(3), |is_alive| *is_alive);
        assert!(entries.get(token("old"), at(3), Duration::MAX).is_none());
        assert!(entries.get(token("new"), at(3), Duration::MAX).is_some());
    }
}
