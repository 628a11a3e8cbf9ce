//! Chat completion chunks that pass from OpenAI to OpenAI.
//!
//! Events are not parsed. Byte searches look for the few names that matter; a bare `"name"` between
//! quotes cannot stand inside a JSON string, whose quotes are escaped. Only an event that matches is
//! parsed, and every event until the first one with content.

use std::sync::LazyLock;

use bytes::Bytes;
use memchr::memmem::Finder;

use crate::error::{classify_in_stream, tells_error};
use crate::exchange::Decoded;
use crate::exchange::pass::{Judge, Seen, Verdict, string_bytes};
use crate::fault::{BadReply, StreamFault};
use crate::json::{self, Object};
use crate::openai;
use crate::sse;
use crate::vendor::WireProtocol;

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

/// Looks at chunks of chat completions.
#[derive(Debug)]
pub(crate) struct Chunks {
    /// Whether the client asked for the chunk that tells the usage.
    pub(crate) keep_usage_chunk: bool,
}

impl Judge for Chunks {
    const PROTOCOL: WireProtocol = WireProtocol::OpenAI;

    fn judge(&mut self, event: &[u8], seen: &mut Seen) -> Result<Verdict, StreamFault> {
        let has_usage = has_value(&USAGE, event);
        let has_error = may_tell_error(event);
        seen.output_bytes += OUTPUT
            .iter()
            .map(|name| string_bytes(name, event))
            .sum::<u64>();
        if seen.is_committed && !has_usage && !has_error {
            return Ok(if is_done(event) {
                Verdict::Done
            } else {
                Verdict::Keep
            });
        }
        self.read(event, seen)
    }

    fn closed(&mut self, unfinished: &[u8], _seen: &mut Seen) -> Result<bool, StreamFault> {
        Ok(sse::fields(unfinished).data.as_deref() == Some(b"[DONE]"))
    }
}

impl Chunks {
    /// Parses one event: those before the first content, and those that tell usage or an error.
    fn read(&self, event: &[u8], seen: &mut Seen) -> Result<Verdict, StreamFault> {
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
        if seen.model.is_none() {
            seen.model = chunk.str("model").map(String::from);
        }
        let choices = chunk.array("choices").unwrap_or_default();
        if let Some(usage) = chunk.raw("usage") {
            let usage = openai::usage::read(usage.get().as_bytes());
            if !usage.is_empty() {
                seen.usage.get_or_insert_default().merge(usage);
            }
            if choices.is_empty() && !self.keep_usage_chunk {
                return Ok(Verdict::Drop);
            }
        }
        seen.is_committed |= choices
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
pub(crate) fn has_value(name: &Finder<'_>, event: &[u8]) -> bool {
    name.find_iter(event).any(|at| {
        let after = event[at + name.needle().len()..].trim_ascii_start();
        match after.strip_prefix(b":") {
            Some(value) => !value.trim_ascii_start().starts_with(b"null"),
            None => false,
        }
    })
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

/// What is looked at of a whole answer; the rest is the caller's to judge.
const LOOKED_AT: [&str; 5] = ["usage", "model", "error", "type", "object"];

/// Looks at a whole answer.
pub(crate) fn whole(protocol: WireProtocol, body: Bytes) -> Result<Decoded, BadReply> {
    let looked_at = json::pick(&body, &LOOKED_AT).map_err(BadReply::NotJson)?;
    let [usage, model, error, kind, object] = looked_at;
    refuse_error(protocol, &body, error, [kind, object])?;
    let usage = usage.map(openai::usage::read);
    Ok(Decoded {
        usage: usage.filter(|usage| !usage.is_empty()),
        response_model: model.and_then(json::text),
        body,
    })
}

/// Refuses an answer that has an error, or whose type or object is the word.
pub(crate) fn refuse_error(
    protocol: WireProtocol,
    body: &[u8],
    error: Option<&[u8]>,
    kinds: [Option<&[u8]>; 2],
) -> Result<(), BadReply> {
    let is_word = |kind: &Option<&[u8]>| *kind == Some(b"\"error\"".as_slice());
    match error.is_some_and(|error| error != b"null") || kinds.iter().any(is_word) {
        true => Err(classify_in_stream(protocol, body).into()),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests;
