//! A whole chat completion: written from a translated answer, and looked into as it passes.

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::json;
use crate::message::{Answer, Finish, Source, Thought};
use crate::openai::chat::request::ExtraContent;
use crate::usage::Usage;

/// The finish reason in OpenAI's words.
pub(crate) fn word(finish: &Finish) -> &'static str {
    match finish {
        Finish::Stop | Finish::Other(_) => "stop",
        Finish::Length => "length",
        Finish::ToolCalls => "tool_calls",
        Finish::ContentFilter => "content_filter",
    }
}

/// The provider's own word, where OpenAI has none; told in `x_stop_reason`.
pub(crate) fn extension(finish: &Finish) -> Option<&str> {
    match finish {
        Finish::Other(word) => Some(word),
        _ => None,
    }
}

/// Writes a completion. `model` is what the client called it.
pub(crate) fn write(answer: &Answer<'_>, model: &str, created: u64) -> Bytes {
    let fallback = format!("chatcmpl-{created}");
    let calls = answer.tool_calls.iter().map(|call| ToolCallBody {
        id: &call.id,
        r#type: "function",
        function: FunctionBody {
            name: &call.name,
            arguments: call.arguments.get(),
        },
        extra_content: call.signature.as_deref().map(ExtraContent::new),
    });
    let message = MessageBody {
        role: "assistant",
        content: answer.text.as_deref(),
        refusal: answer.refusal.as_deref(),
        reasoning_content: answer.reasoning.as_deref(),
        thinking_blocks: answer.thinking.iter().map(ThoughtBody::from).collect(),
        tool_calls: calls.collect(),
        images: answer.images.iter().filter_map(ImageBody::of).collect(),
    };
    let finish = answer.finish.as_ref();
    let completion = CompletionBody {
        id: answer.id.as_deref().unwrap_or(&fallback),
        object: "chat.completion",
        created,
        model,
        choices: [ChoiceBody {
            index: 0,
            message,
            logprobs: answer.logprobs.as_deref(),
            finish_reason: finish.map_or("stop", word),
            x_stop_reason: finish.and_then(extension),
        }],
        usage: answer.usage.map(UsageBody::from),
    };
    let mut out = Vec::with_capacity(512);
    json::write(&mut out, &completion);
    Bytes::from(out)
}

#[derive(Serialize)]
struct CompletionBody<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: [ChoiceBody<'a>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<UsageBody>,
}

#[derive(Serialize)]
struct ChoiceBody<'a> {
    index: u32,
    message: MessageBody<'a>,
    logprobs: Option<&'a RawValue>,
    finish_reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    x_stop_reason: Option<&'a str>,
}

#[derive(Serialize)]
struct MessageBody<'a> {
    role: &'static str,
    content: Option<&'a str>,
    refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    /// The provider's signed blocks: a client that sends them back keeps its train of thought.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    thinking_blocks: Vec<ThoughtBody<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ToolCallBody<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    images: Vec<ImageBody>,
}

/// A picture that the model drew.
/// Source: openrouter.ai, "Image Generation".
#[derive(Serialize)]
pub(crate) struct ImageBody {
    r#type: &'static str,
    image_url: UrlBody,
}

#[derive(Serialize)]
struct UrlBody {
    url: String,
}

impl ImageBody {
    pub(crate) fn new(media_type: &str, data: &str) -> Self {
        ImageBody {
            r#type: "image_url",
            image_url: UrlBody {
                url: format!("data:{media_type};base64,{data}"),
            },
        }
    }

    fn of(source: &Source<'_>) -> Option<Self> {
        match source {
            Source::Base64 { media_type, data } => Some(Self::new(media_type, data)),
            Source::Url(_) | Source::File(_) => None,
        }
    }
}

/// Anthropic's own shape, which LiteLLM made the custom for clients of this protocol.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum ThoughtBody<'a> {
    Thinking {
        thinking: &'a str,
        signature: &'a str,
    },
    RedactedThinking {
        data: &'a str,
    },
}

impl<'a> From<&'a Thought<'a>> for ThoughtBody<'a> {
    fn from(thought: &'a Thought<'a>) -> Self {
        match thought {
            Thought::Told { text, signature } => ThoughtBody::Thinking {
                thinking: text,
                signature: signature.as_deref().unwrap_or_default(),
            },
            Thought::Redacted { data } => ThoughtBody::RedactedThinking { data },
        }
    }
}

#[derive(Serialize)]
struct ToolCallBody<'a> {
    id: &'a str,
    r#type: &'static str,
    function: FunctionBody<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra_content: Option<ExtraContent<'a>>,
}

#[derive(Serialize)]
struct FunctionBody<'a> {
    name: &'a str,
    arguments: &'a str,
}

/// OpenAI's usage object: input includes what came from a cache or went into one.
#[derive(Serialize)]
pub(crate) struct UsageBody {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_tokens_details: Option<PromptDetails>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Serialize)]
struct PromptDetails {
    cached_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_write_tokens: Option<u64>,
}

#[derive(Serialize)]
struct CompletionDetails {
    reasoning_tokens: u64,
}

impl From<Usage> for UsageBody {
    fn from(usage: Usage) -> Self {
        let has_details = usage.cached_input.or(usage.cache_write).is_some();
        let details = PromptDetails {
            cached_tokens: usage.cached_input.unwrap_or(0),
            cache_write_tokens: usage.cache_write,
        };
        UsageBody {
            prompt_tokens: usage.input.unwrap_or(0),
            completion_tokens: usage.output.unwrap_or(0),
            total_tokens: usage.total(),
            prompt_tokens_details: has_details.then_some(details),
            completion_tokens_details: usage
                .reasoning
                .map(|reasoning_tokens| CompletionDetails { reasoning_tokens }),
        }
    }
}
