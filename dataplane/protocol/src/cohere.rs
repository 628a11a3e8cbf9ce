//! Cohere's v2, as spoken by providers.
//!
//! Source: docs.cohere.com, "Chat", "Chat with Streaming", "Embed" (2026-11).

pub(crate) mod embeddings;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod stream;

use crate::json::Object;
use crate::message::Finish;
use crate::usage::Usage;

/// A finish reason in the model's terms.
fn finish(word: &str) -> Finish {
    match word {
        "COMPLETE" | "STOP_SEQUENCE" => Finish::Stop,
        "MAX_TOKENS" => Finish::Length,
        "TOOL_CALL" => Finish::ToolCalls,
        other => Finish::Other(other.to_owned()),
    }
}

/// Tokens as they were, else as they are billed.
fn usage(usage: &Object<'_>) -> Option<Usage> {
    let tokens = usage.object("tokens").unwrap_or_default();
    let billed = usage.object("billed_units").unwrap_or_default();
    let count = |name| tokens.u64(name).or_else(|| billed.u64(name));
    let usage = Usage {
        input: count("input_tokens"),
        cached_input: usage.u64("cached_tokens"),
        output: count("output_tokens"),
        ..Usage::default()
    };
    (!usage.is_empty()).then_some(usage)
}
