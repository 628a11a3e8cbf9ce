//! Vendors as data: which protocol each speaks, where, and how a key is shown.

mod paths;
mod presets;

use std::str::FromStr;

use crate::operation::{Endpoint, Endpoints};

pub use paths::{At, path, segment};
pub use presets::{PRESETS, preset};

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
}

/// All of them.
pub const PROTOCOLS: [WireProtocol; 5] = [
    WireProtocol::OpenAI,
    WireProtocol::Anthropic,
    WireProtocol::Gemini,
    WireProtocol::Bedrock,
    WireProtocol::Cohere,
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
        }
    }

    /// How a provider of this protocol is shown a key when no vendor says otherwise.
    pub fn default_auth(self) -> Auth {
        match self {
            WireProtocol::Anthropic => Auth::XApiKey,
            WireProtocol::Gemini => Auth::XGoogApiKey,
            WireProtocol::Bedrock => Auth::Aws,
            WireProtocol::OpenAI | WireProtocol::Cohere => Auth::Bearer,
        }
    }

    /// The path of the base URL that clients of a server of one's own are usually given.
    pub fn default_path(self) -> &'static str {
        match self {
            WireProtocol::OpenAI => "/v1",
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
            WireProtocol::Bedrock => Endpoints::default(),
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
    /// `authorization: KEY`
    Raw,
    /// `x-api-key: KEY` and [`ANTHROPIC_VERSION`].
    XApiKey,
    /// `api-key: KEY`
    ApiKey,
    /// `x-goog-api-key: KEY`
    XGoogApiKey,
    /// AWS's Signature Version 4, or `authorization: Bearer KEY` with one of Bedrock's API keys.
    Aws,
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
    /// Where it is reached unless told otherwise; `None`: it is everybody's own.
    pub base_url: Option<&'static str>,
    /// How it is shown a key.
    pub auth: Auth,
    /// Where its answers come from.
    pub transport: Transport,
    /// What it takes as clients send it besides what its protocol has.
    pub more: Endpoints,
    /// Where it has endpoints at other places than is usual for its protocol.
    pub paths: &'static [(Endpoint, At)],
    /// What sets it apart.
    pub quirks: Quirks,
}

impl Preset {
    /// The endpoints that it takes as clients send them.
    pub fn natives(&self) -> Endpoints {
        const ECHOED: Endpoints = Endpoints::of(&[Endpoint::ChatCompletions, Endpoint::Embeddings]);
        match self.transport {
            Transport::Echo => ECHOED,
            Transport::Http => self.protocol.natives().and(self.more),
        }
    }
}
