//! Connections that remember whether they have served before, and whether their peer has said
//! anything since it was last written to.
//!
//! A kept connection that ends without a word was closed while it idled: nobody has read the
//! request, and another endpoint may be asked. A new one that ends so is another matter.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures::TryFutureExt;
use futures::future::MapOk;
use http::{Extensions, Uri};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tower_service::Service;

/// What is remembered of a connection; travels with its answers and its errors.
#[derive(Clone, Default)]
pub(super) struct Past(Arc<Facts>);

#[derive(Default)]
struct Facts {
    /// It has brought an answer.
    has_served: AtomicBool,
    /// The peer has said something since it was last written to.
    is_heard: AtomicBool,
}

impl Past {
    /// An answer has come on the connection that these are of.
    pub(super) fn note_answer(extensions: &Extensions) {
        if let Some(past) = extensions.get::<Self>() {
            past.0.has_served.store(true, Ordering::Relaxed);
        }
    }

    /// Whether it was a kept connection, closed without a word, that failed.
    pub(super) fn was_stale(error: &legacy::Error) -> bool {
        let mut extensions = Extensions::new();
        if let Some(connection) = error.connect_info() {
            connection.get_extras(&mut extensions);
        }
        extensions.get::<Self>().is_some_and(|past| {
            past.0.has_served.load(Ordering::Relaxed) && !past.0.is_heard.load(Ordering::Relaxed)
        })
    }
}

/// Connects without TLS to addresses, never by name.
#[derive(Clone)]
pub(super) struct Remembering(HttpConnector);

impl Remembering {
    pub(super) fn new(connector: HttpConnector) -> Self {
        Self(connector)
    }
}

type Connecting = <HttpConnector as Service<Uri>>::Future;
type Stream = TokioIo<Remembered>;

impl Service<Uri> for Remembering {
    type Response = Stream;
    type Error = <HttpConnector as Service<Uri>>::Error;
    type Future = MapOk<Connecting, fn(TokioIo<TcpStream>) -> Stream>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let remember: fn(TokioIo<TcpStream>) -> Stream = |stream| {
            TokioIo::new(Remembered {
                stream: stream.into_inner(),
                past: Past::default(),
            })
        };
        self.0.call(uri).map_ok(remember)
    }
}

/// A connection and its past.
pub(super) struct Remembered {
    stream: TcpStream,
    past: Past,
}

impl Connection for Remembered {
    fn connected(&self) -> Connected {
        self.stream.connected().extra(self.past.clone())
    }
}

impl AsyncRead for Remembered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.past.0.is_heard.store(true, Ordering::Relaxed);
        }
        read
    }
}

impl AsyncWrite for Remembered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.past.0.is_heard.store(false, Ordering::Relaxed);
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.past.0.is_heard.store(false, Ordering::Relaxed);
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
