//! Writes a generateContent request from the message model.

mod contents;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::exchange::Target;
use crate::fault::{Losses, Unsupported};
use crate::json;
use crate::message::{Conversation, Effort, Format, Reasoning, Tier, Tool, ToolChoice};
use contents::{Content, PartBody};

/// Writes a request; the model is in the path. Errors: what Gemini has no way to say.
pub(crate) fn write(
    conversation: &Conversation<'_>,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Result<Bytes, Unsupported> {
    give_up_rest(conversation, losses)?;
    let system: Vec<PartBody<'_>> = conversation.system.iter().map(PartBody::text).collect();
    if conversation.system.iter().any(|part| part.cache.is_some()) {
        losses.hint("cache_control");
    }
    let tools: Vec<Declaration<'_>> = conversation.tools.iter().map(declaration).collect();
    let request = Request {
        contents: contents::write(conversation, target.upstream_model, losses)?,
        system_instruction: (!system.is_empty()).then_some(Content {
            role: None,
            parts: system,
        }),
        tools: (!tools.is_empty()).then_some([Declarations {
            function_declarations: tools,
        }]),
        tool_config: conversation.tool_choice.as_ref().map(tool_config),
        generation_config: generation_config(conversation),
    };
    let mut body = Vec::with_capacity(1024);
    json::write(&mut body, &request);
    Ok(Bytes::from(body))
}

fn give_up_rest(conversation: &Conversation<'_>, losses: &mut Losses) -> Result<(), Unsupported> {
    if conversation.parallel_tool_calls == Some(false) && !conversation.tools.is_empty() {
        give_up(
            losses,
            "parallel_tool_calls",
            "the provider of this model cannot be kept to one call at a time",
        )?;
    }
    if matches!(conversation.tier, Some(Tier::Flex | Tier::Priority)) {
        give_up(
            losses,
            "service_tier",
            "must be \"auto\" or \"default\" for this model",
        )?;
    }
    if conversation.metadata.is_some() {
        losses.hint("metadata");
    }
    if conversation.user.is_some() {
        losses.hint("user");
    }
    Ok(())
}

fn give_up(losses: &mut Losses, field: &str, what: &str) -> Result<(), Unsupported> {
    losses.give_up(Unsupported {
        field: field.to_owned(),
        message: format!("{field}: {what}"),
    })
}

fn declaration<'a>(tool: &'a Tool<'a>) -> Declaration<'a> {
    Declaration {
        name: &tool.name,
        description: tool.description.as_deref(),
        parameters_json_schema: tool.parameters,
    }
}

fn tool_config<'a>(choice: &'a ToolChoice<'a>) -> ToolConfig<'a> {
    let (mode, allowed) = match choice {
        ToolChoice::Auto => ("AUTO", None),
        ToolChoice::None => ("NONE", None),
        ToolChoice::Required => ("ANY", None),
        ToolChoice::Named(name) => ("ANY", Some([name.as_ref()])),
    };
    ToolConfig {
        function_calling_config: CallingConfig {
            mode,
            allowed_function_names: allowed,
        },
    }
}

fn generation_config<'a>(conversation: &'a Conversation<'a>) -> Option<GenerationConfig<'a>> {
    let (mime, schema) = match &conversation.format {
        None => (None, None),
        Some(Format::JsonObject) => (Some("application/json"), None),
        Some(Format::Schema { schema, .. }) => (Some("application/json"), Some(*schema)),
    };
    let config = GenerationConfig {
        temperature: conversation.temperature.map(|number| number.raw),
        top_p: conversation.top_p.map(|number| number.raw),
        top_k: conversation.top_k,
        max_output_tokens: conversation.max_tokens,
        stop_sequences: conversation.stop.iter().map(AsRef::as_ref).collect(),
        seed: conversation.seed,
        presence_penalty: conversation.presence_penalty.map(|number| number.raw),
        frequency_penalty: conversation.frequency_penalty.map(|number| number.raw),
        response_logprobs: conversation.logprobs.map(|_| true),
        logprobs: conversation.logprobs.filter(|count| *count > 0),
        response_mime_type: mime,
        response_json_schema: schema,
        thinking_config: conversation.reasoning.map(thinking),
    };
    let is_empty = serde_json::to_string(&config).is_ok_and(|text| text == "{}");
    (!is_empty).then_some(config)
}

/// -1: as much as the model finds right; 0: none.
fn thinking(reasoning: Reasoning) -> ThinkingConfig {
    let budget = match reasoning {
        Reasoning::Adaptive => -1,
        Reasoning::Budget(tokens) => i64::try_from(tokens).unwrap_or(i64::MAX),
        Reasoning::Effort(Effort::Off | Effort::Minimal) => 0,
        Reasoning::Effort(Effort::Low) => 1024,
        Reasoning::Effort(Effort::Medium) => 8192,
        Reasoning::Effort(Effort::High | Effort::XHigh) => 24_576,
    };
    ThinkingConfig {
        thinking_budget: budget,
        include_thoughts: budget != 0,
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    contents: Vec<Content<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_instruction: Option<Content<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<[Declarations<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_config: Option<ToolConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation_config: Option<GenerationConfig<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Declarations<'a> {
    function_declarations: Vec<Declaration<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Declaration<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    /// The caller's own bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters_json_schema: Option<&'a RawValue>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolConfig<'a> {
    function_calling_config: CallingConfig<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CallingConfig<'a> {
    mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed_function_names: Option<[&'a str; 1]>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GenerationConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stop_sequences: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_logprobs: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_mime_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_json_schema: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_config: Option<ThinkingConfig>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ThinkingConfig {
    thinking_budget: i64,
    include_thoughts: bool,
}
