//! The closed lists that labels come from.

use turnpike_protocol::FaultClass;

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationLabel {
    /// A chat completion.
    Chat,
    /// A completion of the older kind.
    Completions,
    /// A response of OpenAI's newer kind.
    Responses,
    /// A message of Anthropic's kind.
    Messages,
    /// Content of Gemini's kind, streamed or not.
    GenerateContent,
    /// A count of tokens.
    CountTokens,
    /// Embeddings.
    Embeddings,
    /// Images.
    Images,
    /// Speech, or what was said.
    Audio,
    /// A judgement of a text.
    Moderations,
    /// An order of documents.
    Rerank,
    /// The list of models, or one of them.
    Models,
    /// A Realtime session.
    Realtime,
    /// Nothing that the gateway knows.
    Unknown,
}

/// The first digit of a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusClass {
    /// 1xx to 3xx.
    Success,
    /// 4xx.
    Client,
    /// 5xx.
    Server,
}

/// Why an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamFault {
    /// The provider found the request wrong.
    ClientFault,
    /// The prompt is longer than the model's window.
    ContextExceeded,
    /// The provider's filter refused the content.
    ContentPolicy,
    /// The gateway's key was refused.
    Credential,
    /// The provider is full.
    Capacity,
    /// The provider failed in a way that may pass.
    Transient,
    /// The provider does not have the model.
    ModelMissing,
    /// No connection.
    Unreachable,
    /// One of the timeouts.
    Timeout,
    /// The provider stopped in the middle of an answer.
    Cut,
    /// The answer could not be read.
    Garbage,
    /// The provider is faulty, gone or refused.
    Unavailable,
}

impl OperationLabel {
    pub(super) const ALL: [Self; 14] = [
        Self::Chat,
        Self::Completions,
        Self::Responses,
        Self::Messages,
        Self::GenerateContent,
        Self::CountTokens,
        Self::Embeddings,
        Self::Images,
        Self::Audio,
        Self::Moderations,
        Self::Rerank,
        Self::Models,
        Self::Realtime,
        Self::Unknown,
    ];

    /// The label of an operation, by its name; `None`: it was not recognised.
    pub fn named(operation: Option<&str>) -> Self {
        match operation {
            Some("ChatCompletions") => Self::Chat,
            Some("Completions") => Self::Completions,
            Some("Responses") => Self::Responses,
            Some("Messages") => Self::Messages,
            Some("GenerateContent" | "StreamGenerateContent") => Self::GenerateContent,
            Some("CountTokens" | "GeminiCountTokens") => Self::CountTokens,
            Some("Embeddings" | "EmbedContent" | "BatchEmbedContents") => Self::Embeddings,
            Some("ImageGenerations" | "ImageEdits" | "ImageVariations") => Self::Images,
            Some("Speech" | "Transcriptions" | "Translations") => Self::Audio,
            Some("Moderations") => Self::Moderations,
            Some("Rerank") => Self::Rerank,
            Some("Models" | "Model") => Self::Models,
            Some("Realtime") => Self::Realtime,
            _ => Self::Unknown,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Completions => "completions",
            Self::Responses => "responses",
            Self::Messages => "messages",
            Self::GenerateContent => "generate_content",
            Self::CountTokens => "count_tokens",
            Self::Embeddings => "embeddings",
            Self::Images => "images",
            Self::Audio => "audio",
            Self::Moderations => "moderations",
            Self::Rerank => "rerank",
            Self::Models => "models",
            Self::Realtime => "realtime",
            Self::Unknown => "unknown",
        }
    }
}

impl StatusClass {
    pub(super) const ALL: [Self; 3] = [Self::Success, Self::Client, Self::Server];

    pub(super) fn of(status: u16) -> Self {
        match status {
            ..=399 => Self::Success,
            400..=499 => Self::Client,
            500.. => Self::Server,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Success => "2xx",
            Self::Client => "4xx",
            Self::Server => "5xx",
        }
    }
}

impl UpstreamFault {
    pub(super) const ALL: [Self; 12] = [
        Self::ClientFault,
        Self::ContextExceeded,
        Self::ContentPolicy,
        Self::Credential,
        Self::Capacity,
        Self::Transient,
        Self::ModelMissing,
        Self::Unreachable,
        Self::Timeout,
        Self::Cut,
        Self::Garbage,
        Self::Unavailable,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::ClientFault => "client_fault",
            Self::ContextExceeded => "context_exceeded",
            Self::ContentPolicy => "content_policy",
            Self::Credential => "credential",
            Self::Capacity => "capacity",
            Self::Transient => "transient",
            Self::ModelMissing => "model_missing",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Cut => "cut",
            Self::Garbage => "garbage",
            Self::Unavailable => "unavailable",
        }
    }
}

/// How a TLS handshake with a caller ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeLabel {
    /// Both sides have agreed.
    Done,
    /// No certificate is for the name that the caller sent, or it sent none.
    UnknownName,
    /// No controller could be asked for the name.
    Unavailable,
    /// The host asks for certificates of CAs that cannot be had.
    NoAuthority,
    /// The caller went away, spoke no TLS, or showed no certificate that is taken.
    Failed,
    /// The caller was too slow.
    Timeout,
    /// Too many others were under way.
    Crowded,
}

impl HandshakeLabel {
    pub(super) const ALL: [Self; 7] = [
        Self::Done,
        Self::UnknownName,
        Self::Unavailable,
        Self::NoAuthority,
        Self::Failed,
        Self::Timeout,
        Self::Crowded,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::UnknownName => "unknown_name",
            Self::Unavailable => "unavailable",
            Self::NoAuthority => "no_authority",
            Self::Failed => "failed",
            Self::Timeout => "timeout",
            Self::Crowded => "crowded",
        }
    }
}

/// Why a connection was not taken, or not gone on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalLabel {
    /// Its address has too many already.
    Address,
    /// It does not begin as the PROXY protocol says.
    ProxyHeader,
    /// The head of a request was too large to read.
    Head,
    /// The body of a request came too slowly.
    SlowBody,
    /// It was flooded with frames that ask for nothing.
    Flood,
}

/// How the reading of an answer ended whose caller had gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainLabel {
    /// All of it came.
    Whole,
    /// It came to no clean end.
    Failed,
    /// It was longer than is read, or took longer.
    TooLong,
    /// It was not begun, since too many were under way.
    Full,
    /// The process came to its end before.
    Shutdown,
}

impl DrainLabel {
    pub(super) const ALL: [Self; 5] = [
        Self::Whole,
        Self::Failed,
        Self::TooLong,
        Self::Full,
        Self::Shutdown,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Failed => "failed",
            Self::TooLong => "too_long",
            Self::Full => "full",
            Self::Shutdown => "shutdown",
        }
    }
}

impl RefusalLabel {
    pub(super) const ALL: [Self; 5] = [
        Self::Address,
        Self::ProxyHeader,
        Self::Head,
        Self::SlowBody,
        Self::Flood,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::ProxyHeader => "proxy_header",
            Self::Head => "head",
            Self::SlowBody => "slow_body",
            Self::Flood => "flood",
        }
    }
}

impl From<FaultClass> for UpstreamFault {
    fn from(class: FaultClass) -> Self {
        match class {
            FaultClass::ClientFault => Self::ClientFault,
            FaultClass::ContextExceeded => Self::ContextExceeded,
            FaultClass::ContentPolicy => Self::ContentPolicy,
            FaultClass::Credential => Self::Credential,
            FaultClass::Capacity => Self::Capacity,
            FaultClass::Transient => Self::Transient,
            FaultClass::ModelMissing => Self::ModelMissing,
        }
    }
}

#[cfg(test)]
mod tests {
    use turnpike_protocol::{Endpoint, Operation};

    use super::*;

    #[test]
    fn every_operation_has_a_label() {
        let id = String::new();
        let embed = Operation::Gemini {
            endpoint: Endpoint::EmbedContent,
            model: String::new(),
        };
        for (operation, label) in [
            (
                Operation::Of(Endpoint::ChatCompletions),
                OperationLabel::Chat,
            ),
            (
                Operation::Of(Endpoint::Embeddings),
                OperationLabel::Embeddings,
            ),
            (embed, OperationLabel::Embeddings),
            (Operation::Of(Endpoint::Models), OperationLabel::Models),
            (Operation::Model { id }, OperationLabel::Models),
            (Operation::Of(Endpoint::Realtime), OperationLabel::Realtime),
        ] {
            assert_eq!(OperationLabel::named(Some(operation.as_str())), label);
        }
        assert_eq!(OperationLabel::named(None), OperationLabel::Unknown);
    }

    #[test]
    fn every_label_stands_at_its_own_place() {
        let operations = OperationLabel::ALL.map(|label| label as usize);
        assert_eq!(operations, std::array::from_fn(|place| place));
        let classes = StatusClass::ALL.map(|label| label as usize);
        assert_eq!(classes, std::array::from_fn(|place| place));
        let faults = UpstreamFault::ALL.map(|label| label as usize);
        assert_eq!(faults, std::array::from_fn(|place| place));
        let handshakes = HandshakeLabel::ALL.map(|label| label as usize);
        assert_eq!(handshakes, std::array::from_fn(|place| place));
        let refusals = RefusalLabel::ALL.map(|label| label as usize);
        assert_eq!(refusals, std::array::from_fn(|place| place));
        let drains = DrainLabel::ALL.map(|label| label as usize);
        assert_eq!(drains, std::array::from_fn(|place| place));
    }
}
