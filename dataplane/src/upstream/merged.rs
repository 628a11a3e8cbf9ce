//! Connections whose small chunks come together; see [`super::chunks`].

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::TryFutureExt;
use futures::future::MapOk;
use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tower_service::Service;

use super::chunks::ChunkMerger;

/// Makes the connections of another connector such ones.
#[derive(Clone)]
pub(super) struct Merging<C>(C);

/// One of them. HTTP/2, which tells itself apart, passes as it is.
pub(super) struct Merged<T> {
    stream: TokioIo<T>,
    merger: ChunkMerger,
}

impl<C> Merging<C> {
    pub(super) fn new(connector: C) -> Self {
        Self(connector)
    }
}

impl<C, T> Service<Uri> for Merging<C>
where
    C: Service<Uri, Response = T>,
    T: Connection,
{
    type Response = TokioIo<Merged<T>>;
    type Error = C::Error;
    type Future = MapOk<C::Future, fn(T) -> TokioIo<Merged<T>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), C::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        self.0.call(uri).map_ok(merged as fn(T) -> _)
    }
}

fn merged<T: Connection>(stream: T) -> TokioIo<Merged<T>> {
    let merger = match stream.connected().is_negotiated_h2() {
        true => ChunkMerger::opaque(),
        false => ChunkMerger::new(),
    };
    TokioIo::new(Merged {
        stream: TokioIo::new(stream),
        merger,
    })
}

impl<T: Connection> Connection for Merged<T> {
    fn connected(&self) -> Connected {
        self.stream.inner().connected()
    }
}

impl<T: hyper::rt::Read + Unpin> AsyncRead for Merged<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let length = self.merger.merge(&mut buffer.filled_mut()[before..]);
        buffer.set_filled(before + length);
        Poll::Ready(Ok(()))
    }
}

impl<T: hyper::rt::Write + Unpin> AsyncWrite for Merged<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
