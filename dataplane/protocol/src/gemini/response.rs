//! Reads a whole answer of generateContent into the message model.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{finish, usage};
use crate::fault::BadReply;
use crate::hash::fnv1a;
use crate::json::{self, Object};
use crate::message::{Answer, Finish, Source, ToolCall};

/// Reads the first candidate: no more than one was asked for. A prompt that was blocked has none.
pub(crate) fn read<'a>(reply: &Object<'a>) -> Result<Answer<'a>, BadReply> {
    let mut answer = Answer {
        id: reply.str("responseId"),
        model: reply.str("modelVersion"),
        usage: usage_of(reply),
        ..Answer::default()
    };
    let candidates = reply.array("candidates").unwrap_or_default();
    let Some(candidate) = candidates.first().and_then(|raw| json::object(raw)) else {
        if blocked(reply) {
            answer.finish = Some(Finish::ContentFilter);
            return Ok(answer);
        }
        return Err(BadReply::Missing("candidates"));
    };
    let content = candidate.object("content").unwrap_or_default();
    let id = answer.id.clone().unwrap_or_default();
    for raw in content.array("parts").unwrap_or_default() {
        if let Some(part) = json::object(raw) {
            take(&part, &id, &mut answer);
        }
    }
    let has_calls = !answer.tool_calls.is_empty();
    answer.finish = candidate
        .str("finishReason")
        .map(|word| finish::read(&word, has_calls));
    Ok(answer)
}

pub(super) fn usage_of(reply: &Object<'_>) -> Option<crate::usage::Usage> {
    let usage = usage::read(&reply.object("usageMetadata")?);
    (!usage.is_empty()).then_some(usage)
}

pub(super) fn blocked(reply: &Object<'_>) -> bool {
    let feedback = reply.object("promptFeedback").unwrap_or_default();
    feedback.raw("blockReason").is_some()
}

fn take<'a>(part: &Object<'a>, id: &str, answer: &mut Answer<'a>) {
    let is_thought = part.raw("thought").is_some_and(|raw| raw.get() == "true");
    if let Some(text) = part.str("text") {
        let place = match is_thought {
            true => &mut answer.reasoning,
            false => &mut answer.text,
        };
        place.get_or_insert_default().push_str(&text);
    }
    if let Some(data) = part.object("inlineData").filter(|_| !is_thought) {
        answer.images.extend(image(&data));
    }
    if let Some(call) = part.object("functionCall") {
        let at = answer.tool_calls.len();
        let name = call.str("name").unwrap_or_default();
        answer.tool_calls.push(ToolCall {
            id: call_id(&call, id, at),
            name,
            arguments: arguments(&call),
            signature: part.str("thoughtSignature"),
        });
    }
}

/// Gemini's own id, or one made of the answer's: the same however often it is read.
pub(super) fn call_id<'a>(call: &Object<'a>, answer: &str, at: usize) -> Cow<'a, str> {
    call.str("id")
        .filter(|id| !id.is_empty())
        .unwrap_or_else(|| Cow::Owned(format!("call_{:08x}_{at}", fnv1a(answer.as_bytes()) as u32)))
}

pub(super) fn arguments<'a>(call: &Object<'a>) -> Cow<'a, RawValue> {
    let given = call.raw("args").filter(|raw| raw.get().starts_with('{'));
    let empty = || serde_json::from_str("{}").unwrap_or(RawValue::NULL);
    Cow::Borrowed(given.unwrap_or_else(empty))
}

pub(super) fn image<'a>(data: &Object<'a>) -> Option<Source<'a>> {
    let media_type = data.str("mimeType")?;
    media_type.starts_with("image/").then_some(())?;
    Some(Source::Base64 {
        media_type: media_type.into_owned(),
        data: data.str("data")?,
    })
}
