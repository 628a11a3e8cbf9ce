//! Tools and which of them the model shall call.

use serde::Serialize;
use serde_json::value::RawValue;

use super::blocks::{CachePoint, Writer};
use super::{give_up, refusal};
use crate::fault::{Losses, Unsupported};
use crate::message::{self, Conversation, Part};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolConfig<'a> {
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<ToolChoice<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Tool<'a> {
    ToolSpec(ToolSpec<'a>),
    CachePoint(CachePoint),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolSpec<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    input_schema: InputSchema<'a>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    strict: bool,
}

#[derive(Serialize)]
struct InputSchema<'a> {
    json: Schema<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Schema<'a> {
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
#[serde(rename_all = "camelCase")]
enum ToolChoice<'a> {
    Auto(Empty),
    Any(Empty),
    Tool { name: &'a str },
}

impl ToolConfig<'_> {
    /// For a choice that is told elsewhere.
    pub(super) fn without_choice(self) -> Self {
        Self {
            tool_choice: None,
            ..self
        }
    }
}

/// Writes the tools and the choice; `None`: there are no tools to tell of.
///
/// Converse cannot say that no tool shall be called: the tools are left out instead, which comes to the
/// same, unless the conversation holds calls, which Converse takes only with tools.
pub(super) fn config<'a>(
    conversation: &'a Conversation<'a>,
    writer: &mut Writer,
    losses: &mut Losses,
) -> Result<Option<ToolConfig<'a>>, Unsupported> {
    let choice = conversation.tool_choice.as_ref();
    if conversation.tools.is_empty() {
        return without_tools(conversation);
    }
    let tool_choice = match choice {
        None => None,
        Some(message::ToolChoice::Auto) => Some(ToolChoice::Auto(Empty {})),
        Some(message::ToolChoice::Required) => Some(ToolChoice::Any(Empty {})),
        Some(message::ToolChoice::Named(name)) => Some(ToolChoice::Tool { name }),
        Some(message::ToolChoice::None) if !has_calls(conversation) => return Ok(None),
        Some(message::ToolChoice::None) => {
            let what = "cannot be \"none\" for this model in a conversation with tool calls";
            give_up(losses, "tool_choice", what)?;
            None
        }
    };
    let mut tools = Vec::with_capacity(conversation.tools.len());
    for tool in &conversation.tools {
        tools.push(Tool::ToolSpec(spec(tool)));
        if let Some(marker) = tool.cache.filter(|_| writer.may_mark_tools()) {
            tools.push(Tool::CachePoint(writer.cache_point(marker)));
        }
    }
    Ok(Some(ToolConfig { tools, tool_choice }))
}

fn without_tools<'a>(
    conversation: &Conversation<'_>,
) -> Result<Option<ToolConfig<'a>>, Unsupported> {
    if let Some(message::ToolChoice::Required | message::ToolChoice::Named(_)) =
        conversation.tool_choice
    {
        let what = "needs a tool to choose; give some in tools";
        return Err(refusal("tool_choice", what));
    }
    if has_calls(conversation) {
        let what = "must be given again for this model in a conversation with tool calls";
        return Err(refusal("tools", what));
    }
    Ok(None)
}

fn has_calls(conversation: &Conversation<'_>) -> bool {
    let is_of_tools =
        |part: &Part<'_>| matches!(part, Part::ToolCall { .. } | Part::ToolResult { .. });
    let mut turns = conversation.turns.iter();
    turns.any(|turn| turn.parts.iter().any(is_of_tools))
}

fn spec<'a>(tool: &'a message::Tool<'a>) -> ToolSpec<'a> {
    ToolSpec {
        name: &tool.name,
        description: tool.description.as_deref().filter(|text| !text.is_empty()),
        input_schema: InputSchema {
            json: match tool.parameters {
                Some(schema) => Schema::Given(schema),
                None => Schema::Empty {
                    r#type: "object",
                    properties: Empty {},
                },
            },
        },
        strict: tool.strict,
    }
}
