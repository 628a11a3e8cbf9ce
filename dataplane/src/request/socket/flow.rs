//! One direction of a session: bytes read, looked at and written on, unchanged.
//!
//! At most one piece is held, and nothing is read while it is not written, so that whoever does not
//! read holds up whoever writes. Idle it holds nothing at all: a piece is read into the stack.

use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turnpike_protocol::realtime::{self, Event};
use turnpike_protocol::websocket::{Place, Scanner};

/// Bytes read at a time: a record of TLS at the most.
const PIECE: usize = 16 << 10;

/// One direction.
pub(super) struct Flow {
    scanner: Scanner,
    /// The piece under way: written up to here, looked at up to there.
    piece: Vec<u8>,
    written: usize,
    scanned: usize,
    /// Something was written since this was asked last.
    has_moved: bool,
    event: Option<Event>,
}

/// What a step has brought.
#[derive(Debug)]
pub(super) enum Step {
    /// So many bytes have come.
    Read(usize),
    /// So many bytes are written, and no more are held.
    Written(usize),
    /// All up to the end of this event is written.
    Event(Event),
    /// Who is read from has ended.
    SourceEnded,
    /// Who is written to takes no more.
    SinkEnded,
}

impl Flow {
    pub(super) fn new(scanner: Scanner) -> Self {
        Self {
            scanner,
            piece: Vec::new(),
            written: 0,
            scanned: 0,
            has_moved: false,
            event: None,
        }
    }

    /// Whether the frame that closes has come.
    pub(super) fn is_closed(&self) -> bool {
        self.scanner.is_closed()
    }

    /// Whether something is held that is not written.
    pub(super) fn is_holding(&self) -> bool {
        !self.piece.is_empty()
    }

    /// Whether something was written since this was asked last.
    pub(super) fn has_moved(&mut self) -> bool {
        std::mem::take(&mut self.has_moved)
    }

    /// What may be written behind what is written; `None`: something is on its way.
    pub(super) fn place(&self) -> Option<Place> {
        (self.written == self.scanned).then(|| self.scanner.place())
    }

    /// Carries a piece on. Cancel-safe: nothing is lost between two steps.
    pub(super) fn poll_step(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut (impl AsyncRead + Unpin),
        sink: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<Step> {
        loop {
            if self.written < self.scanned {
                let bytes = &self.piece[self.written..self.scanned];
                match ready!(Pin::new(&mut *sink).poll_write(cx, bytes)) {
                    Ok(0) | Err(_) => return Poll::Ready(Step::SinkEnded),
                    Ok(written) => {
                        self.written += written;
                        self.has_moved = true;
                    }
                }
            } else if let Some(event) = self.event.take() {
                return Poll::Ready(Step::Event(event));
            } else if self.scanned < self.piece.len() {
                self.scan();
            } else if !self.piece.is_empty() {
                if ready!(Pin::new(&mut *sink).poll_flush(cx)).is_err() {
                    return Poll::Ready(Step::SinkEnded);
                }
                return Poll::Ready(self.release());
            } else {
                return Poll::Ready(match ready!(self.poll_read(cx, source)) {
                    0 => Step::SourceEnded,
                    read => Step::Read(read),
                });
            }
        }
    }

    fn scan(&mut self) {
        let step = self.scanner.next(&self.piece[self.scanned..]);
        self.scanned += step.length;
        self.event = step.message.and_then(realtime::read);
    }

    fn release(&mut self) -> Step {
        let written = self.written;
        self.piece = Vec::new();
        self.scanner.forget();
        (self.written, self.scanned) = (0, 0);
        Step::Written(written)
    }

    /// 0: the end, clean or not.
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut (impl AsyncRead + Unpin),
    ) -> Poll<usize> {
        let mut space = [const { MaybeUninit::uninit() }; PIECE];
        let mut space = ReadBuf::uninit(&mut space);
        if ready!(Pin::new(source).poll_read(cx, &mut space)).is_err() {
            return Poll::Ready(0);
        }
        self.piece = space.filled().to_vec();
        Poll::Ready(self.piece.len())
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use turnpike_protocol::websocket::text_frame;

    use super::*;

    fn flow() -> Flow {
        Flow::new(Scanner::new(realtime::judge))
    }

    async fn step(flow: &mut Flow, source: &mut DuplexStream, sink: &mut DuplexStream) -> Step {
        poll_fn(|cx| flow.poll_step(cx, source, sink)).await
    }

    #[tokio::test]
    async fn an_event_comes_once_it_is_written_and_before_what_follows() {
        let (mut provider, mut source) = duplex(4096);
        let (mut sink, mut client) = duplex(4096);
        let event = text_frame(br#"{"type":"response.created","response":{"id":"r"}}"#);
        let more = text_frame(b"{}");
        provider
            .write_all(&[&event[..], &more].concat())
            .await
            .unwrap();
        let mut flow = flow();
        assert!(matches!(
            step(&mut flow, &mut source, &mut sink).await,
            Step::Read(_)
        ));
        let told = step(&mut flow, &mut source, &mut sink).await;
        assert!(matches!(told, Step::Event(Event::Created { .. })));
        assert_eq!(flow.place(), Some(Place::BetweenMessages));
        let mut seen = vec![0; event.len()];
        client.read_exact(&mut seen).await.unwrap();
        assert_eq!(seen, event);
        let written = step(&mut flow, &mut source, &mut sink).await;
        assert!(matches!(written, Step::Written(all) if all == event.len() + more.len()));
        assert_eq!(flow.piece.capacity(), 0);
    }

    #[tokio::test]
    async fn nothing_is_read_while_a_piece_is_not_written() {
        let (mut provider, mut source) = duplex(PIECE);
        let (mut sink, mut client) = duplex(10);
        let text = text_frame(&vec![b'x'; 4 * PIECE]);
        let sent = text.clone();
        let sending =
            tokio::spawn(async move { provider.write_all(&sent).await.map(|()| provider) });
        let mut flow = flow();
        assert!(matches!(
            step(&mut flow, &mut source, &mut sink).await,
            Step::Read(PIECE)
        ));
        let stuck = futures::poll!(std::pin::pin!(step(&mut flow, &mut source, &mut sink)));
        assert!(stuck.is_pending());
        assert_eq!(
            (flow.written, flow.piece.len(), flow.place()),
            (10, PIECE, None)
        );
        let carry = async {
            while !matches!(
                step(&mut flow, &mut source, &mut sink).await,
                Step::SourceEnded
            ) {}
            drop(sink);
        };
        let mut seen = Vec::new();
        let sent = async { drop(sending.await.unwrap().unwrap()) };
        let (_, read, _) = tokio::join!(carry, client.read_to_end(&mut seen), sent);
        assert!(read.is_ok());
        assert_eq!(seen, text);
    }
}
