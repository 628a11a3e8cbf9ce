//! The items that a response puts out, and how they are written.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::message::Finish;

/// One item of the output, as far as it has come.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) id: String,
    pub(crate) kind: Kind,
    pub(crate) status: Status,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Message {
        parts: Vec<Part>,
    },
    Reasoning {
        summary: String,
        /// What proves whose thinking it is; the client sends it back with the item.
        encrypted: Option<String>,
    },
    Call {
        id: String,
        name: String,
        arguments: String,
    },
    Image {
        /// Base64.
        data: String,
    },
}

/// A piece of a message.
#[derive(Debug)]
pub(crate) enum Part {
    Text {
        text: String,
        logprobs: Vec<Box<RawValue>>,
    },
    Refusal(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    InProgress,
    Completed,
    Incomplete,
}

/// How the response ended, in its own words. Only running out of tokens and a filter make it
/// incomplete; any other reason is an end.
pub(crate) fn incomplete_reason(finish: Option<&Finish>) -> Option<&'static str> {
    match finish {
        Some(Finish::Length) => Some("max_output_tokens"),
        Some(Finish::ContentFilter) => Some("content_filter"),
        _ => None,
    }
}

impl Kind {
    fn prefix(&self) -> &'static str {
        match self {
            Kind::Message { .. } => "msg",
            Kind::Reasoning { .. } => "rs",
            Kind::Call { .. } => "fc",
            Kind::Image { .. } => "ig",
        }
    }
}

impl Item {
    /// An item that has begun. `response` is the id of the response, `index` its place in the output:
    /// together they name it.
    pub(crate) fn new(response: &str, index: usize, kind: Kind) -> Self {
        let base = response.strip_prefix("resp_").unwrap_or(response);
        Item {
            id: format!("{}_{base}_{index}", kind.prefix()),
            kind,
            status: Status::InProgress,
        }
    }

    pub(crate) fn body(&self) -> ItemBody<'_> {
        let (id, status) = (self.id.as_str(), self.status);
        match &self.kind {
            Kind::Message { parts } => ItemBody::Message {
                id,
                status,
                role: "assistant",
                content: parts.iter().map(Part::body).collect(),
            },
            Kind::Reasoning { summary, encrypted } => ItemBody::Reasoning {
                id,
                status,
                summary: summary_body(summary),
                encrypted_content: encrypted.as_deref(),
            },
            Kind::Call {
                id: call_id,
                name,
                arguments,
            } => ItemBody::FunctionCall {
                id,
                status,
                call_id,
                name,
                arguments,
            },
            Kind::Image { data } => ItemBody::ImageGenerationCall {
                id,
                status,
                result: Some(data.as_str()).filter(|_| status != Status::InProgress),
            },
        }
    }
}

impl Part {
    pub(crate) fn body(&self) -> PartBody<'_> {
        match self {
            Part::Text { text, logprobs } => PartBody::OutputText {
                text,
                annotations: [],
                logprobs,
            },
            Part::Refusal(refusal) => PartBody::Refusal { refusal },
        }
    }
}

fn summary_body(text: &str) -> Vec<SummaryBody<'_>> {
    match text {
        "" => Vec::new(),
        text => vec![SummaryBody::SummaryText { text }],
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum ItemBody<'a> {
    Message {
        id: &'a str,
        status: Status,
        role: &'static str,
        content: Vec<PartBody<'a>>,
    },
    Reasoning {
        id: &'a str,
        status: Status,
        summary: Vec<SummaryBody<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        encrypted_content: Option<&'a str>,
    },
    FunctionCall {
        id: &'a str,
        status: Status,
        call_id: &'a str,
        name: &'a str,
        arguments: &'a str,
    },
    ImageGenerationCall {
        id: &'a str,
        status: Status,
        result: Option<&'a str>,
    },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum PartBody<'a> {
    OutputText {
        text: &'a str,
        annotations: [(); 0],
        logprobs: &'a [Box<RawValue>],
    },
    Refusal {
        refusal: &'a str,
    },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum SummaryBody<'a> {
    SummaryText { text: &'a str },
}
