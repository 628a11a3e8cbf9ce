//! Reads a streamed answer of ConverseStream into deltas of the message model.
//!
//! ```text
//! messageStart → (contentBlockStart? → contentBlockDelta* → contentBlockStop)* → messageStop → metadata
//! ```
//! Any of them may be an exception instead, though the status was 200. Event types that are not known
//! are ignored. Source: docs.aws.amazon.com, Bedrock API reference, "ConverseStream" (2026-11).

mod block;

use std::collections::BTreeMap;

use super::frame::{Framer, Message};
use super::{response, usage};
use crate::error::{classify_aws, classify_aws_bare};
use crate::fault::StreamFault;
use crate::gate::Gate;
use crate::json::Object;
use crate::message::{Decode, Delta, Emit, Finish};
use crate::usage::Usage;
use crate::vendor::WireProtocol;
use block::Block;

/// An honest answer has a handful of blocks open at a time (one, in fact).
const MAX_OPEN_BLOCKS: usize = 128;

/// Decodes one stream.
///
/// The answer has ended when both `messageStop` and `metadata` have come, in whichever order. A clean
/// close after `messageStop` alone ends it as well: the content is whole, the usage unknown. A close
/// inside a frame is a cut in any case.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    body: Body,
    framer: Framer,
    answer: Answer,
}

/// What kind of body it is, by its first byte.
#[derive(Debug, Default)]
enum Body {
    #[default]
    Fresh,
    /// The length of a frame is less than 16 MiB, so that its first byte is zero.
    Frames,
    /// JSON, a page of a proxy in between, and the like.
    Other(Gate),
}

impl Decode for Decoder {
    fn push(&mut self, chunk: &[u8], emitter: &mut dyn Emit) -> Result<(), StreamFault> {
        if let (Body::Fresh, Some(first)) = (&self.body, chunk.first()) {
            self.body = match first {
                0 => Body::Frames,
                _ => Body::Other(Gate::default()),
            };
        }
        if let Body::Other(gate) = &mut self.body {
            return match gate.admit(chunk)? {
                Some(_) => Err(StreamFault::NotAnEventStream),
                None => Ok(()),
            };
        }
        let mut at = 0;
        while !self.answer.is_ended {
            let Some((message, end)) = self.framer.next(chunk, at)? else {
                break;
            };
            self.answer.message(&message, emitter)?;
            at = end;
        }
        Ok(())
    }

    fn finish(&mut self, emitter: &mut dyn Emit) -> Result<(), StreamFault> {
        if let Body::Other(gate) = &self.body {
            gate.finish(WireProtocol::Bedrock)?;
        }
        if self.answer.is_stopped && self.framer.held() == 0 {
            self.answer.end(emitter);
        }
        match self.answer.is_ended {
            true => Ok(()),
            false => Err(StreamFault::Cut),
        }
    }

    fn is_complete(&self) -> bool {
        self.answer.is_ended
    }

    fn usage(&self) -> Option<Usage> {
        self.answer.usage
    }

    /// Converse names no model.
    fn response_model(&self) -> Option<&str> {
        None
    }

    fn held_bytes(&self) -> usize {
        self.framer.held()
    }
}

/// The answer that the events build.
#[derive(Debug, Default)]
struct Answer {
    blocks: BTreeMap<u64, Block>,
    calls: usize,
    usage: Option<Usage>,
    is_started: bool,
    /// `messageStop` has come.
    is_stopped: bool,
    /// `metadata` has come.
    is_told: bool,
    is_ended: bool,
}

impl Answer {
    fn message(
        &mut self,
        message: &Message<'_>,
        emitter: &mut dyn Emit,
    ) -> Result<(), StreamFault> {
        let headers = &message.headers;
        match headers.message_type {
            Some("exception") => {
                let kind = headers.exception_type.unwrap_or_default();
                Err(classify_aws(kind, message.payload).into())
            }
            // One that the service has no exception for.
            Some("error") => {
                let said = headers.error_message.unwrap_or_default();
                let kind = headers.error_code.unwrap_or_default();
                Err(classify_aws_bare(kind, said).into())
            }
            _ => self.event(
                headers.event_type.unwrap_or_default(),
                message.payload,
                emitter,
            ),
        }
    }

    fn event(
        &mut self,
        kind: &str,
        payload: &[u8],
        emitter: &mut dyn Emit,
    ) -> Result<(), StreamFault> {
        // What is no JSON object is ignored, as an unknown event is.
        let Ok(event) = Object::parse(payload) else {
            return Ok(());
        };
        match kind {
            "messageStart" => self.start(emitter)?,
            "contentBlockStart" => self.block_start(&event, emitter)?,
            "contentBlockDelta" => self.block_delta(&event, emitter)?,
            "contentBlockStop" => {
                let index = event.u64("contentBlockIndex");
                let block = index.and_then(|index| self.blocks.remove(&index));
                block.into_iter().for_each(|block| block.stop(emitter));
            }
            "messageStop" => self.stop(&event, emitter),
            "metadata" => {
                let told = event.object("usage");
                self.usage = told.and_then(|told| usage::read(&told)).or(self.usage);
                self.is_told = true;
            }
            _ => {}
        }
        if self.is_stopped && self.is_told {
            self.end(emitter);
        }
        Ok(())
    }

    fn start(&mut self, emitter: &mut dyn Emit) -> Result<(), StreamFault> {
        if std::mem::replace(&mut self.is_started, true) {
            // Two answers in one stream: joining them would make up a third.
            let fault = "a second message began inside the first";
            return Err(StreamFault::Malformed(fault));
        }
        emitter.emit(Delta::Start { id: "" });
        Ok(())
    }

    fn block_start(
        &mut self,
        event: &Object<'_>,
        emitter: &mut dyn Emit,
    ) -> Result<(), StreamFault> {
        let (Some(index), Some(start)) = (event.u64("contentBlockIndex"), event.object("start"))
        else {
            return Ok(());
        };
        if let Some(unclosed) = self.blocks.remove(&index) {
            unclosed.stop(emitter);
        }
        let block = Block::start(&start, self.calls, emitter);
        self.calls += usize::from(block.is_call());
        self.open(index, block)
    }

    fn block_delta(
        &mut self,
        event: &Object<'_>,
        emitter: &mut dyn Emit,
    ) -> Result<(), StreamFault> {
        let (Some(index), Some(delta)) = (event.u64("contentBlockIndex"), event.object("delta"))
        else {
            return Ok(());
        };
        // Only tools and images announce themselves.
        if !self.blocks.contains_key(&index) {
            self.open(index, Block::of(&delta))?;
        }
        if let Some(block) = self.blocks.get_mut(&index) {
            block.delta(&delta, emitter);
        }
        Ok(())
    }

    fn open(&mut self, index: u64, block: Block) -> Result<(), StreamFault> {
        if self.blocks.len() >= MAX_OPEN_BLOCKS {
            let fault = "too many content blocks are open at once";
            return Err(StreamFault::Malformed(fault));
        }
        self.blocks.insert(index, block);
        Ok(())
    }

    fn stop(&mut self, event: &Object<'_>, emitter: &mut dyn Emit) {
        if std::mem::replace(&mut self.is_stopped, true) {
            return;
        }
        for block in std::mem::take(&mut self.blocks).into_values() {
            block.stop(emitter);
        }
        if let Some(sequence) = response::stop_sequence(event) {
            emitter.emit(Delta::StopSequence(&sequence));
        }
        let finish = match event.str("stopReason") {
            Some(reason) => response::finish(&reason),
            None if self.calls > 0 => Finish::ToolCalls,
            None => Finish::Stop,
        };
        emitter.emit(Delta::Finish(finish));
    }

    fn end(&mut self, emitter: &mut dyn Emit) {
        if !std::mem::replace(&mut self.is_ended, true) {
            let usage = self.usage;
            emitter.emit(Delta::End { usage });
        }
    }
}

#[cfg(test)]
mod tests;
