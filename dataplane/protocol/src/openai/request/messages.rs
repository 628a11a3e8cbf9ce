//! The messages of a chat completion request.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::content::{self, Allowed};
use super::members::{Members, Path, unsupported};
use crate::fault::Unsupported;
use crate::message::{Conversation, Part, Role, TextPart, Turn};

/// Reads all messages: system and developer texts apart, neighbours of one role as one turn.
pub(super) fn read<'a>(
    messages: Vec<(Path, &'a RawValue)>,
    conversation: &mut Conversation<'a>,
) -> Result<(), Unsupported> {
    for (path, raw) in messages {
        let mut message = Members::open(path, raw)?;
        let role = message.required_string("role")?;
        match role.as_ref() {
            "system" | "developer" => system(&mut message, conversation)?,
            "user" => {
                let parts =
                    content::read(&mut message, Allowed::Everything, &mut conversation.dropped)?;
                append(&mut conversation.turns, Role::User, parts);
            }
            "assistant" => {
                let parts = assistant(&mut message, &mut conversation.dropped)?;
                append(&mut conversation.turns, Role::Assistant, parts);
            }
            "tool" => {
                let result = tool_result(&mut message, &mut conversation.dropped)?;
                append(&mut conversation.turns, Role::User, vec![result]);
            }
            other => {
                let what = format!("{other:?} cannot be carried to the provider of this model");
                return Err(unsupported(message.path.at("role"), what));
            }
        }
        message.refuse_rest()?;
    }
    if conversation.turns.is_empty() {
        return Err(unsupported(
            Path::top("messages"),
            "must hold a message of the user that is not empty",
        ));
    }
    Ok(())
}

/// An empty message says nothing, and some providers refuse it.
fn append<'a>(turns: &mut Vec<Turn<'a>>, role: Role, parts: Vec<Part<'a>>) {
    if parts.is_empty() {
        return;
    }
    match turns.last_mut().filter(|turn| turn.role == role) {
        Some(turn) => turn.parts.extend(parts),
        None => turns.push(Turn { role, parts }),
    }
}

fn system<'a>(
    message: &mut Members<'a>,
    conversation: &mut Conversation<'a>,
) -> Result<(), Unsupported> {
    let parts = content::read(message, Allowed::Text, &mut conversation.dropped)?;
    conversation
        .system
        .extend(parts.into_iter().filter_map(|part| match part {
            Part::Text(text) => Some(text),
            _ => None,
        }));
    Ok(())
}

fn assistant<'a>(
    message: &mut Members<'a>,
    dropped: &mut Vec<String>,
) -> Result<Vec<Part<'a>>, Unsupported> {
    let mut parts = Vec::new();
    for (path, block) in message.array("thinking_blocks")?.unwrap_or_default() {
        let kind = Members::open(path.clone(), block)?.required_string("type")?;
        if kind != "thinking" && kind != "redacted_thinking" {
            return Err(unsupported(
                path.at("type"),
                "must be \"thinking\" or \"redacted_thinking\"",
            ));
        }
        parts.push(Part::Thinking(block));
    }
    // Reasoning told as text cannot be replayed (it is unsigned) and is not expected back.
    for name in ["reasoning_content", "reasoning"] {
        if message.take(name).is_some() && parts.is_empty() {
            dropped.push(message.path.at(name).to_string());
        }
    }
    parts.extend(content::read(message, Allowed::Text, dropped)?);
    if let Some(text) = message.string("refusal")?.filter(|text| !text.is_empty()) {
        parts.push(Part::Text(TextPart { text, cache: None }));
    }
    for (path, raw) in message.array("tool_calls")?.unwrap_or_default() {
        parts.push(tool_call(Members::open(path, raw)?)?);
    }
    Ok(parts)
}

fn tool_call(mut call: Members<'_>) -> Result<Part<'_>, Unsupported> {
    // Clients that gather a stream keep the index.
    call.skip(&["index"]);
    if let Some(kind) = call.string("type")?.filter(|kind| kind != "function") {
        return Err(unsupported(
            call.path.at("type"),
            format_args!("{kind:?} is unknown; use \"function\""),
        ));
    }
    let id = call.required_string("id")?;
    let mut function = call.required_members("function")?;
    let name = function.required_string("name")?;
    let arguments = arguments(&mut function)?;
    function.refuse_rest()?;
    call.refuse_rest()?;
    Ok(Part::ToolCall {
        id,
        name,
        arguments,
    })
}

fn arguments(function: &mut Members<'_>) -> Result<Box<RawValue>, Unsupported> {
    let path = function.path.at("arguments");
    let text = function.string("arguments")?.unwrap_or(Cow::Borrowed(""));
    let text = if text.trim().is_empty() {
        "{}".to_owned()
    } else {
        text.into_owned()
    };
    RawValue::from_string(text)
        .ok()
        .filter(|raw| raw.get().starts_with('{'))
        .ok_or_else(|| unsupported(path, "must be the text of a JSON object"))
}

fn tool_result<'a>(
    message: &mut Members<'a>,
    dropped: &mut Vec<String>,
) -> Result<Part<'a>, Unsupported> {
    // The call's id says which function it was.
    message.skip(&["name"]);
    let id = message.required_string("tool_call_id")?;
    let cache = message.take("cache_control");
    let content = content::read(message, Allowed::TextAndImages, dropped)?;
    Ok(Part::ToolResult { id, content, cache })
}
