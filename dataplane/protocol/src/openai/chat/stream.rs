//! Reads chunks of a chat completion into deltas of the message model.
//!
//! Servers differ: calls without index or id, several in one chunk, an index used twice, usage on
//! every chunk or with the finish reason, content as parts. `[DONE]` is the end mark of all.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::call::{arguments_text, signature};
use super::finish;
use super::response::{image, thinking_text};
use crate::error::{classify_in_stream, tells_error};
use crate::exchange::events::{EventStream, Events};
use crate::fault::StreamFault;
use crate::json::{self, Object};
use crate::message::{Delta, Emit, Finish, Source};
use crate::openai;
use crate::usage::Usage;
use crate::vendor::WireProtocol;

/// An honest answer has a handful of calls.
const MAX_CALLS: usize = 128;
/// What of a call's arguments may come before its name.
const MAX_EARLY: usize = 64 << 10;

/// Decodes one stream.
pub(crate) type Decoder = EventStream<Completion>;

/// The answer that the chunks build.
#[derive(Debug, Default)]
pub(crate) struct Completion {
    is_started: bool,
    model: Option<String>,
    calls: Vec<Call>,
    /// Calls whose name has come.
    named: usize,
    finish: Option<Finish>,
    usage: Option<Usage>,
    is_ended: bool,
}

/// A call in the making.
#[derive(Debug, Default)]
struct Call {
    /// As the server numbers it.
    index: Option<u64>,
    id: String,
    /// Its number among those that were told on; `None`: its name has not come.
    told: Option<usize>,
    early: String,
    has_arguments: bool,
}

impl Events for Completion {
    const PROTOCOL: WireProtocol = WireProtocol::OpenAI;

    fn event(
        &mut self,
        name: Option<&[u8]>,
        data: &[u8],
        emitter: &mut dyn Emit,
    ) -> Result<(), StreamFault> {
        if name == Some(b"error") {
            return Err(classify_in_stream(WireProtocol::OpenAI, data).into());
        }
        if data.trim_ascii() == b"[DONE]" {
            self.end(emitter);
            return Ok(());
        }
        // What is no JSON is some vendor's own remark.
        let Ok(chunk) = Object::parse(data) else {
            return Ok(());
        };
        if tells_error(&chunk) {
            return Err(classify_in_stream(WireProtocol::OpenAI, data).into());
        }
        self.chunk(&chunk, emitter)
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

impl Completion {
    fn chunk(&mut self, chunk: &Object<'_>, emitter: &mut dyn Emit) -> Result<(), StreamFault> {
        if self.model.is_none() {
            self.model = chunk
                .str("model")
                .map(String::from)
                .filter(|model| !model.is_empty());
        }
        if let Some(raw) = chunk.raw("usage") {
            let usage = openai::usage::read(raw.get().as_bytes());
            if !usage.is_empty() {
                self.usage.get_or_insert_default().merge(usage);
                emitter.emit(Delta::Usage(usage));
            }
        }
        let choices = chunk.array("choices").unwrap_or_default();
        let mut choices = choices.into_iter().filter_map(json::object);
        // No more than one choice was asked for.
        let Some(choice) = choices.find(|choice| choice.u64("index").unwrap_or(0) == 0) else {
            return Ok(());
        };
        if !self.is_started {
            self.is_started = true;
            emitter.emit(Delta::Start {
                id: &chunk.str("id").unwrap_or_default(),
            });
        }
        if let Some(logprobs) = choice.raw("logprobs") {
            emitter.emit(Delta::Logprobs(logprobs));
        }
        if let Some(delta) = choice.object("delta").or_else(|| choice.object("message")) {
            self.delta(&delta, emitter)?;
        }
        if let Some(word) = choice.str("finish_reason").filter(|word| !word.is_empty()) {
            self.finish(&word, emitter);
        }
        Ok(())
    }

    fn delta(&mut self, delta: &Object<'_>, emitter: &mut dyn Emit) -> Result<(), StreamFault> {
        let thought = ["reasoning_content", "reasoning"].into_iter();
        if let Some(text) = thought
            .filter_map(|name| delta.str(name))
            .find(|text| !text.is_empty())
        {
            emitter.emit(Delta::Reasoning(&text));
        }
        if let Some(text) = delta.str("content") {
            emitter.emit(Delta::Text(&text));
        } else {
            delta
                .array("content")
                .unwrap_or_default()
                .into_iter()
                .for_each(|raw| part(raw, emitter));
        }
        if let Some(text) = delta.str("refusal").filter(|text| !text.is_empty()) {
            emitter.emit(Delta::Refusal(&text));
        }
        for raw in delta.array("images").unwrap_or_default() {
            if let Some(Source::Base64 { media_type, data }) = image(raw) {
                emitter.emit(Delta::Image {
                    media_type: &media_type,
                    data: &data,
                });
            }
        }
        for raw in delta.array("tool_calls").unwrap_or_default() {
            if let Some(call) = json::object(raw) {
                self.call(&call, emitter)?;
            }
        }
        if let Some(function) = delta.object("function_call") {
            self.piece(0, &function, None, emitter)?;
        }
        Ok(())
    }

    fn call(&mut self, call: &Object<'_>, emitter: &mut dyn Emit) -> Result<(), StreamFault> {
        let at = self.place_of(call);
        if self.calls.len() <= at {
            if at >= MAX_CALLS {
                return Err(StreamFault::Malformed("too many tool calls"));
            }
            self.calls.push(Call {
                index: call.u64("index"),
                id: call.str("id").unwrap_or_default().into_owned(),
                ..Call::default()
            });
        }
        match call.object("function") {
            Some(function) => self.piece(at, &function, signature(call), emitter),
            None => Ok(()),
        }
    }

    /// The call that a piece belongs to: by its index, unless another id shows that the index is used
    /// again; else by its id; else the last.
    fn place_of(&self, call: &Object<'_>) -> usize {
        let id = call.str("id").filter(|id| !id.is_empty());
        let index = call.u64("index");
        let is_same = |known: &Call| match (&id, index) {
            (Some(id), Some(_)) if !known.id.is_empty() => known.index == index && known.id == **id,
            (_, Some(_)) => known.index == index,
            (Some(id), None) => known.id == **id,
            (None, None) => true,
        };
        let found = self.calls.iter().rposition(is_same);
        found.unwrap_or(self.calls.len())
    }

    fn piece(
        &mut self,
        at: usize,
        function: &Object<'_>,
        signature: Option<Cow<'_, str>>,
        emitter: &mut dyn Emit,
    ) -> Result<(), StreamFault> {
        if self.calls.len() <= at {
            self.calls.push(Call::default());
        }
        let call = &mut self.calls[at];
        let name = function.str("name").filter(|name| !name.is_empty());
        if let (None, Some(name)) = (call.told, name) {
            let told = self.named;
            self.named += 1;
            call.told = Some(told);
            let made = format!("call_{told}");
            emitter.emit(Delta::ToolStart {
                call: told,
                id: if call.id.is_empty() { &made } else { &call.id },
                name: &name,
                signature: signature.as_deref(),
            });
            if !call.early.is_empty() {
                let json = std::mem::take(&mut call.early);
                emitter.emit(Delta::ToolArguments {
                    call: told,
                    json: &json,
                });
            }
        }
        let Some(json) = arguments_text(function).filter(|json| !json.is_empty()) else {
            return Ok(());
        };
        call.has_arguments = true;
        match call.told {
            Some(told) => emitter.emit(Delta::ToolArguments {
                call: told,
                json: &json,
            }),
            None if call.early.len() + json.len() > MAX_EARLY => {
                return Err(StreamFault::Malformed("a tool call has no name"));
            }
            None => call.early.push_str(&json),
        }
        Ok(())
    }

    fn finish(&mut self, word: &str, emitter: &mut dyn Emit) {
        if self.finish.is_some() {
            return;
        }
        // A call without arguments must still read as JSON on the client's side.
        for call in self.calls.iter_mut().filter(|call| !call.has_arguments) {
            if let Some(told) = call.told {
                emitter.emit(Delta::ToolArguments {
                    call: told,
                    json: "{}",
                });
                call.has_arguments = true;
            }
        }
        let finish = finish(word, self.named > 0);
        emitter.emit(Delta::Finish(finish.clone()));
        self.finish = Some(finish);
    }

    fn end(&mut self, emitter: &mut dyn Emit) {
        self.finish("stop", emitter);
        emitter.emit(Delta::End { usage: self.usage });
        self.is_ended = true;
    }
}

/// A part of content, as Mistral has it.
fn part(raw: &RawValue, emitter: &mut dyn Emit) {
    let Some(part) = json::object(raw) else {
        return;
    };
    match part.str("type").as_deref() {
        Some("thinking") => emitter.emit(Delta::Reasoning(&thinking_text(&part))),
        _ => {
            if let Some(text) = part.str("text") {
                emitter.emit(Delta::Text(&text));
            }
        }
    }
}
