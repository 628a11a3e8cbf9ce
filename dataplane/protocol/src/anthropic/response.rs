//! Reads a whole answer of the Messages API into the message model.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::anthropic::usage::Parts;
use crate::fault::BadReply;
use crate::json::{self, Object};
use crate::message::{Answer, Finish, Thought, ToolCall};

/// Reads a message. Blocks of unknown types are the provider's own affair (say, its server-side tools,
/// which nobody asked for) and are left out.
pub(crate) fn read<'a>(message: &Object<'a>) -> Result<Answer<'a>, BadReply> {
    let content = message
        .array("content")
        .ok_or(BadReply::Missing("content"))?;
    let mut answer = Answer {
        id: message.str("id"),
        ..Answer::default()
    };
    for raw in content {
        block(raw, &mut answer);
    }
    answer.model = message.str("model");
    answer.stop_sequence = message.str("stop_sequence");
    answer.finish = message.str("stop_reason").map(|reason| finish(&reason));
    answer.usage = message.object("usage").and_then(|usage| {
        let mut parts = Parts::default();
        parts.set(&usage);
        parts.usage()
    });
    Ok(answer)
}

fn block<'a>(raw: &'a RawValue, answer: &mut Answer<'a>) {
    let Some(block) = json::object(raw) else {
        return;
    };
    match block.str("type").as_deref() {
        Some("text") => push(&mut answer.text, block.str("text").as_deref()),
        Some("thinking") => {
            push(&mut answer.reasoning, block.str("thinking").as_deref());
            let signature = block.str("signature").filter(|text| !text.is_empty());
            if signature.is_some() {
                answer.thinking.push(Thought::Told {
                    text: block.str("thinking").unwrap_or_default(),
                    signature,
                });
            }
        }
        Some("redacted_thinking") => answer.thinking.push(Thought::Redacted {
            data: block.str("data").unwrap_or_default(),
        }),
        Some("tool_use") => answer.tool_calls.extend(tool_call(&block)),
        _ => {}
    }
}

fn push(text: &mut Option<String>, more: Option<&str>) {
    if let Some(more) = more {
        text.get_or_insert_default().push_str(more);
    }
}

fn tool_call<'a>(block: &Object<'a>) -> Option<ToolCall<'a>> {
    let (id, name) = (block.str("id")?, block.str("name")?);
    let arguments = block.raw("input").filter(|raw| raw.get().starts_with('{'));
    Some(ToolCall {
        id,
        name,
        arguments: Cow::Borrowed(arguments.unwrap_or(empty_object())),
        signature: None,
    })
}

fn empty_object() -> &'static RawValue {
    serde_json::from_str("{}").unwrap_or(RawValue::NULL)
}

/// A stop reason in the model's terms.
/// Source: docs.anthropic.com, "Handling stop reasons".
pub(crate) fn finish(reason: &str) -> Finish {
    match reason {
        "end_turn" | "stop_sequence" => Finish::Stop,
        "max_tokens" | "model_context_window_exceeded" => Finish::Length,
        "tool_use" => Finish::ToolCalls,
        "refusal" => Finish::ContentFilter,
        other => Finish::Other(other.to_owned()),
    }
}
