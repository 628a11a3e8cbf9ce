//! Reads OpenAI's `usage` member, in the forms that its many speakers give it.

use crate::json;
use crate::usage::Usage;

/// Reads a usage object. Any member may be missing; an explicit zero is zero.
///
/// Sources: platform.openai.com, "The chat completion object"; api-docs.deepseek.com, "Context
/// Caching" (`prompt_cache_hit_tokens`). Input includes cached tokens in both.
pub(crate) fn read(usage: &[u8]) -> Usage {
    const MEMBERS: [&str; 9] = [
        "prompt_tokens",
        "completion_tokens",
        "prompt_cache_hit_tokens",
        "prompt_tokens_details",
        "completion_tokens_details",
        // Images and transcripts.
        "input_tokens",
        "output_tokens",
        "input_tokens_details",
        // Reranking, by those who tell no more.
        "total_tokens",
    ];
    let [
        input,
        output,
        hit,
        prompt,
        completion,
        taken,
        given,
        details,
        total,
    ] = pick(Some(usage), &MEMBERS);
    let (input, output) = (input.or(taken), output.or(given));
    let input = input.or(total.filter(|_| output.is_none()));
    let prompt = prompt.or(details);
    let [heard] = pick(prompt, &["audio_tokens"]);
    let [spoken] = pick(completion, &["audio_tokens"]);
    let [cached, written] = pick(prompt, &["cached_tokens", "cache_write_tokens"]);
    let [reasoning] = pick(completion, &["reasoning_tokens"]);
    let count = |value: Option<&[u8]>| value.and_then(json::count);
    Usage {
        input: count(input),
        cached_input: count(cached).or_else(|| count(hit)),
        cache_write: count(written),
        output: count(output),
        reasoning: count(reasoning),
        audio_input: count(heard),
        audio_output: count(spoken),
        ..Usage::default()
    }
}

/// What is no object has no members.
fn pick<'a, const N: usize>(object: Option<&'a [u8]>, names: &[&str; N]) -> [Option<&'a [u8]>; N] {
    let picked = object.and_then(|object| json::pick(object, names).ok());
    picked.unwrap_or([None; N])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_is_not_zero_and_odd_types_are_absent() {
        let read = |text: &str| read(text.as_bytes());
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
