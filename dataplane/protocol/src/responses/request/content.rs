//! The content of a message, or the output of a call: a string, or an array of parts.

use std::borrow::Cow;

use crate::fault::{Losses, Unsupported};
use crate::json;
use crate::message::{Part, Source, TextPart};
use crate::openai::request::content::data_of;
use crate::strict::{Members, Path, elements, unsupported};

/// Which parts may stand there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Allowed {
    Text,
    Everything,
}

/// Reads the member `name`. Empty texts are left out: they say nothing, and some providers refuse
/// them.
pub(super) fn read<'a>(
    holder: &mut Members<'a>,
    name: &str,
    allowed: Allowed,
    losses: &mut Losses,
) -> Result<Vec<Part<'a>>, Unsupported> {
    let path = holder.path.at(name);
    let Some(raw) = holder.take(name) else {
        return Ok(Vec::new());
    };
    let mut content = Vec::new();
    if let Some(text) = json::string(raw) {
        content.push(Part::Text(TextPart { text, cache: None }));
    } else if raw.get().starts_with('[') {
        for (path, raw) in elements(&path, raw)? {
            content.push(part(Members::open(path, raw)?, allowed, losses)?);
        }
    } else {
        let what = "must be a string or an array of parts";
        return Err(unsupported(path, what));
    }
    content.retain(|part| !matches!(part, Part::Text(text) if text.text.is_empty()));
    Ok(content)
}

fn part<'a>(
    mut part: Members<'a>,
    allowed: Allowed,
    losses: &mut Losses,
) -> Result<Part<'a>, Unsupported> {
    let kind = part.required_string("type")?;
    let read = match kind.as_ref() {
        "input_text" | "output_text" | "text" => {
            // Told of an answer; nothing that the next one builds on.
            part.skip(&["annotations", "logprobs"]);
            text(part.required_string("text")?)
        }
        "refusal" => text(part.required_string("refusal")?),
        "input_image" if allowed == Allowed::Everything => image(&mut part)?,
        "input_file" if allowed == Allowed::Everything => file(&mut part)?,
        "input_audio" if allowed == Allowed::Everything => {
            let mut audio = part.required_members("input_audio")?;
            let read = Part::Audio {
                data: audio.required_string("data")?,
                format: audio.required_string("format")?,
            };
            audio.refuse_rest(losses)?;
            read
        }
        other => {
            let what = format!("{other:?} cannot be carried to the provider of this model here");
            return Err(unsupported(part.path.at("type"), what));
        }
    };
    part.refuse_rest(losses)?;
    Ok(read)
}

fn text(text: Cow<'_, str>) -> Part<'_> {
    Part::Text(TextPart { text, cache: None })
}

fn image<'a>(part: &mut Members<'a>) -> Result<Part<'a>, Unsupported> {
    const TYPES: &[&str] = &["image/jpeg", "image/png", "image/gif", "image/webp"];
    let path = part.path.at("image_url");
    let source = match (part.string("image_url")?, part.string("file_id")?) {
        (Some(url), None) if is_web(&url) => Source::Url(url),
        (Some(url), None) => {
            let known = "must be an http(s) URL, or base64 data of a JPEG, PNG, GIF or WebP image";
            data_of(&url, TYPES).ok_or_else(|| unsupported(path, known))?
        }
        (None, Some(id)) => Source::File(id),
        (Some(_), Some(_)) => return Err(unsupported(path, "cannot stand beside file_id")),
        (None, None) => return Err(unsupported(path, "or file_id is required")),
    };
    Ok(Part::Image {
        source,
        detail: part.string("detail")?.filter(|detail| detail != "auto"),
        cache: None,
    })
}

fn file<'a>(part: &mut Members<'a>) -> Result<Part<'a>, Unsupported> {
    let path = part.path.at("file_data");
    let given = (
        part.string("file_data")?,
        part.string("file_url")?,
        part.string("file_id")?,
    );
    let source = match given {
        (Some(data), None, None) => pdf(&data, path)?,
        (None, Some(url), None) if is_web(&url) => Source::Url(url),
        (None, Some(_), None) => {
            return Err(unsupported(
                part.path.at("file_url"),
                "must be an http(s) URL",
            ));
        }
        (None, None, Some(id)) => Source::File(id),
        _ => {
            let what = "must be the one of file_data, file_url and file_id that is given";
            return Err(unsupported(path, what));
        }
    };
    Ok(Part::Document {
        source,
        title: part.string("filename")?,
        cache: None,
    })
}

fn pdf<'a>(data: &Cow<'a, str>, path: Path) -> Result<Source<'a>, Unsupported> {
    let known = "must be base64 data of a PDF: data:application/pdf;base64,…";
    data_of(data, &["application/pdf"]).ok_or_else(|| unsupported(path, known))
}

fn is_web(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://")
}
