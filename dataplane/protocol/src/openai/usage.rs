//! Reads OpenAI's `usage` member, in the forms that its many speakers give it.

use crate::json::Object;
use crate::usage::Usage;

/// Reads a usage object. Any member may be missing; an explicit zero is zero.
///
/// Sources: platform.openai.com, "The chat completion object"; api-docs.deepseek.com, "Context
/// Caching" (`prompt_cache_hit_tokens`). Input includes cached tokens in both.
pub(crate) fn read(usage: &Object<'_>) -> Usage {
    let prompt = usage.object("prompt_tokens_details").unwrap_or_default();
    let completion = usage
        .object("completion_tokens_details")
        .unwrap_or_default();
    Usage {
        input: usage.u64("prompt_tokens"),
        cached_input: prompt
            .u64("cached_tokens")
            .or_else(|| usage.u64("prompt_cache_hit_tokens")),
        cache_write: prompt.u64("cache_write_tokens"),
        output: usage.u64("completion_tokens"),
        reasoning: completion.u64("reasoning_tokens"),
        ..Usage::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_is_not_zero_and_odd_types_are_absent() {
        let read = |text: &str| read(&Object::parse(text.as_bytes()).unwrap());
        assert!(read("{}").is_empty());
        let usage = read(
            r#"{"prompt_tokens":0,"completion_tokens":"5","prompt_tokens_details":{"cached_tokens":0},
                "completion_tokens_details":null}"#,
        );
        assert_eq!(
            usage,
            Usage {
                input: Some(0),
                cached_input: Some(0),
                ..Usage::default()
            }
        );
        assert_eq!(
            read(r#"{"prompt_cache_hit_tokens":9}"#).cached_input,
            Some(9)
        );
    }
}
