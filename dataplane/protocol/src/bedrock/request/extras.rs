//! What Converse has no member of its own for, and a family of models takes in its own words.

use serde::Serialize;

use super::give_up;
use super::thinking::Thinking;
use crate::bedrock::family::Family;
use crate::fault::{Losses, Unsupported};
use crate::message::{Conversation, ToolChoice};

/// `additionalModelRequestFields`.
#[derive(Debug, Default, Serialize)]
pub(super) struct Extras<'a> {
    /// Claude's.
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<ThinkingBody>,
    /// Claude's, of adaptive thinking.
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<OutputConfig>,
    /// Claude's.
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u64>,
    /// Claude's: only here can parallel calls be forbidden.
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<OneAtATime<'a>>,
    /// Nova's.
    #[serde(rename = "inferenceConfig", skip_serializing_if = "Option::is_none")]
    nova: Option<NovaConfig>,
}

#[derive(Debug, Serialize)]
struct ThinkingBody {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    budget_tokens: Option<u64>,
}

#[derive(Debug, Serialize)]
struct OutputConfig {
    effort: &'static str,
}

#[derive(Debug, Serialize)]
struct OneAtATime<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    disable_parallel_tool_use: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct NovaConfig {
    top_k: u64,
}

impl Extras<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.thinking.is_none()
            && self.top_k.is_none()
            && self.tool_choice.is_none()
            && self.nova.is_none()
    }

    /// Whether the tool choice stands here. Bedrock refuses a request that says it twice.
    pub(super) fn has_tool_choice(&self) -> bool {
        self.tool_choice.is_some()
    }
}

/// Sources: user guide, "Extended thinking", "Adaptive thinking", "Anthropic Claude Messages API"; Amazon Nova user guide,
/// "Complete request schema" (2026-11).
pub(super) fn decide<'a>(
    conversation: &'a Conversation<'a>,
    family: Family,
    thinking: Option<Thinking>,
    losses: &mut Losses,
) -> Result<Extras<'a>, Unsupported> {
    let mut extras = Extras {
        thinking: thinking.map(|thinking| ThinkingBody {
            r#type: match thinking {
                Thinking::Budget(_) => "enabled",
                Thinking::Adaptive(_) => "adaptive",
            },
            budget_tokens: thinking.budget(),
        }),
        output_config: match thinking {
            Some(Thinking::Adaptive(Some(effort))) => Some(OutputConfig { effort }),
            _ => None,
        },
        ..Extras::default()
    };
    match (conversation.top_k, family) {
        (None, _) => {}
        (top_k, Family::Claude) => extras.top_k = top_k,
        (Some(top_k), Family::Nova) => extras.nova = Some(NovaConfig { top_k }),
        (Some(_), _) => give_up(
            losses,
            "top_k",
            "cannot be carried to this model; leave it out",
        )?,
    }
    let has_tools = !conversation.tools.is_empty();
    let forbids = conversation.parallel_tool_calls == Some(false) && has_tools;
    if forbids && conversation.tool_choice != Some(ToolChoice::None) {
        if family == Family::Claude {
            extras.tool_choice = Some(one_at_a_time(conversation.tool_choice.as_ref()));
        } else {
            let what = "cannot be false for this model; leave it out";
            give_up(losses, "parallel_tool_calls", what)?;
        }
    }
    Ok(extras)
}

fn one_at_a_time<'a>(choice: Option<&'a ToolChoice<'a>>) -> OneAtATime<'a> {
    let (kind, name) = match choice {
        Some(ToolChoice::Required) => ("any", None),
        Some(ToolChoice::Named(name)) => ("tool", Some(name.as_ref())),
        Some(ToolChoice::Auto | ToolChoice::None) | None => ("auto", None),
    };
    OneAtATime {
        r#type: kind,
        name,
        disable_parallel_tool_use: true,
    }
}
