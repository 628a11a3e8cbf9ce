//! Answers that pass from Gemini to Gemini.

use std::sync::LazyLock;

use bytes::Bytes;
use memchr::memmem::Finder;

use super::response::usage_of;
use crate::error::{classify_in_stream, tells_error};
use crate::exchange::Decoded;
use crate::exchange::pass::{Judge, Seen, Verdict, string_bytes};
use crate::fault::{BadReply, StreamFault};
use crate::json::{self, Object};
use crate::sse;
use crate::usage::Usage;
use crate::vendor::WireProtocol;

static TEXT: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"text\":"));
static FINISH: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"finishReason\""));
static ERROR: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"error\""));

/// Looks at the events of a stream: each tells the usage so far, so the last that does is read.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    is_finished: bool,
    /// The last event; its usage is read when the stream ends.
    usage: Option<Usage>,
}

impl Judge for Replies {
    const PROTOCOL: WireProtocol = WireProtocol::Gemini;

    fn judge(&mut self, event: &[u8], seen: &mut Seen) -> Result<Verdict, StreamFault> {
        seen.output_bytes += string_bytes(&TEXT, event);
        let is_told = FINISH.find(event).is_some() || ERROR.find(event).is_some();
        if seen.is_committed && !is_told {
            return Ok(Verdict::Keep);
        }
        self.read(event, seen)
    }

    fn closed(&mut self, unfinished: &[u8], seen: &mut Seen) -> Result<bool, StreamFault> {
        self.read(unfinished, seen)?;
        Ok(self.is_finished)
    }
}

impl Replies {
    fn read(&mut self, event: &[u8], seen: &mut Seen) -> Result<Verdict, StreamFault> {
        let Some(data) = sse::fields(event).data else {
            return Ok(Verdict::Keep);
        };
        let Ok(reply) = Object::parse(&data) else {
            return Ok(Verdict::Keep);
        };
        if tells_error(&reply) {
            return Err(classify_in_stream(WireProtocol::Gemini, &data).into());
        }
        if seen.model.is_none() {
            seen.model = reply.str("modelVersion").map(String::from);
        }
        if let Some(usage) = usage_of(&reply) {
            self.usage.get_or_insert_default().merge(usage);
            seen.usage = self.usage;
        }
        let blocked = super::response::blocked(&reply);
        self.is_finished |= blocked;
        seen.is_committed |= blocked;
        let candidates = reply.array("candidates").unwrap_or_default();
        for candidate in candidates.into_iter().filter_map(json::object) {
            let is_finished = candidate.raw("finishReason").is_some();
            self.is_finished |= is_finished;
            seen.is_committed |= is_finished || bears_content(&candidate);
        }
        Ok(Verdict::Keep)
    }
}

fn bears_content(candidate: &Object<'_>) -> bool {
    let content = candidate.object("content").unwrap_or_default();
    let parts = content.array("parts").unwrap_or_default();
    parts
        .into_iter()
        .filter_map(json::object)
        .any(|part| part.str("text").is_none_or(|text| !text.is_empty()))
}

/// Looks at a whole answer: generated content, a count of tokens, or vectors.
pub(crate) fn whole(body: Bytes) -> Result<Decoded, BadReply> {
    const LOOKED_AT: [&str; 3] = ["error", "usageMetadata", "modelVersion"];
    let looked_at = json::pick(&body, &LOOKED_AT).map_err(BadReply::NotJson)?;
    let [error, usage, model] = looked_at;
    if error.is_some_and(|error| error != b"null") {
        return Err(classify_in_stream(WireProtocol::Gemini, &body).into());
    }
    let usage = usage.and_then(|usage| Object::parse(usage).ok());
    let usage = usage.map(|usage| super::usage::read(&usage));
    Ok(Decoded {
        usage: usage.filter(|usage| !usage.is_empty()),
        response_model: model.and_then(json::text),
        body,
    })
}
