//! When a stream that is silent has to send something, so that nobody on the way takes its silence for
//! its end. Pure: time is an argument.

use std::time::Duration;

use tokio::time::Instant;

/// The rhythm in which a stream is heard while nothing comes of it.
#[derive(Clone, Copy, Debug)]
pub struct Heartbeat {
    /// When it was heard last.
    since: Instant,
    /// Milliseconds: a rhythm of weeks is none, and each request in flight has room for it.
    every: u32,
    is_due: bool,
}

impl Heartbeat {
    /// A beat for each time that nothing came for so long.
    pub fn new(every: Duration, now: Instant) -> Self {
        let every = every.as_millis().clamp(1, u32::MAX.into());
        Self {
            since: now,
            every: u32::try_from(every).unwrap_or(u32::MAX),
            is_due: false,
        }
    }

    /// When the next beat is due; `None`: never.
    pub fn next(&self) -> Option<Instant> {
        let every = Duration::from_millis(self.every.into());
        self.since.checked_add(every)
    }

    /// The same rhythm, without the beats that were due before.
    #[must_use]
    pub fn from(mut self, now: Instant) -> Self {
        self.keep_time(now);
        self.is_due = false;
        self
    }

    /// Notes the beats that have become due.
    pub fn keep_time(&mut self, now: Instant) {
        while let Some(next) = self.next().filter(|next| *next <= now) {
            self.since = next;
            self.is_due = true;
        }
    }

    /// The stream was heard.
    pub fn heard(&mut self, at: Instant) {
        self.since = at;
        self.is_due = false;
    }

    /// Whether a beat is due; asked, it counts as sent.
    pub fn take(&mut self) -> bool {
        std::mem::take(&mut self.is_due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(15);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn one_beat_follows_each_silence() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(EVERY, start);
        heartbeat.keep_time(start + seconds(14));
        assert!(!heartbeat.take());
        heartbeat.keep_time(start + seconds(16));
        assert!(heartbeat.take());
        assert!(!heartbeat.take());
        assert_eq!(heartbeat.next(), Some(start + seconds(30)));
        heartbeat.heard(start + seconds(29));
        heartbeat.keep_time(start + seconds(43));
        assert!(!heartbeat.take());
        // Whoever was kept from it for long is heard once.
        heartbeat.keep_time(start + seconds(100));
        assert!(heartbeat.take());
        assert!(!heartbeat.take());
    }

    #[test]
    fn another_attempt_keeps_the_rhythm() {
        let start = Instant::now();
        let heartbeat = Heartbeat::new(EVERY, start);
        let mut later = heartbeat.from(start + seconds(20));
        assert!(!later.take());
        assert_eq!(later.next(), Some(start + seconds(30)));
        assert_eq!(
            heartbeat.from(start + seconds(14)).next(),
            Some(start + seconds(15))
        );
    }
}
