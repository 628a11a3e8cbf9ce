//! Reads a whole answer of Cohere into the message model.

use std::borrow::Cow;

use super::{finish, usage};
use crate::fault::BadReply;
use crate::json::{self, Object};
use crate::message::{Answer, ToolCall};
use crate::openai::chat::arguments_object;

/// Reads an answer. What was planned before calls is thinking.
pub(crate) fn read<'a>(reply: &Object<'a>) -> Result<Answer<'a>, BadReply> {
    let message = reply
        .object("message")
        .ok_or(BadReply::Missing("message"))?;
    let mut answer = Answer {
        id: reply.str("id"),
        finish: reply.str("finish_reason").map(|word| finish(&word)),
        usage: reply.object("usage").and_then(|told| usage(&told)),
        reasoning: message
            .str("tool_plan")
            .map(Cow::into_owned)
            .filter(|text| !text.is_empty()),
        ..Answer::default()
    };
    let blocks = message.array("content").unwrap_or_default();
    for block in blocks.into_iter().filter_map(json::object) {
        if let Some(text) = block.str("text") {
            answer.text.get_or_insert_default().push_str(&text);
        }
        if let Some(text) = block.str("thinking") {
            answer.reasoning.get_or_insert_default().push_str(&text);
        }
    }
    if let Some(text) = message.str("content") {
        answer.text = Some(text.into_owned());
    }
    let calls = message.array("tool_calls").unwrap_or_default();
    let calls = calls.into_iter().filter_map(json::object);
    answer.tool_calls = calls.filter_map(|call| tool_call(&call)).collect();
    Ok(answer)
}

fn tool_call<'a>(call: &Object<'a>) -> Option<ToolCall<'a>> {
    let function = call.object("function")?;
    let arguments = function.str("arguments").unwrap_or_default();
    Some(ToolCall {
        id: call.str("id")?,
        name: function.str("name")?,
        arguments: Cow::Owned(arguments_object(&arguments)),
        signature: None,
    })
}
