//! Reads a whole answer of Converse into the message model.
//!
//! Source: docs.aws.amazon.com, Bedrock API reference, "Converse", "ContentBlock" (2026-11).

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::usage;
use crate::fault::BadReply;
use crate::json::{self, Object};
use crate::message::{Answer, Finish, Source, Thought, ToolCall};

/// Reads an answer. Converse gives no id and names no model. Blocks of unknown kinds are the provider's
/// own affair and are left out.
pub(crate) fn read<'a>(body: &Object<'a>) -> Result<Answer<'a>, BadReply> {
    let message = body.object("output").and_then(|o| o.object("message"));
    let content = message
        .and_then(|message| message.array("content"))
        .ok_or(BadReply::Missing("output.message.content"))?;
    let mut answer = Answer::default();
    for block in content.into_iter().filter_map(json::object) {
        read_block(&block, &mut answer);
    }
    answer.finish = body.str("stopReason").map(|reason| finish(&reason));
    answer.stop_sequence = stop_sequence(body);
    answer.usage = body.object("usage").and_then(|told| usage::read(&told));
    Ok(answer)
}

/// A block is an object with one member, named after what it is.
fn read_block<'a>(block: &Object<'a>, answer: &mut Answer<'a>) {
    push(&mut answer.text, block.str("text").as_deref());
    if let Some(cited) = block.object("citationsContent") {
        // The sources have no counterpart; the text that cites them is the answer.
        let pieces = cited.array("content").unwrap_or_default();
        for piece in pieces.into_iter().filter_map(json::object) {
            push(&mut answer.text, piece.str("text").as_deref());
        }
    }
    if let Some(reasoning) = block.object("reasoningContent") {
        read_reasoning(&reasoning, answer);
    }
    if let Some(call) = block.object("toolUse") {
        answer.tool_calls.extend(tool_call(&call));
    }
    if let Some(image) = block.object("image") {
        answer.images.extend(read_image(&image));
    }
}

fn push(text: &mut Option<String>, more: Option<&str>) {
    if let Some(more) = more {
        text.get_or_insert_default().push_str(more);
    }
}

fn read_reasoning<'a>(reasoning: &Object<'a>, answer: &mut Answer<'a>) {
    if let Some(told) = reasoning.object("reasoningText") {
        push(&mut answer.reasoning, told.str("text").as_deref());
        let signature = told.str("signature").filter(|text| !text.is_empty());
        if signature.is_some() {
            answer.thinking.push(Thought::Told {
                text: told.str("text").unwrap_or_default(),
                signature,
            });
        }
    }
    if let Some(data) = reasoning.str("redactedContent") {
        answer.thinking.push(Thought::Redacted { data });
    }
}

fn tool_call<'a>(call: &Object<'a>) -> Option<ToolCall<'a>> {
    if is_servers_own(call) {
        return None;
    }
    let arguments = call.raw("input").filter(|raw| raw.get().starts_with('{'));
    Some(ToolCall {
        id: call.str("toolUseId")?,
        name: call.str("name")?,
        arguments: Cow::Borrowed(arguments.unwrap_or(empty_object())),
        signature: None,
    })
}

/// Whether a tool is the provider's, which calls it and answers itself.
pub(super) fn is_servers_own(call: &Object<'_>) -> bool {
    call.str("type").as_deref() == Some("server_tool_use")
}

fn empty_object() -> &'static RawValue {
    serde_json::from_str("{}").unwrap_or(RawValue::NULL)
}

pub(super) fn read_image<'a>(image: &Object<'a>) -> Option<Source<'a>> {
    Some(Source::Base64 {
        media_type: format!("image/{}", image.str("format")?),
        data: image.object("source")?.str("bytes")?,
    })
}

/// Told where it was asked for: at the top of a whole answer, in `delta` of a stream.
pub(super) fn stop_sequence<'a>(body: &Object<'a>) -> Option<Cow<'a, str>> {
    let fields = body.object("additionalModelResponseFields")?;
    let inside = || fields.object("delta")?.str("stop_sequence");
    fields.str("stop_sequence").or_else(inside)
}

/// A stop reason in the model's terms.
/// Source: docs.aws.amazon.com, Bedrock API reference, "MessageStopEvent" (2026-11).
pub(super) fn finish(reason: &str) -> Finish {
    match reason {
        "end_turn" | "stop_sequence" => Finish::Stop,
        "max_tokens" | "model_context_window_exceeded" => Finish::Length,
        "tool_use" => Finish::ToolCalls,
        "guardrail_intervened" | "content_filtered" => Finish::ContentFilter,
        other => Finish::Other(other.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stop_reason_has_its_counterpart() {
        for (reason, expected) in [
            ("end_turn", Finish::Stop),
            ("stop_sequence", Finish::Stop),
            ("max_tokens", Finish::Length),
            ("model_context_window_exceeded", Finish::Length),
            ("tool_use", Finish::ToolCalls),
            ("guardrail_intervened", Finish::ContentFilter),
            ("content_filtered", Finish::ContentFilter),
            (
                "malformed_tool_use",
                Finish::Other("malformed_tool_use".into()),
            ),
        ] {
            assert_eq!(finish(reason), expected);
        }
    }

    #[test]
    fn images_citations_and_stop_sequences_are_read() {
        let body = br#"{"output":{"message":{"content":[{"image":{"format":"png","source":{"bytes":"aQ=="}}},
            {"citationsContent":{"content":[{"text":"a"},{"text":"b"}],"citations":[]}},{"newKind":{}},7]}},
            "stopReason":"stop_sequence","additionalModelResponseFields":{"stop_sequence":"END"}}"#;
        let body = Object::parse(body).unwrap();
        let answer = read(&body).unwrap();
        assert!(matches!(
            &answer.images[..],
            [Source::Base64 { media_type, data }] if media_type == "image/png" && data == "aQ=="
        ));
        assert_eq!(answer.text.as_deref(), Some("ab"));
        assert_eq!(answer.stop_sequence.as_deref(), Some("END"));
    }
}
