//! Events of a message that pass from Anthropic to Anthropic.
//!
//! Most events are deltas of a block: they are told by their name and not read once content has come.

use std::sync::LazyLock;

use bytes::Bytes;
use memchr::memmem::Finder;

use crate::anthropic::usage::Parts;
use crate::error::classify_in_stream;
use crate::exchange::Decoded;
use crate::exchange::pass::{Judge, Seen, Verdict, string_bytes};
use crate::fault::{BadReply, StreamFault};
use crate::json::{self, Object};
use crate::sse;
use crate::vendor::WireProtocol;

static DELTA: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"content_block_delta\""));
/// The names whose strings count as output.
static OUTPUT: LazyLock<[Finder<'static>; 3]> = LazyLock::new(|| {
    ["\"text\":", "\"thinking\":", "\"partial_json\":"].map(|name| Finder::new(name.as_bytes()))
});

/// Looks at the events of a message.
#[derive(Debug, Default)]
pub(crate) struct Events {
    usage: Parts,
    is_stopped: bool,
}

impl Judge for Events {
    const PROTOCOL: WireProtocol = WireProtocol::Anthropic;

    fn judge(&mut self, event: &[u8], seen: &mut Seen) -> Result<Verdict, StreamFault> {
        let is_delta = DELTA.find(event).is_some();
        if is_delta {
            let bytes = OUTPUT.iter().map(|name| string_bytes(name, event));
            let bytes: u64 = bytes.sum();
            seen.output_bytes += bytes;
            // An empty one commits to nothing.
            seen.is_committed |= bytes > 0;
            return Ok(Verdict::Keep);
        }
        self.read(event, seen)
    }

    fn closed(&mut self, unfinished: &[u8], seen: &mut Seen) -> Result<bool, StreamFault> {
        Ok(self.read(unfinished, seen)? == Verdict::Done)
    }
}

impl Events {
    fn read(&mut self, event: &[u8], seen: &mut Seen) -> Result<Verdict, StreamFault> {
        let Some(data) = sse::fields(event).data else {
            return Ok(Verdict::Keep);
        };
        // What is no JSON passes: it may be some vendor's own remark.
        let Ok(event) = Object::parse(&data) else {
            return Ok(Verdict::Keep);
        };
        match event.str("type").as_deref() {
            Some("message_start") => {
                let message = event.object("message").unwrap_or_default();
                seen.model = seen.model.take().or(message.str("model").map(String::from));
                self.note_usage(&message, seen);
            }
            Some("content_block_start") => {
                let block = event.object("content_block").unwrap_or_default();
                let kind = block.str("type").unwrap_or_default();
                seen.is_committed |= !matches!(kind.as_ref(), "text" | "thinking");
            }
            Some("message_delta") => {
                seen.is_committed = true;
                self.note_usage(&event, seen);
            }
            Some("message_stop") => {
                self.is_stopped = true;
                return Ok(Verdict::Done);
            }
            Some("error") => {
                return Err(classify_in_stream(WireProtocol::Anthropic, &data).into());
            }
            _ => {}
        }
        Ok(Verdict::Keep)
    }

    fn note_usage(&mut self, holder: &Object<'_>, seen: &mut Seen) {
        if let Some(usage) = holder.object("usage") {
            self.usage.set(&usage);
            seen.usage = self.usage.usage();
        }
    }
}

/// Looks at a whole answer: a message, or a count of tokens, whose figure is nobody's usage.
pub(crate) fn whole(body: Bytes) -> Result<Decoded, BadReply> {
    let looked_at = json::pick(&body, &["type", "usage", "model"]).map_err(BadReply::NotJson)?;
    let [kind, usage, model] = looked_at;
    if kind == Some(b"\"error\"".as_slice()) {
        return Err(classify_in_stream(WireProtocol::Anthropic, &body).into());
    }
    let mut parts = Parts::default();
    if let Some(usage) = usage.and_then(|usage| Object::parse(usage).ok()) {
        parts.set(&usage);
    }
    Ok(Decoded {
        usage: parts.usage(),
        response_model: model.and_then(json::text),
        body,
    })
}
