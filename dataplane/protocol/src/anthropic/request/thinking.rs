//! Turns reasoning effort into a thinking budget.

use serde::Serialize;

use crate::fault::{Losses, Unsupported};
use crate::message::{Conversation, Effort, Part, Reasoning, Role, ToolChoice};

/// The smallest budget that the API takes.
const MIN_BUDGET: u64 = 1024;

#[derive(Debug, Serialize)]
pub(super) struct Thinking {
    r#type: &'static str,
    pub(super) budget_tokens: u64,
}

/// The budget of what was asked for.
fn budget(reasoning: Reasoning) -> Option<u64> {
    let effort = match reasoning {
        Reasoning::Budget(tokens) => return Some(tokens.max(MIN_BUDGET)),
        Reasoning::Adaptive => Effort::Medium,
        Reasoning::Effort(effort) => effort,
    };
    match effort {
        Effort::Off | Effort::Minimal => None,
        Effort::Low => Some(1024),
        Effort::Medium => Some(8192),
        Effort::High => Some(16_384),
        Effort::XHigh => Some(32_768),
    }
}

/// Decides whether and how far the model shall think.
///
/// The budget stays under `max_tokens`. In the midst of a tool loop the API wants the thinking that
/// led to the calls back; if the caller did not keep it, the model goes on without thinking, and
/// `reasoning_effort` is reported as dropped.
pub(super) fn decide(
    conversation: &Conversation<'_>,
    losses: &mut Losses,
) -> Result<Option<Thinking>, Unsupported> {
    let Some(wanted) = conversation.reasoning.and_then(budget) else {
        return Ok(None);
    };
    if lacks_thinking(conversation) {
        losses.hint("reasoning_effort");
        return Ok(None);
    }
    if matches!(
        conversation.tool_choice,
        Some(ToolChoice::Required | ToolChoice::Named(_))
    ) {
        let message = "tool_choice: must be \"auto\" or \"none\" together with reasoning_effort for this model";
        return Err(Unsupported {
            field: "tool_choice".to_owned(),
            message: message.to_owned(),
        });
    }
    let budget_tokens = match conversation.max_tokens {
        None => wanted,
        Some(max) if max > MIN_BUDGET => wanted.min(max - 1),
        Some(_) => {
            let message = format!(
                "max_completion_tokens: must be more than {MIN_BUDGET} together with reasoning_effort for \
                 this model, since its reasoning counts too"
            );
            return Err(Unsupported {
                field: "max_completion_tokens".to_owned(),
                message,
            });
        }
    };
    Ok(Some(Thinking {
        r#type: "enabled",
        budget_tokens,
    }))
}

/// Whether the conversation goes on after tool calls that lost their thinking.
pub(crate) fn lacks_thinking(conversation: &Conversation<'_>) -> bool {
    let mut turns = conversation.turns.iter().rev();
    let awaits_answer = turns.next().is_some_and(|turn| {
        turn.role == Role::User
            && turn
                .parts
                .iter()
                .any(|part| matches!(part, Part::ToolResult { .. }))
    });
    let calls = turns.next().filter(|turn| turn.role == Role::Assistant);
    awaits_answer
        && calls.is_some_and(|turn| !matches!(turn.parts.first(), Some(Part::Thinking(_))))
}
