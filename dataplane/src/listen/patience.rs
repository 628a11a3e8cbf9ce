//! Ends what a caller does not read: a connection that takes no bytes, or a stream of HTTP/2 whose
//! window stays shut while others of its connection go on.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::Executor;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::arrival::Uptake;

tokio::task_local! {
    /// Of the stream of HTTP/2 whose task this is.
    static STREAM: Uptake;
}

/// The uptake of the stream whose task this is; `None` over HTTP/1.1, where the connection's counts.
pub(super) fn of_stream() -> Option<Uptake> {
    STREAM.try_with(Uptake::clone).ok()
}

/// How long a caller may take nothing; the timer sleeps only while it does not.
struct Patience {
    limit: Option<Duration>,
    timer: Option<Pin<Box<Sleep>>>,
    is_tried: bool,
}

impl Patience {
    fn new(limit: Option<Duration>) -> Self {
        Self {
            limit,
            timer: None,
            is_tried: false,
        }
    }

    /// Something was taken.
    fn rest(&mut self) {
        self.is_tried = false;
    }

    /// Nothing is taken just now; ready once that lasted too long.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(limit) = self.limit else {
            return Poll::Pending;
        };
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        if !self.is_tried {
            self.is_tried = true;
            timer.as_mut().reset(Instant::now() + limit);
        }
        timer.as_mut().poll(cx)
    }
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
        tokio::spawn(Stream {
            task: Some(Box::pin(stream)),
            patience: Patience::new(self.limit),
            uptake: Uptake::default(),
        });
    }
}

struct Stream<F> {
    /// `None`: it is over. Dropped half-way, the stream is reset.
    task: Option<Pin<Box<F>>>,
    patience: Patience,
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
        if !is_over {
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
