//! Reads a `usage` that counts in input and output tokens: that of responses, images and audio.

use crate::json;
use crate::usage::Usage;

/// Reads a usage object. Any member may be missing; an explicit zero is zero.
///
/// Sources: platform.openai.com, "The response object", "The image generation response",
/// "Transcription object" (which alone says `input_token_details`, or seconds instead of tokens).
pub(crate) fn read(usage: &[u8]) -> Usage {
    const MEMBERS: [&str; 6] = [
        "input_tokens",
        "output_tokens",
        "input_tokens_details",
        "input_token_details",
        "output_tokens_details",
        "seconds",
    ];
    const OF_INPUT: [&str; 4] = [
        "cached_tokens",
        "cache_write_tokens",
        "audio_tokens",
        "image_tokens",
    ];
    const OF_OUTPUT: [&str; 3] = ["reasoning_tokens", "audio_tokens", "image_tokens"];
    let [input, output, of_input, of_sound, of_output, seconds] = pick(Some(usage), &MEMBERS);
    let [cached, written, audio_input, image_input] = pick(of_input.or(of_sound), &OF_INPUT);
    let [reasoning, audio_output, image_output] = pick(of_output, &OF_OUTPUT);
    let count = |value: Option<&[u8]>| value.and_then(json::count);
    Usage {
        input: count(input),
        cached_input: count(cached),
        cache_write: count(written),
        output: count(output),
        reasoning: count(reasoning),
        audio_input: count(audio_input),
        audio_output: count(audio_output),
        image_input: count(image_input),
        image_output: count(image_output),
        audio_seconds: seconds.and_then(rounded_up),
    }
}

fn rounded_up(value: &[u8]) -> Option<u64> {
    let seconds: f64 = str::from_utf8(value).ok()?.parse().ok()?;
    (0.0..9e15)
        .contains(&seconds)
        .then_some(seconds.ceil() as u64)
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
    fn absent_is_not_zero_and_each_kind_is_kept_apart() {
        assert!(read(b"{}").is_empty() && read(b"7").is_empty());
        let usage = read(
            br#"{"input_tokens":9,"input_tokens_details":{"cached_tokens":0,"image_tokens":4},
                 "output_tokens":5,"output_tokens_details":{"reasoning_tokens":2}}"#,
        );
        assert_eq!(
            usage,
            Usage {
                input: Some(9),
                cached_input: Some(0),
                image_input: Some(4),
                output: Some(5),
                reasoning: Some(2),
                ..Usage::default()
            }
        );
    }

    #[test]
    fn sound_is_counted_in_tokens_or_in_seconds() {
        let tokens =
            read(br#"{"type":"tokens","input_tokens":3,"input_token_details":{"audio_tokens":2}}"#);
        assert_eq!((tokens.input, tokens.audio_input), (Some(3), Some(2)));
        let read = |text: &str| read(text.as_bytes()).audio_seconds;
        assert_eq!(read(r#"{"type":"duration","seconds":7.2}"#), Some(8));
        assert_eq!(read(r#"{"seconds":-1}"#), None);
        assert_eq!(read(r#"{"seconds":1e300}"#), None);
    }
}
