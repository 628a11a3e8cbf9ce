//! Gemini's `usageMetadata`.

use serde::Serialize;

use crate::json::{self, Object};
use crate::usage::Usage;

/// Reads it. What was thought is not among the candidates' tokens; what a cache held is among the
/// prompt's.
pub(crate) fn read(metadata: &Object<'_>) -> Usage {
    let candidates = metadata.u64("candidatesTokenCount");
    let thoughts = metadata.u64("thoughtsTokenCount");
    let prompt = metadata.u64("promptTokenCount");
    let by_tools = metadata.u64("toolUsePromptTokenCount");
    Usage {
        input: prompt.map(|prompt| prompt + by_tools.unwrap_or(0)),
        cached_input: metadata.u64("cachedContentTokenCount"),
        output: match (candidates, thoughts) {
            (None, None) => None,
            (said, thought) => Some(said.unwrap_or(0) + thought.unwrap_or(0)),
        },
        reasoning: thoughts,
        audio_input: of_sound(metadata, "promptTokensDetails"),
        audio_output: of_sound(metadata, "candidatesTokensDetails"),
        ..Usage::default()
    }
}

fn of_sound(metadata: &Object<'_>, name: &str) -> Option<u64> {
    let details = metadata.array(name)?;
    let mut details = details.into_iter().filter_map(json::object);
    let sound = details.find(|one| one.str("modality").as_deref() == Some("AUDIO"))?;
    sound.u64("tokenCount")
}

/// As clients get it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UsageBody {
    prompt_token_count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cached_content_token_count: Option<u64>,
    candidates_token_count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    thoughts_token_count: Option<u64>,
    total_token_count: u64,
}

impl From<Usage> for UsageBody {
    fn from(usage: Usage) -> Self {
        let output = usage.output.unwrap_or(0);
        UsageBody {
            prompt_token_count: usage.input.unwrap_or(0),
            cached_content_token_count: usage.cached_input,
            candidates_token_count: output.saturating_sub(usage.reasoning.unwrap_or(0)),
            thoughts_token_count: usage.reasoning,
            total_token_count: usage.total(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thoughts_are_output_and_caches_are_input() {
        let text = br#"{"promptTokenCount":9,"cachedContentTokenCount":4,"candidatesTokenCount":5,
            "thoughtsTokenCount":2,"toolUsePromptTokenCount":1,
            "promptTokensDetails":[{"modality":"TEXT","tokenCount":6},{"modality":"AUDIO","tokenCount":3}]}"#;
        let usage = read(&Object::parse(text).unwrap());
        let expected = Usage {
            input: Some(10),
            cached_input: Some(4),
            output: Some(7),
            reasoning: Some(2),
            audio_input: Some(3),
            ..Usage::default()
        };
        assert_eq!(usage, expected);
        let written = serde_json::to_value(UsageBody::from(usage)).unwrap();
        assert_eq!(written["candidatesTokenCount"], 5);
        assert_eq!(written["totalTokenCount"], 17);
        assert!(read(&Object::parse(b"{}").unwrap()).is_empty());
    }
}
