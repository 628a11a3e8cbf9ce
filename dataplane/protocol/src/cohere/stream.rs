//! Reads a streamed answer of Cohere into deltas of the message model.

use super::{finish, usage};
use crate::error::{classify_in_stream, tells_error};
use crate::exchange::events::{EventStream, Events};
use crate::fault::StreamFault;
use crate::json::Object;
use crate::message::{Delta, Emit};
use crate::usage::Usage;
use crate::vendor::WireProtocol;

/// An honest answer has a handful of calls.
const MAX_CALLS: usize = 128;

/// Decodes one stream.
pub(crate) type Decoder = EventStream<Message>;

/// The message that the events build.
#[derive(Debug, Default)]
pub(crate) struct Message {
    /// Of each call, whether arguments have come.
    calls: Vec<bool>,
    usage: Option<Usage>,
    is_ended: bool,
}

impl Events for Message {
    const PROTOCOL: WireProtocol = WireProtocol::Cohere;

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
        if tells_error(&event) {
            return Err(classify_in_stream(WireProtocol::Cohere, data).into());
        }
        let delta = event.object("delta").unwrap_or_default();
        let message = delta.object("message").unwrap_or_default();
        match event.str("type").as_deref() {
            Some("message-start") => {
                let id = event.str("id").unwrap_or_default();
                emitter.emit(Delta::Start { id: &id });
            }
            Some("content-start" | "content-delta") => content(&message, emitter),
            Some("tool-plan-delta") => {
                let plan = message.str("tool_plan").unwrap_or_default();
                emitter.emit(Delta::Reasoning(&plan));
            }
            Some("tool-call-start") => return self.call(&message, emitter),
            Some("tool-call-delta") => self.arguments(&message, emitter),
            Some("tool-call-end") => self.end_call(emitter),
            Some("message-end") => self.end(&delta, emitter)?,
            _ => {}
        }
        Ok(())
    }

    fn is_ended(&self) -> bool {
        self.is_ended
    }

    fn usage(&self) -> Option<Usage> {
        self.usage
    }

    fn model(&self) -> Option<&str> {
        None
    }
}

fn content(message: &Object<'_>, emitter: &mut dyn Emit) {
    let content = message.object("content").unwrap_or_default();
    if let Some(text) = content.str("thinking") {
        emitter.emit(Delta::Reasoning(&text));
    }
    if let Some(text) = content.str("text") {
        emitter.emit(Delta::Text(&text));
    }
}

impl Message {
    fn call(&mut self, message: &Object<'_>, emitter: &mut dyn Emit) -> Result<(), StreamFault> {
        let call = message.object("tool_calls").unwrap_or_default();
        let function = call.object("function").unwrap_or_default();
        if self.calls.len() >= MAX_CALLS {
            return Err(StreamFault::Malformed("too many tool calls"));
        }
        emitter.emit(Delta::ToolStart {
            call: self.calls.len(),
            id: &call.str("id").unwrap_or_default(),
            name: &function.str("name").unwrap_or_default(),
            signature: None,
        });
        self.calls.push(false);
        self.arguments(message, emitter);
        Ok(())
    }

    fn arguments(&mut self, message: &Object<'_>, emitter: &mut dyn Emit) {
        let call = message.object("tool_calls").unwrap_or_default();
        let function = call.object("function").unwrap_or_default();
        let json = function.str("arguments").unwrap_or_default();
        let number = self.calls.len().saturating_sub(1);
        if let Some(has_arguments) = self.calls.last_mut().filter(|_| !json.is_empty()) {
            *has_arguments = true;
            emitter.emit(Delta::ToolArguments {
                call: number,
                json: &json,
            });
        }
    }

    /// A call without arguments must still read as JSON on the client's side.
    fn end_call(&mut self, emitter: &mut dyn Emit) {
        let number = self.calls.len().saturating_sub(1);
        if let Some(has_arguments) = self.calls.last_mut().filter(|has| !**has) {
            *has_arguments = true;
            emitter.emit(Delta::ToolArguments {
                call: number,
                json: "{}",
            });
        }
    }

    fn end(&mut self, delta: &Object<'_>, emitter: &mut dyn Emit) -> Result<(), StreamFault> {
        let word = delta.str("finish_reason").unwrap_or_default();
        if word == "ERROR" || word == "TIMEOUT" {
            let said = delta
                .raw("error")
                .map_or("{\"message\":\"\"}", |raw| raw.get());
            let body = format!("{{\"error\":{said}}}");
            return Err(classify_in_stream(WireProtocol::Cohere, body.as_bytes()).into());
        }
        self.usage = delta.object("usage").and_then(|told| usage(&told));
        emitter.emit(Delta::Finish(finish(&word)));
        emitter.emit(Delta::End { usage: self.usage });
        self.is_ended = true;
        Ok(())
    }
}
