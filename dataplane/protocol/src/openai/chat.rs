//! OpenAI's chat completions, as spoken by providers to whom others' requests are translated.
//!
//! Source: platform.openai.com, "Chat Completions"; what its many speakers make of it.

mod call;
mod content;
mod reasoning;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod stream;

pub(crate) use call::arguments_object;

use crate::message::Finish;

/// A finish reason in the model's terms. Some servers say `stop` although there are calls.
pub(super) fn finish(word: &str, has_calls: bool) -> Finish {
    match word {
        "stop" if has_calls => Finish::ToolCalls,
        "stop" | "eos" | "end_turn" | "stop_sequence" => Finish::Stop,
        "length" | "max_tokens" | "model_length" => Finish::Length,
        "tool_calls" | "function_call" | "tool_use" => Finish::ToolCalls,
        "content_filter" | "sensitive" => Finish::ContentFilter,
        other => Finish::Other(other.to_owned()),
    }
}
