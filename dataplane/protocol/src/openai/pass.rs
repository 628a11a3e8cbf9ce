//! OpenAI to OpenAI: the hot path. Events pass as slices of the chunks they came in.
//!
//! An event is forwarded once it is whole: a client cannot use half an event, so this costs it
//! nothing, and it makes three things sound. The usage chunk that the client did not ask for can be
//! left out; a provider's error, or an event torn by a cut, never reaches the client as half a line.
//! The unfinished event at a chunk's end is held as slices, not copied out again; once it exceeds
//! [`HOLD_LIMIT`] (audio, images) it is neither a usage chunk nor an error, and flows as it comes.
//!
//! Events are not parsed. Byte searches look for the few names that matter; a bare `"name"` between
//! quotes cannot stand inside a JSON string, whose quotes are escaped. Only an event that matches is
//! parsed, and every event until the first one with content.

use std::sync::LazyLock;

use bytes::Bytes;
use memchr::memmem::Finder;
use smallvec::SmallVec;

use crate::error::{classify_in_stream, tells_error};
use crate::fault::StreamFault;
use crate::gate::Gate;
use crate::json::{self, Object};
use crate::openai;
use crate::sse::{self, Framer, Step};
use crate::usage::Usage;
use crate::vendor::WireProtocol;

/// Larger events pass without being looked at.
const SCAN_LIMIT: usize = 1 << 20;
/// An unfinished event is held up to here. A usage chunk has a few hundred bytes.
const HOLD_LIMIT: usize = 64 << 10;
static USAGE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"usage\""));
static ERROR: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"error\""));
static EVENT: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\nevent:"));
/// `content`, `reasoning_content`, `reasoning`, `arguments`, `refusal`: the names whose strings count
/// as output. Matched with the quote and colon that end a name.
static OUTPUT: LazyLock<[Finder<'static>; 4]> = LazyLock::new(|| {
    [
        "content\":",
        "\"reasoning\":",
        "\"arguments\":",
        "\"refusal\":",
    ]
    .map(|name| Finder::new(name.as_bytes()))
});

/// Passes one stream of chat completion chunks.
#[derive(Debug)]
pub(crate) struct PassThrough {
    framer: Framer,
    keep_usage_chunk: bool,
    /// The unfinished event's bytes, in slices.
    held: SmallVec<[Bytes; 4]>,
    held_len: usize,
    /// The unfinished event grew over the limit: what was held is out, the rest follows as it comes.
    is_flowing: bool,
    /// Whether the last event went to the client; its late LF follows it.
    kept_last: bool,
    gate: Gate,
    state: State,
    seen: Seen,
}

/// Whether `[DONE]` has passed; only the LF of its last line end may still follow.
#[derive(Debug, PartialEq, Eq)]
enum State {
    Open,
    Done { may_owe_lf: bool },
}

/// What the stream has told so far.
#[derive(Debug, Default)]
struct Seen {
    is_committed: bool,
    usage: Option<Usage>,
    output_bytes: u64,
    model: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Keep,
    Drop,
    Done,
}

impl PassThrough {
    pub(crate) fn new(keep_usage_chunk: bool) -> Self {
        Self {
            framer: Framer::new(SCAN_LIMIT),
            keep_usage_chunk,
            held: SmallVec::new(),
            held_len: 0,
            is_flowing: false,
            kept_last: true,
            gate: Gate::default(),
            state: State::Open,
            seen: Seen::default(),
        }
    }

    pub(crate) fn push(&mut self, chunk: Bytes, out: &mut Vec<Bytes>) -> Result<(), StreamFault> {
        if chunk.is_empty() {
            return Ok(());
        }
        if let State::Done { may_owe_lf } = &mut self.state {
            if std::mem::take(may_owe_lf)
                && let Step::Rest { end } = self.framer.next(&chunk, 0)
            {
                out.push(chunk.slice(..end));
            }
            return Ok(());
        }
        match self.gate.admit(&chunk)? {
            Some(start) => self.push_events(chunk.slice(start..), out),
            None => Ok(()),
        }
    }

    pub(crate) fn finish(&mut self, out: &mut Vec<Bytes>) -> Result<(), StreamFault> {
        if self.is_complete() {
            return Ok(());
        }
        self.gate.finish(WireProtocol::OpenAI)?;
        // Some servers leave out the last blank line.
        if sse::fields(self.framer.unfinished()).data.as_deref() != Some(b"[DONE]") {
            return Err(StreamFault::Cut);
        }
        self.release(out);
        self.state = State::Done { may_owe_lf: false };
        Ok(())
    }

    pub(crate) fn is_complete(&self) -> bool {
        matches!(self.state, State::Done { .. })
    }

    pub(crate) fn is_committed(&self) -> bool {
        self.seen.is_committed
    }

    pub(crate) fn usage(&self) -> Option<Usage> {
        self.seen.usage
    }

    pub(crate) fn output_bytes(&self) -> u64 {
        self.seen.output_bytes
    }

    pub(crate) fn response_model(&self) -> Option<&str> {
        self.seen.model.as_deref()
    }

    /// Whether half an event is already with the client.
    pub(crate) fn is_mid_event(&self) -> bool {
        self.is_flowing
    }

    fn push_events(&mut self, chunk: Bytes, out: &mut Vec<Bytes>) -> Result<(), StreamFault> {
        // Neighbouring events that stay go out as one slice, from `start` on.
        let (mut start, mut at) = (0, 0);
        loop {
            let (verdict, end) = match self.framer.next(&chunk, at) {
                Step::Event { bytes, end } => {
                    let verdict = match bytes {
                        Some(event) => self.seen.judge(event, self.keep_usage_chunk),
                        None => Ok(Verdict::Keep),
                    };
                    if verdict.is_err() {
                        push_slice(out, &chunk, start, at);
                    }
                    (verdict?, end)
                }
                Step::Rest { end } if self.kept_last => (Verdict::Keep, end),
                Step::Rest { end } => (Verdict::Drop, end),
                Step::Partial { .. } => break,
            };
            if verdict == Verdict::Drop {
                push_slice(out, &chunk, start, at);
                if self.is_flowing {
                    push_slice(out, &chunk, at, end);
                }
                self.forget();
                start = end;
            } else {
                self.release(out);
            }
            self.is_flowing = false;
            self.kept_last = verdict != Verdict::Drop;
            at = end;
            if verdict == Verdict::Done {
                push_slice(out, &chunk, start, at);
                self.state = State::Done {
                    may_owe_lf: end == chunk.len(),
                };
                return Ok(());
            }
        }
        push_slice(out, &chunk, start, at);
        self.hold(chunk.slice(at..), out);
        Ok(())
    }

    fn hold(&mut self, tail: Bytes, out: &mut Vec<Bytes>) {
        if tail.is_empty() {
            return;
        }
        self.held_len += tail.len();
        self.held.push(tail);
        if self.is_flowing || self.held_len > HOLD_LIMIT {
            self.is_flowing = true;
            self.seen.is_committed = true;
            self.release(out);
        }
    }

    fn release(&mut self, out: &mut Vec<Bytes>) {
        out.extend(self.held.drain(..));
        self.held_len = 0;
    }

    fn forget(&mut self) {
        self.held.clear();
        self.held_len = 0;
    }
}

fn push_slice(out: &mut Vec<Bytes>, chunk: &Bytes, start: usize, end: usize) {
    if start < end {
        out.push(chunk.slice(start..end));
    }
}

impl Seen {
    fn judge(&mut self, event: &[u8], keep_usage_chunk: bool) -> Result<Verdict, StreamFault> {
        let has_usage = has_value(&USAGE, event);
        let has_error = may_tell_error(event);
        self.output_bytes += OUTPUT
            .iter()
            .map(|name| string_bytes(name, event))
            .sum::<u64>();
        if self.is_committed && !has_usage && !has_error {
            return Ok(if is_done(event) {
                Verdict::Done
            } else {
                Verdict::Keep
            });
        }
        self.read(event, keep_usage_chunk)
    }

    /// Parses one event: those before the first content, and those that tell usage or an error.
    fn read(&mut self, event: &[u8], keep_usage_chunk: bool) -> Result<Verdict, StreamFault> {
        let fields = sse::fields(event);
        let Some(data) = fields.data.as_deref() else {
            return Ok(Verdict::Keep);
        };
        if fields.event == Some(b"error") {
            return Err(classify_in_stream(WireProtocol::OpenAI, data).into());
        }
        if data.trim_ascii() == b"[DONE]" {
            return Ok(Verdict::Done);
        }
        // What is no JSON passes: it may be some vendor's own remark.
        let Ok(chunk) = Object::parse(data) else {
            return Ok(Verdict::Keep);
        };
        if tells_error(&chunk) {
            return Err(classify_in_stream(WireProtocol::OpenAI, data).into());
        }
        if self.model.is_none() {
            self.model = chunk.str("model").map(String::from);
        }
        let choices = chunk.array("choices").unwrap_or_default();
        if let Some(usage) = chunk.raw("usage") {
            let usage = openai::usage::read(usage.get().as_bytes());
            if !usage.is_empty() {
                self.usage.get_or_insert_default().merge(usage);
            }
            if choices.is_empty() && !keep_usage_chunk {
                return Ok(Verdict::Drop);
            }
        }
        self.is_committed |= choices
            .into_iter()
            .filter_map(json::object)
            .any(|c| bears_content(&c));
        Ok(Verdict::Keep)
    }
}

/// Whether an event is worth parsing for an error: it has a member `error` that is not null, the
/// word as a value (`"object":"error"`), or a type.
fn may_tell_error(event: &[u8]) -> bool {
    let is_word = |at: usize| {
        let after = event[at + ERROR.needle().len()..].trim_ascii_start();
        !after.starts_with(b":")
    };
    has_value(&ERROR, event)
        || ERROR.find_iter(event).any(is_word)
        || event.starts_with(b"event:")
        || EVENT.find(event).is_some()
}

fn is_done(event: &[u8]) -> bool {
    // The line is `data: [DONE]`; anything longer is no end mark.
    event.len() < 64
        && sse::fields(event)
            .data
            .is_some_and(|data| data.trim_ascii() == b"[DONE]")
}

/// Whether a name stands in the event with a value other than null.
fn has_value(name: &Finder<'_>, event: &[u8]) -> bool {
    name.find_iter(event).any(|at| {
        let after = event[at + name.needle().len()..].trim_ascii_start();
        match after.strip_prefix(b":") {
            Some(value) => !value.trim_ascii_start().starts_with(b"null"),
            None => false,
        }
    })
}

/// The bytes of the strings that follow a name, as they are written.
fn string_bytes(name: &Finder<'_>, event: &[u8]) -> u64 {
    let count = |at: usize| {
        let value = event[at + name.needle().len()..].trim_ascii_start();
        value.strip_prefix(b"\"").map_or(0, string_len)
    };
    name.find_iter(event).map(count).sum()
}

fn string_len(text: &[u8]) -> u64 {
    let mut at = 0;
    while let Some(next) = memchr::memchr2(b'"', b'\\', text.get(at..).unwrap_or_default()) {
        if text[at + next] == b'"' {
            return (at + next) as u64;
        }
        at += next + 2;
    }
    text.len() as u64
}

/// Whether a choice holds what a client would show or act upon.
fn bears_content(choice: &Object<'_>) -> bool {
    let Some(delta) = choice.object("delta") else {
        return choice.raw("finish_reason").is_some();
    };
    let says = |name| delta.str(name).is_some_and(|text| !text.is_empty());
    choice.raw("finish_reason").is_some()
        || ["content", "reasoning_content", "reasoning", "refusal"]
            .into_iter()
            .any(says)
        || delta.raw("audio").is_some()
        || delta
            .array("images")
            .is_some_and(|images| !images.is_empty())
        || delta
            .array("content")
            .is_some_and(|parts| !parts.is_empty())
        || delta
            .raw("function_call")
            .and_then(json::object)
            .is_some_and(|call| is_named(&call))
        || delta
            .array("tool_calls")
            .unwrap_or_default()
            .into_iter()
            .filter_map(json::object)
            .any(|call| {
                ["function", "custom"]
                    .into_iter()
                    .any(|kind| call.object(kind).is_some_and(|f| is_named(&f)))
            })
}

fn is_named(function: &Object<'_>) -> bool {
    function.str("name").is_some_and(|name| !name.is_empty())
}

#[cfg(test)]
mod tests;
