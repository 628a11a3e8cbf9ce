//! Connections on which an answer is still heard once nothing more can be written.
//!
//! A provider that refuses a request before it has read all of it answers and closes. What is written
//! then fails, and hyper would end with that failure and leave the answer unread.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// How long a failure to write is kept back: the answer that came before it is there already.
const GRACE: Duration = Duration::from_secs(1);

/// A stream whose failures to write wait for what can be read.
pub(super) struct Patient<S> {
    stream: S,
    broken: Option<(ErrorKind, Pin<Box<Sleep>>)>,
}

impl<S> Patient<S> {
    pub(super) fn new(stream: S) -> Self {
        let broken = None;
        Self { stream, broken }
    }

    pub(super) fn stream(&self) -> &S {
        &self.stream
    }

    fn outcome<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>>
    where
        S: Unpin,
    {
        if self.broken.is_none() {
            match write(Pin::new(&mut self.stream), cx) {
                Poll::Ready(Err(error)) if is_closed(error.kind()) => {
                    let until = Box::pin(tokio::time::sleep(GRACE));
                    self.broken = Some((error.kind(), until));
                }
                outcome => return outcome,
            }
        }
        let Some((kind, until)) = &mut self.broken else {
            return Poll::Pending;
        };
        ready!(until.as_mut().poll(cx));
        Poll::Ready(Err((*kind).into()))
    }
}

fn is_closed(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted
    )
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.outcome(cx, |stream, cx| stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.outcome(cx, |stream, cx| stream.poll_write_vectored(cx, pieces))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outcome(cx, |stream, cx| stream.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn an_answer_is_read_although_nobody_reads_what_is_written() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.read_exact(&mut [0; 4]).await.unwrap();
            stream.write_all(b"no more").await.unwrap();
            // With bytes unread that resets the connection.
        };
        let client = async {
            let mut stream = Patient::new(TcpStream::connect(address).await.unwrap());
            stream.write_all(&[b'x'; 100_000]).await.unwrap();
            let mut answer = [0; 7];
            let (mut read, mut write) = tokio::io::split(&mut stream);
            let flood = async { while write.write_all(&[b'x'; 100_000]).await.is_ok() {} };
            let read = async {
                read.read_exact(&mut answer).await.unwrap();
            };
            tokio::join!(flood, read);
            assert_eq!(&answer, b"no more");
        };
        tokio::join!(server, client);
    }
}
