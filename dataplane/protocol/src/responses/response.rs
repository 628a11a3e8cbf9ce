//! A whole response object, written from a translated answer or from what a stream has put out.

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::json;
use crate::message::{Answer, Source, Thought};
use crate::responses::output::{Item, ItemBody, Kind, Part, Status, incomplete_reason};
use crate::usage::Usage;

/// Writes a response. `model` is what the client called it.
pub(crate) fn write(answer: &Answer<'_>, model: &str, created: u64) -> Bytes {
    let id = response_id(answer.id.as_deref().unwrap_or_default(), created);
    let mut output = items(answer, &id);
    let reason = incomplete_reason(answer.finish.as_ref());
    for item in &mut output {
        item.status = Status::Completed;
    }
    if let Some(last) = output.last_mut().filter(|_| reason.is_some()) {
        last.status = Status::Incomplete;
    }
    let response = ResponseBody {
        status: reason.map_or(Status::Completed, |_| Status::Incomplete),
        incomplete_details: reason.map(|reason| IncompleteDetails { reason }),
        output: output.iter().map(Item::body).collect(),
        usage: answer.usage.map(UsageBody::from),
        ..ResponseBody::new(&id, model, created)
    };
    let mut out = Vec::with_capacity(1024);
    json::write(&mut out, &response);
    Bytes::from(out)
}

/// The response's id, from what the provider called its answer.
pub(crate) fn response_id(id: &str, created: u64) -> String {
    match id {
        "" => format!("resp_{created}"),
        id if id.starts_with("resp_") => id.to_owned(),
        id => format!("resp_{id}"),
    }
}

/// Thinking first, then what was said, then what was drawn, then the calls.
fn items(answer: &Answer<'_>, id: &str) -> Vec<Item> {
    let mut kinds = reasoning(answer);
    let text = answer.text.as_ref().filter(|text| !text.is_empty());
    let logprobs = answer.logprobs.as_deref().map(token_logprobs);
    let text = text.map(|text| Part::Text {
        text: text.clone(),
        logprobs: logprobs.unwrap_or_default(),
    });
    let refusal = answer.refusal.clone().map(Part::Refusal);
    let parts: Vec<Part> = text.into_iter().chain(refusal).collect();
    if !parts.is_empty() {
        kinds.push(Kind::Message { parts });
    }
    kinds.extend(answer.images.iter().filter_map(|image| match image {
        Source::Base64 { data, .. } => Some(Kind::Image {
            data: data.to_string(),
        }),
        Source::Url(_) | Source::File(_) => None,
    }));
    kinds.extend(answer.tool_calls.iter().map(|call| Kind::Call {
        id: call.id.to_string(),
        name: call.name.to_string(),
        arguments: call.arguments.get().to_owned(),
    }));
    let number = |(index, kind)| Item::new(id, index, kind);
    kinds.into_iter().enumerate().map(number).collect()
}

/// The signed thoughts, which hold their texts; else the reasoning as it was told.
fn reasoning(answer: &Answer<'_>) -> Vec<Kind> {
    let reasoning = answer.reasoning.clone().filter(|text| !text.is_empty());
    let is_told = |thought: &Thought<'_>| matches!(thought, Thought::Told { .. });
    let told = reasoning.filter(|_| !answer.thinking.iter().any(is_told));
    let told = told.map(|summary| Kind::Reasoning {
        summary,
        encrypted: None,
    });
    let thoughts = answer.thinking.iter().map(|thought| match thought {
        Thought::Told { text, signature } => Kind::Reasoning {
            summary: text.to_string(),
            encrypted: signature.as_deref().map(str::to_owned),
        },
        Thought::Redacted { data } => Kind::Reasoning {
            summary: String::new(),
            encrypted: Some(data.to_string()),
        },
    });
    told.into_iter().chain(thoughts).collect()
}

/// The odds of tokens, from the shape of chat completions, whose `content` is the same list.
pub(crate) fn token_logprobs(logprobs: &RawValue) -> Vec<Box<RawValue>> {
    let content = json::object(logprobs).and_then(|odds| odds.array("content"));
    let content = content.unwrap_or_default().into_iter();
    content.map(ToOwned::to_owned).collect()
}

/// A response. Members that tell the request's settings again have the value that says least: what
/// was asked for is not kept until the answer is written.
#[derive(Serialize)]
pub(crate) struct ResponseBody<'a> {
    id: &'a str,
    object: &'static str,
    created_at: u64,
    pub(crate) status: Status,
    background: bool,
    error: Option<()>,
    pub(crate) incomplete_details: Option<IncompleteDetails>,
    instructions: Option<()>,
    metadata: Empty,
    model: &'a str,
    pub(crate) output: Vec<ItemBody<'a>>,
    parallel_tool_calls: bool,
    previous_response_id: Option<()>,
    /// Nothing is kept: there is no asking for it later.
    store: bool,
    temperature: Option<()>,
    tool_choice: &'static str,
    tools: [(); 0],
    top_p: Option<()>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) usage: Option<UsageBody>,
}

impl<'a> ResponseBody<'a> {
    /// A response of which nothing has come.
    pub(crate) fn new(id: &'a str, model: &'a str, created_at: u64) -> Self {
        ResponseBody {
            id,
            object: "response",
            created_at,
            status: Status::InProgress,
            background: false,
            error: None,
            incomplete_details: None,
            instructions: None,
            metadata: Empty {},
            model,
            output: Vec::new(),
            parallel_tool_calls: true,
            previous_response_id: None,
            store: false,
            temperature: None,
            tool_choice: "auto",
            tools: [],
            top_p: None,
            usage: None,
        }
    }
}

#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
pub(crate) struct IncompleteDetails {
    pub(crate) reason: &'static str,
}

/// Clients demand all of these members.
#[derive(Serialize)]
pub(crate) struct UsageBody {
    input_tokens: u64,
    input_tokens_details: InputDetails,
    output_tokens: u64,
    output_tokens_details: OutputDetails,
    total_tokens: u64,
}

#[derive(Serialize)]
struct InputDetails {
    cached_tokens: u64,
    cache_write_tokens: u64,
}

#[derive(Serialize)]
struct OutputDetails {
    reasoning_tokens: u64,
}

impl From<Usage> for UsageBody {
    fn from(usage: Usage) -> Self {
        UsageBody {
            input_tokens: usage.input.unwrap_or(0),
            input_tokens_details: InputDetails {
                cached_tokens: usage.cached_input.unwrap_or(0),
                cache_write_tokens: usage.cache_write.unwrap_or(0),
            },
            output_tokens: usage.output.unwrap_or(0),
            output_tokens_details: OutputDetails {
                reasoning_tokens: usage.reasoning.unwrap_or(0),
            },
            total_tokens: usage.total(),
        }
    }
}
