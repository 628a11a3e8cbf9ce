//! The two bodies of an exchange with a provider: what is sent, and what comes back.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use smallvec::SmallVec;

use super::echo::EchoBody;
use super::endpoint::Load;
use super::http1::Driven;
use super::lanes::Seat;

/// A body in pieces, never copied together: those at hand, or pulled as they are sent.
pub struct PiecesBody(Pieces);

/// The body will not come to its end.
#[derive(Debug, thiserror::Error)]
#[error("the request's body broke off")]
pub struct BodyStopped;

type Pulled = dyn Body<Data = Bytes, Error = BodyStopped> + Send + Unpin;

/// Small: a connection of hyper's has room for 32 requests.
enum Pieces {
    AtHand {
        pieces: Box<smallvec::IntoIter<[Bytes; 8]>>,
        left: u64,
    },
    Pulled {
        body: Box<Pulled>,
        left: Option<u64>,
    },
}

impl PiecesBody {
    /// Takes the pieces, in order.
    pub fn new(pieces: SmallVec<[Bytes; 8]>) -> Self {
        let left = pieces.iter().map(|piece| piece.len() as u64).sum();
        let pieces = Box::new(pieces.into_iter());
        Self(Pieces::AtHand { pieces, left })
    }

    /// The same again, as long as nothing of it has to be pulled.
    pub(super) fn again(&self) -> Option<Self> {
        match &self.0 {
            Pieces::AtHand { pieces, left } => Some(Self(Pieces::AtHand {
                pieces: pieces.clone(),
                left: *left,
            })),
            Pieces::Pulled { .. } => None,
        }
    }

    /// Takes a body to pull from, and its length where that is known.
    pub fn pulled<B>(body: B, length: Option<u64>) -> Self
    where
        B: Body<Data = Bytes, Error = BodyStopped> + Send + Unpin + 'static,
    {
        let body = Box::new(body);
        Self(Pieces::Pulled { body, left: length })
    }
}

impl Body for PiecesBody {
    type Data = Bytes;
    type Error = BodyStopped;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyStopped>>> {
        match &mut self.0 {
            Pieces::AtHand { pieces, left } => {
                let piece = pieces.next();
                *left -= piece.as_ref().map_or(0, |piece| piece.len() as u64);
                Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
            }
            Pieces::Pulled { body, left } => {
                let frame = ready!(Pin::new(body).poll_frame(cx));
                if let (Some(left), Some(Ok(frame))) = (left, &frame) {
                    let bytes = frame.data_ref().map_or(0, Bytes::len);
                    *left = left.saturating_sub(bytes as u64);
                }
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Pieces::AtHand { left, .. } => *left == 0,
            Pieces::Pulled { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Pieces::AtHand { left, .. } => SizeHint::with_exact(*left),
            Pieces::Pulled { left, .. } => {
                left.map_or_else(SizeHint::default, SizeHint::with_exact)
            }
        }
    }
}

/// The body of an answer, from wherever it comes.
pub enum AnswerBody {
    /// Of a server. Dropping it half-way closes the connection (HTTP/1.1) or resets the stream (HTTP/2).
    Http(Arrived),
    /// The same, of a server behind a Service, where it is under way until it is dropped.
    Endpoint(Arrived, Load),
    /// Of the model in this process.
    Echo(EchoBody),
}

/// What a server answers, with its place on a connection.
pub struct Arrived {
    body: Incoming,
    /// What it comes on, where that is driven by who reads; gone once it was read.
    driven: Option<Driven>,
    seat: Seat,
}

impl Arrived {
    pub(super) fn new(body: Incoming, driven: Option<Driven>, seat: Seat) -> Self {
        let mut arrived = Self { body, driven, seat };
        if arrived.body.is_end_stream() {
            arrived.is_read();
        }
        arrived
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let frame = ready!(match &mut self.driven {
            Some(driven) => driven.poll_frame(cx, &mut self.body),
            None => Pin::new(&mut self.body).poll_frame(cx),
        });
        if frame.is_none() {
            self.is_read();
        }
        Poll::Ready(frame)
    }

    fn is_read(&mut self) {
        if let Some(driven) = self.driven.take() {
            self.seat.keep(driven);
        }
    }
}

/// The answer broke off.
#[derive(Debug, thiserror::Error)]
#[error("the provider's connection broke off")]
pub struct AnswerError;

impl AnswerBody {
    /// Waits for something else, while what is still to be sent of the request is sent.
    pub async fn meanwhile<F: Future>(&mut self, other: F) -> F::Output {
        let mut other = pin!(other);
        poll_fn(|cx| {
            if let AnswerBody::Http(arrived) | AnswerBody::Endpoint(arrived, _) = &mut *self
                && let Some(driven) = &mut arrived.driven
            {
                driven.poll_on(cx);
            }
            other.as_mut().poll(cx)
        })
        .await
    }

    /// Waits for the next bytes; `None`: the provider has ended its answer. Trailers are skipped.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, AnswerError>>> {
        let body = match self {
            AnswerBody::Http(arrived) | AnswerBody::Endpoint(arrived, _) => arrived,
            AnswerBody::Echo(body) => return body.poll_chunk(cx),
        };
        loop {
            let frame = ready!(body.poll_frame(cx));
            return Poll::Ready(match frame {
                None => None,
                Some(Err(_)) => Some(Err(AnswerError)),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => Some(Ok(data)),
                    Err(_) => continue,
                },
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn pieces_come_in_order_and_their_length_is_known() {
        let pieces =
            SmallVec::from_iter(["ab", "", "cde"].map(|text| Bytes::from_static(text.as_bytes())));
        let body = PiecesBody::new(pieces);
        assert_eq!(body.size_hint().exact(), Some(5));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "abcde");
        assert!(PiecesBody::new(SmallVec::new()).is_end_stream());
    }
}
