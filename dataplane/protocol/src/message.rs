//! The message model that every translation goes through: what can be said, in no vendor's words.
//!
//! Requests: a client protocol parses into [`Conversation`], a provider protocol writes it. Whole
//! answers: [`Answer`]. Streams: a provider's decoder calls [`Emit`], which each client protocol
//! implements by a state machine that cannot write an invalid order. N + M pieces, not N × M.

use std::borrow::Cow;

use serde_json::value::RawValue;

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
    pub(crate) stop: Vec<Cow<'a, str>>,
    pub(crate) effort: Option<Effort>,
    pub(crate) schema: Option<&'a RawValue>,
    pub(crate) user: Option<Cow<'a, str>>,
    pub(crate) tier: Option<Tier>,
    pub(crate) stream: bool,
    /// Paths of hints that were left out by the parser itself.
    pub(crate) dropped: Vec<String>,
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
        cache: Option<&'a RawValue>,
    },
    Document {
        source: Source<'a>,
        title: Option<Cow<'a, str>>,
        cache: Option<&'a RawValue>,
    },
    /// A thinking block of the provider's own, replayed byte for byte.
    Thinking(&'a RawValue),
    ToolCall {
        id: Cow<'a, str>,
        name: Cow<'a, str>,
        arguments: Box<RawValue>,
    },
    ToolResult {
        id: Cow<'a, str>,
        content: Vec<Part<'a>>,
        cache: Option<&'a RawValue>,
    },
}

#[derive(Debug)]
pub(crate) enum Source<'a> {
    Url(Cow<'a, str>),
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
    Low,
    Medium,
    High,
    XHigh,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tier {
    Auto,
    Standard,
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
    pub(crate) reasoning: Option<String>,
    /// Thinking blocks as the provider wrote them, to be replayed.
    pub(crate) thinking: Vec<&'a RawValue>,
    pub(crate) tool_calls: Vec<ToolCall<'a>>,
    pub(crate) finish: Option<Finish>,
    pub(crate) usage: Option<Usage>,
}

#[derive(Debug)]
pub(crate) struct ToolCall<'a> {
    pub(crate) id: Cow<'a, str>,
    pub(crate) name: Cow<'a, str>,
    /// A JSON object.
    pub(crate) arguments: &'a RawValue,
}

/// Writes a streamed answer in a client's protocol.
///
/// Whatever it is told, in whatever order, what it writes is valid in that protocol.
pub(crate) trait Emit {
    fn emit(&mut self, delta: Delta<'_>);
}

/// One piece of a streamed answer, in the order in which a provider says it.
#[derive(Debug)]
pub(crate) enum Delta<'a> {
    Start {
        id: &'a str,
    },
    Text(&'a str),
    Reasoning(&'a str),
    /// A finished thinking block, to be replayed.
    Thinking(&'a RawValue),
    /// Calls are numbered from 0 in the order in which they start.
    ToolStart {
        call: usize,
        id: &'a str,
        name: &'a str,
    },
    ToolArguments {
        call: usize,
        json: &'a str,
    },
    Finish(Finish),
    /// The answer is whole.
    End {
        usage: Option<Usage>,
    },
}
