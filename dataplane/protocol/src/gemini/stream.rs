//! Reads a streamed answer of streamGenerateContent into deltas of the message model.
//!
//! Each event is a reply of its own with the parts that are new. There is no end mark: an answer whose
//! candidate has a finish reason is whole once the body ends.

use super::finish;
use super::response::{arguments, blocked, call_id, image, usage_of};
use crate::error::{classify_in_stream, tells_error};
use crate::exchange::events::{EventStream, Events};
use crate::fault::StreamFault;
use crate::json::{self, Object};
use crate::message::{Delta, Emit, Finish, Source};
use crate::usage::Usage;
use crate::vendor::WireProtocol;

/// An honest answer has a handful of calls.
const MAX_CALLS: usize = 128;

/// Decodes one stream.
pub(crate) type Decoder = EventStream<Content>;

/// The answer that the events build.
#[derive(Debug, Default)]
pub(crate) struct Content {
    id: Option<String>,
    model: Option<String>,
    calls: usize,
    finish: Option<Finish>,
    usage: Option<Usage>,
    is_ended: bool,
}

impl Events for Content {
    const PROTOCOL: WireProtocol = WireProtocol::Gemini;

    fn event(
        &mut self,
        _name: Option<&[u8]>,
        data: &[u8],
        emitter: &mut dyn Emit,
    ) -> Result<(), StreamFault> {
        // What is no JSON object is ignored, as an unknown event is.
        let Ok(reply) = Object::parse(data) else {
            return Ok(());
        };
        if tells_error(&reply) {
            return Err(classify_in_stream(WireProtocol::Gemini, data).into());
        }
        self.reply(&reply, emitter)
    }

    fn closed(&mut self, emitter: &mut dyn Emit) {
        if self.finish.is_some() {
            emitter.emit(Delta::End { usage: self.usage });
            self.is_ended = true;
        }
    }

    fn is_ended(&self) -> bool {
        self.is_ended
    }

    fn usage(&self) -> Option<Usage> {
        self.usage
    }

    fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }
}

impl Content {
    fn reply(&mut self, reply: &Object<'_>, emitter: &mut dyn Emit) -> Result<(), StreamFault> {
        if self.model.is_none() {
            self.model = reply.str("modelVersion").map(String::from);
        }
        if let Some(usage) = usage_of(reply) {
            self.usage.get_or_insert_default().merge(usage);
            emitter.emit(Delta::Usage(usage));
        }
        if self.id.is_none() {
            let id = reply.str("responseId").unwrap_or_default();
            emitter.emit(Delta::Start { id: &id });
            self.id = Some(id.into_owned());
        }
        let candidates = reply.array("candidates").unwrap_or_default();
        let mut candidates = candidates.into_iter().filter_map(json::object);
        // No more than one candidate was asked for.
        let Some(candidate) = candidates.find(|one| one.u64("index").unwrap_or(0) == 0) else {
            if blocked(reply) {
                self.finish(Finish::ContentFilter, emitter);
            }
            return Ok(());
        };
        let content = candidate.object("content").unwrap_or_default();
        for raw in content.array("parts").unwrap_or_default() {
            if let Some(part) = json::object(raw) {
                self.part(&part, emitter)?;
            }
        }
        if let Some(word) = candidate.str("finishReason") {
            self.finish(finish::read(&word, self.calls > 0), emitter);
        }
        Ok(())
    }

    fn part(&mut self, part: &Object<'_>, emitter: &mut dyn Emit) -> Result<(), StreamFault> {
        let is_thought = part.raw("thought").is_some_and(|raw| raw.get() == "true");
        if let Some(text) = part.str("text") {
            emitter.emit(match is_thought {
                true => Delta::Reasoning(&text),
                false => Delta::Text(&text),
            });
        }
        let data = part.object("inlineData").filter(|_| !is_thought);
        if let Some(Source::Base64 { media_type, data }) = data.as_ref().and_then(image) {
            emitter.emit(Delta::Image {
                media_type: &media_type,
                data: &data,
            });
        }
        let Some(call) = part.object("functionCall") else {
            return Ok(());
        };
        if self.calls >= MAX_CALLS {
            return Err(StreamFault::Malformed("too many tool calls"));
        }
        let number = self.calls;
        self.calls += 1;
        emitter.emit(Delta::ToolStart {
            call: number,
            id: &call_id(&call, self.id.as_deref().unwrap_or_default(), number),
            name: &call.str("name").unwrap_or_default(),
            signature: part.str("thoughtSignature").as_deref(),
        });
        emitter.emit(Delta::ToolArguments {
            call: number,
            json: arguments(&call).get(),
        });
        Ok(())
    }

    fn finish(&mut self, finish: Finish, emitter: &mut dyn Emit) {
        if self.finish.is_none() {
            emitter.emit(Delta::Finish(finish.clone()));
            self.finish = Some(finish);
        }
    }
}
