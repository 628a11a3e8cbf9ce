//! A stream on its way: pulled from the provider, decoded, held until its first content.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use turnpike_protocol::{ReplyPlan, ReplyStream, StreamFault};

use super::clocks::{Clocks, Interruption};
use super::whole::{bad_answer, cut};
use crate::access_log::End;
use crate::budget::Charge;
use crate::request::error::{RequestError, Result};
use crate::upstream::AnswerBody;

/// What is held of frames without content; beyond it they are let go, and the answer is begun.
const MAX_HELD: usize = 64 << 10;

/// A provider's stream and what has been decoded of it.
pub struct HeldStream {
    answer: AnswerBody,
    pub(super) reply: ReplyStream,
    clocks: Clocks,
    /// Decoded and not handed over yet; those before `next` are gone.
    out: Vec<Bytes>,
    next: usize,
    /// Comes after what is decoded.
    failure: Option<RequestError>,
    is_over: bool,
    /// For an event that is awaited as a whole.
    charge: Charge,
}

/// What pulling brought.
pub(super) enum Pulled {
    /// There may be more to hand over.
    More,
    /// The provider is done; what is decoded is all there is.
    End,
}

impl HeldStream {
    /// Waits until the stream has content, is over, or has failed.
    ///
    /// Errors: whatever goes wrong before the first content; nothing of the stream is seen then.
    pub async fn open(
        answer: AnswerBody,
        plan: &ReplyPlan,
        clocks: Clocks,
        charge: Charge,
    ) -> Result<Self> {
        let mut held = Self {
            answer,
            reply: plan.stream(),
            clocks,
            out: Vec::new(),
            next: 0,
            failure: None,
            is_over: false,
            charge,
        };
        while !held.reply.is_committed() && held.held_bytes() <= MAX_HELD {
            match poll_fn(|cx| held.poll_unheard(cx)).await {
                Ok(Pulled::More) => {}
                Ok(Pulled::End) => break,
                // Content came with it in one piece: the answer has begun all the same.
                Err(error) if held.reply.is_committed() => {
                    held.failure = Some(error);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        held.clocks.commit();
        held.clocks.await_next();
        held.clocks.heard();
        Ok(held)
    }

    /// Whether nothing came for so long that the caller is to be sent something; asked, it is.
    pub(super) fn takes_beat(&mut self) -> bool {
        self.clocks.takes_beat()
    }

    /// Takes the next piece for the client, in order.
    pub(super) fn take(&mut self) -> Option<Bytes> {
        let piece = self.out.get_mut(self.next).map(std::mem::take);
        match piece {
            Some(_) => self.next += 1,
            None => {
                self.out.clear();
                self.next = 0;
            }
        }
        piece
    }

    /// Adds a piece for the client behind what is decoded.
    pub(super) fn append(&mut self, piece: Bytes) {
        self.out.push(piece);
    }

    /// Pulls one chunk of which the caller may see nothing yet.
    fn poll_unheard(&mut self, cx: &mut Context<'_>) -> Poll<Result<Pulled>> {
        let pulled = self.poll_pull(cx);
        self.clocks.pass_beat_on();
        pulled
    }

    /// Pulls one chunk from the provider and decodes it.
    ///
    /// What was decoded before a failure stays and belongs to the client.
    pub(super) fn poll_pull(&mut self, cx: &mut Context<'_>) -> Poll<Result<Pulled>> {
        if let Some(failure) = self.failure.take() {
            return Poll::Ready(Err(failure));
        }
        if self.is_over {
            return Poll::Ready(Ok(Pulled::End));
        }
        if self.clocks.poll_blocked(cx).is_ready() {
            return Poll::Ready(self.interrupted(Interruption::Blocked));
        }
        let Poll::Ready(chunk) = self.answer.poll_chunk(cx) else {
            let expired = ready!(self.clocks.poll_expired(cx));
            return Poll::Ready(self.interrupted(Interruption::Expired(expired)));
        };
        if self.reply.is_committed() {
            self.clocks.await_next();
        }
        self.is_over = !matches!(chunk, Some(Ok(_)));
        let outcome = match chunk {
            Some(Ok(chunk)) => self.reply.push(chunk, &mut self.out).map(|()| Pulled::More),
            Some(Err(_)) if self.reply.is_complete() => Ok(Pulled::End),
            // How it ended is the decoder's to judge: only after the end mark it is clean.
            Some(Err(_)) => self.reply.broke(&mut self.out).map(|()| Pulled::End),
            None => self.reply.finish(&mut self.out).map(|()| Pulled::End),
        };
        if !self.out.is_empty() {
            self.clocks.heard();
        }
        let outcome = outcome.map_err(RequestError::from);
        Poll::Ready(outcome.and_then(|pulled| self.charge_event().map(|()| pulled)))
    }

    /// Charges what is held of a large event; of a small one it is no more than a buffer.
    fn charge_event(&mut self) -> Result<()> {
        let bytes = self.reply.held_bytes();
        let bytes = if bytes > MAX_HELD { bytes as u64 } else { 0 };
        Ok(self.charge.become_of(bytes)?)
    }

    fn interrupted(&self, interruption: Interruption) -> Result<Pulled> {
        // All that the client needs has come; only the connection's end has not.
        if self.reply.is_complete() {
            return Ok(Pulled::End);
        }
        Err(interruption.into())
    }

    fn held_bytes(&self) -> usize {
        self.out.iter().map(Bytes::len).sum()
    }
}

impl From<StreamFault> for RequestError {
    fn from(fault: StreamFault) -> Self {
        match fault {
            StreamFault::Provider(said) => RequestError::from(said).ended(End::ProviderFault),
            StreamFault::Cut => cut(),
            other => bad_answer(other.to_string()),
        }
    }
}
