//! The bytes of a connection in the clear, on their way to hyper and back.
//!
//! A flood of frames is read no further. And a caller that has ended its side while it waits for the
//! head of an answer over HTTP/1.1 is sent `100 Continue`: one that is still there ignores that, one
//! that has gone resets the connection.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use super::frames::FrameWatch;
use super::occupancy::Occupancy;
use super::spoken::Beginning;

/// Every client has to take it at any time before the answer. Source: RFC 9110 §15.2.
const PROBE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Wraps what bytes come from and go to.
pub(super) struct Line<I> {
    io: I,
    frames: FrameWatch,
    signals: Arc<Signals>,
    occupancy: Arc<Occupancy>,
    probe: Probe,
    is_flooded: bool,
    /// What was read before, to be read again.
    beginning: Option<Beginning>,
}

/// What passes between a line and whoever owns its connection.
#[derive(Default)]
pub(super) struct Signals {
    /// Told once by the line.
    flooded: Notify,
    /// The caller sends no more.
    half_closed: AtomicBool,
}

enum Probe {
    Unsent,
    /// So many bytes of it are written.
    Partly(usize),
    Sent,
}

impl Signals {
    /// Waits for a flood. Cancel-safe.
    pub(super) async fn flooded(&self) {
        self.flooded.notified().await
    }

    /// Notes that the caller sends no more; the line sees to it when it is polled next.
    pub(super) fn half_closed(&self) {
        self.half_closed.store(true, Ordering::Relaxed);
    }
}

impl<I> Line<I> {
    /// A line of a connection with so many streams at a time.
    pub(super) fn new(
        io: I,
        streams: u32,
        signals: Arc<Signals>,
        occupancy: Arc<Occupancy>,
    ) -> Self {
        Self {
            io,
            frames: FrameWatch::new(streams, Instant::now()),
            signals,
            occupancy,
            probe: Probe::Unsent,
            is_flooded: false,
            beginning: None,
        }
    }

    /// Has these bytes read again, before what follows.
    pub(super) fn again(&mut self, beginning: Beginning) {
        self.beginning = Some(beginning);
    }
}

impl<I: AsyncWrite + Unpin> Line<I> {
    /// Only ever begun where hyper has nothing to write, and brought to its end before hyper writes.
    fn poll_probe(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Probe::Partly(written) = self.probe {
            let rest = &PROBE[written..];
            let written = written + ready!(Pin::new(&mut self.io).poll_write(cx, rest))?;
            self.probe = match written < PROBE.len() {
                true => Probe::Partly(written),
                false => Probe::Sent,
            };
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Line<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(beginning) = self.beginning.take() {
            buf.put_slice(beginning.as_slice());
            // With what is there of the rest; nothing of it is no news.
            let _ = self.poll_read(cx, buf);
            return Poll::Ready(Ok(()));
        }
        if self.is_flooded {
            // Whoever owns the connection ends it; until then there is nothing to read.
            return Poll::Pending;
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        let came = &buf.filled()[before..];
        if self.frames.is_idle() || self.frames.is_fair(came, Instant::now()) {
            return Poll::Ready(Ok(()));
        }
        self.is_flooded = true;
        buf.set_filled(before);
        self.signals.flooded.notify_one();
        Poll::Pending
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Line<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_probe(cx))?;
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_probe(cx))?;
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    /// hyper flushes at the end of each of its turns, once it has nothing left to write.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let is_due = matches!(self.probe, Probe::Unsent)
            && self.signals.half_closed.load(Ordering::Relaxed)
            && self.occupancy.awaits_head();
        if is_due {
            self.probe = Probe::Partly(0);
        }
        ready!(self.poll_probe(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
