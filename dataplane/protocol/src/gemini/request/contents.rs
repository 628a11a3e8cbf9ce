//! The turns of a conversation as Gemini's contents.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::fault::{Losses, Unsupported};
use crate::message::{Conversation, Part, Role, Source, TextPart};

/// In place of a signature that was lost on the way: a model that insists on one takes it.
/// Source: ai.google.dev, "Thought signatures", "Migrating from other models".
const LOST_SIGNATURE: &str = "skip_thought_signature_validator";

#[derive(Serialize)]
pub(super) struct Content<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) role: Option<&'static str>,
    pub(super) parts: Vec<PartBody<'a>>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PartBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inline_data: Option<Blob<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_data: Option<File<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_call: Option<Call<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_response: Option<Response<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thought_signature: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Blob<'a> {
    mime_type: Cow<'a, str>,
    data: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct File<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    mime_type: Option<&'static str>,
    file_uri: &'a str,
}

#[derive(Serialize)]
struct Call<'a> {
    name: &'a str,
    args: &'a RawValue,
}

#[derive(Serialize)]
struct Response<'a> {
    name: Cow<'a, str>,
    response: Box<RawValue>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Told<'a> {
    Result(&'a str),
    Error(&'a str),
}

impl<'a> PartBody<'a> {
    pub(super) fn text(part: &'a TextPart<'a>) -> Self {
        PartBody {
            text: Some(&part.text),
            ..PartBody::default()
        }
    }
}

/// Writes the turns. Results are told by the name of what was called, which its id says.
pub(super) fn write<'a>(
    conversation: &'a Conversation<'a>,
    model: &str,
    losses: &mut Losses,
) -> Result<Vec<Content<'a>>, Unsupported> {
    let mut names = HashMap::new();
    let mut contents = Vec::with_capacity(conversation.turns.len());
    let wants_signatures = model.contains("gemini-3");
    for turn in &conversation.turns {
        let mut parts = Vec::with_capacity(turn.parts.len());
        for part in &turn.parts {
            if let Part::ToolCall { id, name, .. } = part {
                names.insert(id.as_ref(), name.as_ref());
            }
            push(part, &names, &mut parts, losses)?;
        }
        let mut calls = parts.iter_mut().filter(|part| part.function_call.is_some());
        if let Some(first) = calls.next().filter(|_| wants_signatures) {
            first.thought_signature.get_or_insert(LOST_SIGNATURE);
        }
        if !parts.is_empty() {
            let role = match turn.role {
                Role::User => "user",
                Role::Assistant => "model",
            };
            contents.push(Content {
                role: Some(role),
                parts,
            });
        }
    }
    Ok(contents)
}

fn push<'a>(
    part: &'a Part<'a>,
    names: &HashMap<&'a str, &'a str>,
    parts: &mut Vec<PartBody<'a>>,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    match part {
        Part::Text(part) => parts.push(PartBody::text(part)),
        Part::Image { source, detail, .. } => {
            if detail.is_some() {
                losses.hint("image_url.detail");
            }
            parts.push(media(source)?);
        }
        Part::Document { source, .. } => parts.push(media(source)?),
        Part::Audio { data, format } => parts.push(PartBody {
            inline_data: Some(Blob {
                mime_type: format!("audio/{format}").into(),
                data,
            }),
            ..PartBody::default()
        }),
        // What proves it goes with the calls.
        Part::Thinking(_) => losses.hint("thinking"),
        Part::ToolCall {
            name,
            arguments,
            signature,
            ..
        } => parts.push(PartBody {
            function_call: Some(Call {
                name,
                args: arguments,
            }),
            thought_signature: signature.as_deref(),
            ..PartBody::default()
        }),
        Part::ToolResult {
            id,
            content,
            is_error,
            ..
        } => {
            let Some(name) = names.get(id.as_ref()) else {
                return Err(Unsupported {
                    field: "messages".to_owned(),
                    message: format!("messages: the result of {id:?} follows no call of that id"),
                });
            };
            parts.push(PartBody {
                function_response: Some(Response {
                    name: Cow::Borrowed(name),
                    response: response(content, *is_error),
                }),
                ..PartBody::default()
            });
            // Pictures go beside it: a response is JSON.
            for part in content.iter().filter(|part| !matches!(part, Part::Text(_))) {
                push(part, names, parts, losses)?;
            }
        }
    }
    Ok(())
}

/// A result that is a JSON object goes as it is; any other under a name.
fn response(content: &[Part<'_>], is_error: bool) -> Box<RawValue> {
    let texts = content.iter().filter_map(|part| match part {
        Part::Text(part) => Some(part.text.as_ref()),
        _ => None,
    });
    let text = texts.collect::<Vec<_>>().join("\n");
    if !is_error
        && text.trim_start().starts_with('{')
        && let Ok(object) = RawValue::from_string(text.trim().to_owned())
    {
        return object;
    }
    let told = match is_error {
        true => Told::Error(&text),
        false => Told::Result(&text),
    };
    to_raw_value(&told).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

fn media<'a>(source: &'a Source<'a>) -> Result<PartBody<'a>, Unsupported> {
    match source {
        Source::Base64 { media_type, data } => Ok(PartBody {
            inline_data: Some(Blob {
                mime_type: media_type.as_str().into(),
                data,
            }),
            ..PartBody::default()
        }),
        Source::Url(url) => Ok(PartBody {
            file_data: Some(File {
                mime_type: mime_type(url),
                file_uri: url,
            }),
            ..PartBody::default()
        }),
        Source::File(_) => Err(Unsupported {
            field: "messages".to_owned(),
            message: "messages: the provider of this model does not have the file; send its data"
                .to_owned(),
        }),
    }
}

/// What a URL's ending says of what is there.
fn mime_type(url: &str) -> Option<&'static str> {
    let path = url.split(['?', '#']).next()?;
    match path.rsplit_once('.')?.1.to_ascii_lowercase().as_str() {
        "png" => Some("image/png"),
        "jpg" | "jpeg" => Some("image/jpeg"),
        "webp" => Some("image/webp"),
        "gif" => Some("image/gif"),
        "heic" => Some("image/heic"),
        "pdf" => Some("application/pdf"),
        "txt" => Some("text/plain"),
        _ => None,
    }
}
