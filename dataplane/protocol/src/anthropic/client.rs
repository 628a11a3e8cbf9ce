//! Anthropic's Messages, as spoken by clients.
//!
//! Source: docs.anthropic.com, "Messages", "Streaming messages", "Extended thinking" (2026-11).

mod blocks;
pub(crate) mod emit;
pub(crate) mod request;
pub(crate) mod response;

use crate::message::Finish;

/// The stop reason in Anthropic's words.
fn word(finish: &Finish, has_stop_sequence: bool) -> &str {
    match finish {
        Finish::Stop if has_stop_sequence => "stop_sequence",
        Finish::Stop => "end_turn",
        Finish::Length => "max_tokens",
        Finish::ToolCalls => "tool_use",
        Finish::ContentFilter => "refusal",
        // One of Anthropic's own words, if it comes from there; SDKs know no others.
        Finish::Other(word) if word == "pause_turn" => word,
        Finish::Other(_) => "end_turn",
    }
}
