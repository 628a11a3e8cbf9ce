//! A TCP connection that is watched while others read and write.
//!
//! While a request is answered over HTTP/1.1 nobody reads, so a caller that leaves would not be
//! noticed; and one that has only ended its own side (FIN) has not left.

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

/// Reads and writes.
pub(super) struct Socket(Arc<TcpStream>);

/// Tells what becomes of the other side.
#[derive(Clone)]
pub(super) struct Watch(Option<Arc<TcpStream>>);

impl Socket {
    pub(super) fn new(stream: TcpStream) -> (Self, Watch) {
        let stream = Arc::new(stream);
        (Self(stream.clone()), Watch(Some(stream)))
    }
}

impl Watch {
    /// Of what is no socket: nothing ever becomes of it.
    #[cfg(test)]
    pub(super) fn nothing() -> Self {
        Self(None)
    }

    /// Waits until the other side sends no more, whatever is still to be read. Cancel-safe.
    pub(super) async fn closes(&self) {
        // "Urgent data", which nobody sends, comes together with the end of reading; "readable" would
        // come with every byte that nobody reads.
        self.until(Interest::PRIORITY | Interest::ERROR).await
    }

    /// Waits until the connection was reset, as by who has gone and is sent something, or until the
    /// kernel gave it up. Cancel-safe.
    pub(super) async fn is_gone(&self) {
        self.until(Interest::ERROR).await
    }

    async fn until(&self, interest: Interest) {
        match &self.0 {
            Some(stream) if stream.ready(interest).await.is_ok() => {}
            _ => std::future::pending().await,
        }
    }
}

impl Socket {
    /// Reads what is there. What fills less than the room has emptied the socket: as if a next read had
    /// found nothing, which needs not be tried. More that comes meanwhile is not missed.
    fn read(&self, buf: &mut ReadBuf<'_>) -> io::Result<()> {
        let mut emptied = false;
        let done = self.0.try_io(Interest::READABLE, || {
            let length = self.0.try_read_buf(buf)?;
            emptied = length > 0 && buf.remaining() > 0;
            match emptied {
                true => Err(io::ErrorKind::WouldBlock.into()),
                false => Ok(()),
            }
        });
        match emptied {
            true => Ok(()),
            false => done,
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            match self.read(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(cx))?;
            match self.0.try_write_vectored(slices) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(SockRef::from(&*self.0).shutdown(Shutdown::Write))
    }
}
