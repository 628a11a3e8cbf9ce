//! Writes a request for Converse and ConverseStream from the message model. Which of both, and for
//! which model, the path says.
//!
//! Source: docs.aws.amazon.com, Bedrock API reference, "Converse"; user guide, "Prompt caching for
//! faster model inference", "Structured outputs" (2026-11).

mod blocks;
mod document;
mod extras;
mod metadata;
mod thinking;
mod tools;

use std::borrow::Cow;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use super::family::Family;
use crate::exchange::Target;
use crate::fault::{Losses, Unsupported};
use crate::json;
use crate::message::{self, Conversation, Number, Role, TextPart, Tier};
use blocks::{Block, Writer};
use extras::Extras;
use thinking::Thinking;
use tools::ToolConfig;

/// What Claude may answer beyond its thinking when the caller set no bound; elsewhere the model's own
/// bound holds.
const DEFAULT_MAX_TOKENS: u64 = 4096;

/// Writes a request. Errors: what Converse has no way to say, by the caller's name for it.
pub(crate) fn write(
    conversation: &Conversation<'_>,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Result<Bytes, Unsupported> {
    let family = Family::of(target.upstream_model);
    give_up_the_unsayable(conversation, losses)?;
    let thinking = thinking::decide(conversation, target.upstream_model, losses)?;
    let mut writer = Writer::new(family);
    let system = system(&conversation.system, &mut writer);
    let messages = messages(conversation, &mut writer, losses)?;
    let tools = tools::config(conversation, &mut writer, losses)?;
    let extras = extras::decide(conversation, family, thinking, losses)?;
    if writer.lost_cache_marker {
        losses.hint("cache_control");
    }
    let inference = InferenceConfig {
        max_tokens: match (conversation.max_tokens, thinking.and_then(Thinking::budget)) {
            (None, Some(budget)) => Some(budget.saturating_add(DEFAULT_MAX_TOKENS)),
            (given, _) => given,
        },
        temperature: temperature(conversation, thinking.is_some())?,
        top_p: conversation.top_p.map(|number| number.raw),
        stop_sequences: conversation.stop.iter().map(AsRef::as_ref).collect(),
    };
    let request = Request {
        system,
        messages,
        tool_config: match extras.has_tool_choice() {
            true => tools.map(ToolConfig::without_choice),
            false => tools,
        },
        inference_config: (!inference.is_empty()).then_some(inference),
        additional_model_response_field_paths: stop_sequence_path(conversation, family),
        additional_model_request_fields: (!extras.is_empty()).then_some(extras),
        output_config: output_config(conversation, losses)?,
        request_metadata: metadata::read(conversation.metadata, losses)?,
        service_tier: service_tier(conversation.tier),
    };
    let mut body = Vec::with_capacity(1024);
    json::write(&mut body, &request);
    Ok(Bytes::from(body))
}

fn give_up(losses: &mut Losses, field: &str, what: &str) -> Result<(), Unsupported> {
    losses.give_up(refusal(field, what))
}

fn refusal(field: &str, what: &str) -> Unsupported {
    Unsupported {
        field: field.to_owned(),
        message: format!("{field}: {what}"),
    }
}

/// What Converse has no member for, whichever the model.
fn give_up_the_unsayable(
    conversation: &Conversation<'_>,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    const WHAT: &str =
        "cannot be carried to the provider of this model; leave it out or choose another model";
    for (field, is_given) in [
        (
            "frequency_penalty",
            conversation.frequency_penalty.is_some(),
        ),
        ("presence_penalty", conversation.presence_penalty.is_some()),
        ("seed", conversation.seed.is_some()),
        ("logprobs", conversation.logprobs.is_some()),
    ] {
        if is_given {
            give_up(losses, field, WHAT)?;
        }
    }
    if conversation.user.is_some() {
        losses.hint("user");
    }
    Ok(())
}

fn system<'a>(parts: &'a [TextPart<'a>], writer: &mut Writer) -> Vec<Block<'a>> {
    let mut blocks = Vec::with_capacity(parts.len());
    for part in parts {
        writer.text(part, &mut blocks);
    }
    blocks
}

/// Messages with what is left of their blocks; one that lost all of them goes, and its neighbours,
/// of one role then, become one.
fn messages<'a>(
    conversation: &'a Conversation<'a>,
    writer: &mut Writer,
    losses: &mut Losses,
) -> Result<Vec<Message<'a>>, Unsupported> {
    let mut messages: Vec<Message<'a>> = Vec::with_capacity(conversation.turns.len());
    for turn in &conversation.turns {
        let role = match turn.role {
            Role::User => "user",
            Role::Assistant => "assistant",
        };
        let content = writer.blocks(&turn.parts, losses)?;
        if content.iter().all(Block::is_cache_point) {
            continue;
        }
        match messages.last_mut().filter(|last| last.role == role) {
            Some(last) => last.content.extend(content),
            None => messages.push(Message { role, content }),
        }
    }
    if messages.is_empty() {
        let what = "must hold a message of the user that is not empty";
        return Err(refusal("messages", what));
    }
    Ok(messages)
}

/// Converse takes 0 to 1, and Claude nothing but 1 while thinking; OpenAI's scale goes to 2.
fn temperature<'a>(
    conversation: &Conversation<'a>,
    is_thinking: bool,
) -> Result<Option<&'a RawValue>, Unsupported> {
    match conversation.temperature {
        Some(Number { value, .. }) if !(0.0..=1.0).contains(&value) => {
            let what = "must be from 0 to 1 for this model";
            Err(refusal("temperature", what))
        }
        Some(Number { value, .. }) if is_thinking && value != 1.0 => {
            let what = "must be left out (or 1) together with reasoning_effort for this model";
            Err(refusal("temperature", what))
        }
        given => Ok(given.map(|number| number.raw)),
    }
}

/// Which sequence it was that stopped Claude is told on demand only.
fn stop_sequence_path(conversation: &Conversation<'_>, family: Family) -> Vec<&'static str> {
    let is_wanted = family == Family::Claude && !conversation.stop.is_empty();
    match (is_wanted, conversation.stream) {
        (false, _) => Vec::new(),
        (true, false) => vec!["/stop_sequence"],
        (true, true) => vec!["/delta/stop_sequence"],
    }
}

/// Only a schema can be carried: "some JSON, whichever" has no counterpart that keeps its promise.
fn output_config<'a>(
    conversation: &'a Conversation<'a>,
    losses: &mut Losses,
) -> Result<Option<OutputConfig<'a>>, Unsupported> {
    match &conversation.format {
        None => Ok(None),
        Some(message::Format::JsonObject) => {
            let what = "the provider of this model cannot promise \"json_object\"; use \
                        \"json_schema\", or ask for JSON in the prompt and leave response_format out";
            give_up(losses, "response_format.type", what)?;
            Ok(None)
        }
        // Strictness is what the API always does.
        Some(message::Format::Schema {
            name,
            description,
            schema,
            ..
        }) => {
            let json_schema = JsonSchema {
                schema: schema.get(),
                name: name.as_deref(),
                description: description.as_deref(),
            };
            Ok(Some(OutputConfig {
                text_format: TextFormat {
                    r#type: "json_schema",
                    structure: Structure { json_schema },
                },
            }))
        }
    }
}

/// `Auto` leaves the choice to the account, as leaving it out does.
fn service_tier(tier: Option<Tier>) -> Option<ServiceTier> {
    let r#type = match tier? {
        Tier::Auto => return None,
        Tier::Standard => "default",
        Tier::Flex => "flex",
        Tier::Priority => "priority",
    };
    Some(ServiceTier { r#type })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Block<'a>>,
    messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inference_config: Option<InferenceConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_config: Option<ToolConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    additional_model_request_fields: Option<Extras<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    additional_model_response_field_paths: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<OutputConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_metadata: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<ServiceTier>,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Vec<Block<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InferenceConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stop_sequences: Vec<&'a str>,
}

impl InferenceConfig<'_> {
    fn is_empty(&self) -> bool {
        self.max_tokens.is_none()
            && self.temperature.is_none()
            && self.top_p.is_none()
            && self.stop_sequences.is_empty()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OutputConfig<'a> {
    text_format: TextFormat<'a>,
}

#[derive(Serialize)]
struct TextFormat<'a> {
    r#type: &'static str,
    structure: Structure<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Structure<'a> {
    json_schema: JsonSchema<'a>,
}

#[derive(Serialize)]
struct JsonSchema<'a> {
    /// The text of a schema, not the schema itself.
    schema: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
}

#[derive(Serialize)]
struct ServiceTier {
    r#type: &'static str,
}

/// An id that Bedrock takes: 1 to 64 letters, digits, `_` and `-`. Other vendors' ids
/// (`functions.get:0`) come in conversations that change provider midway. A hash of the whole keeps the
/// changed ones apart.
fn tool_id(id: &str) -> Cow<'_, str> {
    const MAX: usize = 64;
    let is_fine = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if (1..=MAX).contains(&id.len()) && id.chars().all(is_fine) {
        return Cow::Borrowed(id);
    }
    let plain = id.chars().map(|c| if is_fine(c) { c } else { '_' });
    let plain: String = plain.take(MAX - 9).collect();
    let hash = crate::hash::fnv1a(id.as_bytes()) as u32;
    Cow::Owned(format!("{plain}_{hash:08x}"))
}

#[cfg(test)]
mod tests;
