//! Turns reasoning effort into what Claude on Bedrock takes: a budget, or an effort of its own.

use super::{give_up, refusal};
use crate::bedrock::family::{Family, has_adaptive_thinking_only};
use crate::fault::{Losses, Unsupported};
use crate::message::{Conversation, Effort, Part, Reasoning, Role, ToolChoice};

/// The smallest budget that Claude takes.
const MIN_BUDGET: u64 = 1024;

/// How the model shall think.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Thinking {
    /// Tokens.
    Budget(u64),
    /// As much as it finds right; `None`: by its own measure.
    Adaptive(Option<&'static str>),
}

impl Thinking {
    pub(super) fn budget(self) -> Option<u64> {
        match self {
            Thinking::Budget(tokens) => Some(tokens),
            Thinking::Adaptive(_) => None,
        }
    }
}

/// The budget, in tokens, of what was asked for; `None`: no thinking.
fn budget(reasoning: Reasoning) -> Option<u64> {
    let effort = match reasoning {
        Reasoning::Budget(tokens) => return Some(tokens.max(MIN_BUDGET)),
        Reasoning::Adaptive => Effort::Medium,
        Reasoning::Effort(effort) => effort,
    };
    match effort {
        Effort::Off | Effort::Minimal => None,
        Effort::Low => Some(1024),
        Effort::Medium => Some(4096),
        Effort::High => Some(16_384),
        Effort::XHigh => Some(32_768),
    }
}

/// The effort of what was asked for, where there are no budgets; only for what [`budget`] has one for.
fn effort(reasoning: Reasoning) -> Option<&'static str> {
    match reasoning {
        Reasoning::Adaptive => None,
        Reasoning::Budget(0..4096) | Reasoning::Effort(Effort::Low) => Some("low"),
        Reasoning::Budget(4096..16_384) | Reasoning::Effort(Effort::Medium) => Some("medium"),
        Reasoning::Effort(Effort::XHigh) => Some("xhigh"),
        Reasoning::Budget(_) | Reasoning::Effort(_) => Some("high"),
    }
}

/// Decides whether and how far the model shall think. Models of others than Claude's family take
/// nothing of the kind in common: given up.
pub(super) fn decide(
    conversation: &Conversation<'_>,
    model: &str,
    losses: &mut Losses,
) -> Result<Option<Thinking>, Unsupported> {
    let Some((reasoning, wanted)) = conversation
        .reasoning
        .and_then(|reasoning| Some((reasoning, budget(reasoning)?)))
    else {
        return Ok(None);
    };
    if Family::of(model) != Family::Claude {
        let what = "cannot be carried to this model; leave it out or set it to \"none\"";
        give_up(losses, "reasoning_effort", what)?;
        return Ok(None);
    }
    let is_adaptive = has_adaptive_thinking_only(model);
    if !is_adaptive && lacks_thinking(conversation) {
        losses.hint("reasoning_effort");
        return Ok(None);
    }
    if matches!(
        conversation.tool_choice,
        Some(ToolChoice::Required | ToolChoice::Named(_))
    ) {
        let what = "must be \"auto\" or \"none\" together with reasoning_effort for this model";
        return Err(refusal("tool_choice", what));
    }
    if is_adaptive {
        return Ok(Some(Thinking::Adaptive(effort(reasoning))));
    }
    let budget = under_max_tokens(wanted, conversation.max_tokens)?;
    Ok(Some(Thinking::Budget(budget)))
}

/// Claude counts its thinking as output.
fn under_max_tokens(wanted: u64, max_tokens: Option<u64>) -> Result<u64, Unsupported> {
    match max_tokens {
        None => Ok(wanted),
        Some(max) if max > MIN_BUDGET => Ok(wanted.min(max - 1)),
        Some(_) => {
            let what = format!(
                "must be more than {MIN_BUDGET} together with reasoning_effort for this model, since its \
                 reasoning counts too"
            );
            Err(refusal("max_completion_tokens", &what))
        }
    }
}

/// Whether the conversation goes on after tool calls that lost their thinking. In the midst of a tool
/// loop Claude wants the thinking that led to the calls back, where it has a budget; if the caller did
/// not keep it, the model goes on without thinking, and `reasoning_effort` is reported as dropped.
fn lacks_thinking(conversation: &Conversation<'_>) -> bool {
    let mut turns = conversation.turns.iter().rev();
    let is_result = |part: &Part<'_>| matches!(part, Part::ToolResult { .. });
    let awaits_answer = turns
        .next()
        .is_some_and(|turn| turn.role == Role::User && turn.parts.iter().any(is_result));
    let calls = turns.next().filter(|turn| turn.role == Role::Assistant);
    awaits_answer
        && calls.is_some_and(|turn| !matches!(turn.parts.first(), Some(Part::Thinking(_))))
}
