//! The input of a Responses request: a text, or a list of items.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::content::{self, Allowed};
use crate::fault::{Losses, Unsupported};
use crate::json;
use crate::message::{Conversation, Part, Role, TextPart, Thought, Turn};
use crate::strict::{Members, Path, elements, unsupported};

/// Reads `input`: system and developer texts apart, neighbours of one role as one turn.
pub(super) fn read<'a>(
    request: &mut Members<'a>,
    conversation: &mut Conversation<'a>,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    let path = request.path.at("input");
    let raw = request.required("input")?;
    if let Some(text) = json::string(raw) {
        let text = Part::Text(TextPart { text, cache: None });
        append(&mut conversation.turns, Role::User, vec![text]);
    } else {
        for (path, raw) in elements(&path, raw)? {
            item(Members::open(path, raw)?, conversation, losses)?;
        }
    }
    match conversation.turns.is_empty() {
        true => Err(unsupported(
            path,
            "must hold a message of the user that is not empty",
        )),
        false => Ok(()),
    }
}

fn item<'a>(
    mut item: Members<'a>,
    conversation: &mut Conversation<'a>,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    let kind = item.string("type")?;
    // What clients send back of an answer is named and has ended.
    item.skip(&["status"]);
    let id = item.take("id");
    let turns = &mut conversation.turns;
    match kind.as_deref() {
        Some("message") | None => return message(item, id, conversation, losses),
        Some("function_call") => {
            let call = function_call(&mut item)?;
            append(turns, Role::Assistant, vec![call]);
        }
        Some("function_call_output") => {
            let result = function_call_output(&mut item, losses)?;
            append(turns, Role::User, vec![result]);
        }
        Some("reasoning") => {
            let thought = reasoning(&mut item, losses)?;
            append(turns, Role::Assistant, thought.into_iter().collect());
        }
        Some("item_reference") => return Err(reference(&item.path)),
        Some(other) => {
            let what = format!("{other:?} cannot be carried to the provider of this model");
            return losses.give_up(unsupported(item.path.at("type"), what));
        }
    }
    item.refuse_rest(losses)
}

fn reference(path: &Path) -> Unsupported {
    let what = "a reference to an item needs a provider that keeps responses, and the provider of \
                this model does not; send the item itself, or choose another model";
    unsupported(path.clone(), what)
}

fn message<'a>(
    mut message: Members<'a>,
    id: Option<&RawValue>,
    conversation: &mut Conversation<'a>,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    let path = message.path.clone();
    let role = match message.string("role")? {
        Some(role) => role,
        // An id alone is the short form of a reference.
        None if id.is_some() => return Err(reference(&path)),
        None => return Err(unsupported(path.at("role"), "is required")),
    };
    // Whether an assistant's message was meant as its last word.
    if message.take("phase").is_some() {
        losses.hint(path.at("phase"));
    }
    match role.as_ref() {
        "system" | "developer" => {
            let parts = content::read(&mut message, "content", Allowed::Text, losses)?;
            let texts = parts.into_iter().filter_map(|part| match part {
                Part::Text(text) => Some(text),
                _ => None,
            });
            conversation.system.extend(texts);
        }
        "user" => {
            let parts = content::read(&mut message, "content", Allowed::Everything, losses)?;
            append(&mut conversation.turns, Role::User, parts);
        }
        "assistant" => {
            let parts = content::read(&mut message, "content", Allowed::Text, losses)?;
            append(&mut conversation.turns, Role::Assistant, parts);
        }
        other => {
            let what = format!("{other:?} cannot be carried to the provider of this model");
            return Err(unsupported(path.at("role"), what));
        }
    }
    message.refuse_rest(losses)
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

fn function_call<'a>(call: &mut Members<'a>) -> Result<Part<'a>, Unsupported> {
    let id = call.required_string("call_id")?;
    let name = call.required_string("name")?;
    let path = call.path.at("arguments");
    let text = call.string("arguments")?.unwrap_or(Cow::Borrowed(""));
    let text = match text.trim().is_empty() {
        true => "{}".to_owned(),
        false => text.into_owned(),
    };
    let arguments = RawValue::from_string(text)
        .ok()
        .filter(|raw| raw.get().starts_with('{'))
        .ok_or_else(|| unsupported(path, "must be the text of a JSON object"))?;
    Ok(Part::ToolCall {
        id,
        name,
        arguments,
        signature: None,
        cache: None,
    })
}

fn function_call_output<'a>(
    output: &mut Members<'a>,
    losses: &mut Losses,
) -> Result<Part<'a>, Unsupported> {
    let id = output.required_string("call_id")?;
    Ok(Part::ToolResult {
        id,
        content: content::read(output, "output", Allowed::Everything, losses)?,
        is_error: false,
        cache: None,
    })
}

/// Thinking as it was told: its proof is in `encrypted_content`, its words in the summary. Without
/// words the proof is all there is, and without either nothing can be replayed.
fn reasoning<'a>(
    item: &mut Members<'a>,
    losses: &mut Losses,
) -> Result<Option<Part<'a>>, Unsupported> {
    let proof = item.string("encrypted_content")?;
    let proof = proof.filter(|proof| !proof.is_empty());
    let mut words = texts(item, "summary", "summary_text", losses)?;
    let raw_words = texts(item, "content", "reasoning_text", losses)?;
    if words.is_empty() {
        words = raw_words;
    }
    let text = match words.len() {
        0 | 1 => words.pop().unwrap_or_default(),
        _ => Cow::Owned(words.join("\n\n")),
    };
    let thought = match (text.is_empty(), proof) {
        (true, Some(data)) => Thought::Redacted { data },
        (false, signature @ Some(_)) => Thought::Told { text, signature },
        (_, None) => {
            // Unproven thinking cannot be replayed, and is not expected back.
            losses.hint(&item.path);
            return Ok(None);
        }
    };
    Ok(Some(Part::Thinking(thought)))
}

fn texts<'a>(
    item: &mut Members<'a>,
    name: &str,
    kind: &str,
    losses: &mut Losses,
) -> Result<Vec<Cow<'a, str>>, Unsupported> {
    let mut texts = Vec::new();
    for (path, raw) in item.array(name)?.unwrap_or_default() {
        let mut part = Members::open(path, raw)?;
        if part.required_string("type")? != kind {
            let what = format!("must be {kind:?}");
            return Err(unsupported(part.path.at("type"), what));
        }
        texts.push(part.required_string("text")?);
        part.refuse_rest(losses)?;
    }
    texts.retain(|text| !text.is_empty());
    Ok(texts)
}
