//! Reads Bedrock's `usage` member.

use crate::json::Object;
use crate::usage::Usage;

/// The usage as we count it, in which input includes the caches; `None` if nothing was told.
///
/// Bedrock's `inputTokens` is only what no cache had a hand in.
/// Source: docs.aws.amazon.com, "Prompt caching for faster model inference", "TokenUsage" (2026-11).
pub(super) fn read(usage: &Object<'_>) -> Option<Usage> {
    let cached_input = usage.u64("cacheReadInputTokens");
    let cache_write = usage.u64("cacheWriteInputTokens");
    let inputs = [usage.u64("inputTokens"), cached_input, cache_write];
    let sum = |sum: u64, part: &u64| sum.saturating_add(*part);
    let is_told = inputs.iter().any(Option::is_some);
    let usage = Usage {
        input: is_told.then(|| inputs.iter().flatten().fold(0, sum)),
        cached_input,
        cache_write,
        output: usage.u64("outputTokens"),
        ..Usage::default()
    };
    (!usage.is_empty()).then_some(usage)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(text: &str) -> Option<Usage> {
        read(&Object::parse(text.as_bytes()).unwrap())
    }

    #[test]
    fn input_is_the_sum_of_its_parts() {
        let told = usage(
            r#"{"inputTokens":16,"outputTokens":9,"cacheReadInputTokens":0,"cacheWriteInputTokens":2387,
            "totalTokens":2412}"#,
        )
        .unwrap();
        assert_eq!((told.input, told.output), (Some(2403), Some(9)));
        assert_eq!((told.cached_input, told.cache_write), (Some(0), Some(2387)));
        assert_eq!(told.total(), 2412);
    }

    #[test]
    fn what_is_not_told_is_not_zero_and_what_cannot_be_does_not_overflow() {
        assert_eq!(usage(r#"{"serverToolUsage":{}}"#), None);
        let output = usage(r#"{"outputTokens":0}"#).unwrap();
        assert_eq!((output.input, output.output), (None, Some(0)));
        let huge = usage(r#"{"inputTokens":18446744073709551615,"cacheReadInputTokens":1}"#);
        assert_eq!(huge.unwrap().input, Some(u64::MAX));
    }
}
