//! Vendors as data: which protocol each speaks, where, and how a key is shown.

use std::str::FromStr;

use crate::operation::{Endpoint, Endpoints, Operation};

/// What a provider speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WireProtocol {
    /// OpenAI's chat completions, embeddings and what else it has under `/v1`; spoken by many.
    OpenAI,
    /// Anthropic's Messages.
    Anthropic,
    /// Gemini's generateContent.
    Gemini,
    /// Amazon Bedrock's Converse.
    Bedrock,
    /// Cohere's v2.
    Cohere,
    /// Alibaba's DashScope, in its own words.
    DashScope,
    /// A Dify application.
    Dify,
    /// A Coze bot.
    Coze,
}

/// All of them.
pub const PROTOCOLS: [WireProtocol; 8] = [
    WireProtocol::OpenAI,
    WireProtocol::Anthropic,
    WireProtocol::Gemini,
    WireProtocol::Bedrock,
    WireProtocol::Cohere,
    WireProtocol::DashScope,
    WireProtocol::Dify,
    WireProtocol::Coze,
];

impl WireProtocol {
    /// The name as resources write it.
    pub fn as_str(self) -> &'static str {
        match self {
            WireProtocol::OpenAI => "OpenAI",
            WireProtocol::Anthropic => "Anthropic",
            WireProtocol::Gemini => "Gemini",
            WireProtocol::Bedrock => "Bedrock",
            WireProtocol::Cohere => "Cohere",
            WireProtocol::DashScope => "DashScope",
            WireProtocol::Dify => "Dify",
            WireProtocol::Coze => "Coze",
        }
    }

    /// How a provider of this protocol is shown a key when no vendor says otherwise.
    pub fn default_auth(self) -> Auth {
        match self {
            WireProtocol::Anthropic => Auth::XApiKey,
            WireProtocol::Gemini => Auth::XGoogApiKey,
            _ => Auth::Bearer,
        }
    }

    /// The path of the base URL that clients of a server of one's own are usually given.
    pub fn default_path(self) -> &'static str {
        match self {
            WireProtocol::OpenAI | WireProtocol::Dify => "/v1",
            _ => "",
        }
    }

    /// The endpoints that whoever speaks it takes as clients send them. OpenAI's Responses is not
    /// among them: of those who speak OpenAI's protocol only some have it.
    pub fn natives(self) -> Endpoints {
        match self {
            WireProtocol::OpenAI => {
                const {
                    Endpoints::of(&[
                        Endpoint::ChatCompletions,
                        Endpoint::Completions,
                        Endpoint::Embeddings,
                        Endpoint::ImageGenerations,
                        Endpoint::ImageEdits,
                        Endpoint::ImageVariations,
                        Endpoint::Speech,
                        Endpoint::Transcriptions,
                        Endpoint::Translations,
                        Endpoint::Moderations,
                        Endpoint::Rerank,
                        Endpoint::Realtime,
                    ])
                }
            }
            WireProtocol::Anthropic => {
                const { Endpoints::of(&[Endpoint::Messages, Endpoint::CountTokens]) }
            }
            WireProtocol::Gemini => {
                const {
                    Endpoints::of(&[
                        Endpoint::GenerateContent,
                        Endpoint::StreamGenerateContent,
                        Endpoint::GeminiCountTokens,
                        Endpoint::EmbedContent,
                        Endpoint::BatchEmbedContents,
                    ])
                }
            }
            WireProtocol::Cohere => const { Endpoints::of(&[Endpoint::Rerank]) },
            WireProtocol::Bedrock
            | WireProtocol::DashScope
            | WireProtocol::Dify
            | WireProtocol::Coze => Endpoints::default(),
        }
    }
}

/// What sets one speaker of a protocol apart from the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quirks {
    /// Knows the role `developer`; elsewhere it is sent as `system`.
    pub developer_role: bool,
    /// Takes `stream_options`.
    pub stream_options: bool,
    /// Takes `response_format` of type `json_schema`.
    pub json_schema: bool,
    /// Takes `parallel_tool_calls`.
    pub parallel_tool_calls: bool,
    /// Takes `max_completion_tokens`; elsewhere it is sent as `max_tokens`.
    pub max_completion_tokens: bool,
    /// How it is told how much to think.
    pub reasoning: ReasoningField,
}

/// Where a speaker of OpenAI's protocol is told how much to think.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReasoningField {
    /// `reasoning_effort`.
    Effort,
    /// OpenRouter's `reasoning: {effort | max_tokens | enabled}`.
    Object,
    /// `thinking: {type: enabled | disabled}`, as Zhipu and Doubao have it.
    ThinkingType,
    /// `enable_thinking` and `thinking_budget`, as Qwen has it.
    EnableThinking,
    /// Nowhere.
    None,
}

impl Quirks {
    /// OpenAI's own.
    pub const OPENAI: Quirks = Quirks {
        developer_role: true,
        stream_options: true,
        json_schema: true,
        parallel_tool_calls: true,
        max_completion_tokens: true,
        reasoning: ReasoningField::Effort,
    };

    /// What most of those have who speak OpenAI's protocol.
    pub const COMPATIBLE: Quirks = Quirks {
        developer_role: false,
        max_completion_tokens: false,
        ..Quirks::OPENAI
    };
}

/// A protocol's name that nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown protocol {0:?}")]
pub struct UnknownProtocol(pub String);

impl FromStr for WireProtocol {
    type Err = UnknownProtocol;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let mut known = PROTOCOLS.into_iter();
        known
            .find(|protocol| protocol.as_str() == name)
            .ok_or_else(|| UnknownProtocol(name.to_owned()))
    }
}

/// How a key is shown to a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Auth {
    /// `authorization: Bearer KEY`
    Bearer,
    /// `x-api-key: KEY` and [`ANTHROPIC_VERSION`].
    XApiKey,
    /// `x-goog-api-key: KEY`
    XGoogApiKey,
    /// No key at all.
    None,
}

/// The header that goes with [`Auth::XApiKey`].
/// Source: docs.anthropic.com, "Versions"; the only stable version since 2023-06.
pub const ANTHROPIC_VERSION: (&str, &str) = ("anthropic-version", "2023-06-01");

/// Where a vendor's answers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// A server, over HTTP.
    Http,
    /// [`crate::echo()`], inside this process.
    Echo,
}

/// What is known of a vendor before anybody configures it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preset {
    /// The name as resources write it.
    pub name: &'static str,
    /// What it speaks.
    pub protocol: WireProtocol,
    /// Where it is reached unless told otherwise.
    pub base_url: Option<&'static str>,
    /// How it is shown a key.
    pub auth: Auth,
    /// Where its answers come from.
    pub transport: Transport,
}

/// All vendors known.
/// Source of the addresses: each vendor's API reference and official SDK, November 2026.
pub const PRESETS: &[Preset] = &[
    over_http("OpenAI", WireProtocol::OpenAI, "https://api.openai.com/v1"),
    over_http(
        "Anthropic",
        WireProtocol::Anthropic,
        "https://api.anthropic.com",
    ),
    over_http(
        "DeepSeek",
        WireProtocol::OpenAI,
        "https://api.deepseek.com/v1",
    ),
    Preset {
        name: "Echo",
        protocol: WireProtocol::OpenAI,
        base_url: None,
        auth: Auth::None,
        transport: Transport::Echo,
    },
];

const fn over_http(name: &'static str, protocol: WireProtocol, url: &'static str) -> Preset {
    let auth = match protocol {
        WireProtocol::Anthropic => Auth::XApiKey,
        WireProtocol::Gemini => Auth::XGoogApiKey,
        _ => Auth::Bearer,
    };
    Preset {
        name,
        protocol,
        base_url: Some(url),
        auth,
        transport: Transport::Http,
    }
}

/// Finds a vendor by its exact name.
pub fn preset(vendor: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == vendor)
}

/// The path of an operation, to be appended to a provider's base URL as the vendor's own SDK does.
///
/// OpenAI base URLs end in `/v1`, Anthropic's do not. What Anthropic lacks (embeddings, Realtime) is refused
/// before anybody asks for its path.
pub fn upstream_path(protocol: WireProtocol, operation: &Operation) -> &'static str {
    match (protocol, operation.endpoint()) {
        (WireProtocol::OpenAI, Endpoint::ChatCompletions) => "/chat/completions",
        (WireProtocol::OpenAI, Endpoint::Embeddings) => "/embeddings",
        (WireProtocol::OpenAI, Endpoint::Models) => "/models",
        (WireProtocol::OpenAI, Endpoint::Realtime) => "/realtime",
        (WireProtocol::Anthropic, Endpoint::Models) => "/v1/models",
        _ => "/v1/messages",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_found_by_name_and_shows_keys_as_its_protocol_does() {
        for one in PRESETS {
            assert_eq!(preset(one.name), Some(one));
            assert_eq!(
                WireProtocol::from_str(one.protocol.as_str()),
                Ok(one.protocol)
            );
            match one.transport {
                Transport::Http => assert_eq!(one.auth, one.protocol.default_auth()),
                Transport::Echo => assert_eq!((one.auth, one.base_url), (Auth::None, None)),
            }
        }
        assert_eq!(preset("openai"), None);
    }
}
