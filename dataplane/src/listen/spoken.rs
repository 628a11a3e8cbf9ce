//! Which HTTP a caller begins to speak, by its first bytes, and the connection that answers in it.
//!
//! What is read to find out is given back together with what follows, so that the first read of a
//! connection is a whole one: two halves would make hyper take a buffer of twice the size.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::server::conn::{http1, http2};
use hyper::service::{HttpService, Service};
use tokio::io::{AsyncRead, ReadBuf};

use super::connection::BoxError;
use super::patience::Streams;

/// Source: RFC 9113 §3.4.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a caller speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spoken {
    Http1,
    Http2,
}

/// The first bytes of a connection.
#[derive(Debug, Default)]
pub(super) struct Beginning {
    bytes: [u8; PREFACE.len()],
    length: usize,
}

impl Beginning {
    /// Reads until it is clear what is spoken; `None`: the connection has ended before.
    pub(super) async fn read<I>(io: &mut I) -> io::Result<Option<(Spoken, Self)>>
    where
        I: AsyncRead + Unpin,
    {
        let mut beginning = Self::default();
        loop {
            let length = beginning.length;
            let mut room = ReadBuf::new(&mut beginning.bytes[length..]);
            poll_fn(|cx| Pin::new(&mut *io).poll_read(cx, &mut room)).await?;
            let read = room.filled().len();
            if read == 0 {
                return Ok(None);
            }
            beginning.length += read;
            if let Some(spoken) = spoken(beginning.as_slice()) {
                return Ok(Some((spoken, beginning)));
            }
        }
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// `None`: more is needed.
fn spoken(bytes: &[u8]) -> Option<Spoken> {
    match PREFACE.starts_with(bytes) {
        false => Some(Spoken::Http1),
        true if bytes.len() == PREFACE.len() => Some(Spoken::Http2),
        true => None,
    }
}

/// A connection in one of the versions.
pub(super) enum Speaking<I, S: HttpService<Incoming>> {
    Http1(Pin<Box<http1::UpgradeableConnection<I, S>>>),
    Http2(Pin<Box<http2::Connection<I, S, Streams>>>),
}

impl<I, S, F, B> Speaking<I, S>
where
    I: Read + Write + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future = F>,
    F: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    /// Lets what is under way end, and takes no more.
    pub(super) fn graceful_shutdown(&mut self) {
        match self {
            Self::Http1(connection) => connection.as_mut().graceful_shutdown(),
            Self::Http2(connection) => connection.as_mut().graceful_shutdown(),
        }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        Poll::Ready(match self {
            Self::Http1(connection) => ready!(connection.as_mut().poll(cx)),
            Self::Http2(connection) => ready!(connection.as_mut().poll(cx)),
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn it_is_clear_as_soon_as_it_can_be() {
        for (bytes, expected) in [
            (&b"G"[..], Some(Spoken::Http1)),
            (b"PRI * HTTP/1.1\r\n", Some(Spoken::Http1)),
            (PREFACE, Some(Spoken::Http2)),
            (b"PRI * HTTP/2.0\r\n", None),
            (b"", None),
        ] {
            let (mut client, mut server) = tokio::io::duplex(64);
            client.write_all(bytes).await.unwrap();
            drop(client);
            let read = Beginning::read(&mut server).await.unwrap();
            assert_eq!(read.as_ref().map(|(spoken, _)| *spoken), expected);
            assert!(read.is_none_or(|(_, read)| read.as_slice() == &bytes[..bytes.len().min(24)]));
        }
    }

    #[tokio::test]
    async fn a_preface_may_come_byte_by_byte() {
        let (mut client, mut server) = tokio::io::duplex(1);
        let (read, ()) = tokio::join!(Beginning::read(&mut server), async {
            client.write_all(PREFACE).await.unwrap();
        });
        assert_eq!(read.unwrap().unwrap().0, Spoken::Http2);
    }
}
