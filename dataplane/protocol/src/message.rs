//! The message model that every translation goes through: what can be said, in no vendor's words.
//!
//! Requests: a client protocol parses into [`Conversation`], a provider protocol writes it. Whole
//! answers: [`Answer`]. Streams: a provider's decoder calls [`Emit`], which each client protocol
//! implements by a state machine that cannot write an invalid order. N + M pieces, not N × M.

pub(crate) mod embedding;
pub(crate) mod in_order;

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::fault::StreamFault;
use crate::usage::Usage;

/// A request, as far as any two protocols have it in common. Borrows from the caller's body.
#[derive(Debug, Default)]
pub(crate) struct Conversation<'a> {
    /// All system and developer texts, in order.
    pub(crate) system: Vec<TextPart<'a>>,
    pub(crate) turns: Vec<Turn<'a>>,
    pub(crate) tools: Vec<Tool<'a>>,
    pub(crate) tool_choice: Option<ToolChoice<'a>>,
    pub(crate) parallel_tool_calls: Option<bool>,
    pub(crate) max_tokens: Option<u64>,
    pub(crate) temperature: Option<Number<'a>>,
    pub(crate) top_p: Option<Number<'a>>,
    pub(crate) top_k: Option<u64>,
    pub(crate) frequency_penalty: Option<Number<'a>>,
    pub(crate) presence_penalty: Option<Number<'a>>,
    pub(crate) seed: Option<&'a RawValue>,
    pub(crate) stop: Vec<Cow<'a, str>>,
    pub(crate) reasoning: Option<Reasoning>,
    pub(crate) format: Option<Format<'a>>,
    /// How many alternatives of each token to tell the odds of; 0: those of the chosen one alone.
    pub(crate) logprobs: Option<u64>,
    pub(crate) user: Option<Cow<'a, str>>,
    /// An object of strings that the provider keeps with the answer.
    pub(crate) metadata: Option<&'a RawValue>,
    pub(crate) tier: Option<Tier>,
    pub(crate) stream: bool,
}

/// What shape an answer must have.
#[derive(Debug, Clone)]
pub(crate) enum Format<'a> {
    /// Some JSON object.
    JsonObject,
    Schema {
        name: Option<Cow<'a, str>>,
        description: Option<Cow<'a, str>>,
        /// Whether the provider must keep to it to the letter; `None`: the caller did not say.
        strict: Option<bool>,
        schema: &'a RawValue,
    },
}

/// How much the model shall think, in the words that the caller had for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reasoning {
    Effort(Effort),
    /// Tokens.
    Budget(u64),
    /// As much as the model finds right.
    Adaptive,
}

/// A number as the caller wrote it, and what it is worth.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Number<'a> {
    pub(crate) raw: &'a RawValue,
    pub(crate) value: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    User,
    Assistant,
}

/// Neighbouring messages of one role are one turn.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    pub(crate) role: Role,
    pub(crate) parts: Vec<Part<'a>>,
}

#[derive(Debug)]
pub(crate) struct TextPart<'a> {
    pub(crate) text: Cow<'a, str>,
    /// A cache marker, as the caller wrote it.
    pub(crate) cache: Option<&'a RawValue>,
}

#[derive(Debug)]
pub(crate) enum Part<'a> {
    Text(TextPart<'a>),
    Image {
        source: Source<'a>,
        /// OpenAI's `detail`.
        detail: Option<Cow<'a, str>>,
        cache: Option<&'a RawValue>,
    },
    Audio {
        /// Base64.
        data: Cow<'a, str>,
        /// `wav`, `mp3`, …
        format: Cow<'a, str>,
    },
    Document {
        source: Source<'a>,
        title: Option<Cow<'a, str>>,
        cache: Option<&'a RawValue>,
    },
    /// Thinking that a provider had told, to be replayed.
    Thinking(Thought<'a>),
    ToolCall {
        id: Cow<'a, str>,
        name: Cow<'a, str>,
        arguments: Box<RawValue>,
        /// What the provider wants back with the call: Gemini's `thoughtSignature`.
        signature: Option<Cow<'a, str>>,
        cache: Option<&'a RawValue>,
    },
    ToolResult {
        id: Cow<'a, str>,
        content: Vec<Part<'a>>,
        is_error: bool,
        cache: Option<&'a RawValue>,
    },
}

/// A piece of thinking with what proves whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Thought<'a> {
    Told {
        text: Cow<'a, str>,
        /// Without one it cannot be replayed.
        signature: Option<Cow<'a, str>>,
    },
    /// Encrypted by the provider.
    Redacted { data: Cow<'a, str> },
}

#[derive(Debug)]
pub(crate) enum Source<'a> {
    Url(Cow<'a, str>),
    /// The id of a file that the provider keeps.
    File(Cow<'a, str>),
    Base64 {
        media_type: String,
        data: Cow<'a, str>,
    },
}

#[derive(Debug)]
pub(crate) struct Tool<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) description: Option<Cow<'a, str>>,
    pub(crate) parameters: Option<&'a RawValue>,
    pub(crate) strict: bool,
    pub(crate) cache: Option<&'a RawValue>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ToolChoice<'a> {
    Auto,
    None,
    Required,
    Named(Cow<'a, str>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    Off,
    Minimal,
    Low,
    Medium,
    High,
    XHigh,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tier {
    Auto,
    Standard,
    Flex,
    Priority,
}

/// Why an answer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finish {
    Stop,
    Length,
    ToolCalls,
    ContentFilter,
    /// Ended as `Stop` does, for a reason that only the provider has a word for.
    Other(String),
}

/// A whole answer.
#[derive(Debug, Default)]
pub(crate) struct Answer<'a> {
    pub(crate) id: Option<Cow<'a, str>>,
    pub(crate) text: Option<String>,
    pub(crate) refusal: Option<String>,
    pub(crate) reasoning: Option<String>,
    /// Thinking to be replayed.
    pub(crate) thinking: Vec<Thought<'a>>,
    /// What the model drew: base64.
    pub(crate) images: Vec<Source<'a>>,
    pub(crate) tool_calls: Vec<ToolCall<'a>>,
    /// As in OpenAI's `choices[].logprobs`.
    pub(crate) logprobs: Option<Box<RawValue>>,
    pub(crate) finish: Option<Finish>,
    /// The sequence that stopped it, where the provider tells.
    pub(crate) stop_sequence: Option<Cow<'a, str>>,
    /// The model that answers, as the provider calls it.
    pub(crate) model: Option<Cow<'a, str>>,
    pub(crate) usage: Option<Usage>,
}

#[derive(Debug)]
pub(crate) struct ToolCall<'a> {
    pub(crate) id: Cow<'a, str>,
    pub(crate) name: Cow<'a, str>,
    /// A JSON object.
    pub(crate) arguments: Cow<'a, RawValue>,
    /// What the provider wants back with the call: Gemini's `thoughtSignature`.
    pub(crate) signature: Option<Cow<'a, str>>,
}

/// Writes a streamed answer in a client's protocol.
///
/// Whatever it is told, in whatever order, what it writes is valid in that protocol.
pub(crate) trait Emit {
    fn emit(&mut self, delta: Delta<'_>);
}

/// An [`Emit`] whose bytes are sent on.
pub(crate) trait Emitter: Emit + std::fmt::Debug + Send {
    /// Appends what was written since the last call.
    fn take(&mut self, out: &mut Vec<Bytes>);

    /// Whether what a client would show or act upon has been written.
    fn is_committed(&self) -> bool;

    /// Bytes of content so far.
    fn output_bytes(&self) -> u64;

    /// The number of the event that would come next, where the protocol numbers its events.
    fn next_sequence(&self) -> u64 {
        0
    }
}

/// Reads a provider's stream, cut anywhere, into deltas.
pub(crate) trait Decode: std::fmt::Debug + Send {
    fn push(&mut self, chunk: &[u8], emitter: &mut dyn Emit) -> Result<(), StreamFault>;

    /// The provider closed: `Ok` only if the answer was whole.
    fn finish(&mut self, emitter: &mut dyn Emit) -> Result<(), StreamFault>;

    /// Whether the answer has come to its end, whatever still follows.
    fn is_complete(&self) -> bool;

    fn usage(&self) -> Option<Usage>;

    /// The model that answers, as the provider calls it, once known.
    fn response_model(&self) -> Option<&str>;

    /// Bytes held of an event that has begun and not ended.
    fn held_bytes(&self) -> usize;
}

/// One piece of a streamed answer, in the order in which a provider says it.
#[derive(Debug, Clone)]
pub(crate) enum Delta<'a> {
    Start {
        id: &'a str,
    },
    Text(&'a str),
    Refusal(&'a str),
    Reasoning(&'a str),
    /// What was thought since the last such, whole, to be replayed.
    Thinking(&'a Thought<'a>),
    Image {
        media_type: &'a str,
        /// Base64.
        data: &'a str,
    },
    /// As in OpenAI's `choices[].logprobs`, of the text that follows.
    Logprobs(&'a RawValue),
    /// Calls are numbered from 0 in the order in which they start.
    ToolStart {
        call: usize,
        id: &'a str,
        name: &'a str,
        signature: Option<&'a str>,
    },
    ToolArguments {
        call: usize,
        json: &'a str,
    },
    /// What is known of the usage before the end.
    Usage(Usage),
    StopSequence(&'a str),
    Finish(Finish),
    /// The answer is whole.
    End {
        usage: Option<Usage>,
    },
}
