//! The content of one message: a string, or an array of parts.

use std::borrow::Cow;

use crate::fault::{Losses, Unsupported};
use crate::json;
use crate::message::{Part, Source, TextPart};
use crate::strict::{Members, Path, elements, unsupported};
use serde_json::value::RawValue;

/// Which parts a message may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Allowed {
    Text,
    TextAndImages,
    Everything,
}

/// Reads `content`. Empty texts are left out: they say nothing, and some providers refuse them.
pub(super) fn read<'a>(
    message: &mut Members<'a>,
    allowed: Allowed,
    losses: &mut Losses,
) -> Result<Vec<Part<'a>>, Unsupported> {
    let Some(raw) = message.take("content") else {
        return Ok(Vec::new());
    };
    let mut content = Vec::new();
    if let Some(text) = json::string(raw) {
        content.push(Part::Text(TextPart { text, cache: None }));
    } else if raw.get().starts_with('[') {
        for part in parts(message, raw)? {
            content.push(read_part(part, allowed, losses)?);
        }
    } else {
        return Err(unsupported(
            message.path.at("content"),
            "must be a string or an array of parts",
        ));
    }
    content.retain(|part| !matches!(part, Part::Text(text) if text.text.is_empty()));
    Ok(content)
}

/// Opens `content` when it is an array of parts.
fn parts<'a>(message: &Members<'a>, raw: &'a RawValue) -> Result<Vec<Members<'a>>, Unsupported> {
    let opened = elements(&message.path.at("content"), raw)?.into_iter();
    opened.map(|(path, raw)| Members::open(path, raw)).collect()
}

fn read_part<'a>(
    mut part: Members<'a>,
    allowed: Allowed,
    losses: &mut Losses,
) -> Result<Part<'a>, Unsupported> {
    let kind = part.required_string("type")?;
    let cache = part.take("cache_control");
    let read = match kind.as_ref() {
        "text" => Part::Text(TextPart {
            text: part.required_string("text")?,
            cache,
        }),
        "refusal" => Part::Text(TextPart {
            text: part.required_string("refusal")?,
            cache,
        }),
        "image_url" if allowed >= Allowed::TextAndImages => {
            let (source, detail) = image(&mut part, losses)?;
            Part::Image {
                source,
                detail,
                cache,
            }
        }
        "input_audio" if allowed == Allowed::Everything => {
            let mut audio = part.required_members("input_audio")?;
            let read = Part::Audio {
                data: audio.required_string("data")?,
                format: audio.required_string("format")?,
            };
            audio.refuse_rest(losses)?;
            read
        }
        "file" if allowed == Allowed::Everything => {
            let (source, title) = file(&mut part, losses)?;
            Part::Document {
                source,
                title,
                cache,
            }
        }
        other => {
            let what = format!("{other:?} cannot be carried to the provider of this model here");
            return Err(unsupported(part.path.at("type"), what));
        }
    };
    part.refuse_rest(losses)?;
    Ok(read)
}

type Image<'a> = (Source<'a>, Option<Cow<'a, str>>);

fn image<'a>(part: &mut Members<'a>, losses: &mut Losses) -> Result<Image<'a>, Unsupported> {
    const TYPES: &[&str] = &["image/jpeg", "image/png", "image/gif", "image/webp"];
    let mut image = part.required_members("image_url")?;
    let url = image.required_string("url")?;
    let path = image.path.at("url");
    let detail = image.string("detail")?.filter(|detail| detail != "auto");
    image.refuse_rest(losses)?;
    if url.starts_with("https://") || url.starts_with("http://") {
        return Ok((Source::Url(url), detail));
    }
    let source = data_of(&url, TYPES).ok_or_else(|| {
        unsupported(
            path,
            "must be an http(s) URL, or base64 data of a JPEG, PNG, GIF or WebP image",
        )
    })?;
    Ok((source, detail))
}

type File<'a> = (Source<'a>, Option<Cow<'a, str>>);

fn file<'a>(part: &mut Members<'a>, losses: &mut Losses) -> Result<File<'a>, Unsupported> {
    let mut file = part.required_members("file")?;
    let title = file.string("filename")?;
    let data = file.required_string("file_data")?;
    let path: Path = file.path.at("file_data");
    file.refuse_rest(losses)?;
    let source = data_of(&data, &["application/pdf"]).ok_or_else(|| {
        unsupported(
            path,
            "must be base64 data of a PDF: data:application/pdf;base64,…",
        )
    })?;
    Ok((source, title))
}

/// Takes `data:TYPE;base64,DATA` apart.
pub(crate) fn data_url<'a>(url: &Cow<'a, str>) -> Option<Source<'a>> {
    let (head, data) = url.strip_prefix("data:")?.split_once(',')?;
    let media_type = head
        .strip_suffix(";base64")?
        .split(';')
        .next()?
        .to_ascii_lowercase();
    let media_type = if media_type == "image/jpg" {
        "image/jpeg".to_owned()
    } else {
        media_type
    };
    if data.is_empty() {
        return None;
    }
    let start = url.len() - data.len();
    let data = match url {
        Cow::Borrowed(url) => Cow::Borrowed(&url[start..]),
        Cow::Owned(url) => Cow::Owned(url[start..].to_owned()),
    };
    Some(Source::Base64 { media_type, data })
}

/// The same for one of these types alone.
pub(crate) fn data_of<'a>(url: &Cow<'a, str>, types: &[&str]) -> Option<Source<'a>> {
    data_url(url).filter(|source| {
        matches!(source, Source::Base64 { media_type, .. } if types.contains(&media_type.as_str()))
    })
}
