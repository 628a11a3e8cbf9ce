//! The two bodies of an exchange with a provider: what is sent, and what comes back.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use smallvec::SmallVec;

use super::echo::EchoBody;
use super::endpoint::Load;
use super::lanes::Seat;

/// A body in pieces whose length is known; never copied together.
#[derive(Clone)]
pub struct PiecesBody {
    pieces: smallvec::IntoIter<[Bytes; 8]>,
    left: u64,
}

impl PiecesBody {
    /// Takes the pieces, in order.
    pub fn new(pieces: SmallVec<[Bytes; 8]>) -> Self {
        let left = pieces.iter().map(|piece| piece.len() as u64).sum();
        Self {
            pieces: pieces.into_iter(),
            left,
        }
    }
}

impl Body for PiecesBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.pieces.next();
        self.left -= piece.as_ref().map_or(0, |piece| piece.len() as u64);
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
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
    _seat: Seat,
}

impl Arrived {
    pub(super) fn new(body: Incoming, seat: Seat) -> Self {
        Self { body, _seat: seat }
    }
}

/// The answer broke off.
#[derive(Debug, thiserror::Error)]
#[error("the provider's connection broke off")]
pub struct AnswerError;

impl AnswerBody {
    /// Waits for the next bytes; `None`: the provider has ended its answer. Trailers are skipped.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, AnswerError>>> {
        let body = match self {
            AnswerBody::Http(arrived) | AnswerBody::Endpoint(arrived, _) => &mut arrived.body,
            AnswerBody::Echo(body) => return body.poll_chunk(cx),
        };
        loop {
            let frame = std::task::ready!(Pin::new(&mut *body).poll_frame(cx));
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
