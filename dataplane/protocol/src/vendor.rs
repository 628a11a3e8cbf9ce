//! Vendors as data: which protocol each speaks, where, and how a key is shown.

use std::str::FromStr;

use crate::operation::Operation;

/// What a provider speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WireProtocol {
    /// OpenAI's chat completions and embeddings, spoken by many.
    OpenAI,
    /// Anthropic's Messages.
    Anthropic,
}

impl WireProtocol {
    /// The name as resources write it.
    pub fn as_str(self) -> &'static str {
        match self {
            WireProtocol::OpenAI => "OpenAI",
            WireProtocol::Anthropic => "Anthropic",
        }
    }

    /// How a provider of this protocol is shown a key when no vendor says otherwise.
    pub fn default_auth(self) -> Auth {
        match self {
            WireProtocol::OpenAI => Auth::Bearer,
            WireProtocol::Anthropic => Auth::XApiKey,
        }
    }

    /// The path of the base URL that clients of a server of one's own are usually given.
    pub fn default_path(self) -> &'static str {
        match self {
            WireProtocol::OpenAI => "/v1",
            WireProtocol::Anthropic => "",
        }
    }
}

/// A protocol's name that nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown protocol {0:?}; known are OpenAI and Anthropic")]
pub struct UnknownProtocol(pub String);

impl FromStr for WireProtocol {
    type Err = UnknownProtocol;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "OpenAI" => Ok(WireProtocol::OpenAI),
            "Anthropic" => Ok(WireProtocol::Anthropic),
            _ => Err(UnknownProtocol(name.to_owned())),
        }
    }
}

/// How a key is shown to a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Auth {
    /// `authorization: Bearer KEY`
    Bearer,
    /// `x-api-key: KEY` and [`ANTHROPIC_VERSION`].
    XApiKey,
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
        WireProtocol::OpenAI => Auth::Bearer,
        WireProtocol::Anthropic => Auth::XApiKey,
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
    match (protocol, operation) {
        (WireProtocol::OpenAI, Operation::ChatCompletions) => "/chat/completions",
        (WireProtocol::OpenAI, Operation::Embeddings) => "/embeddings",
        (WireProtocol::OpenAI, Operation::Models | Operation::Model { .. }) => "/models",
        (WireProtocol::OpenAI, Operation::Realtime) => "/realtime",
        (WireProtocol::Anthropic, Operation::Models | Operation::Model { .. }) => "/v1/models",
        (WireProtocol::Anthropic, _) => "/v1/messages",
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
