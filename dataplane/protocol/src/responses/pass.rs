//! Responses and their events that pass.
//!
//! As with chat completions, events are not parsed: byte searches look for the names `response`, which
//! only events about the whole response have, and `error`. Only an event that has one of them is
//! parsed, and every event until the first one with content.

use std::sync::LazyLock;

use bytes::Bytes;
use memchr::memmem::Finder;

use crate::error::{ProviderError, classify_in_stream, tells_error};
use crate::exchange::Decoded;
use crate::exchange::events::MAX_EVENT;
use crate::exchange::pass::{Judge, Seen, Verdict, string_bytes};
use crate::fault::{BadReply, StreamFault};
use crate::json::{self, Object};
use crate::openai::pass::has_value;
use crate::responses::usage;
use crate::sse;
use crate::vendor::WireProtocol;

static RESPONSE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"response\""));
static ERROR: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"error\""));
static DELTA: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"delta\":"));
static SEQUENCE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"sequence_number\":"));

/// Looks at the events of a response.
///
/// Source: platform.openai.com, "Streaming events" (2026-11): the last event is `response.completed`,
/// `response.incomplete`, `response.failed` or `error`.
#[derive(Debug)]
pub(crate) struct ResponseEvents;

impl Judge for ResponseEvents {
    const PROTOCOL: WireProtocol = WireProtocol::OpenAI;
    /// The last event repeats the whole answer, pictures and all, and must be seen.
    const SCAN_LIMIT: usize = MAX_EVENT;

    fn judge(&mut self, event: &[u8], seen: &mut Seen) -> Result<Verdict, StreamFault> {
        if let Some(number) = sequence(event) {
            seen.next_sequence = number.saturating_add(1);
        }
        seen.output_bytes += string_bytes(&DELTA, event);
        let is_plain = !has_value(&RESPONSE, event) && ERROR.find(event).is_none();
        if seen.is_committed && is_plain && !event.starts_with(b"event: error") {
            return Ok(Verdict::Keep);
        }
        read(event, seen)
    }

    fn closed(&mut self, unfinished: &[u8], seen: &mut Seen) -> Result<bool, StreamFault> {
        Ok(read(unfinished, seen)? == Verdict::Done)
    }
}

/// The number that an event tells of itself.
fn sequence(event: &[u8]) -> Option<u64> {
    let at = SEQUENCE.find(event)? + SEQUENCE.needle().len();
    let value = event.get(at..)?.trim_ascii_start();
    let is_digit = |byte: &&u8| byte.is_ascii_digit();
    let length = value.iter().take_while(is_digit).count();
    json::count(value.get(..length)?)
}

/// Parses one event: those before the first content, those about the whole response, and errors.
fn read(event: &[u8], seen: &mut Seen) -> Result<Verdict, StreamFault> {
    let fields = sse::fields(event);
    let Some(data) = fields.data.as_deref() else {
        return Ok(Verdict::Keep);
    };
    let Ok(told) = Object::parse(data) else {
        return Ok(Verdict::Keep);
    };
    let kind = told.str("type").unwrap_or_default();
    let is_error = fields.event == Some(b"error") || kind == "error";
    if is_error || (kind.is_empty() && tells_error(&told)) {
        return Err(classify_in_stream(WireProtocol::OpenAI, data).into());
    }
    if let Some(response) = told.raw("response") {
        note_response(response.get().as_bytes(), seen);
    }
    match kind.as_ref() {
        "response.completed" | "response.incomplete" => {
            seen.is_committed = true;
            Ok(Verdict::Done)
        }
        "response.failed" if seen.is_committed => Ok(Verdict::Done),
        "response.failed" => Err(failure(&told).into()),
        _ => {
            seen.is_committed |= bears_content(&kind, &told);
            Ok(Verdict::Keep)
        }
    }
}

fn note_response(response: &[u8], seen: &mut Seen) {
    let Ok([usage, model]) = json::pick(response, &["usage", "model"]) else {
        return;
    };
    if seen.model.is_none() {
        seen.model = model.and_then(json::text);
    }
    let usage = usage.map(usage::read).filter(|usage| !usage.is_empty());
    if let Some(usage) = usage {
        seen.usage.get_or_insert_default().merge(usage);
    }
}

/// What went wrong, as the response that failed tells it.
fn failure(event: &Object<'_>) -> ProviderError {
    let response = event.raw("response").map_or("{}", |raw| raw.get());
    classify_in_stream(WireProtocol::OpenAI, response.as_bytes())
}

/// Whether an event holds what a client would show or act upon.
fn bears_content(kind: &str, event: &Object<'_>) -> bool {
    let is_delta = kind.ends_with(".delta");
    match kind {
        "response.output_item.added" => {
            let item = event.object("item").unwrap_or_default();
            !matches!(
                item.str("type").as_deref(),
                None | Some("message" | "reasoning")
            )
        }
        _ if is_delta => event.str("delta").is_some_and(|delta| !delta.is_empty()),
        "response.created"
        | "response.queued"
        | "response.in_progress"
        | "response.content_part.added"
        | "response.reasoning_summary_part.added" => false,
        _ => kind.starts_with("response."),
    }
}

/// Looks at a whole response.
pub(crate) fn whole(protocol: WireProtocol, body: Bytes) -> Result<Decoded, BadReply> {
    const LOOKED_AT: [&str; 4] = ["usage", "model", "error", "type"];
    let looked_at = json::pick(&body, &LOOKED_AT).map_err(BadReply::NotJson)?;
    let [usage, model, error, kind] = looked_at;
    let is_error = kind == Some(b"\"error\"".as_slice());
    if is_error || error.is_some_and(|error| error != b"null") {
        return Err(classify_in_stream(protocol, &body).into());
    }
    Ok(Decoded {
        usage: usage.map(usage::read).filter(|usage| !usage.is_empty()),
        response_model: model.and_then(json::text),
        body,
    })
}
