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

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::chunks::ChunkMerger;
use super::patient::Patient;
use super::peer::{Peer, SettingsReader, Spoken};

/// What is remembered of a connection.
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
    /// An answer has come on the connection.
    pub(super) fn note_answer(&self) {
        self.0.has_served.store(true, Ordering::Relaxed);
    }

    /// Whether it is a kept connection that was closed without a word.
    pub(super) fn is_stale(&self) -> bool {
        self.0.has_served.load(Ordering::Relaxed) && !self.0.is_heard.load(Ordering::Relaxed)
    }
}

/// A connection and its past.
pub(super) struct Kept {
    stream: Patient<Stream>,
    merger: ChunkMerger,
    past: Past,
    /// Of HTTP/2: who hears of its settings.
    settings: Option<Box<(SettingsReader, Arc<Peer>)>>,
}

/// What bytes go over.
pub(super) enum Stream {
    Plain(TcpStream),
    /// HTTP/2 is spoken in the clear.
    PlainHttp2(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Kept {
    pub(super) fn new(stream: Stream, peer: Arc<Peer>) -> Self {
        let is_h2 = stream.is_h2();
        if !is_h2 {
            peer.note(Spoken::Http1);
        }
        let merger = match is_h2 {
            true => ChunkMerger::opaque(),
            false => ChunkMerger::new(),
        };
        Self {
            stream: Patient::new(stream),
            merger,
            past: Past::default(),
            settings: is_h2.then(|| Box::new((SettingsReader::default(), peer))),
        }
    }

    /// What is remembered of it.
    pub(super) fn past(&self) -> Past {
        self.past.clone()
    }

    /// Whether both ends have agreed on HTTP/2.
    pub(super) fn is_h2(&self) -> bool {
        self.stream.stream().is_h2()
    }

    fn hear(&mut self, bytes: &[u8]) {
        self.past.0.is_heard.store(true, Ordering::Relaxed);
        if let Some((reader, peer)) = self.settings.as_deref_mut()
            && let Some(streams) = reader.feed(bytes)
        {
            peer.note(Spoken::Http2(streams));
        }
    }
}

impl Stream {
    /// Whether both ends speak HTTP/2: they have agreed on it, or knew it.
    fn is_h2(&self) -> bool {
        match self {
            Stream::Plain(_) => false,
            Stream::PlainHttp2(_) => true,
            Stream::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(b"h2"),
        }
    }
}

impl AsyncRead for Kept {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.hear(&buffer.filled()[before..]);
            let length = self.merger.merge(&mut buffer.filled_mut()[before..]);
            buffer.set_filled(before + length);
        }
        read
    }
}

impl AsyncWrite for Kept {
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

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) | Stream::PlainHttp2(stream) => {
                Pin::new(stream).poll_read(cx, buffer)
            }
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(stream) | Stream::PlainHttp2(stream) => {
                Pin::new(stream).poll_write(cx, bytes)
            }
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(stream) | Stream::PlainHttp2(stream) => {
                Pin::new(stream).poll_write_vectored(cx, pieces)
            }
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Stream::Plain(stream) | Stream::PlainHttp2(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) | Stream::PlainHttp2(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) | Stream::PlainHttp2(stream) => {
                Pin::new(stream).poll_shutdown(cx)
            }
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
