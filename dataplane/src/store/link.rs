//! How the store stands with its controller.

use parking_lot::Mutex;
use tokio::time::{Duration, Instant};

/// How the store stands with its controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// No stream is open.
    Down,
    /// A controller has said Welcome.
    Up,
    /// There is none and never will be: what is not held does not exist.
    Closed,
}

#[derive(Debug)]
pub(crate) struct LinkState(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    link: Link,
    since: Option<Instant>,
    /// The same as a time for people, in seconds since 1970; at first, the start.
    unix_since: u32,
    has_been_up: bool,
}

impl LinkState {
    pub(crate) fn new(link: Link, unix_now: u32) -> Self {
        Self(Mutex::new(Inner {
            link,
            since: None,
            unix_since: unix_now,
            has_been_up: link == Link::Closed,
        }))
    }

    pub(crate) fn get(&self) -> Link {
        self.0.lock().link
    }

    pub(crate) fn has_been_up(&self) -> bool {
        self.0.lock().has_been_up
    }

    /// How it is, and since when, in seconds since 1970.
    pub(crate) fn state(&self) -> (Link, u32) {
        let inner = self.0.lock();
        (inner.link, inner.unix_since)
    }

    /// Notes a change; the time of the first `Down` after an `Up` counts.
    pub(crate) fn set(&self, link: Link, now: Instant, unix_now: u32) {
        let mut inner = self.0.lock();
        if inner.link != link {
            inner.unix_since = unix_now;
        }
        if inner.link != link || inner.since.is_none() {
            inner.link = link;
            inner.since = Some(now);
        }
        inner.has_been_up |= link == Link::Up;
    }

    /// Whether the link has been down for so long that waiting is in vain.
    pub(crate) fn is_down_for(&self, duration: Duration, now: Instant) -> bool {
        let inner = self.0.lock();
        let is_old = |since: Instant| now.saturating_duration_since(since) >= duration;
        inner.link == Link::Down && inner.since.is_some_and(is_old)
    }
}
