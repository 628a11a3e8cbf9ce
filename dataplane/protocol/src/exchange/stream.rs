//! A streamed answer: a provider's bytes of any size in, the client's bytes out.

use bytes::Bytes;

use super::pass::Pass;
use super::{dialects, passing};
use crate::error::{ErrorBody, write_error_event};
use crate::exchange::ReplyPlan;
use crate::fault::StreamFault;
use crate::message::{Decode, Emitter};
use crate::operation::ClientProtocol;
use crate::usage::Usage;

/// Decodes one streamed success body.
///
/// In: chunks of any size, cut anywhere. Out: bytes for the client, whole events only (but for events
/// over 64 KiB that pass through). After a fault or the end mark further bytes are ignored.
#[derive(Debug)]
pub struct ReplyStream {
    client: ClientProtocol,
    is_opaque: bool,
    kind: Kind,
    fault: Option<StreamFault>,
}

#[derive(Debug)]
enum Kind {
    Pass(Box<dyn Pass>),
    Translate {
        decoder: Box<dyn Decode>,
        emitter: Box<dyn Emitter>,
    },
}

impl ReplyPlan {
    /// Starts to decode a streamed success body.
    pub fn stream(&self) -> ReplyStream {
        let kind = match self.passes {
            true => Kind::Pass(passing::stream(self)),
            false => Kind::Translate {
                decoder: dialects::decoder(self.provider),
                emitter: dialects::emitter(self),
            },
        };
        ReplyStream {
            client: self.client,
            kind,
            is_opaque: self.is_opaque,
            fault: None,
        }
    }
}

impl ReplyStream {
    /// Feeds a chunk and appends what may be sent to the client to `out`.
    ///
    /// Pass-through appends slices of what came. What was appended before a fault is valid and belongs
    /// to the client if the stream is committed.
    pub fn push(&mut self, chunk: Bytes, out: &mut Vec<Bytes>) -> Result<(), StreamFault> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        let outcome = match &mut self.kind {
            Kind::Pass(pass) => pass.push(chunk, out),
            Kind::Translate { decoder, emitter } => {
                let outcome = decoder.push(&chunk, emitter.as_mut());
                emitter.take(out);
                outcome
            }
        };
        self.remember(outcome)
    }

    /// The provider's connection broke: `Ok` only if the answer was whole before.
    pub fn broke(&mut self, out: &mut Vec<Bytes>) -> Result<(), StreamFault> {
        match self.is_opaque {
            true => self.remember(Err(StreamFault::Cut)),
            false => self.finish(out),
        }
    }

    /// The provider closed: `Ok` only if the protocol's end mark came.
    pub fn finish(&mut self, out: &mut Vec<Bytes>) -> Result<(), StreamFault> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        let outcome = match &mut self.kind {
            Kind::Pass(pass) => pass.finish(out),
            Kind::Translate { decoder, emitter } => {
                let outcome = decoder.finish(emitter.as_mut());
                emitter.take(out);
                outcome
            }
        };
        self.remember(outcome)
    }

    /// Whether the protocol's end mark has come: nothing more will be emitted, and the rest of the
    /// provider's bytes need not be waited for.
    pub fn is_complete(&self) -> bool {
        match &self.kind {
            Kind::Pass(pass) => pass.is_complete(),
            Kind::Translate { decoder, .. } => decoder.is_complete(),
        }
    }

    /// Whether a content-bearing event has been emitted: text, reasoning, refusal, audio, image, a
    /// tool call's name or a finish reason.
    pub fn is_committed(&self) -> bool {
        match &self.kind {
            Kind::Pass(pass) => pass.seen().is_committed,
            Kind::Translate { emitter, .. } => emitter.is_committed(),
        }
    }

    /// What the provider said was used, so far; the last figure counts.
    pub fn usage(&self) -> Option<Usage> {
        match &self.kind {
            Kind::Pass(pass) => pass.seen().usage,
            Kind::Translate { decoder, .. } => decoder.usage(),
        }
    }

    /// Bytes of content seen so far, to estimate from where the usage never came.
    pub fn output_bytes(&self) -> u64 {
        match &self.kind {
            Kind::Pass(pass) => pass.seen().output_bytes,
            Kind::Translate { emitter, .. } => emitter.output_bytes(),
        }
    }

    /// The model that answers, as the provider calls it, once known.
    pub fn response_model(&self) -> Option<&str> {
        match &self.kind {
            Kind::Pass(pass) => pass.seen().model.as_deref(),
            Kind::Translate { decoder, .. } => decoder.response_model(),
        }
    }

    /// Whether half an event is already with the client.
    pub fn is_mid_event(&self) -> bool {
        matches!(&self.kind, Kind::Pass(pass) if pass.is_mid_event())
    }

    /// Bytes that are held of an event that has begun and not ended; nothing is where bytes pass.
    pub fn held_bytes(&self) -> usize {
        match &self.kind {
            Kind::Pass(_) => 0,
            Kind::Translate { decoder, .. } => decoder.held_bytes(),
        }
    }

    /// The error, in the client's protocol, that ends a committed stream. No end mark may follow it.
    ///
    /// Empty where the stream is no stream of events.
    pub fn error_event(&self, error: &ErrorBody) -> Bytes {
        if self.is_opaque {
            return Bytes::new();
        }
        let mut out = Vec::with_capacity(320);
        if self.is_mid_event() {
            out.extend_from_slice(b"\n\n");
        }
        let sequence = match &self.kind {
            Kind::Pass(pass) => pass.seen().next_sequence,
            Kind::Translate { emitter, .. } => emitter.next_sequence(),
        };
        write_error_event(&mut out, self.client, error, sequence);
        Bytes::from(out)
    }

    fn remember(&mut self, outcome: Result<(), StreamFault>) -> Result<(), StreamFault> {
        self.fault = outcome.as_ref().err().cloned();
        outcome
    }
}
