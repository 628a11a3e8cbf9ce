//! The content blocks of a message.

use std::borrow::Cow;

use serde_json::value::{RawValue, to_raw_value};

use crate::fault::{Losses, Unsupported};
use crate::json;
use crate::message::{Part, Source, TextPart, Thought};
use crate::strict::{Members, elements, unsupported};

/// Reads `content`: a string or blocks. Empty texts are left out: they say nothing.
pub(super) fn read<'a>(
    message: &mut Members<'a>,
    losses: &mut Losses,
) -> Result<Vec<Part<'a>>, Unsupported> {
    let raw = message.required("content")?;
    of_value(message.path.at("content"), raw, Place::Message, losses)
}

/// Where a block stands: results hold no calls and no results.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Message,
    Result,
}

fn of_value<'a>(
    path: crate::strict::Path,
    raw: &'a RawValue,
    place: Place,
    losses: &mut Losses,
) -> Result<Vec<Part<'a>>, Unsupported> {
    let mut parts = Vec::new();
    if let Some(text) = json::string(raw) {
        parts.push(Part::Text(TextPart { text, cache: None }));
    } else {
        for (path, raw) in elements(&path, raw)? {
            parts.extend(block(Members::open(path, raw)?, place, losses)?);
        }
    }
    parts.retain(|part| !matches!(part, Part::Text(text) if text.text.is_empty()));
    Ok(parts)
}

/// Reads a block. `None`: it is given up.
fn block<'a>(
    mut block: Members<'a>,
    place: Place,
    losses: &mut Losses,
) -> Result<Option<Part<'a>>, Unsupported> {
    let kind = block.required_string("type")?;
    let cache = block.take("cache_control");
    let read = match (kind.as_ref(), place) {
        ("text", _) => {
            if block.take("citations").is_some() {
                losses.hint(block.path.at("citations"));
            }
            Part::Text(TextPart {
                text: block.required_string("text")?,
                cache,
            })
        }
        ("image", _) => Part::Image {
            source: source(&mut block, losses)?,
            detail: None,
            cache,
        },
        ("document", _) => return document(block, cache, losses).map(Some),
        ("thinking", Place::Message) => Part::Thinking(Thought::Told {
            text: block.required_string("thinking")?,
            signature: block.string("signature")?.filter(|text| !text.is_empty()),
        }),
        ("redacted_thinking", Place::Message) => Part::Thinking(Thought::Redacted {
            data: block.required_string("data")?,
        }),
        ("tool_use", Place::Message) => Part::ToolCall {
            id: block.required_string("id")?,
            name: block.required_string("name")?,
            arguments: input(&mut block)?,
            signature: None,
            cache,
        },
        ("tool_result", Place::Message) => result(&mut block, cache, losses)?,
        (other, _) => {
            let what = format!("{other:?} cannot be carried to the provider of this model");
            losses.give_up(unsupported(block.path.at("type"), what))?;
            return Ok(None);
        }
    };
    // Who made a call is Anthropic's own.
    block.skip(&["caller"]);
    block.refuse_rest(losses)?;
    Ok(Some(read))
}

fn input(block: &mut Members<'_>) -> Result<Box<RawValue>, Unsupported> {
    let Some(raw) = block.take("input") else {
        let empty = to_raw_value(&serde_json::Map::new());
        return Ok(empty.unwrap_or_else(|_| RawValue::NULL.to_owned()));
    };
    match raw.get().starts_with('{') {
        true => Ok(raw.to_owned()),
        false => Err(unsupported(block.path.at("input"), "must be an object")),
    }
}

fn result<'a>(
    block: &mut Members<'a>,
    cache: Option<&'a RawValue>,
    losses: &mut Losses,
) -> Result<Part<'a>, Unsupported> {
    let content = match block.take("content") {
        None => Vec::new(),
        Some(raw) => of_value(block.path.at("content"), raw, Place::Result, losses)?,
    };
    Ok(Part::ToolResult {
        id: block.required_string("tool_use_id")?,
        content,
        is_error: block.bool("is_error")?.unwrap_or(false),
        cache,
    })
}

fn source<'a>(block: &mut Members<'a>, losses: &mut Losses) -> Result<Source<'a>, Unsupported> {
    let mut source = block.required_members("source")?;
    let read = match source.required_string("type")?.as_ref() {
        "base64" => Source::Base64 {
            media_type: source.required_string("media_type")?.into_owned(),
            data: source.required_string("data")?,
        },
        "url" => Source::Url(source.required_string("url")?),
        "file" => Source::File(source.required_string("file_id")?),
        other => {
            let what = format!("{other:?} is unknown; use \"base64\", \"url\" or \"file\"");
            return Err(unsupported(source.path.at("type"), what));
        }
    };
    source.refuse_rest(losses)?;
    Ok(read)
}

/// A document of plain text is text.
fn document<'a>(
    mut block: Members<'a>,
    cache: Option<&'a RawValue>,
    losses: &mut Losses,
) -> Result<Part<'a>, Unsupported> {
    let title = block.string("title")?;
    for hint in ["citations", "context"] {
        if block.take(hint).is_some() {
            losses.hint(block.path.at(hint));
        }
    }
    let mut given = block.required_members("source")?;
    let read = match given.required_string("type")?.as_ref() {
        "text" => {
            given.skip(&["media_type"]);
            Part::Text(TextPart {
                text: titled(title, given.required_string("data")?),
                cache,
            })
        }
        "base64" => Part::Document {
            source: Source::Base64 {
                media_type: given.required_string("media_type")?.into_owned(),
                data: given.required_string("data")?,
            },
            title,
            cache,
        },
        "url" => Part::Document {
            source: Source::Url(given.required_string("url")?),
            title,
            cache,
        },
        "file" => Part::Document {
            source: Source::File(given.required_string("file_id")?),
            title,
            cache,
        },
        other => {
            let what = format!("{other:?} cannot be carried to the provider of this model");
            return Err(unsupported(given.path.at("type"), what));
        }
    };
    given.refuse_rest(losses)?;
    block.refuse_rest(losses)?;
    Ok(read)
}

fn titled<'a>(title: Option<Cow<'a, str>>, text: Cow<'a, str>) -> Cow<'a, str> {
    match title {
        None => text,
        Some(title) => Cow::Owned(format!("{title}\n\n{text}")),
    }
}
