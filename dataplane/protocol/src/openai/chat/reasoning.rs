//! How much a speaker of OpenAI's protocol is told to think.

use serde::Serialize;

use crate::fault::{Losses, Unsupported};
use crate::message::{Effort, Reasoning};
use crate::vendor::ReasoningField;

/// The members that say it; all are absent where nothing is to be said.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct ReasoningBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<Object>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Switch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enable_thinking: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_budget: Option<u64>,
}

/// Source: openrouter.ai, "Reasoning Tokens".
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Object {
    #[serde(skip_serializing_if = "Option::is_none")]
    effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enabled: Option<bool>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Switch {
    r#type: &'static str,
}

pub(super) fn write(
    reasoning: Option<Reasoning>,
    field: ReasoningField,
    losses: &mut Losses,
) -> Result<ReasoningBody, Unsupported> {
    let Some(reasoning) = reasoning else {
        return Ok(ReasoningBody::default());
    };
    let is_off = reasoning == Reasoning::Effort(Effort::Off);
    let mut body = ReasoningBody::default();
    match field {
        ReasoningField::Effort if is_off => {}
        ReasoningField::Effort => body.reasoning_effort = Some(effort_word(effort(reasoning))),
        ReasoningField::Object => body.reasoning = Some(object(reasoning)),
        ReasoningField::ThinkingType => {
            let r#type = if is_off { "disabled" } else { "enabled" };
            body.thinking = Some(Switch { r#type });
        }
        ReasoningField::EnableThinking => {
            body.enable_thinking = Some(!is_off);
            body.thinking_budget = match reasoning {
                Reasoning::Budget(tokens) => Some(tokens),
                _ => None,
            };
        }
        ReasoningField::None if is_off => {}
        ReasoningField::None => losses.give_up(Unsupported {
            field: "reasoning".to_owned(),
            message: "reasoning: the provider of this model cannot be told how much to think; \
                      leave it out or choose another model"
                .to_owned(),
        })?,
    }
    Ok(body)
}

fn object(reasoning: Reasoning) -> Object {
    match reasoning {
        Reasoning::Effort(Effort::Off) => Object {
            enabled: Some(false),
            ..Object::default()
        },
        Reasoning::Budget(tokens) => Object {
            max_tokens: Some(tokens),
            ..Object::default()
        },
        other => Object {
            effort: Some(effort_word(effort(other))),
            ..Object::default()
        },
    }
}

/// The effort that a budget stands for.
pub(crate) fn effort(reasoning: Reasoning) -> Effort {
    match reasoning {
        Reasoning::Effort(effort) => effort,
        Reasoning::Budget(..4096) => Effort::Low,
        Reasoning::Budget(4096..16_384) | Reasoning::Adaptive => Effort::Medium,
        Reasoning::Budget(_) => Effort::High,
    }
}

/// OpenAI's word for an effort.
pub(crate) fn effort_word(effort: Effort) -> &'static str {
    match effort {
        Effort::Off => "none",
        Effort::Minimal => "minimal",
        Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High => "high",
        Effort::XHigh => "xhigh",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(reasoning: Reasoning, field: ReasoningField) -> String {
        let body = write(Some(reasoning), field, &mut Losses::default()).unwrap();
        serde_json::to_string(&body).unwrap()
    }

    #[test]
    fn each_vendor_is_told_in_its_own_way() {
        let off = Reasoning::Effort(Effort::Off);
        for (reasoning, field, expected) in [
            (
                Reasoning::Budget(4095),
                ReasoningField::Effort,
                r#"{"reasoning_effort":"low"}"#,
            ),
            (
                Reasoning::Budget(4096),
                ReasoningField::Effort,
                r#"{"reasoning_effort":"medium"}"#,
            ),
            (
                Reasoning::Budget(16_384),
                ReasoningField::Effort,
                r#"{"reasoning_effort":"high"}"#,
            ),
            (
                Reasoning::Adaptive,
                ReasoningField::Effort,
                r#"{"reasoning_effort":"medium"}"#,
            ),
            (off, ReasoningField::Effort, "{}"),
            (
                Reasoning::Budget(9),
                ReasoningField::Object,
                r#"{"reasoning":{"max_tokens":9}}"#,
            ),
            (
                off,
                ReasoningField::Object,
                r#"{"reasoning":{"enabled":false}}"#,
            ),
            (
                off,
                ReasoningField::ThinkingType,
                r#"{"thinking":{"type":"disabled"}}"#,
            ),
            (
                Reasoning::Adaptive,
                ReasoningField::ThinkingType,
                r#"{"thinking":{"type":"enabled"}}"#,
            ),
            (
                Reasoning::Budget(9),
                ReasoningField::EnableThinking,
                r#"{"enable_thinking":true,"thinking_budget":9}"#,
            ),
            (off, ReasoningField::None, "{}"),
        ] {
            assert_eq!(said(reasoning, field), expected);
        }
        let refused = write(
            Some(Reasoning::Adaptive),
            ReasoningField::None,
            &mut Losses::default(),
        );
        assert_eq!(refused.unwrap_err().field, "reasoning");
    }
}
