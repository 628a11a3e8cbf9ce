//! What a request asks for, told from its method and path alone.

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// An endpoint that says it all.
    Of(Endpoint),
    /// One of Gemini's, whose path names the model.
    Gemini {
        /// `GenerateContent`, `StreamGenerateContent`, `GeminiCountTokens`, `EmbedContent` or
        /// `BatchEmbedContents`.
        endpoint: Endpoint,
        /// The model, percent-decoded.
        model: String,
    },
    /// `GET …/v1/models/{id}`
    Model {
        /// The model asked about, percent-decoded; may contain slashes.
        id: String,
    },
}

/// What kind of thing a request asks for, whichever model it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Endpoint {
    /// `POST …/v1/chat/completions`
    ChatCompletions,
    /// `POST …/v1/completions`
    Completions,
    /// `POST …/v1/embeddings`
    Embeddings,
    /// `POST …/v1/responses`
    Responses,
    /// `POST …/v1/images/generations`
    ImageGenerations,
    /// `POST …/v1/images/edits`
    ImageEdits,
    /// `POST …/v1/images/variations`
    ImageVariations,
    /// `POST …/v1/audio/speech`
    Speech,
    /// `POST …/v1/audio/transcriptions`
    Transcriptions,
    /// `POST …/v1/audio/translations`
    Translations,
    /// `POST …/v1/moderations`
    Moderations,
    /// `POST …/v1/rerank`, `…/v2/rerank`, `…/v1/reranks`
    Rerank,
    /// `POST …/v1/messages`
    Messages,
    /// `POST …/v1/messages/count_tokens`
    CountTokens,
    /// `POST …/models/{model}:generateContent`
    GenerateContent,
    /// `POST …/models/{model}:streamGenerateContent`
    StreamGenerateContent,
    /// `POST …/models/{model}:countTokens`
    GeminiCountTokens,
    /// `POST …/models/{model}:embedContent`
    EmbedContent,
    /// `POST …/models/{model}:batchEmbedContents`
    BatchEmbedContents,
    /// `GET …/v1/models` and `GET …/v1/models/{id}`
    Models,
    /// `GET …/v1/realtime`, to be upgraded to a WebSocket
    Realtime,
}

/// All endpoints with their names, the suffixes of their paths and the method that they take.
/// Gemini's are not here: their paths are told apart by the verb after the colon.
const BY_SUFFIX: &[(&str, Endpoint)] = &[
    ("/v1/chat/completions", Endpoint::ChatCompletions),
    ("/v1/completions", Endpoint::Completions),
    ("/v1/embeddings", Endpoint::Embeddings),
    ("/v1/responses", Endpoint::Responses),
    ("/v1/images/generations", Endpoint::ImageGenerations),
    ("/v1/images/edits", Endpoint::ImageEdits),
    ("/v1/images/variations", Endpoint::ImageVariations),
    ("/v1/audio/speech", Endpoint::Speech),
    ("/v1/audio/transcriptions", Endpoint::Transcriptions),
    ("/v1/audio/translations", Endpoint::Translations),
    ("/v1/moderations", Endpoint::Moderations),
    ("/v1/rerank", Endpoint::Rerank),
    ("/v2/rerank", Endpoint::Rerank),
    ("/v1/reranks", Endpoint::Rerank),
    ("/v1/messages", Endpoint::Messages),
    ("/v1/messages/count_tokens", Endpoint::CountTokens),
    ("/v1/models", Endpoint::Models),
    ("/v1beta/models", Endpoint::Models),
    ("/v1/realtime", Endpoint::Realtime),
];

/// Gemini's verbs.
const BY_VERB: &[(&str, Endpoint)] = &[
    ("generateContent", Endpoint::GenerateContent),
    ("streamGenerateContent", Endpoint::StreamGenerateContent),
    ("countTokens", Endpoint::GeminiCountTokens),
    ("embedContent", Endpoint::EmbedContent),
    ("batchEmbedContents", Endpoint::BatchEmbedContents),
];

impl Endpoint {
    /// The name in logs, metrics and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Endpoint::ChatCompletions => "ChatCompletions",
            Endpoint::Completions => "Completions",
            Endpoint::Embeddings => "Embeddings",
            Endpoint::Responses => "Responses",
            Endpoint::ImageGenerations => "ImageGenerations",
            Endpoint::ImageEdits => "ImageEdits",
            Endpoint::ImageVariations => "ImageVariations",
            Endpoint::Speech => "Speech",
            Endpoint::Transcriptions => "Transcriptions",
            Endpoint::Translations => "Translations",
            Endpoint::Moderations => "Moderations",
            Endpoint::Rerank => "Rerank",
            Endpoint::Messages => "Messages",
            Endpoint::CountTokens => "CountTokens",
            Endpoint::GenerateContent => "GenerateContent",
            Endpoint::StreamGenerateContent => "StreamGenerateContent",
            Endpoint::GeminiCountTokens => "GeminiCountTokens",
            Endpoint::EmbedContent => "EmbedContent",
            Endpoint::BatchEmbedContents => "BatchEmbedContents",
            Endpoint::Models => "Models",
            Endpoint::Realtime => "Realtime",
        }
    }

    /// The endpoint of a name that resources may say a path for.
    pub fn named(name: &str) -> Option<Self> {
        let known = BY_SUFFIX.iter().map(|(_, endpoint)| *endpoint);
        let mut known = known.chain([Endpoint::GenerateContent, Endpoint::StreamGenerateContent]);
        known.find(|endpoint| endpoint.as_str() == name)
    }

    /// Whether it asks a model to go on with a conversation or a text.
    pub fn is_generation(self) -> bool {
        matches!(
            self,
            Endpoint::ChatCompletions
                | Endpoint::Completions
                | Endpoint::Responses
                | Endpoint::Messages
                | Endpoint::GenerateContent
                | Endpoint::StreamGenerateContent
        )
    }

    /// Whether its body is a form with files rather than JSON.
    pub fn is_form(self) -> bool {
        matches!(
            self,
            Endpoint::ImageEdits
                | Endpoint::ImageVariations
                | Endpoint::Transcriptions
                | Endpoint::Translations
        )
    }

    /// The protocol of those who ask for it.
    pub fn client_protocol(self) -> ClientProtocol {
        match self {
            Endpoint::Messages | Endpoint::CountTokens => ClientProtocol::Anthropic,
            Endpoint::GenerateContent
            | Endpoint::StreamGenerateContent
            | Endpoint::GeminiCountTokens
            | Endpoint::EmbedContent
            | Endpoint::BatchEmbedContents => ClientProtocol::Gemini,
            Endpoint::Responses => ClientProtocol::Responses,
            _ => ClientProtocol::OpenAI,
        }
    }

    fn method(self) -> &'static str {
        match self {
            Endpoint::Models | Endpoint::Realtime => "GET",
            _ => "POST",
        }
    }
}

/// A set of endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Endpoints(u32);

impl Endpoints {
    /// The set of these.
    pub const fn of(endpoints: &[Endpoint]) -> Self {
        let (mut set, mut at) = (0, 0);
        while at < endpoints.len() {
            set |= 1 << endpoints[at] as u8;
            at += 1;
        }
        Endpoints(set)
    }

    /// Whether one is among them.
    pub const fn contains(self, endpoint: Endpoint) -> bool {
        self.0 & (1 << endpoint as u8) != 0
    }

    /// Those of both.
    pub const fn and(self, other: Endpoints) -> Self {
        Endpoints(self.0 | other.0)
    }
}

impl Operation {
    /// What kind of thing it is.
    pub fn endpoint(&self) -> Endpoint {
        match self {
            Operation::Of(endpoint) | Operation::Gemini { endpoint, .. } => *endpoint,
            Operation::Model { .. } => Endpoint::Models,
        }
    }

    /// The operation's name in logs, metrics and messages.
    pub fn as_str(&self) -> &'static str {
        match self {
            Operation::Model { .. } => "Model",
            _ => self.endpoint().as_str(),
        }
    }

    /// The protocol that a client speaks when it asks for this.
    pub fn client_protocol(&self) -> ClientProtocol {
        self.endpoint().client_protocol()
    }

    /// The model, where the path names it and the body does not.
    pub fn model(&self) -> Option<&str> {
        match self {
            Operation::Gemini { model, .. } => Some(model),
            _ => None,
        }
    }
}

/// The protocol of a caller; it chooses the shape of answers, streams and errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClientProtocol {
    /// OpenAI's, but for Responses.
    OpenAI,
    /// OpenAI's Responses, whose streams are of their own kind.
    Responses,
    /// Anthropic's Messages.
    Anthropic,
    /// Gemini's generateContent and what goes with it.
    Gemini,
}

impl ClientProtocol {
    /// The protocol of whoever asks for a path, whatever the method; OpenAI's where nobody knows it.
    pub fn of_path(path: &str) -> Self {
        let path = path.split('?').next().unwrap_or(path);
        match by_path(path) {
            Some(Operation::Of(Endpoint::Models) | Operation::Model { .. })
                if path.contains("/v1beta/models") =>
            {
                ClientProtocol::Gemini
            }
            Some(operation) => operation.client_protocol(),
            None => ClientProtocol::OpenAI,
        }
    }
}

/// Why a request is no known operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnknownOperation {
    /// The path ends in no known operation: 404.
    #[error("no operation of this gateway ends the request's path")]
    Path,
    /// The path is known but not with this method: 405.
    #[error("this path takes {allowed} only")]
    Method {
        /// The value of the `allow` header.
        allowed: &'static str,
    },
}

const MODEL_PREFIXES: [&str; 2] = ["/v1/models/", "/v1beta/models/"];
/// Before the name of a model in Gemini's paths, whatever version stands before it.
const GEMINI_PREFIX: &str = "/models/";

/// Recognises an operation by the longest known suffix of the path, under any prefix.
///
/// A query is ignored, so is one trailing slash. `HEAD` counts as `GET`.
pub fn recognise(method: &str, path: &str) -> Result<Operation, UnknownOperation> {
    let path = path.split('?').next().unwrap_or(path);
    let operation = by_path(path).ok_or(UnknownOperation::Path)?;
    let allowed = operation.endpoint().method();
    let asked = if method == "HEAD" { "GET" } else { method };
    if asked == allowed {
        Ok(operation)
    } else {
        Err(UnknownOperation::Method { allowed })
    }
}

fn by_path(path: &str) -> Option<Operation> {
    let path = path.strip_suffix('/').unwrap_or(path);
    if let Some(operation) = by_verb(path) {
        return Some(operation);
    }
    let after = |prefix: &str| path.find(prefix).map(|at| &path[at + prefix.len()..]);
    if let Some(id) = MODEL_PREFIXES.into_iter().find_map(after) {
        let id = percent_decode(id);
        return Some(Operation::Model { id });
    }
    let known = BY_SUFFIX
        .iter()
        .filter(|(suffix, _)| path.ends_with(suffix));
    let (_, endpoint) = known.max_by_key(|(suffix, _)| suffix.len())?;
    Some(Operation::Of(*endpoint))
}

fn by_verb(path: &str) -> Option<Operation> {
    let (before, verb) = path.rsplit_once(':')?;
    let (_, endpoint) = BY_VERB.iter().find(|(known, _)| *known == verb)?;
    let at = before.find(GEMINI_PREFIX)?;
    Some(Operation::Gemini {
        endpoint: *endpoint,
        model: percent_decode(&before[at + GEMINI_PREFIX.len()..]),
    })
}

/// Decodes `%41`; what is no valid escape, or no UTF-8 once decoded, is kept as it came.
fn percent_decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match (byte, tail) {
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    out.push(high << 4 | low);
                    rest = after;
                }
                _ => out.push(byte),
            },
            _ => out.push(byte),
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

fn hex(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).map(|d| d as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longest_known_suffix_counts_under_any_prefix() {
        for path in [
            "/v1/chat/completions",
            "/team/a/v1/chat/completions",
            "/v1/chat/completions/",
        ] {
            assert_eq!(
                recognise("POST", path),
                Ok(Operation::Of(Endpoint::ChatCompletions)),
                "{path}"
            );
        }
        assert_eq!(
            recognise("POST", "/x/v1/embeddings?a=b"),
            Ok(Operation::Of(Endpoint::Embeddings))
        );
        assert_eq!(
            recognise("GET", "/v1/models"),
            Ok(Operation::Of(Endpoint::Models))
        );
        assert_eq!(
            recognise("HEAD", "/v1/models/"),
            Ok(Operation::Of(Endpoint::Models))
        );
        assert_eq!(
            recognise("GET", "/team/v1/realtime?model=m"),
            Ok(Operation::Of(Endpoint::Realtime))
        );
    }

    #[test]
    fn model_ids_keep_slashes_and_are_decoded() {
        let id = |path| match recognise("GET", path) {
            Ok(Operation::Model { id }) => id,
            other => panic!("{path}: {other:?}"),
        };
        assert_eq!(id("/v1/models/a/b-2"), "a/b-2");
        assert_eq!(id("/v1/models/a%2Fb%zz%4"), "a/b%zz%4");
        assert_eq!(id("/v1/models/%ff"), "%ff");
    }

    #[test]
    fn unknown_paths_and_methods_are_told_apart() {
        assert_eq!(
            recognise("POST", "/chat/completions"),
            Err(UnknownOperation::Path)
        );
        assert_eq!(recognise("POST", "/"), Err(UnknownOperation::Path));
        assert_eq!(
            recognise("GET", "/v1/embeddings"),
            Err(UnknownOperation::Method { allowed: "POST" })
        );
    }

    #[test]
    fn the_longest_suffix_wins_and_verbs_name_the_model() {
        let of = |path| recognise("POST", path).unwrap();
        assert_eq!(
            of("/a/v1/messages/count_tokens"),
            Operation::Of(Endpoint::CountTokens)
        );
        assert_eq!(of("/v1/completions"), Operation::Of(Endpoint::Completions));
        assert_eq!(
            of("/x/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse"),
            Operation::Gemini {
                endpoint: Endpoint::StreamGenerateContent,
                model: "gemini-2.5-pro".to_owned()
            }
        );
        assert_eq!(of("/v1/models/a%2Fb:generateContent").model(), Some("a/b"));
        assert_eq!(
            recognise("POST", "/v1beta/tuned/a:predict"),
            Err(UnknownOperation::Path)
        );
    }

    #[test]
    fn sets_hold_what_was_put_in() {
        let set = Endpoints::of(&[Endpoint::Embeddings, Endpoint::Realtime]);
        assert!(set.contains(Endpoint::Embeddings) && set.contains(Endpoint::Realtime));
        assert!(!set.contains(Endpoint::ChatCompletions));
        let both = set.and(Endpoints::of(&[Endpoint::ChatCompletions]));
        assert!(both.contains(Endpoint::ChatCompletions) && both.contains(Endpoint::Realtime));
    }
}
