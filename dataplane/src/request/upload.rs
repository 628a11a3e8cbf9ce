//! A large request body on its way from the caller to a provider, never held as a whole.
//!
//! ```text
//! caller ─► Source ─► (scanned) ─┬─ before it is sent: held, then on disk ─┐
//!                                └─ kept for another attempt: 256 KiB ─────┤
//!                                                      Flow (edited) ◄─────┘ ─► provider
//! ```
//! A [`Flow`] is the body of one attempt's request; the provider's connection pulls it, and by it the
//! caller's. The last piece that came is always withheld until the next one or the end has come: the end
//! of a body that is wrong never reaches a provider.

mod flow;
mod source;
mod spill;

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures::future::poll_fn;
use parking_lot::Mutex;
use turnpike_protocol::{Head, Operation, edits};

use super::error::{RequestError, Result};
use crate::upstream::PiecesBody;
use flow::Flow;

pub use source::Source;

/// Bytes of a body that are kept in memory for another attempt.
pub const REPLAY: u64 = 256 << 10;

/// A body that attempts send, one after the other. Dropped, whoever still sends it is stopped.
pub struct Upload(Arc<Mutex<State>>);

struct State {
    source: Source,
    /// Which flow may pull; earlier ones are stopped.
    turn: u32,
    /// A flow has taken bytes.
    is_begun: bool,
    /// All that was taken could be sent again.
    is_replayable: bool,
    is_sent: bool,
    fault: Option<RequestError>,
    /// Waits until all is sent.
    owner: Option<Waker>,
    /// The flow, waiting for the caller.
    puller: Option<Waker>,
}

impl Upload {
    /// Takes what is to be sent.
    pub fn new(source: Source) -> Self {
        Self(Arc::new(Mutex::new(State {
            source,
            turn: 0,
            is_begun: false,
            is_replayable: true,
            is_sent: false,
            fault: None,
            owner: None,
            puller: None,
        })))
    }

    /// Looks at the head, as far as it has come.
    pub fn with_head<T>(&self, look: impl FnOnce(&Head) -> T) -> T {
        look(self.0.lock().source.head())
    }

    /// Bytes that came so far.
    pub fn received(&self) -> u64 {
        self.0.lock().source.received()
    }

    /// Whether the caller's body has come to its end.
    pub fn is_read(&self) -> bool {
        self.0.lock().source.is_read()
    }

    /// Gives the body for one attempt, and stops the one before. `model`: what the provider calls it,
    /// where that may differ.
    pub fn flow(
        &self,
        operation: &Operation,
        model: Option<&str>,
        asks_for_usage: bool,
    ) -> PiecesBody {
        let mut state = self.0.lock();
        state.stop();
        let edits = edits(operation, state.source.head(), model, asks_for_usage);
        let length = match edits.are_all {
            true => state.source.length(),
            false => None,
        };
        let length = length.and_then(|it| it.checked_add_signed(Flow::added(&edits.splices)));
        let flow = Flow::new(
            self.0.clone(),
            state.turn,
            (operation.clone(), model.map(Into::into), asks_for_usage),
            edits,
        );
        PiecesBody::pulled(flow, length)
    }

    /// Whether another attempt could send it from its beginning.
    pub fn is_replayable(&self) -> bool {
        let state = self.0.lock();
        !state.is_begun || state.is_replayable
    }

    /// Whether the attempt's connection has taken all of it.
    pub fn is_sent(&self) -> bool {
        self.0.lock().is_sent
    }

    /// Waits until the attempt's connection has taken all of it, or it failed. Cancel-safe.
    pub async fn sent(&self) {
        poll_fn(|cx| self.0.lock().poll_sent(cx)).await;
    }

    /// Why it could not be sent, if that was the caller's body.
    pub fn take_fault(&self) -> Option<RequestError> {
        self.0.lock().fault.take()
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.stop();
        state.source.abandon();
    }
}

impl State {
    fn stop(&mut self) {
        self.turn += 1;
        self.is_sent = false;
        if let Some(puller) = self.puller.take() {
            puller.wake();
        }
    }

    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_sent || self.fault.is_some() {
            return Poll::Ready(());
        }
        self.owner = Some(cx.waker().clone());
        Poll::Pending
    }

    fn wake_owner(&mut self) {
        if let Some(owner) = self.owner.take() {
            owner.wake();
        }
    }

    fn sent(&mut self) {
        self.is_sent = true;
        self.wake_owner();
    }

    fn fail(&mut self, error: RequestError) {
        self.fault = Some(error);
        self.wake_owner();
    }

    /// A connection begins to take it.
    fn begin(&mut self) {
        if !self.is_begun {
            self.is_begun = true;
            self.is_replayable = self.source.held_bytes() <= REPLAY;
        }
    }

    /// Gives the next piece after what is on disk: held before, or from the caller. `at` counts those
    /// that were held.
    fn poll_piece(&mut self, at: &mut usize, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>>> {
        if let Some(piece) = self.source.held(*at, self.is_replayable) {
            *at += 1;
            return Poll::Ready(Ok(Some(piece)));
        }
        let Poll::Ready(piece) = self.source.poll_receive(cx) else {
            self.puller = Some(cx.waker().clone());
            return Poll::Pending;
        };
        if let Ok(Some(piece)) = &piece
            && self.is_replayable
        {
            let is_small = self.source.held_bytes() + piece.len() as u64 <= REPLAY;
            if is_small && self.source.hold(piece.clone()).is_ok() {
                *at += 1;
            } else {
                self.is_replayable = false;
                self.source.let_go();
            }
        }
        Poll::Ready(piece)
    }
}

#[cfg(test)]
mod tests;
