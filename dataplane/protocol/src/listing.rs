//! The models that a caller may use, in each client protocol's shapes.

use bytes::Bytes;
use serde::Serialize;

use crate::json;
use crate::operation::ClientProtocol;

#[derive(Serialize)]
struct OpenAIList<'a> {
    object: &'static str,
    data: Vec<OpenAIModel<'a>>,
}

#[derive(Serialize)]
struct OpenAIModel<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
}

/// Source: docs.anthropic.com, "List Models".
#[derive(Serialize)]
struct AnthropicList<'a> {
    data: Vec<AnthropicModel<'a>>,
    has_more: bool,
    first_id: Option<&'a str>,
    last_id: Option<&'a str>,
}

#[derive(Serialize)]
struct AnthropicModel<'a> {
    r#type: &'static str,
    id: &'a str,
    display_name: &'a str,
    created_at: &'static str,
}

/// Source: ai.google.dev, "models.list".
#[derive(Serialize)]
struct GeminiList<'a> {
    models: Vec<GeminiModel<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GeminiModel<'a> {
    name: String,
    base_model_id: &'a str,
    version: &'static str,
    display_name: &'a str,
    supported_generation_methods: [&'static str; 2],
}

// When a model was made is not known here; SDKs want a number, or a date.
fn openai(id: &str) -> OpenAIModel<'_> {
    OpenAIModel {
        id,
        object: "model",
        created: 0,
        owned_by: "turnpike",
    }
}

fn anthropic(id: &str) -> AnthropicModel<'_> {
    AnthropicModel {
        r#type: "model",
        id,
        display_name: id,
        created_at: "1970-01-01T00:00:00Z",
    }
}

fn gemini(id: &str) -> GeminiModel<'_> {
    GeminiModel {
        name: format!("models/{id}"),
        base_model_id: id,
        version: "",
        display_name: id,
        supported_generation_methods: ["generateContent", "streamGenerateContent"],
    }
}

/// The list of models, in the order given.
pub fn models_list(client: ClientProtocol, ids: &[&str]) -> Bytes {
    let mut out = Vec::new();
    let all = ids.iter().copied();
    match client {
        ClientProtocol::OpenAI | ClientProtocol::Responses => {
            let data = all.map(openai).collect();
            json::write(
                &mut out,
                &OpenAIList {
                    object: "list",
                    data,
                },
            );
        }
        ClientProtocol::Anthropic => {
            let list = AnthropicList {
                data: all.map(anthropic).collect(),
                has_more: false,
                first_id: ids.first().copied(),
                last_id: ids.last().copied(),
            };
            json::write(&mut out, &list);
        }
        ClientProtocol::Gemini => {
            let models = all.map(gemini).collect();
            json::write(&mut out, &GeminiList { models });
        }
    }
    Bytes::from(out)
}

/// One model.
pub fn model_object(client: ClientProtocol, id: &str) -> Bytes {
    let mut out = Vec::new();
    match client {
        ClientProtocol::OpenAI | ClientProtocol::Responses => json::write(&mut out, &openai(id)),
        ClientProtocol::Anthropic => json::write(&mut out, &anthropic(id)),
        ClientProtocol::Gemini => json::write(&mut out, &gemini(id)),
    }
    Bytes::from(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_holds_model_objects() {
        for (client, one, list) in [
            (
                ClientProtocol::OpenAI,
                r#"{"id":"a\"b","object":"model","created":0,"owned_by":"turnpike"}"#,
                r#"{"object":"list","data":[ONE]}"#,
            ),
            (
                ClientProtocol::Anthropic,
                r#"{"type":"model","id":"a\"b","display_name":"a\"b","created_at":"1970-01-01T00:00:00Z"}"#,
                r#"{"data":[ONE],"has_more":false,"first_id":"a\"b","last_id":"a\"b"}"#,
            ),
            (
                ClientProtocol::Gemini,
                r#"{"name":"models/a\"b","baseModelId":"a\"b","version":"","displayName":"a\"b","supportedGenerationMethods":["generateContent","streamGenerateContent"]}"#,
                r#"{"models":[ONE]}"#,
            ),
        ] {
            assert_eq!(model_object(client, "a\"b"), one);
            assert_eq!(models_list(client, &["a\"b"]), list.replace("ONE", one));
        }
        let none = models_list(ClientProtocol::OpenAI, &[]);
        assert_eq!(none, r#"{"object":"list","data":[]}"#);
    }
}
