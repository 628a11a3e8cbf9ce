//! The contents of a request: turns of parts.

use std::borrow::Cow;

use serde_json::value::{RawValue, to_raw_value};

use crate::fault::{Losses, Unsupported};
use crate::json;
use crate::message::{Conversation, Part, Role, Source, TextPart, Turn};
use crate::strict::{Members, unsupported};

/// Reads `contents`. Calls without an id get one from their place, which their results have, too.
pub(super) fn read<'a>(
    request: &mut Members<'a>,
    conversation: &mut Conversation<'a>,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    let mut calls = Calls::default();
    for (path, raw) in request.array("contents")?.unwrap_or_default() {
        let mut content = Members::open(path, raw)?;
        let role = match content.string("role")?.as_deref() {
            None | Some("user" | "function") => Role::User,
            Some("model") => Role::Assistant,
            Some(_) => {
                let known = "must be \"user\" or \"model\"";
                return Err(unsupported(content.path.at("role"), known));
            }
        };
        let mut parts = Vec::new();
        for (path, raw) in content.array("parts")?.unwrap_or_default() {
            let part = Members::open(path, raw)?.camel_case();
            parts.extend(read_part(part, &mut calls, losses)?);
        }
        content.refuse_rest(losses)?;
        append(&mut conversation.turns, role, parts);
    }
    match conversation.turns.is_empty() {
        true => {
            let what = "must hold something of the user's that is not empty";
            Err(unsupported(super::request::top("contents"), what))
        }
        false => Ok(()),
    }
}

/// The texts of an instruction.
pub(super) fn texts<'a>(content: &mut Members<'a>) -> Result<Vec<Cow<'a, str>>, Unsupported> {
    let mut texts = Vec::new();
    for (path, raw) in content.array("parts")?.unwrap_or_default() {
        let text = Members::open(path, raw)?.required_string("text")?;
        if !text.is_empty() {
            texts.push(text);
        }
    }
    Ok(texts)
}

fn append<'a>(turns: &mut Vec<Turn<'a>>, role: Role, parts: Vec<Part<'a>>) {
    if parts.is_empty() {
        return;
    }
    match turns.last_mut().filter(|turn| turn.role == role) {
        Some(turn) => turn.parts.extend(parts),
        None => turns.push(Turn { role, parts }),
    }
}

/// The calls that have no result yet, in order.
#[derive(Default)]
struct Calls {
    count: usize,
    open: Vec<(String, String)>,
}

impl Calls {
    fn made(&mut self, id: Option<Cow<'_, str>>, name: &str) -> String {
        let id = id.map_or_else(|| format!("call_{}", self.count), Cow::into_owned);
        self.count += 1;
        self.open.push((id.clone(), name.to_owned()));
        id
    }

    /// The call that a result is of: by its id, else the first of its name.
    fn answered(&mut self, id: Option<Cow<'_, str>>, name: &str) -> Option<String> {
        let is_it = |(known, called): &(String, String)| match &id {
            Some(id) => known == id.as_ref(),
            None => called == name,
        };
        let at = self.open.iter().position(is_it)?;
        Some(self.open.remove(at).0)
    }
}

/// `None`: it says nothing, or is given up.
fn read_part<'a>(
    mut part: Members<'a>,
    calls: &mut Calls,
    losses: &mut Losses,
) -> Result<Option<Part<'a>>, Unsupported> {
    let signature = part.string("thoughtSignature")?;
    let is_thought = part.bool("thought")?.unwrap_or(false);
    part.skip(&["partMetadata"]);
    let read = if let Some(text) = part.string("text")? {
        if is_thought || text.is_empty() {
            // Unsigned: it is not expected back.
            None
        } else {
            Some(Part::Text(TextPart { text, cache: None }))
        }
    } else if let Some(call) = part.members("functionCall")? {
        Some(read_call(call, signature, calls, losses)?)
    } else if let Some(response) = part.members("functionResponse")? {
        Some(read_response(response.camel_case(), calls, losses)?)
    } else if let Some(blob) = part.members("inlineData")? {
        let mut blob = blob.camel_case();
        let media_type = blob.required_string("mimeType")?;
        let data = blob.required_string("data")?;
        blob.skip(&["displayName"]);
        blob.refuse_rest(losses)?;
        Some(media(media_type, data))
    } else if let Some(file) = part.members("fileData")? {
        let mut file = file.camel_case();
        let uri = file.required_string("fileUri")?;
        let kind = file.string("mimeType")?.unwrap_or_default();
        file.skip(&["displayName"]);
        file.refuse_rest(losses)?;
        Some(linked(&kind, uri))
    } else {
        None
    };
    part.refuse_rest(losses)?;
    Ok(read)
}

fn read_call<'a>(
    mut call: Members<'a>,
    signature: Option<Cow<'a, str>>,
    calls: &mut Calls,
    losses: &mut Losses,
) -> Result<Part<'a>, Unsupported> {
    let name = call.required_string("name")?;
    let id = calls.made(call.string("id")?, &name);
    let arguments = match call.take("args") {
        None => empty_object(),
        Some(raw) if raw.get().starts_with('{') => raw.to_owned(),
        Some(_) => return Err(unsupported(call.path.at("args"), "must be an object")),
    };
    call.refuse_rest(losses)?;
    Ok(Part::ToolCall {
        id: Cow::Owned(id),
        name,
        arguments,
        signature,
        cache: None,
    })
}

fn empty_object() -> Box<RawValue> {
    let empty = to_raw_value(&serde_json::Map::new());
    empty.unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// A result under one of Google's usual names is told by itself; any other as the object it is.
fn read_response<'a>(
    mut response: Members<'a>,
    calls: &mut Calls,
    losses: &mut Losses,
) -> Result<Part<'a>, Unsupported> {
    let name = response.required_string("name")?;
    let id = response.string("id")?;
    let Some(id) = calls.answered(id, &name) else {
        let what = format!("{name:?} answers no call before it");
        return Err(unsupported(response.path.at("name"), what));
    };
    let raw = response.required("response")?;
    let Some(object) = json::object(raw) else {
        return Err(unsupported(
            response.path.at("response"),
            "must be an object",
        ));
    };
    let only = |name: &str| match object.members.as_slice() {
        [(key, value)] if key == name => json::string(value),
        _ => None,
    };
    let error = only("error");
    let is_error = error.is_some();
    let text = error.or_else(|| only("result")).or_else(|| only("output"));
    response.skip(&["willContinue", "scheduling", "parts"]);
    response.refuse_rest(losses)?;
    Ok(Part::ToolResult {
        id: Cow::Owned(id),
        content: vec![Part::Text(TextPart {
            text: text.unwrap_or(Cow::Borrowed(raw.get())),
            cache: None,
        })],
        is_error,
        cache: None,
    })
}

fn media<'a>(media_type: Cow<'a, str>, data: Cow<'a, str>) -> Part<'a> {
    if let Some(format) = media_type.strip_prefix("audio/") {
        let format = match format {
            "mpeg" => "mp3",
            "x-wav" | "wave" => "wav",
            other => other,
        };
        return Part::Audio {
            data,
            format: Cow::Owned(format.to_owned()),
        };
    }
    let is_image = media_type.starts_with("image/");
    let source = Source::Base64 {
        media_type: media_type.into_owned(),
        data,
    };
    of_source(is_image, source)
}

fn linked<'a>(kind: &str, uri: Cow<'a, str>) -> Part<'a> {
    let source = match uri.starts_with("http://") || uri.starts_with("https://") {
        true => Source::Url(uri),
        false => Source::File(uri),
    };
    of_source(kind.is_empty() || kind.starts_with("image/"), source)
}

fn of_source(is_image: bool, source: Source<'_>) -> Part<'_> {
    match is_image {
        true => Part::Image {
            source,
            detail: None,
            cache: None,
        },
        false => Part::Document {
            source,
            title: None,
            cache: None,
        },
    }
}
