//! Finds out who floods a connection with frames of HTTP/2 that ask for nothing.
//!
//! hyper ends a connection with too many streams that are reset before it took them up, too many that it
//! had to reset itself, or a head of too many CONTINUATIONs. It answers pings and settings, and takes up
//! and drops streams, for as long as they come. So frames are counted here as they pass. Pure: bytes and
//! the time are told to it.
//!
//! Source: RFC 9113 §3.4 (preface), §4.1 (frames), §10.5 (denial of service).

use std::time::{Duration, Instant};

use super::spoken::PREFACE;

const HEAD: usize = 9;

/// A frame's type, as far as it matters.
mod kind {
    pub(super) const DATA: u8 = 0;
    pub(super) const HEADERS: u8 = 1;
    pub(super) const RST_STREAM: u8 = 3;
    pub(super) const WINDOW_UPDATE: u8 = 8;
}
/// DATA or HEADERS with this flag asks for something, or ends what was asked.
const END_STREAM: u8 = 1;

/// Frames that come back with time, up to `burst`.
#[derive(Clone, Copy, Debug)]
struct Rate {
    burst: f64,
    per_second: f64,
}

/// Pings, settings, priorities, empty pieces of bodies and heads, unknown frames. gRPC measures lines
/// with some pings a second; browsers send a handful of priorities for a page.
const IDLE: Rate = Rate {
    burst: 1000.0,
    per_second: 100.0,
};
/// Resets of streams that come back. A proxy in front that passes on the leaving of its callers sends
/// some a second; who ends all streams of a connection at once sends as many as there may be.
const RESETS_PER_SECOND: f64 = 50.0;

/// Reads one connection along.
#[derive(Debug)]
pub(super) struct FrameWatch {
    state: State,
    idle: Bucket,
    resets: Bucket,
}

#[derive(Debug)]
enum State {
    /// So many bytes of the preface have come.
    Preface(usize),
    /// So many bytes of a frame's head have come.
    Head([u8; HEAD], usize),
    /// So many bytes of a frame are still to come.
    Payload(usize),
    /// It is another protocol.
    Other,
}

impl FrameWatch {
    /// Of a connection with so many streams at a time.
    pub(super) fn new(streams: u32, now: Instant) -> Self {
        let resets = Rate {
            burst: f64::from(streams),
            per_second: RESETS_PER_SECOND,
        };
        Self {
            state: State::Preface(0),
            idle: Bucket::new(IDLE, now),
            resets: Bucket::new(resets, now),
        }
    }

    /// Whether another protocol is spoken, of which nothing needs to be watched.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.state, State::Other)
    }

    /// Reads bytes as they come; false: it is a flood.
    pub(super) fn is_fair(&mut self, mut bytes: &[u8], now: Instant) -> bool {
        while !bytes.is_empty() {
            let (used, head) = self.advance(bytes);
            bytes = &bytes[used..];
            if head.is_some_and(|head| !self.may_send(head, now)) {
                return false;
            }
        }
        true
    }

    /// Uses some of the bytes; gives a frame's head once it is whole.
    fn advance(&mut self, bytes: &[u8]) -> (usize, Option<[u8; HEAD]>) {
        match &mut self.state {
            State::Other => (bytes.len(), None),
            State::Preface(seen) => {
                let used = bytes.len().min(PREFACE.len() - *seen);
                let expected = &PREFACE[*seen..*seen + used];
                self.state = match *seen + used {
                    _ if bytes[..used] != *expected => State::Other,
                    seen if seen == PREFACE.len() => State::Head([0; HEAD], 0),
                    seen => State::Preface(seen),
                };
                (used, None)
            }
            State::Payload(left) => {
                let used = bytes.len().min(*left);
                *left -= used;
                if *left == 0 {
                    self.state = State::Head([0; HEAD], 0);
                }
                (used, None)
            }
            State::Head(head, seen) => {
                let used = bytes.len().min(HEAD - *seen);
                head[*seen..*seen + used].copy_from_slice(&bytes[..used]);
                *seen += used;
                if *seen < HEAD {
                    return (used, None);
                }
                let head = *head;
                self.state = match length(head) {
                    0 => State::Head([0; HEAD], 0),
                    length => State::Payload(length),
                };
                (used, Some(head))
            }
        }
    }

    fn may_send(&mut self, head: [u8; HEAD], now: Instant) -> bool {
        let (kind, flags) = (head[3], head[4]);
        match kind {
            kind::RST_STREAM => self.resets.take(now),
            // hyper bounds what they may do.
            kind::HEADERS | kind::WINDOW_UPDATE => true,
            kind::DATA if length(head) > 0 || flags & END_STREAM != 0 => true,
            _ => self.idle.take(now),
        }
    }
}

fn length(head: [u8; HEAD]) -> usize {
    usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2])
}

#[derive(Debug)]
struct Bucket {
    rate: Rate,
    left: f64,
    at: Instant,
}

impl Bucket {
    fn new(rate: Rate, now: Instant) -> Self {
        Self {
            rate,
            left: rate.burst,
            at: now,
        }
    }

    fn take(&mut self, now: Instant) -> bool {
        let passed: Duration = now.saturating_duration_since(self.at);
        let back = passed.as_secs_f64() * self.rate.per_second;
        self.left = (self.left + back).min(self.rate.burst) - 1.0;
        self.at = now;
        self.left >= 0.0
    }
}

#[cfg(test)]
mod tests;
