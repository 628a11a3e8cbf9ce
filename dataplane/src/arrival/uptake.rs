//! Whether a caller takes what it is sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;

/// Shared by who writes an answer and who settles it. Clones share.
#[derive(Clone, Debug, Default)]
pub struct Uptake(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// Something was handed over to be written, and no more was asked for since.
    is_waiting: AtomicBool,
    is_expired: AtomicBool,
    /// The caller has ended its side of the connection and is to be asked, by something sent to it,
    /// whether it is still there.
    is_in_doubt: AtomicBool,
    /// The stream that would send it.
    stream: AtomicWaker,
    /// What writes for a session, and ends with the caller's patience.
    writer: AtomicWaker,
}

impl Uptake {
    /// A piece is on its way to the caller.
    pub fn handed(&self) {
        self.0.is_waiting.store(true, Ordering::Relaxed);
    }

    /// The caller's side asks for the next piece: what was handed over has gone.
    pub fn asked(&self) {
        self.0.is_waiting.store(false, Ordering::Relaxed);
    }

    /// Whether a piece is on its way.
    pub fn is_waiting(&self) -> bool {
        self.0.is_waiting.load(Ordering::Relaxed)
    }

    /// The caller has ended its side: gone, or just done with its request.
    pub fn doubt(&self) {
        self.0.is_in_doubt.store(true, Ordering::Release);
        self.0.stream.wake();
    }

    /// Whether a stream that has nothing to send should send something, once; it is woken when it
    /// should.
    pub fn is_doubted(&self, cx: &mut Context<'_>) -> bool {
        self.0.stream.register(cx.waker());
        self.0.is_in_doubt.swap(false, Ordering::Acquire)
    }

    /// The caller took nothing for too long.
    pub fn expire(&self) {
        self.0.is_expired.store(true, Ordering::Release);
        self.0.writer.wake();
    }

    /// A session is over: what writes for it may wait no longer than a caller's patience lasts.
    pub fn leave_rest(&self) {
        self.handed();
        self.0.writer.wake();
    }

    /// Ready once the caller took nothing for too long.
    pub fn poll_expired(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.writer.register(cx.waker());
        match self.0.is_expired.load(Ordering::Acquire) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    /// Whether that is why an answer ends.
    pub fn is_expired(&self) -> bool {
        self.0.is_expired.load(Ordering::Relaxed)
    }
}
