//! Whether a connection is in use: how many answers are under way on it, and since when none is.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Version;
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::arrival::Uptake;

/// What one connection is doing.
pub(super) struct Occupancy {
    state: Mutex<State>,
    /// Told when the last answer that was under way has ended.
    emptied: Notify,
}

struct State {
    /// Of the last request; `None`: there was none yet.
    version: Option<Version>,
    /// Requests whose answers have not ended.
    open: usize,
    /// Those of them whose answers have not begun.
    waiting: usize,
    /// When the connection began, or the last answer ended.
    quiet_since: Instant,
}

/// One request's; it is given back when dropped.
pub(super) struct Place {
    of: Arc<Occupancy>,
    is_answered: bool,
}

/// An answer's body with the place of its request.
pub(super) struct Held<B> {
    body: B,
    /// Told of each piece; `None`: the connection is watched as a whole.
    uptake: Option<Uptake>,
    _place: Place,
}

impl Occupancy {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            state: Mutex::new(State {
                version: None,
                open: 0,
                waiting: 0,
                quiet_since: now,
            }),
            emptied: Notify::new(),
        }
    }

    /// Notes that a request has come.
    pub(super) fn enter(self: &Arc<Self>, version: Version) -> Place {
        let mut state = self.state.lock();
        state.version = Some(version);
        state.open += 1;
        state.waiting += 1;
        Place {
            of: Arc::clone(self),
            is_answered: false,
        }
    }

    /// Whether an answer over HTTP/1.1 is waited for, of which nothing has come.
    pub(super) fn awaits_head(&self) -> bool {
        let state = self.state.lock();
        state.waiting > 0 && state.version == Some(Version::HTTP_11)
    }

    pub(super) fn has_been_used(&self) -> bool {
        self.state.lock().version.is_some()
    }

    /// Waits until no answer has been under way for so long; over HTTP/2, which
    /// can end without losing a request, not at all.
    ///
    /// Cancel-safe.
    pub(super) async fn left(&self, linger: Duration) {
        loop {
            // Asked for before the look, so that an end in between is not missed.
            let emptied = self.emptied.notified();
            let (open, until) = {
                let state = self.state.lock();
                if state.version == Some(Version::HTTP_2) {
                    return;
                }
                (state.open, state.quiet_since + linger)
            };
            if open > 0 {
                emptied.await;
            } else if Instant::now() < until {
                sleep_until(until).await;
            } else {
                return;
            }
        }
    }
}

impl Place {
    /// Keeps the place for as long as the body of the answer lives.
    pub(super) fn hold<B>(mut self, body: B, uptake: Option<Uptake>) -> Held<B> {
        self.of.state.lock().waiting -= 1;
        self.is_answered = true;
        Held {
            body,
            uptake,
            _place: self,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.of.state.lock();
        state.open -= 1;
        state.waiting -= usize::from(!self.is_answered);
        if state.open == 0 {
            state.quiet_since = Instant::now();
            self.of.emptied.notify_one();
        }
    }
}

impl<B: Body + Unpin> Body for Held<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let Some(uptake) = self.uptake.clone() else {
            return Pin::new(&mut self.body).poll_frame(cx);
        };
        uptake.asked();
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(frame, Poll::Ready(Some(Ok(_)))) {
            uptake.handed();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
