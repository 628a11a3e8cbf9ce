//! Writes a chat request for Cohere from the message model.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::exchange::Target;
use crate::fault::{Losses, Unsupported};
use crate::json;
use crate::message::{
    Conversation, Effort, Format, Part, Reasoning, Role, Source, Thought, Tier, ToolChoice, Turn,
};

/// Writes a request. Errors: what Cohere has no way to say.
pub(crate) fn write(
    conversation: &Conversation<'_>,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Result<Bytes, Unsupported> {
    give_up_rest(conversation, losses)?;
    let request = Request {
        model: target.upstream_model,
        messages: messages(conversation, losses)?,
        tools: tools(conversation, losses)?,
        tool_choice: match conversation.tool_choice {
            Some(ToolChoice::Required | ToolChoice::Named(_)) => Some("REQUIRED"),
            Some(ToolChoice::None) => Some("NONE"),
            None | Some(ToolChoice::Auto) => None,
        },
        max_tokens: conversation.max_tokens,
        temperature: conversation.temperature.map(|number| number.raw),
        p: conversation.top_p.map(|number| number.raw),
        k: conversation.top_k,
        seed: conversation.seed,
        stop_sequences: conversation.stop.iter().map(AsRef::as_ref).collect(),
        frequency_penalty: conversation.frequency_penalty.map(|number| number.raw),
        presence_penalty: conversation.presence_penalty.map(|number| number.raw),
        response_format: conversation.format.as_ref().map(response_format),
        thinking: conversation.reasoning.map(thinking),
        stream: conversation.stream,
    };
    let mut body = Vec::with_capacity(1024);
    json::write(&mut body, &request);
    Ok(Bytes::from(body))
}

fn give_up(losses: &mut Losses, field: &str, what: &str) -> Result<(), Unsupported> {
    losses.give_up(Unsupported {
        field: field.to_owned(),
        message: format!("{field}: {what}"),
    })
}

fn give_up_rest(conversation: &Conversation<'_>, losses: &mut Losses) -> Result<(), Unsupported> {
    if conversation.logprobs.is_some() {
        give_up(losses, "logprobs", "the odds of this model are not told")?;
    }
    if conversation.parallel_tool_calls == Some(false) && !conversation.tools.is_empty() {
        let what = "the provider of this model cannot be kept to one call at a time";
        give_up(losses, "parallel_tool_calls", what)?;
    }
    if matches!(conversation.tier, Some(Tier::Flex | Tier::Priority)) {
        give_up(
            losses,
            "service_tier",
            "must be \"auto\" or \"default\" for this model",
        )?;
    }
    for (hint, is_said) in [
        ("user", conversation.user.is_some()),
        ("metadata", conversation.metadata.is_some()),
    ] {
        if is_said {
            losses.hint(hint);
        }
    }
    Ok(())
}

fn messages<'a>(
    conversation: &'a Conversation<'a>,
    losses: &mut Losses,
) -> Result<Vec<Message<'a>>, Unsupported> {
    let mut messages = Vec::with_capacity(conversation.turns.len() + 1);
    if !conversation.system.is_empty() {
        let texts: Vec<&str> = conversation.system.iter().map(|part| &*part.text).collect();
        messages.push(Message {
            content: Some(Content::Text(texts.join("\n\n").into())),
            ..Message::of("system")
        });
    }
    for turn in &conversation.turns {
        match turn.role {
            Role::User => user(turn, &mut messages, losses)?,
            Role::Assistant => messages.extend(assistant(turn, losses)),
        }
    }
    Ok(messages)
}

fn user<'a>(
    turn: &'a Turn<'a>,
    messages: &mut Vec<Message<'a>>,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    let mut said = Vec::new();
    for part in &turn.parts {
        let Part::ToolResult {
            id,
            content,
            is_error,
            ..
        } = part
        else {
            said.extend(block(part, losses)?);
            continue;
        };
        if *is_error {
            losses.hint("tool_result.is_error");
        }
        let texts: Vec<&str> = content
            .iter()
            .filter_map(|part| match part {
                Part::Text(part) => Some(part.text.as_ref()),
                _ => None,
            })
            .collect();
        messages.push(Message {
            content: Some(Content::Text(texts.join("\n").into())),
            tool_call_id: Some(id),
            ..Message::of("tool")
        });
        for part in content.iter().filter(|part| !matches!(part, Part::Text(_))) {
            said.extend(block(part, losses)?);
        }
    }
    if !said.is_empty() {
        messages.push(Message {
            content: Some(Content::Blocks(said)),
            ..Message::of("user")
        });
    }
    Ok(())
}

fn block<'a>(part: &'a Part<'a>, losses: &mut Losses) -> Result<Option<Block<'a>>, Unsupported> {
    let what = match part {
        Part::Text(part) => return Ok(Some(Block::Text { text: &part.text })),
        Part::Image { source, .. } => {
            return match source {
                Source::Url(url) => Ok(Some(Block::image(Cow::Borrowed(url)))),
                Source::Base64 { media_type, data } => {
                    let url = format!("data:{media_type};base64,{data}");
                    Ok(Some(Block::image(url.into())))
                }
                Source::File(_) => Err(refused("an image by the id of a file")),
            };
        }
        Part::Audio { .. } => "audio",
        Part::Document { .. } => "files",
        Part::Thinking(_) | Part::ToolCall { .. } | Part::ToolResult { .. } => return Ok(None),
    };
    losses.give_up(refused(what))?;
    Ok(None)
}

fn refused(what: &str) -> Unsupported {
    Unsupported {
        field: "messages".to_owned(),
        message: format!("messages: the provider of this model takes no {what}"),
    }
}

/// `None`: there is nothing that Cohere could be told.
fn assistant<'a>(turn: &'a Turn<'a>, losses: &mut Losses) -> Option<Message<'a>> {
    let mut message = Message::of("assistant");
    let mut blocks = Vec::new();
    for part in &turn.parts {
        match part {
            Part::Text(part) => blocks.push(Block::Text { text: &part.text }),
            Part::Thinking(Thought::Redacted { .. }) => losses.hint("thinking"),
            Part::Thinking(Thought::Told { text, signature }) => {
                // Another provider's.
                if signature.is_some() {
                    losses.hint("thinking.signature");
                }
                blocks.push(Block::Thinking { thinking: text });
            }
            Part::ToolCall {
                id,
                name,
                arguments,
                ..
            } => message.tool_calls.push(Call {
                id,
                r#type: "function",
                function: CallFunction {
                    name,
                    arguments: arguments.get(),
                },
            }),
            _ => {}
        }
    }
    if blocks.is_empty() && message.tool_calls.is_empty() {
        return None;
    }
    message.content = (!blocks.is_empty()).then_some(Content::Blocks(blocks));
    Some(message)
}

/// One that must be called is the only one that is offered.
fn tools<'a>(
    conversation: &'a Conversation<'a>,
    losses: &mut Losses,
) -> Result<Vec<ToolBody<'a>>, Unsupported> {
    let named = match &conversation.tool_choice {
        Some(ToolChoice::Named(name)) => Some(name),
        _ => None,
    };
    let mut tools = Vec::with_capacity(conversation.tools.len());
    for tool in &conversation.tools {
        if tool.cache.is_some() {
            losses.hint("cache_control");
        }
        if named.is_none_or(|name| *name == tool.name) {
            tools.push(ToolBody {
                r#type: "function",
                function: FunctionBody {
                    name: &tool.name,
                    description: tool.description.as_deref(),
                    parameters: tool.parameters.unwrap_or_else(|| any_object()),
                },
            });
        }
    }
    Ok(tools)
}

fn any_object() -> &'static RawValue {
    serde_json::from_str(r#"{"type":"object","properties":{}}"#).unwrap_or(RawValue::NULL)
}

fn response_format<'a>(format: &Format<'a>) -> FormatBody<'a> {
    FormatBody {
        r#type: "json_object",
        json_schema: match format {
            Format::JsonObject => None,
            Format::Schema { schema, .. } => Some(schema),
        },
    }
}

fn thinking(reasoning: Reasoning) -> Thinking {
    let (is_on, token_budget) = match reasoning {
        Reasoning::Effort(Effort::Off | Effort::Minimal) => (false, None),
        Reasoning::Budget(tokens) => (true, Some(tokens)),
        Reasoning::Adaptive => (true, None),
        Reasoning::Effort(Effort::Low) => (true, Some(1024)),
        Reasoning::Effort(Effort::Medium) => (true, Some(8192)),
        Reasoning::Effort(Effort::High) => (true, Some(16_384)),
        Reasoning::Effort(Effort::XHigh) => (true, Some(32_768)),
    };
    Thinking {
        r#type: if is_on { "enabled" } else { "disabled" },
        token_budget,
    }
}

#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<ToolBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    k: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stop_sequences: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<FormatBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Thinking>,
    stream: bool,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Content<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
}

impl Message<'_> {
    fn of(role: &'static str) -> Self {
        Message {
            role,
            content: None,
            tool_calls: Vec::new(),
            tool_call_id: None,
        }
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Text(Cow<'a, str>),
    Blocks(Vec<Block<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block<'a> {
    Text { text: &'a str },
    Thinking { thinking: &'a str },
    ImageUrl { image_url: Url<'a> },
}

#[derive(Serialize)]
struct Url<'a> {
    url: Cow<'a, str>,
}

impl<'a> Block<'a> {
    fn image(url: Cow<'a, str>) -> Self {
        Block::ImageUrl {
            image_url: Url { url },
        }
    }
}

#[derive(Serialize)]
struct Call<'a> {
    id: &'a str,
    r#type: &'static str,
    function: CallFunction<'a>,
}

#[derive(Serialize)]
struct CallFunction<'a> {
    name: &'a str,
    arguments: &'a str,
}

#[derive(Serialize)]
struct ToolBody<'a> {
    r#type: &'static str,
    function: FunctionBody<'a>,
}

#[derive(Serialize)]
struct FunctionBody<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    parameters: &'a RawValue,
}

#[derive(Serialize)]
struct FormatBody<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    json_schema: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct Thinking {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_budget: Option<u64>,
}
