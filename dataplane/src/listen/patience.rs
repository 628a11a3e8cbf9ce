//! Ends what a caller does not read: a connection that takes no bytes, or a stream of HTTP/2 whose
//! window stays shut while others of its connection go on.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::Executor;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::arrival::{Patience, Uptake};

tokio::task_local! {
    /// Of the stream of HTTP/2 whose task this is.
    static STREAM: Uptake;
}

/// The uptake of the stream whose task this is; `None` over HTTP/1.1, where the connection's counts.
pub(super) fn of_stream() -> Option<Uptake> {
    STREAM.try_with(Uptake::clone).ok()
}

/// A connection that ends when its peer takes nothing for too long.
pub(super) struct Written<I> {
    io: I,
    patience: Patience,
    uptake: Uptake,
}

impl<I> Written<I> {
    pub(super) fn new(io: I, limit: Option<Duration>, uptake: Uptake) -> Self {
        Self {
            io,
            patience: Patience::new(limit),
            uptake,
        }
    }

    fn judge<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.patience.rest();
            return written;
        }
        if self.patience.poll_end(cx).is_pending() {
            return Poll::Pending;
        }
        self.uptake.expire();
        let message = "the client takes nothing any more";
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, message)))
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Written<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Written<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.judge(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, pieces);
        self.judge(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.judge(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.io).poll_shutdown(cx);
        self.judge(cx, shut)
    }
}

/// Runs the streams of an HTTP/2 connection, each as a task that ends with its caller's patience.
#[derive(Clone)]
pub(super) struct Streams {
    pub(super) limit: Option<Duration>,
}

impl<F> Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, stream: F) {
        // What a stream's own task starts, writes for the session that it has become.
        let session = of_stream();
        tokio::spawn(Stream {
            task: Some(Box::pin(stream)),
            patience: Patience::new(self.limit),
            is_session: session.is_some(),
            uptake: session.unwrap_or_default(),
        });
    }
}

struct Stream<F> {
    /// `None`: it is over. Dropped half-way, the stream is reset.
    task: Option<Pin<Box<F>>>,
    patience: Patience,
    /// Whoever carries it says when its caller takes nothing, and when only the rest is to be taken;
    /// that is not seen from here.
    is_session: bool,
    uptake: Uptake,
}

impl<F: Future> Future for Stream<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let Some(task) = &mut this.task else {
            return Poll::Ready(());
        };
        let is_over = STREAM.sync_scope(this.uptake.clone(), || task.as_mut().poll(cx).is_ready());
        let is_cut = this.is_session && this.uptake.poll_expired(cx).is_ready();
        if !is_over && !is_cut {
            if !this.uptake.is_waiting() {
                this.patience.rest();
                return Poll::Pending;
            }
            if this.patience.poll_end(cx).is_pending() {
                return Poll::Pending;
            }
            this.uptake.expire();
        }
        this.task = None;
        Poll::Ready(())
    }
}
