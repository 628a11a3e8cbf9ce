//! Images that pass: whole, or as events.

use std::sync::LazyLock;

use bytes::Bytes;
use memchr::memmem::Finder;

use crate::error::{classify_in_stream, tells_error};
use crate::exchange::Decoded;
use crate::exchange::pass::{Judge, Seen, Verdict};
use crate::fault::{BadReply, StreamFault};
use crate::json::{self, Object};
use crate::openai::pass::refuse_error;
use crate::responses;
use crate::sse;
use crate::vendor::WireProtocol;

static USAGE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"usage\""));
static ERROR: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"error\""));

/// Looks at events of images and sound: `image_generation.*`, `image_edit.*`, `transcript.text.*`,
/// `speech.audio.*`. They need no end mark; an event that is torn is a cut all the same.
///
/// Source: platform.openai.com, "Image streaming", "Streaming transcriptions" (2026-11).
#[derive(Debug)]
pub(crate) struct MediaEvents;

impl Judge for MediaEvents {
    const PROTOCOL: WireProtocol = WireProtocol::OpenAI;
    /// The last event of a picture holds the picture and the usage.
    const SCAN_LIMIT: usize = crate::exchange::events::MAX_EVENT;

    fn judge(&mut self, event: &[u8], seen: &mut Seen) -> Result<Verdict, StreamFault> {
        let is_notable = USAGE.find(event).is_some() || ERROR.find(event).is_some();
        match seen.is_committed && !is_notable {
            true => Ok(Verdict::Keep),
            false => read(event, seen),
        }
    }

    fn closed(&mut self, unfinished: &[u8], seen: &mut Seen) -> Result<bool, StreamFault> {
        let fields = sse::fields(unfinished);
        let is_whole = match fields.data.as_deref() {
            // Nothing, or a comment.
            None => true,
            Some(data) => data.trim_ascii() == b"[DONE]" || Object::parse(data).is_ok(),
        };
        read(unfinished, seen)?;
        Ok(is_whole)
    }
}

fn read(event: &[u8], seen: &mut Seen) -> Result<Verdict, StreamFault> {
    let fields = sse::fields(event);
    let Some(data) = fields.data.as_deref() else {
        return Ok(Verdict::Keep);
    };
    if data.trim_ascii() == b"[DONE]" {
        return Ok(Verdict::Done);
    }
    let told = Object::parse(data).unwrap_or_default();
    if fields.event == Some(b"error") || tells_error(&told) {
        return Err(classify_in_stream(WireProtocol::OpenAI, data).into());
    }
    seen.is_committed = true;
    seen.output_bytes += told.str("delta").map_or(0, |text| text.len() as u64);
    let usage = told.raw("usage");
    let usage = usage.map(|usage| responses::usage::read(usage.get().as_bytes()));
    if let Some(usage) = usage.filter(|usage| !usage.is_empty()) {
        seen.usage.get_or_insert_default().merge(usage);
    }
    Ok(Verdict::Keep)
}

/// Looks at a whole answer that holds images.
pub(crate) fn whole(protocol: WireProtocol, body: Bytes) -> Result<Decoded, BadReply> {
    const LOOKED_AT: [&str; 5] = ["usage", "model", "error", "type", "object"];
    let looked_at = json::pick(&body, &LOOKED_AT).map_err(BadReply::NotJson)?;
    let [usage, model, error, kind, object] = looked_at;
    refuse_error(protocol, &body, error, [kind, object])?;
    let usage = usage.map(responses::usage::read);
    Ok(Decoded {
        usage: usage.filter(|usage| !usage.is_empty()),
        response_model: model.and_then(json::text),
        body,
    })
}

#[cfg(test)]
mod tests;
