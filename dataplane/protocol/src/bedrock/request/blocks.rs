//! Content blocks of Converse: each an object with one member, named after what it is.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use super::document::{self, Names};
use super::{refusal, tool_id};
use crate::bedrock::family::Family;
use crate::fault::{Losses, Unsupported};
use crate::json;
use crate::message::{Part, Source, TextPart, Thought};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Block<'a> {
    Text(&'a str),
    Image(Media<'a>),
    Audio(Media<'a>),
    Document(Document<'a>),
    ReasoningContent(Reasoning<'a>),
    ToolUse(ToolUse<'a>),
    ToolResult(ToolResult<'a>),
    CachePoint(CachePoint),
}

impl Block<'_> {
    pub(super) fn is_cache_point(&self) -> bool {
        matches!(self, Block::CachePoint(_))
    }
}

#[derive(Serialize)]
pub(super) struct Media<'a> {
    format: Cow<'a, str>,
    source: BytesSource<'a>,
}

#[derive(Serialize)]
pub(super) struct Document<'a> {
    format: &'static str,
    name: String,
    source: BytesSource<'a>,
}

#[derive(Serialize)]
struct BytesSource<'a> {
    /// Base64.
    bytes: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Reasoning<'a> {
    ReasoningText { text: &'a str, signature: &'a str },
    RedactedContent(&'a str),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolUse<'a> {
    tool_use_id: Cow<'a, str>,
    name: &'a str,
    input: &'a RawValue,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolResult<'a> {
    tool_use_id: Cow<'a, str>,
    content: Vec<Block<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
}

/// What stands before it is worth keeping.
#[derive(Serialize)]
pub(super) struct CachePoint {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<&'static str>,
}

/// Writes blocks for one family of models.
pub(super) struct Writer {
    family: Family,
    names: Names,
    /// A cache marker, or how long it should last, could not be carried.
    pub(super) lost_cache_marker: bool,
}

impl Writer {
    pub(super) fn new(family: Family) -> Self {
        Self {
            family,
            names: Names::default(),
            lost_cache_marker: false,
        }
    }

    /// Writes parts, without those that were given up.
    pub(super) fn blocks<'a>(
        &mut self,
        parts: &'a [Part<'a>],
        losses: &mut Losses,
    ) -> Result<Vec<Block<'a>>, Unsupported> {
        let mut blocks = Vec::with_capacity(parts.len());
        for part in parts {
            self.part(part, &mut blocks, losses)?;
        }
        Ok(blocks)
    }

    /// Writes a text unless it is blank, which says nothing and is refused by the API.
    pub(super) fn text<'a>(&mut self, part: &'a TextPart<'a>, out: &mut Vec<Block<'a>>) {
        if !part.text.trim().is_empty() {
            out.push(Block::Text(&part.text));
        }
        self.mark(part.cache, out);
    }

    fn part<'a>(
        &mut self,
        part: &'a Part<'a>,
        out: &mut Vec<Block<'a>>,
        losses: &mut Losses,
    ) -> Result<(), Unsupported> {
        let cache = match part {
            Part::Text(part) => {
                self.text(part, out);
                None
            }
            Part::Image {
                source,
                detail,
                cache,
            } => {
                if detail.is_some() {
                    losses.hint("image_url.detail");
                }
                out.push(image(source)?);
                *cache
            }
            Part::Audio { data, format } => {
                out.push(audio(data, format)?);
                None
            }
            Part::Document {
                source,
                title,
                cache,
            } => {
                let name = self.names.name(title.as_deref());
                out.push(document(source, name)?);
                *cache
            }
            Part::Thinking(thought) => {
                out.extend(self.thought(thought, losses));
                None
            }
            Part::ToolCall {
                id,
                name,
                arguments,
                cache,
                ..
            } => {
                out.push(tool_use(id, name, arguments));
                *cache
            }
            Part::ToolResult {
                id,
                content,
                is_error,
                cache,
            } => {
                let (content, inner) = self.result(content, losses)?;
                let status = self.status(*is_error, losses);
                out.push(tool_result(id, content, status));
                cache.or(inner)
            }
        };
        self.mark(cache, out);
        Ok(())
    }

    /// The content of a tool's result, and a cache marker found in it. A result has no room for one; it
    /// goes behind the result, which is a little later, and never marks less than was asked for.
    fn result<'a>(
        &mut self,
        parts: &'a [Part<'a>],
        losses: &mut Losses,
    ) -> Result<(Vec<Block<'a>>, Option<&'a RawValue>), Unsupported> {
        let mut blocks = Vec::with_capacity(parts.len());
        let mut marker = None;
        for part in parts {
            let cache = match part {
                Part::Text(part) => part.cache,
                Part::Image { cache, .. } | Part::Document { cache, .. } => *cache,
                _ => None,
            };
            marker = cache.or(marker);
            self.part(part, &mut blocks, losses)?;
        }
        blocks.retain(|block| !block.is_cache_point());
        Ok((blocks, marker))
    }

    /// Only Nova and Claude are told apart from its content that a result is an error.
    /// Source: Bedrock API reference, "ToolResultBlock" (2026-11).
    fn status(&self, is_error: bool, losses: &mut Losses) -> Option<&'static str> {
        if !is_error {
            return None;
        }
        if self.family == Family::Other {
            losses.hint("is_error");
            return None;
        }
        Some("error")
    }

    /// What is not signed cannot be replayed and is not expected back; what Claude has signed means
    /// nothing to others.
    fn thought<'a>(&self, thought: &'a Thought<'a>, losses: &mut Losses) -> Option<Block<'a>> {
        let reasoning = match thought {
            Thought::Told { text, signature } => Reasoning::ReasoningText {
                text,
                signature: signature.as_deref()?,
            },
            Thought::Redacted { data } => Reasoning::RedactedContent(data),
        };
        if !matches!(self.family, Family::Claude | Family::Unknown) {
            losses.hint("thinking");
            return None;
        }
        Some(Block::ReasoningContent(reasoning))
    }

    /// Turns the caller's marker on what was last written into a cache point behind it.
    fn mark(&mut self, marker: Option<&RawValue>, out: &mut Vec<Block<'_>>) {
        let Some(marker) = marker else {
            return;
        };
        // Two points in one place are one, and nothing is kept of nothing.
        if out.last().is_none_or(Block::is_cache_point) {
            return;
        }
        if !self.family.caches() {
            self.lost_cache_marker = true;
            return;
        }
        let point = self.cache_point(marker);
        out.push(Block::CachePoint(point));
    }

    /// A point that lasts as long as the marker says: five minutes unless told otherwise.
    pub(super) fn cache_point(&mut self, marker: &RawValue) -> CachePoint {
        let ttl = json::object(marker).and_then(|marker| marker.str("ttl"));
        let is_long = ttl.as_deref() == Some("1h");
        let can_last = self.family.caches_tools();
        self.lost_cache_marker |= is_long && !can_last;
        CachePoint {
            r#type: "default",
            ttl: (is_long && can_last).then_some("1h"),
        }
    }

    /// Whether the tools may have cache points; a marker that they may not have is lost.
    pub(super) fn may_mark_tools(&mut self) -> bool {
        let may = self.family.caches_tools();
        self.lost_cache_marker |= !may;
        may
    }
}

fn tool_use<'a>(id: &'a str, name: &'a str, input: &'a RawValue) -> Block<'a> {
    Block::ToolUse(ToolUse {
        tool_use_id: tool_id(id),
        name,
        input,
    })
}

fn tool_result<'a>(
    id: &'a str,
    content: Vec<Block<'a>>,
    status: Option<&'static str>,
) -> Block<'a> {
    Block::ToolResult(ToolResult {
        tool_use_id: tool_id(id),
        content,
        status,
    })
}

fn image<'a>(source: &'a Source<'a>) -> Result<Block<'a>, Unsupported> {
    const FORMATS: &[&str] = &["png", "jpeg", "gif", "webp"];
    const WHAT: &str = "the provider of this model takes images as base64 data only (PNG, JPEG, GIF or \
                        WebP: data:image/png;base64,…), not by URL or file id";
    let Source::Base64 { media_type, data } = source else {
        return Err(refusal("messages", WHAT));
    };
    let format = media_type.strip_prefix("image/").unwrap_or_default();
    if !FORMATS.contains(&format) {
        return Err(refusal("messages", WHAT));
    }
    Ok(Block::Image(Media {
        format: Cow::Borrowed(format),
        source: BytesSource { bytes: data },
    }))
}

/// Source: Bedrock API reference, "AudioBlock" (2026-11).
fn audio<'a>(data: &'a str, format: &'a str) -> Result<Block<'a>, Unsupported> {
    const FORMATS: &[&str] = &[
        "mp3", "opus", "wav", "aac", "flac", "mp4", "ogg", "mkv", "mka", "x-aac", "m4a", "mpeg",
        "mpga", "pcm", "webm",
    ];
    let format = match format {
        "pcm16" => "pcm",
        other => other,
    };
    if !FORMATS.contains(&format) {
        let what = format!("the provider of this model takes no audio of format {format:?}");
        return Err(refusal("messages", &what));
    }
    Ok(Block::Audio(Media {
        format: Cow::Borrowed(format),
        source: BytesSource { bytes: data },
    }))
}

fn document<'a>(source: &'a Source<'a>, name: String) -> Result<Block<'a>, Unsupported> {
    let Source::Base64 { media_type, data } = source else {
        let what = "the provider of this model takes documents as base64 data only, not by URL or file \
                    id";
        return Err(refusal("messages", what));
    };
    let Some(format) = document::format(media_type) else {
        let what = format!("the provider of this model takes no documents of type {media_type:?}");
        return Err(refusal("messages", &what));
    };
    Ok(Block::Document(Document {
        format,
        name,
        source: BytesSource { bytes: data },
    }))
}
