//! Reads a whole chat completion into the message model.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::call::{arguments_object, arguments_text, signature};
use super::finish;
use crate::fault::BadReply;
use crate::json::{self, Object};
use crate::message::{Answer, Source, Thought, ToolCall};
use crate::openai::{request::data_url, usage};

/// Reads the first choice: no more than one was asked for.
pub(crate) fn read<'a>(completion: &Object<'a>) -> Result<Answer<'a>, BadReply> {
    let choices = completion.array("choices").unwrap_or_default();
    let choice = choices.first().and_then(|raw| json::object(raw));
    let choice = choice.ok_or(BadReply::Missing("choices"))?;
    let message = choice
        .object("message")
        .ok_or(BadReply::Missing("choices[0].message"))?;
    let mut answer = Answer {
        id: completion.str("id"),
        model: completion.str("model"),
        refusal: message.str("refusal").map(Cow::into_owned),
        ..Answer::default()
    };
    content(&message, &mut answer);
    for name in ["reasoning_content", "reasoning"] {
        if answer.reasoning.is_none() {
            answer.reasoning = message
                .str(name)
                .map(Cow::into_owned)
                .filter(|text| !text.is_empty());
        }
    }
    answer.thinking = thoughts(&message);
    answer.tool_calls = calls(&message);
    let images = message.array("images").unwrap_or_default();
    answer.images = images.into_iter().filter_map(image).collect();
    answer.logprobs = choice.raw("logprobs").map(ToOwned::to_owned);
    let has_calls = !answer.tool_calls.is_empty();
    answer.finish = choice
        .str("finish_reason")
        .map(|word| finish(&word, has_calls));
    answer.usage = completion
        .raw("usage")
        .map(|raw| usage::read(raw.get().as_bytes()))
        .filter(|usage| !usage.is_empty());
    Ok(answer)
}

/// A string, or, as Mistral has it, parts of text and thinking.
fn content(message: &Object<'_>, answer: &mut Answer<'_>) {
    if let Some(text) = message.str("content") {
        answer.text = Some(text.into_owned());
        return;
    }
    for raw in message.array("content").unwrap_or_default() {
        let Some(part) = json::object(raw) else {
            continue;
        };
        match part.str("type").as_deref() {
            Some("thinking") => {
                let text = thinking_text(&part);
                answer.reasoning.get_or_insert_default().push_str(&text);
            }
            _ => {
                if let Some(text) = part.str("text") {
                    answer.text.get_or_insert_default().push_str(&text);
                }
            }
        }
    }
}

/// The text of a part of thinking: a string, or parts of text.
/// Source: docs.mistral.ai, "Reasoning".
pub(super) fn thinking_text(part: &Object<'_>) -> String {
    if let Some(text) = part.str("thinking") {
        return text.into_owned();
    }
    let parts = part.array("thinking").unwrap_or_default().into_iter();
    let texts = parts.filter_map(|raw| json::object(raw)?.str("text").map(Cow::into_owned));
    texts.collect()
}

fn thoughts<'a>(message: &Object<'a>) -> Vec<Thought<'a>> {
    let blocks = message.array("thinking_blocks").unwrap_or_default();
    blocks.into_iter().filter_map(thought).collect()
}

fn thought(raw: &RawValue) -> Option<Thought<'_>> {
    let block = json::object(raw)?;
    match block.str("type").as_deref() {
        Some("thinking") => Some(Thought::Told {
            text: block.str("thinking")?,
            signature: block.str("signature"),
        }),
        Some("redacted_thinking") => Some(Thought::Redacted {
            data: block.str("data")?,
        }),
        _ => None,
    }
}

fn calls<'a>(message: &Object<'a>) -> Vec<ToolCall<'a>> {
    let given = message.array("tool_calls").unwrap_or_default();
    let mut calls: Vec<_> = given
        .into_iter()
        .enumerate()
        .filter_map(|(at, raw)| call(at, &json::object(raw)?))
        .collect();
    // The older way, of one call without an id.
    if calls.is_empty()
        && let Some(function) = message.object("function_call")
    {
        calls.extend(of_function(Cow::Borrowed("call_0"), &function, None));
    }
    calls
}

fn call<'a>(at: usize, call: &Object<'a>) -> Option<ToolCall<'a>> {
    let id = call.str("id").filter(|id| !id.is_empty());
    let id = id.unwrap_or_else(|| Cow::Owned(format!("call_{at}")));
    of_function(id, &call.object("function")?, signature(call))
}

fn of_function<'a>(
    id: Cow<'a, str>,
    function: &Object<'a>,
    signature: Option<Cow<'a, str>>,
) -> Option<ToolCall<'a>> {
    let arguments = arguments_text(function).unwrap_or_default();
    Some(ToolCall {
        id,
        name: function.str("name")?,
        arguments: Cow::Owned(arguments_object(&arguments)),
        signature,
    })
}

/// Source: openrouter.ai, "Image Generation".
pub(super) fn image(raw: &RawValue) -> Option<Source<'_>> {
    let url = json::object(raw)?.object("image_url")?.str("url")?;
    data_url(&url).map(|source| match source {
        Source::Base64 { media_type, data } => Source::Base64 {
            media_type,
            data: Cow::Owned(data.into_owned()),
        },
        Source::Url(url) => Source::Url(Cow::Owned(url.into_owned())),
        Source::File(id) => Source::File(Cow::Owned(id.into_owned())),
    })
}
