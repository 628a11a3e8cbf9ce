//! Writes a chat completion request from the message model.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use super::content::{self, Content, PartBody, hint_cache};
use super::reasoning::{self, ReasoningBody};
use crate::exchange::Target;
use crate::fault::{Losses, Unsupported};
use crate::json;
use crate::message::{self, Conversation, Part, Role, Tier, Tool, ToolChoice, Turn};
use crate::vendor::Quirks;

/// Writes a request. Errors: what the provider has no way to say, by the model's name for it.
pub(crate) fn write(
    conversation: &Conversation<'_>,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Result<Bytes, Unsupported> {
    let quirks = &target.quirks;
    if conversation.top_k.is_some() {
        give_up(
            losses,
            "top_k",
            "cannot be told to the provider of this model; leave it out",
        )?;
    }
    let (max_tokens, max_completion_tokens) = match quirks.max_completion_tokens {
        true => (None, conversation.max_tokens),
        false => (conversation.max_tokens, None),
    };
    let request = Request {
        model: target.upstream_model,
        messages: messages(conversation, losses)?,
        max_tokens,
        max_completion_tokens,
        temperature: conversation.temperature.map(|number| number.raw),
        top_p: conversation.top_p.map(|number| number.raw),
        frequency_penalty: conversation.frequency_penalty.map(|number| number.raw),
        presence_penalty: conversation.presence_penalty.map(|number| number.raw),
        seed: conversation.seed,
        stop: conversation.stop.iter().map(AsRef::as_ref).collect(),
        tools: conversation
            .tools
            .iter()
            .map(|one| tool(one, losses))
            .collect(),
        tool_choice: conversation.tool_choice.as_ref().map(tool_choice),
        parallel_tool_calls: parallel(conversation, quirks, losses)?,
        response_format: response_format(conversation, quirks, losses)?,
        reasoning: reasoning::write(conversation.reasoning, quirks.reasoning, losses)?,
        logprobs: conversation.logprobs.map(|_| true),
        top_logprobs: conversation.logprobs.filter(|count| *count > 0),
        user: conversation.user.as_deref(),
        metadata: conversation.metadata,
        service_tier: conversation.tier.map(|tier| match tier {
            Tier::Auto => "auto",
            Tier::Standard => "default",
            Tier::Flex => "flex",
            Tier::Priority => "priority",
        }),
        stream: conversation.stream,
        stream_options: (conversation.stream && quirks.stream_options).then_some(StreamOptions {
            include_usage: true,
        }),
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

fn messages<'a>(
    conversation: &'a Conversation<'a>,
    losses: &mut Losses,
) -> Result<Vec<Message<'a>>, Unsupported> {
    let mut messages = Vec::with_capacity(conversation.turns.len() + 1);
    if !conversation.system.is_empty() {
        let marked = conversation.system.iter().any(|part| part.cache.is_some());
        hint_cache(marked, losses);
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

/// Results of tools come first, each a message of its own, right after the calls; pictures in them
/// go with what the user says, since results are text.
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
            cache,
        } = part
        else {
            said.extend(content::part(part, losses)?);
            continue;
        };
        hint_cache(cache.is_some(), losses);
        if *is_error {
            losses.hint("tool_result.is_error");
        }
        let (texts, others): (Vec<&Part<'_>>, Vec<_>) = content
            .iter()
            .partition(|part| matches!(part, Part::Text(_)));
        messages.push(Message {
            content: Some(Content::Text(joined(&texts))),
            tool_call_id: Some(id),
            ..Message::of("tool")
        });
        if !others.is_empty() {
            let text = Cow::Owned(format!("The result of {id} has this:"));
            said.push(PartBody::Text { text });
        }
        for part in others {
            said.extend(content::part(part, losses)?);
        }
    }
    if let Some(content) = Content::of(said) {
        messages.push(Message {
            content: Some(content),
            ..Message::of("user")
        });
    }
    Ok(())
}

fn joined<'a>(texts: &[&'a Part<'a>]) -> Cow<'a, str> {
    let mut texts = texts.iter().filter_map(|part| match part {
        Part::Text(part) => Some(part.text.as_ref()),
        _ => None,
    });
    match (texts.next(), texts.next()) {
        (None, _) => Cow::Borrowed(""),
        (Some(one), None) => Cow::Borrowed(one),
        (Some(one), Some(two)) => {
            let rest: Vec<&str> = [one, two].into_iter().chain(texts).collect();
            Cow::Owned(rest.join("\n"))
        }
    }
}

/// `None`: there is nothing that the provider could be told. Thinking is another provider's own.
fn assistant<'a>(turn: &'a Turn<'a>, losses: &mut Losses) -> Option<Message<'a>> {
    let is_text = |part: &&Part<'_>| matches!(part, Part::Text(_));
    let texts: Vec<&Part<'_>> = turn.parts.iter().filter(is_text).collect();
    let mut calls = Vec::new();
    for part in &turn.parts {
        match part {
            Part::ToolCall {
                id,
                name,
                arguments,
                signature,
                cache,
            } => {
                hint_cache(cache.is_some(), losses);
                calls.push(CallBody {
                    id,
                    r#type: "function",
                    function: CallFunction {
                        name,
                        arguments: arguments.get(),
                    },
                    extra_content: signature.as_deref().map(ExtraContent::new),
                });
            }
            Part::Thinking(_) => losses.hint("thinking"),
            _ => {}
        }
    }
    if texts.is_empty() && calls.is_empty() {
        return None;
    }
    Some(Message {
        content: (!texts.is_empty()).then(|| Content::Text(joined(&texts))),
        tool_calls: calls,
        ..Message::of("assistant")
    })
}

fn tool<'a>(tool: &'a Tool<'a>, losses: &mut Losses) -> ToolBody<'a> {
    hint_cache(tool.cache.is_some(), losses);
    ToolBody {
        r#type: "function",
        function: FunctionBody {
            name: &tool.name,
            description: tool.description.as_deref(),
            parameters: tool.parameters,
            strict: tool.strict.then_some(true),
        },
    }
}

fn tool_choice<'a>(choice: &'a ToolChoice<'a>) -> ToolChoiceBody<'a> {
    match choice {
        ToolChoice::Auto => ToolChoiceBody::Word("auto"),
        ToolChoice::None => ToolChoiceBody::Word("none"),
        ToolChoice::Required => ToolChoiceBody::Word("required"),
        ToolChoice::Named(name) => ToolChoiceBody::Named {
            r#type: "function",
            function: NameBody { name },
        },
    }
}

/// Several calls at once are what providers do unless told otherwise.
fn parallel(
    conversation: &Conversation<'_>,
    quirks: &Quirks,
    losses: &mut Losses,
) -> Result<Option<bool>, Unsupported> {
    match conversation
        .parallel_tool_calls
        .filter(|_| !conversation.tools.is_empty())
    {
        Some(false) if !quirks.parallel_tool_calls => {
            let what = "the provider of this model cannot be kept to one call at a time";
            give_up(losses, "parallel_tool_calls", what)?;
            Ok(None)
        }
        said => Ok(said.filter(|_| quirks.parallel_tool_calls)),
    }
}

fn response_format<'a>(
    conversation: &'a Conversation<'a>,
    quirks: &Quirks,
    losses: &mut Losses,
) -> Result<Option<FormatBody<'a>>, Unsupported> {
    match &conversation.format {
        None => Ok(None),
        Some(message::Format::JsonObject) => Ok(Some(FormatBody::JsonObject)),
        Some(message::Format::Schema { .. }) if !quirks.json_schema => {
            let what = "the provider of this model keeps to no schema; ask for JSON in the prompt";
            give_up(losses, "response_format", what)?;
            Ok(None)
        }
        Some(message::Format::Schema {
            name,
            description,
            strict,
            schema,
        }) => Ok(Some(FormatBody::JsonSchema {
            json_schema: SchemaBody {
                name: name.as_deref().unwrap_or("answer"),
                description: description.as_deref(),
                strict: *strict,
                schema,
            },
        })),
    }
}

#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stop: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<ToolBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<ToolChoiceBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<FormatBody<'a>>,
    #[serde(flatten)]
    reasoning: ReasoningBody,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_logprobs: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<&'static str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Option<Content<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<CallBody<'a>>,
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
struct CallBody<'a> {
    id: &'a str,
    r#type: &'static str,
    function: CallFunction<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra_content: Option<ExtraContent<'a>>,
}

#[derive(Serialize)]
struct CallFunction<'a> {
    name: &'a str,
    arguments: &'a str,
}

/// Source: ai.google.dev, "Thought signatures", for OpenAI's protocol.
#[derive(Serialize)]
pub(crate) struct ExtraContent<'a> {
    google: GoogleContent<'a>,
}

#[derive(Serialize)]
struct GoogleContent<'a> {
    thought_signature: &'a str,
}

impl<'a> ExtraContent<'a> {
    pub(crate) fn new(thought_signature: &'a str) -> Self {
        ExtraContent {
            google: GoogleContent { thought_signature },
        }
    }
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
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum ToolChoiceBody<'a> {
    Word(&'static str),
    Named {
        r#type: &'static str,
        function: NameBody<'a>,
    },
}

#[derive(Serialize)]
struct NameBody<'a> {
    name: &'a str,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum FormatBody<'a> {
    JsonObject,
    JsonSchema { json_schema: SchemaBody<'a> },
}

#[derive(Serialize)]
struct SchemaBody<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
    schema: &'a RawValue,
}
