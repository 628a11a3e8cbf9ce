//! Reads a streamed answer of the Messages API into deltas of the message model.
//!
//! Source: docs.anthropic.com, "Streaming messages": new event types may appear at any time and are
//! to be ignored.

mod block;

use std::collections::BTreeMap;

use crate::anthropic::response::finish;
use crate::anthropic::usage::Parts;
use crate::error::classify_in_stream;
use crate::exchange::events::{EventStream, Events};
use crate::fault::StreamFault;
use crate::json::Object;
use crate::message::{Delta, Emit, Finish};
use crate::usage::Usage;
use crate::vendor::WireProtocol;
use block::Block;

/// An honest answer has a handful of blocks open at a time (one, in fact).
const MAX_OPEN_BLOCKS: usize = 128;

/// Decodes one stream.
pub(crate) type Decoder = EventStream<Message>;

/// The message that the events build.
#[derive(Debug, Default)]
pub(crate) struct Message {
    id: Option<String>,
    model: Option<String>,
    blocks: BTreeMap<u64, Block>,
    calls: usize,
    usage: Parts,
    is_ended: bool,
}

impl Events for Message {
    const PROTOCOL: WireProtocol = WireProtocol::Anthropic;

    fn event(
        &mut self,
        _name: Option<&[u8]>,
        data: &[u8],
        emitter: &mut dyn Emit,
    ) -> Result<(), StreamFault> {
        // What is no JSON object is ignored, as an unknown event is.
        let Ok(event) = Object::parse(data) else {
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
            Some("error") => return Err(classify_in_stream(WireProtocol::Anthropic, data).into()),
            _ => {}
        }
        Ok(())
    }

    fn is_ended(&self) -> bool {
        self.is_ended
    }

    fn usage(&self) -> Option<Usage> {
        self.usage.usage()
    }

    fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }
}

impl Message {
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
        self.usage
            .usage()
            .into_iter()
            .for_each(|usage| emitter.emit(Delta::Usage(usage)));
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
            if let Some(sequence) = delta.str("stop_sequence") {
                emitter.emit(Delta::StopSequence(&sequence));
            }
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
