//! The parts of a message for a provider.

use std::borrow::Cow;

use serde::Serialize;

use crate::fault::{Losses, Unsupported};
use crate::message::{Part, Source};

/// A string where it is text alone.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Content<'a> {
    Text(Cow<'a, str>),
    Parts(Vec<PartBody<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum PartBody<'a> {
    Text { text: Cow<'a, str> },
    ImageUrl { image_url: ImageBody<'a> },
    InputAudio { input_audio: AudioBody<'a> },
    File { file: FileBody<'a> },
}

#[derive(Serialize)]
pub(super) struct ImageBody<'a> {
    url: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

#[derive(Serialize)]
pub(super) struct AudioBody<'a> {
    data: &'a str,
    format: &'a str,
}

#[derive(Default, Serialize)]
pub(super) struct FileBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    filename: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_id: Option<&'a str>,
}

impl<'a> Content<'a> {
    /// `None`: there is nothing.
    pub(super) fn of(mut parts: Vec<PartBody<'a>>) -> Option<Self> {
        match parts.as_mut_slice() {
            [] => None,
            [PartBody::Text { text }] => Some(Content::Text(std::mem::take(text))),
            _ => Some(Content::Parts(parts)),
        }
    }
}

/// Writes a part of a user's message. `None`: it is given up.
pub(super) fn part<'a>(
    part: &'a Part<'a>,
    losses: &mut Losses,
) -> Result<Option<PartBody<'a>>, Unsupported> {
    Ok(Some(match part {
        Part::Text(part) => {
            hint_cache(part.cache.is_some(), losses);
            PartBody::Text {
                text: Cow::Borrowed(&part.text),
            }
        }
        Part::Image {
            source,
            detail,
            cache,
        } => {
            hint_cache(cache.is_some(), losses);
            PartBody::ImageUrl {
                image_url: ImageBody {
                    url: image_url(source)?,
                    detail: detail.as_deref(),
                },
            }
        }
        Part::Audio { data, format } => PartBody::InputAudio {
            input_audio: AudioBody { data, format },
        },
        Part::Document {
            source,
            title,
            cache,
        } => {
            hint_cache(cache.is_some(), losses);
            PartBody::File {
                file: file(source, title.as_deref())?,
            }
        }
        Part::Thinking(_) | Part::ToolCall { .. } | Part::ToolResult { .. } => return Ok(None),
    }))
}

/// Providers of this protocol cache by themselves.
pub(super) fn hint_cache(is_marked: bool, losses: &mut Losses) {
    if is_marked && !losses.dropped.iter().any(|path| path == "cache_control") {
        losses.hint("cache_control");
    }
}

fn image_url<'a>(source: &'a Source<'a>) -> Result<Cow<'a, str>, Unsupported> {
    match source {
        Source::Url(url) => Ok(Cow::Borrowed(url)),
        Source::Base64 { media_type, data } => {
            Ok(Cow::Owned(format!("data:{media_type};base64,{data}")))
        }
        Source::File(_) => Err(refused("an image by the id of a file")),
    }
}

fn file<'a>(source: &'a Source<'a>, title: Option<&'a str>) -> Result<FileBody<'a>, Unsupported> {
    match source {
        Source::Base64 { media_type, data } => Ok(FileBody {
            filename: Some(title.unwrap_or("file")),
            file_data: Some(format!("data:{media_type};base64,{data}")),
            file_id: None,
        }),
        Source::File(id) => Ok(FileBody {
            file_id: Some(id),
            ..FileBody::default()
        }),
        Source::Url(_) => Err(refused("a document by URL")),
    }
}

fn refused(what: &str) -> Unsupported {
    Unsupported {
        field: "messages".to_owned(),
        message: format!("messages: the provider of this model takes no {what}; send its data"),
    }
}
