//! Writes a whole message from a translated answer.

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use super::word;
use crate::json;
use crate::message::{Answer, Finish, Thought};
use crate::usage::Usage;

/// Writes a message. `model` is what the client called it.
pub(crate) fn write(answer: &Answer<'_>, model: &str, created: u64) -> Bytes {
    let made = format!("msg_{created}");
    let sequence = answer.stop_sequence.as_deref();
    let finish = answer.finish.as_ref().unwrap_or(&Finish::Stop);
    let message = Message {
        id: answer.id.as_deref().unwrap_or(&made),
        r#type: "message",
        role: "assistant",
        model,
        content: content(answer),
        stop_reason: Some(word(finish, sequence.is_some())),
        stop_sequence: sequence,
        usage: UsageBody::from(answer.usage.unwrap_or_default()),
    };
    let mut out = Vec::with_capacity(512);
    json::write(&mut out, &message);
    Bytes::from(out)
}

/// Thinking, then text, then calls. Thinking without a signature is shown all the same.
fn content<'a>(answer: &'a Answer<'_>) -> Vec<Block<'a>> {
    let mut blocks: Vec<Block<'_>> = answer.thinking.iter().map(thought).collect();
    if let (true, Some(text)) = (blocks.is_empty(), answer.reasoning.as_deref()) {
        blocks.push(Block::Thinking {
            thinking: text,
            signature: "",
        });
    }
    let texts = [answer.text.as_deref(), answer.refusal.as_deref()];
    for text in texts.into_iter().flatten().filter(|text| !text.is_empty()) {
        blocks.push(Block::Text { text });
    }
    blocks.extend(answer.tool_calls.iter().map(|call| Block::ToolUse {
        id: &call.id,
        name: &call.name,
        input: &call.arguments,
    }));
    blocks
}

fn thought<'a>(thought: &'a Thought<'_>) -> Block<'a> {
    match thought {
        Thought::Told { text, signature } => Block::Thinking {
            thinking: text,
            signature: signature.as_deref().unwrap_or_default(),
        },
        Thought::Redacted { data } => Block::RedactedThinking { data },
    }
}

#[derive(Serialize)]
pub(super) struct Message<'a> {
    pub(super) id: &'a str,
    pub(super) r#type: &'static str,
    pub(super) role: &'static str,
    pub(super) model: &'a str,
    pub(super) content: Vec<Block<'a>>,
    pub(super) stop_reason: Option<&'a str>,
    pub(super) stop_sequence: Option<&'a str>,
    pub(super) usage: UsageBody,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Block<'a> {
    Text {
        text: &'a str,
    },
    Thinking {
        thinking: &'a str,
        signature: &'a str,
    },
    RedactedThinking {
        data: &'a str,
    },
    ToolUse {
        id: &'a str,
        name: &'a str,
        input: &'a RawValue,
    },
}

/// Anthropic's usage: input is what was neither read from a cache nor written to one.
#[derive(Serialize)]
pub(super) struct UsageBody {
    input_tokens: u64,
    cache_creation_input_tokens: u64,
    cache_read_input_tokens: u64,
    output_tokens: u64,
}

impl From<Usage> for UsageBody {
    fn from(usage: Usage) -> Self {
        let (read, written) = (
            usage.cached_input.unwrap_or(0),
            usage.cache_write.unwrap_or(0),
        );
        UsageBody {
            input_tokens: usage.input.unwrap_or(0).saturating_sub(read + written),
            cache_creation_input_tokens: written,
            cache_read_input_tokens: read,
            output_tokens: usage.output.unwrap_or(0),
        }
    }
}
