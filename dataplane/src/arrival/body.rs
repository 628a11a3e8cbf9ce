//! The body of a request, as it comes from the caller, who has to keep up a pace.
//!
//! Only the time is counted in which the caller is waited for: a provider that takes a body slowly
//! is no fault of its sender.

mod meter;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

use self::meter::Meter;

pub use self::meter::{FLOOR, WINDOW};

/// The body of a request on a connection.
pub type RequestBody = Paced<Incoming>;

/// A body whose sender has to keep up a pace.
pub struct Paced<B> {
    body: B,
    meter: Meter,
    pace: Pace,
    /// Since when the sender is waited for; `None`: it is not.
    waits_since: Option<Instant>,
    /// Ends the wait; kept from one to the next.
    alarm: Option<Pin<Box<Sleep>>>,
}

/// Tells of a body that somebody else reads whether its sender was too slow.
#[derive(Clone, Debug, Default)]
pub struct Pace(Arc<AtomicBool>);

/// Why there is no more of a body.
#[derive(Debug, thiserror::Error)]
pub enum BodyFault<E> {
    /// The connection or the stream broke.
    #[error(transparent)]
    Broken(E),
    /// Its sender was too slow.
    #[error("the request body came too slowly")]
    TooSlow,
}

impl Pace {
    /// Whether the body was given up for that.
    pub fn was_too_slow(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl<B> Paced<B> {
    /// Watches over a body.
    pub fn new(body: B) -> Self {
        Self {
            body,
            meter: Meter::default(),
            pace: Pace::default(),
            waits_since: None,
            alarm: None,
        }
    }

    /// Gives what tells of this body once it is in other hands.
    pub fn pace(&self) -> Pace {
        self.pace.clone()
    }

    /// Notes that the sender is waited for no longer, or that a wait is judged.
    fn waited<E>(&mut self) -> Result<(), BodyFault<E>> {
        let Some(since) = self.waits_since.take() else {
            return Ok(());
        };
        if self.meter.is_too_slow_after(since.elapsed()) {
            self.pace.0.store(true, Ordering::Relaxed);
            return Err(BodyFault::TooSlow);
        }
        Ok(())
    }

    fn poll_alarm(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let since = *self.waits_since.get_or_insert_with(Instant::now);
        let due = since + self.meter.left();
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if alarm.deadline() != due {
            alarm.as_mut().reset(due);
        }
        alarm.as_mut().poll(cx)
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Paced<B> {
    type Data = Bytes;
    type Error = BodyFault<B::Error>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        loop {
            if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
                let Some(Ok(frame)) = frame else {
                    return Poll::Ready(frame.map(|frame| frame.map_err(BodyFault::Broken)));
                };
                this.meter.got(frame.data_ref().map_or(0, Bytes::len));
                this.waited()?;
                return Poll::Ready(Some(Ok(frame)));
            }
            ready!(this.poll_alarm(cx));
            this.waited()?;
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;
