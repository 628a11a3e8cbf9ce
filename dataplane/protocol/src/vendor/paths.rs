//! Where a provider has what it is asked for.

use std::borrow::Cow;

use super::WireProtocol;
use crate::operation::Endpoint;

/// The place of an endpoint at a provider. `{model}` stands for the model, percent-encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum At {
    /// Behind the base URL.
    Base(&'static str),
    /// At the base URL's host, whatever its path.
    Host(&'static str),
}

/// The path of an endpoint behind a provider's base URL, as the vendor's own SDK appends it; with the
/// query that belongs to it.
///
/// OpenAI base URLs end in `/v1`, the others' do not.
pub fn path(
    protocol: WireProtocol,
    endpoint: Endpoint,
    model: &str,
    is_streaming: bool,
) -> Cow<'static, str> {
    match protocol {
        WireProtocol::OpenAI => Cow::Borrowed(openai(endpoint)),
        WireProtocol::Anthropic => Cow::Borrowed(match endpoint {
            Endpoint::Models => "/v1/models",
            Endpoint::CountTokens => "/v1/messages/count_tokens",
            _ => "/v1/messages",
        }),
        WireProtocol::Gemini => Cow::Owned(format!(
            "/v1beta/models/{}:{}",
            segment(model),
            verb(endpoint)
        )),
        WireProtocol::Bedrock => Cow::Owned(bedrock(endpoint, model, is_streaming)),
        WireProtocol::Cohere => Cow::Borrowed(match endpoint {
            Endpoint::Embeddings => "/v2/embed",
            Endpoint::Rerank => "/v2/rerank",
            Endpoint::Models => "/v1/models",
            _ => "/v2/chat",
        }),
    }
}

/// Source: platform.openai.com, "API reference".
fn openai(endpoint: Endpoint) -> &'static str {
    match endpoint {
        Endpoint::Completions => "/completions",
        Endpoint::Embeddings => "/embeddings",
        Endpoint::Responses => "/responses",
        Endpoint::ImageGenerations => "/images/generations",
        Endpoint::ImageEdits => "/images/edits",
        Endpoint::ImageVariations => "/images/variations",
        Endpoint::Speech => "/audio/speech",
        Endpoint::Transcriptions => "/audio/transcriptions",
        Endpoint::Translations => "/audio/translations",
        Endpoint::Moderations => "/moderations",
        Endpoint::Rerank => "/rerank",
        Endpoint::Models => "/models",
        Endpoint::Realtime => "/realtime",
        _ => "/chat/completions",
    }
}

/// Source: ai.google.dev, "All methods". Streams are asked for as events.
fn verb(endpoint: Endpoint) -> &'static str {
    match endpoint {
        Endpoint::StreamGenerateContent => "streamGenerateContent?alt=sse",
        Endpoint::GeminiCountTokens => "countTokens",
        Endpoint::EmbedContent => "embedContent",
        Endpoint::BatchEmbedContents => "batchEmbedContents",
        _ => "generateContent",
    }
}

/// Source: docs.aws.amazon.com, "Amazon Bedrock Runtime", Converse, ConverseStream, InvokeModel.
fn bedrock(endpoint: Endpoint, model: &str, is_streaming: bool) -> String {
    let action = match endpoint {
        Endpoint::Embeddings => "invoke",
        _ if is_streaming => "converse-stream",
        _ => "converse",
    };
    format!("/model/{}/{action}", segment(model))
}

/// Encodes all that is not unreserved: one segment of a path, whatever is in it.
/// Source: RFC 3986, section 2.3.
pub fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

impl At {
    /// The path with the model in its place.
    pub fn with(template: &str, model: &str) -> String {
        match template.contains("{model}") {
            true => template.replace("{model}", &segment(model)),
            false => template.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_protocol_has_its_places() {
        for (protocol, endpoint, model, is_streaming, expected) in [
            (
                WireProtocol::OpenAI,
                Endpoint::ChatCompletions,
                "m",
                true,
                "/chat/completions",
            ),
            (
                WireProtocol::OpenAI,
                Endpoint::ImageEdits,
                "m",
                false,
                "/images/edits",
            ),
            (
                WireProtocol::Anthropic,
                Endpoint::Messages,
                "m",
                true,
                "/v1/messages",
            ),
            (
                WireProtocol::Anthropic,
                Endpoint::CountTokens,
                "m",
                false,
                "/v1/messages/count_tokens",
            ),
            (
                WireProtocol::Gemini,
                Endpoint::StreamGenerateContent,
                "g/2.5",
                true,
                "/v1beta/models/g%2F2.5:streamGenerateContent?alt=sse",
            ),
            (
                WireProtocol::Bedrock,
                Endpoint::ChatCompletions,
                "arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-v1:0",
                true,
                "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.anthropic.claude-v1%3A0/converse-stream",
            ),
            (
                WireProtocol::Bedrock,
                Endpoint::Embeddings,
                "t",
                false,
                "/model/t/invoke",
            ),
            (
                WireProtocol::Cohere,
                Endpoint::Rerank,
                "r",
                false,
                "/v2/rerank",
            ),
        ] {
            assert_eq!(path(protocol, endpoint, model, is_streaming), expected);
        }
        assert_eq!(At::with("/d/{model}/x", "a b"), "/d/a%20b/x");
    }
}
