//! Writes a request for the Messages API from the message model.
//!
//! Source: docs.anthropic.com, "Messages", "Extended thinking", "Structured outputs" (2026-11).

mod blocks;
mod thinking;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::exchange::Target;
use crate::fault::{Losses, Unsupported};
use crate::json;
use crate::message;
use crate::message::{Conversation, Number, Role, TextPart, Tier, Tool, ToolChoice};
use blocks::Block;
use thinking::Thinking;

/// The Messages API demands a bound; this is ours when the caller set none.
const DEFAULT_MAX_TOKENS: u64 = 4096;

/// Writes a request. Errors: what the Messages API has no way to say, by the caller's name for it.
pub(crate) fn write(
    conversation: &Conversation<'_>,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Result<Bytes, Unsupported> {
    for (field, is_said) in [
        ("seed", conversation.seed.is_some()),
        (
            "frequency_penalty",
            conversation.frequency_penalty.is_some(),
        ),
        ("presence_penalty", conversation.presence_penalty.is_some()),
        ("logprobs", conversation.logprobs.is_some()),
        ("metadata", conversation.metadata.is_some()),
    ] {
        if is_said {
            let what = "cannot be carried to the provider of this model; leave it out or choose another model";
            give_up(losses, field, &format!("{field}: {what}"))?;
        }
    }
    let thinking = thinking::decide(conversation, losses)?;
    let max_tokens = match (conversation.max_tokens, &thinking) {
        (Some(max), _) => max,
        (None, Some(thinking)) => thinking.budget_tokens + DEFAULT_MAX_TOKENS,
        (None, None) => DEFAULT_MAX_TOKENS,
    };
    let request = Request {
        model: target
            .anthropic_version
            .is_none()
            .then_some(target.upstream_model),
        anthropic_version: target.anthropic_version,
        max_tokens,
        system: system(&conversation.system),
        messages: messages(conversation, losses)?,
        tools: conversation.tools.iter().map(tool).collect(),
        tool_choice: tool_choice(conversation)?,
        temperature: temperature(conversation, thinking.is_some())?,
        top_p: conversation.top_p.map(|number| number.raw),
        top_k: conversation.top_k,
        stop_sequences: conversation.stop.iter().map(AsRef::as_ref).collect(),
        thinking,
        output_config: output_config(conversation, losses)?,
        metadata: conversation
            .user
            .as_deref()
            .map(|user_id| Metadata { user_id }),
        service_tier: match conversation.tier {
            None => None,
            Some(Tier::Auto) => Some("auto"),
            Some(Tier::Standard) => Some("standard_only"),
            Some(Tier::Flex | Tier::Priority) => {
                let known = "service_tier: must be \"auto\" or \"default\" for this model";
                give_up(losses, "service_tier", known)?;
                None
            }
        },
        stream: conversation.stream,
    };
    let mut body = Vec::with_capacity(1024);
    json::write(&mut body, &request);
    Ok(Bytes::from(body))
}

fn give_up(losses: &mut Losses, field: &str, message: &str) -> Result<(), Unsupported> {
    losses.give_up(Unsupported {
        field: field.to_owned(),
        message: message.to_owned(),
    })
}

/// Only a schema can be carried: "some JSON, whichever" has no counterpart that keeps its promise.
fn output_config<'a>(
    conversation: &Conversation<'a>,
    losses: &mut Losses,
) -> Result<Option<OutputConfig<'a>>, Unsupported> {
    match &conversation.format {
        None => Ok(None),
        // The name and description are for people; strictness is what the API always does.
        Some(message::Format::Schema { schema, .. }) => Ok(Some(OutputConfig {
            format: Format {
                r#type: "json_schema",
                schema,
            },
        })),
        Some(message::Format::JsonObject) => {
            let message = "response_format.type: the provider of this model cannot promise \
                           \"json_object\"; use \"json_schema\", or ask for JSON in the prompt and leave \
                           response_format out";
            give_up(losses, "response_format.type", message)?;
            Ok(None)
        }
    }
}

/// One text, as the API's single slot wants it; blocks only where a cache marker must stay in place.
fn system<'a>(parts: &'a [TextPart<'a>]) -> Option<System<'a>> {
    if parts.is_empty() {
        None
    } else if parts.iter().any(|part| part.cache.is_some()) {
        Some(System::Blocks(parts.iter().map(blocks::text).collect()))
    } else {
        let texts: Vec<&str> = parts.iter().map(|part| part.text.as_ref()).collect();
        Some(System::Text(texts.join("\n\n")))
    }
}

fn messages<'a>(
    conversation: &'a Conversation<'a>,
    losses: &mut Losses,
) -> Result<Vec<Message<'a>>, Unsupported> {
    let mut messages = Vec::with_capacity(conversation.turns.len());
    for turn in &conversation.turns {
        messages.push(Message {
            role: match turn.role {
                Role::User => "user",
                Role::Assistant => "assistant",
            },
            content: blocks::blocks(&turn.parts, losses)?,
        });
    }
    Ok(messages)
}

fn tool<'a>(tool: &'a Tool<'a>) -> ToolBody<'a> {
    ToolBody {
        name: &tool.name,
        description: tool.description.as_deref(),
        input_schema: match tool.parameters {
            Some(schema) => InputSchema::Given(schema),
            None => InputSchema::Empty {
                r#type: "object",
                properties: Empty {},
            },
        },
        strict: tool.strict.then_some(true),
        cache_control: tool.cache,
    }
}

fn tool_choice<'a>(
    conversation: &'a Conversation<'a>,
) -> Result<Option<ToolChoiceBody<'a>>, Unsupported> {
    if conversation.tools.is_empty() {
        return match conversation.tool_choice {
            Some(ToolChoice::Required | ToolChoice::Named(_)) => Err(Unsupported {
                field: "tool_choice".to_owned(),
                message: "tool_choice: needs a tool to choose; give some in tools".to_owned(),
            }),
            _ => Ok(None),
        };
    }
    let one_at_a_time = (conversation.parallel_tool_calls == Some(false)).then_some(true);
    let (kind, name) = match &conversation.tool_choice {
        None if one_at_a_time.is_none() => return Ok(None),
        None | Some(ToolChoice::Auto) => ("auto", None),
        // Without calls there are no parallel ones; the API refuses the flag here.
        Some(ToolChoice::None) => {
            return Ok(Some(ToolChoiceBody {
                r#type: "none",
                name: None,
                disable_parallel_tool_use: None,
            }));
        }
        Some(ToolChoice::Required) => ("any", None),
        Some(ToolChoice::Named(name)) => ("tool", Some(name.as_ref())),
    };
    Ok(Some(ToolChoiceBody {
        r#type: kind,
        name,
        disable_parallel_tool_use: one_at_a_time,
    }))
}

/// The API takes 0 to 1, and nothing but 1 while thinking; OpenAI's scale goes to 2.
fn temperature<'a>(
    conversation: &Conversation<'a>,
    is_thinking: bool,
) -> Result<Option<&'a RawValue>, Unsupported> {
    let refused = |what: &str| {
        Err(Unsupported {
            field: "temperature".to_owned(),
            message: format!("temperature: {what}"),
        })
    };
    match conversation.temperature {
        Some(Number { value, .. }) if !(0.0..=1.0).contains(&value) => {
            refused("must be from 0 to 1 for this model")
        }
        Some(Number { value, .. }) if is_thinking && value != 1.0 => {
            refused("must be left out (or 1) together with reasoning_effort for this model")
        }
        Some(number) => Ok(Some(number.raw)),
        None => Ok(None),
    }
}

#[derive(Serialize)]
struct Request<'a> {
    /// In clouds it is in the path, and the version here.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    anthropic_version: Option<&'static str>,
    max_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    system: Option<System<'a>>,
    messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<ToolBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<ToolChoiceBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stop_sequences: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Thinking>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<OutputConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<&'static str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
}

#[derive(Serialize)]
#[serde(untagged)]
enum System<'a> {
    Text(String),
    Blocks(Vec<Block<'a>>),
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Vec<Block<'a>>,
}

#[derive(Serialize)]
struct ToolBody<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    input_schema: InputSchema<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<&'a RawValue>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum InputSchema<'a> {
    /// The caller's own bytes.
    Given(&'a RawValue),
    Empty {
        r#type: &'static str,
        properties: Empty,
    },
}

#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
struct ToolChoiceBody<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disable_parallel_tool_use: Option<bool>,
}

#[derive(Serialize)]
struct OutputConfig<'a> {
    format: Format<'a>,
}

#[derive(Serialize)]
struct Format<'a> {
    r#type: &'static str,
    schema: &'a RawValue,
}

#[derive(Serialize)]
struct Metadata<'a> {
    user_id: &'a str,
}

#[cfg(test)]
mod tests;
