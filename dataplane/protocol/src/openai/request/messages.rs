//! The messages of a chat completion request.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::content::{self, Allowed};
use crate::fault::{Losses, Unsupported};
use crate::message::{Conversation, Part, Role, TextPart, Thought, Turn};
use crate::strict::{Members, Path, unsupported};

/// Reads all messages: system and developer texts apart, neighbours of one role as one turn.
pub(super) fn read<'a>(
    messages: Vec<(Path, &'a RawValue)>,
    conversation: &mut Conversation<'a>,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    for (path, raw) in messages {
        let mut message = Members::open(path, raw)?;
        let role = message.required_string("role")?;
        match role.as_ref() {
            "system" | "developer" => system(&mut message, conversation, losses)?,
            "user" => {
                let parts = content::read(&mut message, Allowed::Everything, losses)?;
                append(&mut conversation.turns, Role::User, parts);
            }
            "assistant" => {
                let parts = assistant(&mut message, losses)?;
                append(&mut conversation.turns, Role::Assistant, parts);
            }
            "tool" => {
                let result = tool_result(&mut message, losses)?;
                append(&mut conversation.turns, Role::User, vec![result]);
            }
            other => {
                let what = format!("{other:?} cannot be carried to the provider of this model");
                return Err(unsupported(message.path.at("role"), what));
            }
        }
        message.refuse_rest(losses)?;
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
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    let parts = content::read(message, Allowed::Text, losses)?;
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
    losses: &mut Losses,
) -> Result<Vec<Part<'a>>, Unsupported> {
    let mut parts = Vec::new();
    for (path, block) in message.array("thinking_blocks")?.unwrap_or_default() {
        parts.push(Part::Thinking(thought(
            Members::open(path, block)?,
            losses,
        )?));
    }
    // Reasoning told as text cannot be replayed (it is unsigned) and is not expected back.
    for name in ["reasoning_content", "reasoning"] {
        if message.take(name).is_some() && parts.is_empty() {
            losses.hint(message.path.at(name));
        }
    }
    parts.extend(content::read(message, Allowed::Text, losses)?);
    if let Some(text) = message.string("refusal")?.filter(|text| !text.is_empty()) {
        parts.push(Part::Text(TextPart { text, cache: None }));
    }
    for (path, raw) in message.array("tool_calls")?.unwrap_or_default() {
        parts.push(tool_call(Members::open(path, raw)?, losses)?);
    }
    Ok(parts)
}

fn thought<'a>(mut block: Members<'a>, losses: &mut Losses) -> Result<Thought<'a>, Unsupported> {
    let thought = match block.required_string("type")?.as_ref() {
        "thinking" => Thought::Told {
            text: block.required_string("thinking")?,
            signature: block.string("signature")?,
        },
        "redacted_thinking" => Thought::Redacted {
            data: block.required_string("data")?,
        },
        _ => {
            return Err(unsupported(
                block.path.at("type"),
                "must be \"thinking\" or \"redacted_thinking\"",
            ));
        }
    };
    block.refuse_rest(losses)?;
    Ok(thought)
}

fn tool_call<'a>(mut call: Members<'a>, losses: &mut Losses) -> Result<Part<'a>, Unsupported> {
    // Clients that gather a stream keep the index.
    call.skip(&["index"]);
    if let Some(kind) = call.string("type")?.filter(|kind| kind != "function") {
        return Err(unsupported(
            call.path.at("type"),
            format_args!("{kind:?} is unknown; use \"function\""),
        ));
    }
    let id = call.required_string("id")?;
    let signature = match call.members("extra_content")? {
        None => None,
        Some(mut extra) => match extra.members("google")? {
            None => None,
            Some(mut google) => google.string("thought_signature")?,
        },
    };
    let mut function = call.required_members("function")?;
    let name = function.required_string("name")?;
    let arguments = arguments(&mut function)?;
    function.refuse_rest(losses)?;
    call.refuse_rest(losses)?;
    Ok(Part::ToolCall {
        id,
        name,
        arguments,
        signature,
        cache: None,
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
    losses: &mut Losses,
) -> Result<Part<'a>, Unsupported> {
    // The call's id says which function it was.
    message.skip(&["name"]);
    let id = message.required_string("tool_call_id")?;
    let cache = message.take("cache_control");
    let content = content::read(message, Allowed::TextAndImages, losses)?;
    Ok(Part::ToolResult {
        id,
        content,
        is_error: false,
        cache,
    })
}
