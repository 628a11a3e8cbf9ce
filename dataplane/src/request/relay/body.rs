//! The body that the client's connection pulls; it carries the account, so that whatever becomes of
//! it settles.

mod early;
mod unheard;

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

use super::held::{HeldStream, Pulled};
use crate::access_log::End;
use crate::arrival::Uptake;
use crate::drains::TenantDrains;
use crate::request::error::RequestError;
use crate::request::settle::Account;
use early::{Broken, Early};

pub use early::{Rest, finish};

/// Between a stream's last words and its unclean end, so that they are on the wire before the
/// connection or stream is torn down.
const LAST_WORDS: Duration = Duration::from_millis(20);
/// How long a client waits for its stream's end after the end mark, so that the provider's
/// connection is read to its end and can serve again.
const CLEAN_END: Duration = Duration::from_millis(100);

/// No event: clients skip it.
const PROBE: &[u8] = b":\n\n";

/// What clients are answered with.
pub struct ResponseBody(Kind);

/// Why a body ended uncleanly; the client was told in its own protocol before.
#[derive(Debug, thiserror::Error)]
#[error("the answer broke off")]
pub struct BodyError;

enum Kind {
    Whole(Bytes, Option<Ending>),
    Stream(Box<Stream>),
    /// Begun before there is anything of it.
    Early(Box<Early>),
    /// Begun, and there is none.
    Broken(Box<Broken>),
}

/// What is settled once a whole body was handed over.
struct Ending {
    account: Box<Account>,
    end: End,
}

struct Stream {
    held: Box<HeldStream>,
    /// Taken when settled.
    account: Option<Box<Account>>,
    state: State,
}

enum State {
    /// The provider is pulled from.
    Open,
    /// The end mark is decoded; the provider's end is awaited, but not for long.
    Marked(Pin<Box<Sleep>>),
    /// The provider is done; what is decoded goes out, then the clean end.
    Last,
    /// It failed; what is decoded goes out, then, after a moment, the unclean end.
    Failed(End, Option<Pin<Box<Sleep>>>),
    /// Nothing follows.
    Over,
}

impl ResponseBody {
    /// A success answer, settled when it is handed over.
    pub fn whole(bytes: Bytes, account: Box<Account>) -> Self {
        Self::ending(bytes, account, End::Complete)
    }

    /// Any whole answer, and how the request has ended by it.
    pub fn ending(bytes: Bytes, account: Box<Account>, end: End) -> Self {
        Self(Kind::Whole(bytes, Some(Ending { account, end })))
    }

    /// The answer to HEAD: nothing is handed over, so it is settled at once.
    pub fn omitted(mut self) -> Self {
        if let Kind::Whole(bytes, ending) = &mut self.0 {
            bytes.clear();
            ending.take().into_iter().for_each(|ending| ending.settle());
        }
        self
    }

    /// Of an answer after which another protocol is spoken.
    pub fn nothing() -> Self {
        Self(Kind::Whole(Bytes::new(), None))
    }

    /// A stream; dropping it half-way cancels the provider's.
    pub fn stream(held: Box<HeldStream>, account: Box<Account>) -> Self {
        Self(Kind::Stream(Box::new(Stream {
            held,
            account: Some(account),
            state: State::Open,
        })))
    }

    /// Of an answer that is begun before there is anything of it.
    pub(super) fn early(rest: Rest, uptake: Uptake, drains: Option<TenantDrains>) -> Self {
        Self(Kind::Early(Box::new(Early::new(rest, uptake, drains))))
    }

    /// Of one that was, and ends with this error event.
    pub fn broken(event: Bytes, account: Box<Account>, end: End) -> Self {
        Self(Kind::Broken(Box::new(Broken::new(event, account, end))))
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let piece = loop {
            break match &mut self.0 {
                Kind::Stream(stream) => ready!(stream.poll_piece(cx)),
                Kind::Whole(bytes, ending) => hand_over(bytes, ending).map(Ok),
                Kind::Early(early) => match ready!(early.poll(cx)) {
                    Ok(comment) => Some(Ok(comment)),
                    Err(body) => {
                        *self = body;
                        continue;
                    }
                },
                Kind::Broken(broken) => ready!(broken.poll_piece(cx)),
            };
        };
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Whole(bytes, ending) => bytes.is_empty() && ending.is_none(),
            Kind::Stream(stream) => matches!(stream.state, State::Over),
            Kind::Early(_) => false,
            Kind::Broken(broken) => broken.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Whole(bytes, _) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Stream(_) | Kind::Early(_) | Kind::Broken(_) => SizeHint::default(),
        }
    }
}

fn hand_over(bytes: &mut Bytes, ending: &mut Option<Ending>) -> Option<Bytes> {
    let bytes = std::mem::take(bytes);
    if let Some(mut ending) = ending.take() {
        ending.account.handed(bytes.len());
        ending.settle();
    }
    (!bytes.is_empty()).then_some(bytes)
}

impl Ending {
    fn settle(self) {
        self.account.close(self.end);
    }
}

impl Stream {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            if let Some(piece) = self.held.take() {
                if piece.is_empty() {
                    continue;
                }
                if let Some(account) = &mut self.account {
                    account.handed(piece.len());
                }
                return Poll::Ready(Some(Ok(piece)));
            }
            match &mut self.state {
                State::Open => {
                    if self.poll_open(cx).is_pending() {
                        return self.poll_probe(cx);
                    }
                }
                State::Marked(until) => {
                    let is_late = until.as_mut().poll(cx).is_ready();
                    if is_late || !matches!(ready!(self.held.poll_pull(cx)), Ok(Pulled::More)) {
                        self.state = State::Last;
                    }
                }
                State::Last => {
                    self.settle(End::Complete);
                    self.state = State::Over;
                }
                State::Failed(end, until) => {
                    let end = *end;
                    let until =
                        until.get_or_insert_with(|| Box::pin(tokio::time::sleep(LAST_WORDS)));
                    ready!(until.as_mut().poll(cx));
                    self.settle(end);
                    self.state = State::Over;
                    return Poll::Ready(Some(Err(BodyError)));
                }
                State::Over => return Poll::Ready(None),
            }
        }
    }

    /// A comment while nothing comes: after a silence, so that nobody on the way takes it for the end;
    /// and for a caller that may be gone, since who is not there resets the connection.
    fn poll_probe(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let account = self.account.as_ref();
        let is_doubted = account.is_some_and(|account| account.uptake().is_doubted(cx));
        let is_beat = self.held.takes_beat();
        if (is_doubted || is_beat) && !self.held.reply.is_mid_event() {
            return Poll::Ready(Some(Ok(Bytes::from_static(PROBE))));
        }
        Poll::Pending
    }

    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.held.reply.is_complete() {
            self.state = State::Marked(Box::pin(tokio::time::sleep(CLEAN_END)));
            return Poll::Ready(());
        }
        match ready!(self.held.poll_pull(cx)) {
            Ok(Pulled::More) => {}
            Ok(Pulled::End) => self.state = State::Last,
            Err(error) => self.fail(&error),
        }
        Poll::Ready(())
    }

    /// Ends the stream with an error in the client's protocol, and no end mark.
    fn fail(&mut self, error: &RequestError) {
        if let Some(account) = &mut self.account {
            account.failed(error);
            let event = self
                .held
                .reply
                .error_event(&error.body(account.id().as_str()));
            self.held.append(event);
        }
        self.state = State::Failed(error.end(), None);
    }

    fn settle(&mut self, end: End) {
        let Some(mut account) = self.account.take() else {
            return;
        };
        self.tell_usage(&mut account);
        account.close(end);
    }

    fn tell_usage(&self, account: &mut Account) {
        let reply = &self.held.reply;
        account.used(reply.usage(), reply.output_bytes());
        if let Some(model) = reply.response_model() {
            account.note(|record| record.model.response = Some(model.into()));
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // The client is gone, unless the stream is over and settled.
        if let Some(mut account) = self.account.take() {
            self.tell_usage(&mut account);
            if let State::Failed(end, _) = self.state {
                account.close(end);
            }
        }
    }
}
