//! Reads a streamed answer of the Messages API into deltas of the message model.
//!
//! Source: docs.anthropic.com, "Streaming messages": new event types may appear at any time and are
//! to be ignored.

mod block;

use std::collections::BTreeMap;

use crate::anthropic::response::finish;
use crate::anthropic::usage::Parts;
use crate::error::classify_in_stream;
use crate::fault::StreamFault;
use crate::gate::Gate;
use crate::json::Object;
use crate::message::{Delta, Emit, Finish};
use crate::sse::{self, Framer, Step};
use crate::usage::Usage;
use crate::vendor::WireProtocol;
use block::Block;

/// Larger events are a fault: a translation holds an event as a whole.
const MAX_EVENT: usize = 16 << 20;
/// An honest answer has a handful of blocks open at a time (one, in fact).
const MAX_OPEN_BLOCKS: usize = 128;
/// Decodes one stream.
#[derive(Debug)]
pub(crate) struct Decoder {
    framer: Framer,
    message: Message,
    gate: Gate,
}

impl Default for Decoder {
    fn default() -> Self {
        Decoder {
            framer: Framer::new(MAX_EVENT),
            message: Message::default(),
            gate: Gate::default(),
        }
    }
}

impl Decoder {
    pub(crate) fn push(&mut self, chunk: &[u8], emitter: &mut dyn Emit) -> Result<(), StreamFault> {
        let Some(start) = self.gate.admit(chunk)? else {
            return Ok(());
        };
        let chunk = &chunk[start..];
        let mut at = 0;
        while !self.message.is_ended {
            match self.framer.next(chunk, at) {
                Step::Event { bytes, end } => {
                    let event = bytes.ok_or(StreamFault::EventTooLong { limit: MAX_EVENT })?;
                    self.message.event(event, emitter)?;
                    at = end;
                }
                Step::Rest { end } => at = end,
                Step::Partial { is_overlong: true } => {
                    return Err(StreamFault::EventTooLong { limit: MAX_EVENT });
                }
                Step::Partial { .. } => break,
            }
        }
        Ok(())
    }

    pub(crate) fn held_bytes(&self) -> usize {
        self.framer.held()
    }

    pub(crate) fn finish(&mut self, emitter: &mut dyn Emit) -> Result<(), StreamFault> {
        self.gate.finish(WireProtocol::Anthropic)?;
        // Some servers leave out the last blank line. A torn event is no JSON and says nothing.
        if !self.message.is_ended {
            self.message.event(self.framer.unfinished(), emitter)?;
        }
        if self.message.is_ended {
            Ok(())
        } else {
            Err(StreamFault::Cut)
        }
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.message.is_ended
    }

    pub(crate) fn usage(&self) -> Option<Usage> {
        self.message.usage.usage()
    }

    pub(crate) fn response_model(&self) -> Option<&str> {
        self.message.model.as_deref()
    }
}

/// The message that the events build.
#[derive(Debug, Default)]
struct Message {
    id: Option<String>,
    model: Option<String>,
    blocks: BTreeMap<u64, Block>,
    calls: usize,
    usage: Parts,
    is_ended: bool,
}

impl Message {
    fn event(&mut self, event: &[u8], emitter: &mut dyn Emit) -> Result<(), StreamFault> {
        let Some(data) = sse::fields(event).data else {
            return Ok(());
        };
        // What is no JSON object is ignored, as an unknown event is.
        let Ok(event) = Object::parse(&data) else {
            return Ok(());
        };
        match event.str("type").as_deref() {
            Some("message_start") => self.start(&event, emitter)?,
            Some("content_block_start") => self.block_start(&event, emitter)?,
            Some("content_block_delta") => {
                let block = event
                    .u64("index")
                    .and_then(|index| self.blocks.get_mut(&index));
                if let (Some(block), Some(delta)) = (block, event.object("delta")) {
                    block.delta(&delta, emitter);
                }
            }
            Some("content_block_stop") => {
                let block = event
                    .u64("index")
                    .and_then(|index| self.blocks.remove(&index));
                block.into_iter().for_each(|block| block.stop(emitter));
            }
            Some("message_delta") => self.delta(&event, emitter),
            Some("message_stop") => self.stop(emitter),
            Some("error") => return Err(classify_in_stream(WireProtocol::Anthropic, &data).into()),
            _ => {}
        }
        Ok(())
    }

    fn start(&mut self, event: &Object<'_>, emitter: &mut dyn Emit) -> Result<(), StreamFault> {
        let message = event.object("message").unwrap_or_default();
        let id = message.str("id").unwrap_or_default();
        if let Some(earlier) = &self.id
            && *earlier != id
        {
            // Two answers in one stream: joining them would make up a third.
            return Err(StreamFault::Malformed(
                "a second message began inside the first",
            ));
        }
        if let Some(usage) = message.object("usage") {
            self.usage.set(&usage);
        }
        self.model = message.str("model").map(String::from);
        emitter.emit(Delta::Start { id: &id });
        self.id = Some(id.into_owned());
        Ok(())
    }

    fn block_start(
        &mut self,
        event: &Object<'_>,
        emitter: &mut dyn Emit,
    ) -> Result<(), StreamFault> {
        let (Some(index), Some(content)) = (event.u64("index"), event.object("content_block"))
        else {
            return Ok(());
        };
        if self.blocks.len() >= MAX_OPEN_BLOCKS {
            return Err(StreamFault::Malformed(
                "too many content blocks are open at once",
            ));
        }
        if let Some(unclosed) = self.blocks.remove(&index) {
            unclosed.stop(emitter);
        }
        let block = Block::start(&content, self.calls, emitter);
        self.calls += usize::from(block.is_call());
        self.blocks.insert(index, block);
        Ok(())
    }

    fn delta(&mut self, event: &Object<'_>, emitter: &mut dyn Emit) {
        if let Some(usage) = event.object("usage") {
            self.usage.set(&usage);
        }
        let delta = event.object("delta").unwrap_or_default();
        if let Some(reason) = delta.str("stop_reason") {
            self.close_blocks(emitter);
            emitter.emit(Delta::Finish(finish(&reason)));
        }
    }

    fn stop(&mut self, emitter: &mut dyn Emit) {
        self.close_blocks(emitter);
        if self.calls > 0 {
            // Only if no reason was told: a finish is emitted once.
            emitter.emit(Delta::Finish(Finish::ToolCalls));
        }
        emitter.emit(Delta::End {
            usage: self.usage.usage(),
        });
        self.is_ended = true;
    }

    fn close_blocks(&mut self, emitter: &mut dyn Emit) {
        std::mem::take(&mut self.blocks)
            .into_values()
            .for_each(|block| block.stop(emitter));
    }
}

#[cfg(test)]
mod tests;
