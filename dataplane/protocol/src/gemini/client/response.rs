//! Writes a whole reply of generateContent from a translated answer.

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::gemini::finish;
use crate::gemini::usage::UsageBody;
use crate::json;
use crate::message::{Answer, Finish, Source};

/// Writes a reply. `model` is what the client called it.
pub(crate) fn write(answer: &Answer<'_>, model: &str) -> Bytes {
    let mut parts = Vec::new();
    if let Some(text) = answer.reasoning.as_deref().filter(|text| !text.is_empty()) {
        parts.push(PartBody::thought(text));
    }
    let texts = [answer.text.as_deref(), answer.refusal.as_deref()];
    for text in texts.into_iter().flatten().filter(|text| !text.is_empty()) {
        parts.push(PartBody::text(text));
    }
    for image in &answer.images {
        if let Source::Base64 { media_type, data } = image {
            parts.push(PartBody::image(media_type, data));
        }
    }
    for call in &answer.tool_calls {
        let signature = call.signature.as_deref();
        parts.push(PartBody::call(
            &call.id,
            &call.name,
            &call.arguments,
            signature,
        ));
    }
    let word = finish::word(answer.finish.as_ref().unwrap_or(&Finish::Stop));
    let reply = Reply {
        candidates: [Candidate::new(parts, Some(word))],
        usage_metadata: answer.usage.map(UsageBody::from),
        model_version: model,
        response_id: answer.id.as_deref(),
    };
    let mut out = Vec::with_capacity(512);
    json::write(&mut out, &reply);
    Bytes::from(out)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Reply<'a> {
    pub(super) candidates: [Candidate<'a>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) usage_metadata: Option<UsageBody>,
    pub(super) model_version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) response_id: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Candidate<'a> {
    content: Content<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finish_reason: Option<&'a str>,
    index: u32,
}

impl<'a> Candidate<'a> {
    pub(super) fn new(parts: Vec<PartBody<'a>>, finish_reason: Option<&'a str>) -> Self {
        Candidate {
            content: Content {
                parts,
                role: "model",
            },
            finish_reason,
            index: 0,
        }
    }
}

#[derive(Serialize)]
struct Content<'a> {
    parts: Vec<PartBody<'a>>,
    role: &'static str,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PartBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    thought: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    inline_data: Option<Blob<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_call: Option<Call<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thought_signature: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Blob<'a> {
    mime_type: &'a str,
    data: &'a str,
}

#[derive(Serialize)]
struct Call<'a> {
    id: &'a str,
    name: &'a str,
    args: &'a RawValue,
}

impl<'a> PartBody<'a> {
    pub(super) fn text(text: &'a str) -> Self {
        PartBody {
            text: Some(text),
            ..PartBody::default()
        }
    }

    pub(super) fn thought(text: &'a str) -> Self {
        PartBody {
            thought: true,
            ..PartBody::text(text)
        }
    }

    pub(super) fn image(mime_type: &'a str, data: &'a str) -> Self {
        PartBody {
            inline_data: Some(Blob { mime_type, data }),
            ..PartBody::default()
        }
    }

    pub(super) fn call(
        id: &'a str,
        name: &'a str,
        args: &'a RawValue,
        signature: Option<&'a str>,
    ) -> Self {
        PartBody {
            function_call: Some(Call { id, name, args }),
            thought_signature: signature,
            ..PartBody::default()
        }
    }
}
