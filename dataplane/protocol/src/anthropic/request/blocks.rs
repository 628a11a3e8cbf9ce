//! Content blocks of the Messages API.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::fault::{Losses, Unsupported};
use crate::hash::fnv1a;
use crate::message::{Part, Source, TextPart, Thought};

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Block<'a> {
    Tagged(Tagged<'a>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Tagged<'a> {
    Thinking {
        thinking: &'a str,
        signature: &'a str,
    },
    RedactedThinking {
        data: &'a str,
    },
    Text {
        text: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<&'a RawValue>,
    },
    Image {
        source: SourceBody<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<&'a RawValue>,
    },
    Document {
        source: SourceBody<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        title: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<&'a RawValue>,
    },
    ToolUse {
        id: Cow<'a, str>,
        name: &'a str,
        input: &'a RawValue,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<&'a RawValue>,
    },
    ToolResult {
        tool_use_id: Cow<'a, str>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        content: Vec<Block<'a>>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<&'a RawValue>,
    },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum SourceBody<'a> {
    Url { url: &'a str },
    File { file_id: &'a str },
    Base64 { media_type: &'a str, data: &'a str },
}

pub(super) fn text<'a>(part: &'a TextPart<'a>) -> Block<'a> {
    Block::Tagged(Tagged::Text {
        text: &part.text,
        cache_control: part.cache,
    })
}

/// Writes a part; `None`: it was given up.
pub(super) fn block<'a>(
    part: &'a Part<'a>,
    losses: &mut Losses,
) -> Result<Option<Block<'a>>, Unsupported> {
    Ok(Some(Block::Tagged(match part {
        Part::Text(part) => return Ok(Some(text(part))),
        Part::Audio { .. } => {
            losses.give_up(Unsupported {
                field: "messages".to_owned(),
                message: "messages: the provider of this model takes no audio".to_owned(),
            })?;
            return Ok(None);
        }
        // What is not signed cannot be replayed, and is not expected back.
        Part::Thinking(Thought::Told {
            signature: None, ..
        }) => return Ok(None),
        Part::Thinking(Thought::Told { text, signature }) => Tagged::Thinking {
            thinking: text,
            signature: signature.as_deref().unwrap_or_default(),
        },
        Part::Thinking(Thought::Redacted { data }) => Tagged::RedactedThinking { data },
        Part::Image {
            source,
            detail,
            cache,
        } => {
            if detail.is_some() {
                losses.hint("image_url.detail");
            }
            Tagged::Image {
                source: source_body(source),
                cache_control: *cache,
            }
        }
        Part::Document {
            source,
            title,
            cache,
        } => Tagged::Document {
            source: source_body(source),
            title: title.as_deref(),
            cache_control: *cache,
        },
        Part::ToolCall {
            id,
            name,
            arguments,
            cache,
            ..
        } => Tagged::ToolUse {
            id: tool_id(id),
            name,
            input: arguments,
            cache_control: *cache,
        },
        // Parts nest one level deep: the parser admits no result inside a result.
        Part::ToolResult {
            id,
            content,
            is_error,
            cache,
        } => Tagged::ToolResult {
            tool_use_id: tool_id(id),
            is_error: *is_error,
            content: blocks(content, losses)?,
            cache_control: *cache,
        },
    })))
}

/// Writes parts, without those that were given up.
pub(super) fn blocks<'a>(
    parts: &'a [Part<'a>],
    losses: &mut Losses,
) -> Result<Vec<Block<'a>>, Unsupported> {
    let written = parts.iter().map(|part| block(part, losses));
    written.filter_map(Result::transpose).collect()
}

fn source_body<'a>(source: &'a Source<'a>) -> SourceBody<'a> {
    match source {
        Source::Url(url) => SourceBody::Url { url },
        Source::File(file_id) => SourceBody::File { file_id },
        Source::Base64 { media_type, data } => SourceBody::Base64 { media_type, data },
    }
}

/// The API takes letters, digits, `_` and `-` only; other vendors' ids (`functions.get:0`) come in
/// conversations that change provider midway. A hash of the whole keeps the changed ones apart.
pub(crate) fn tool_id(id: &str) -> Cow<'_, str> {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !id.is_empty() && id.chars().all(is_fine) {
        return Cow::Borrowed(id);
    }
    let plain: String = id
        .chars()
        .map(|c| if is_fine(c) { c } else { '_' })
        .collect();
    Cow::Owned(format!("{plain}_{:08x}", fnv1a(id.as_bytes()) as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_other_vendors_become_valid_and_stay_apart() {
        assert_eq!(tool_id("call_aB-9"), "call_aB-9");
        let odd = [
            tool_id("f.get:0"),
            tool_id("f.get.0"),
            tool_id("f_get:0"),
            tool_id(""),
        ];
        for (index, id) in odd.iter().enumerate() {
            assert!(
                id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'),
                "{id}"
            );
            assert!(!odd[..index].contains(id), "{id}");
        }
    }
}
