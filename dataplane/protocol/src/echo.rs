//! A deterministic model that speaks OpenAI's protocol, inside the process: for a first try without a
//! key, and for tests.
//!
//! **Answer.** The text of the last user message, exactly, or, where tool results follow it, theirs;
//! streamed word by word. **Tokens.** A word with the white space after it is a token: input is all
//! messages' words, output the answer's; `max_tokens` ends it with `length`. **Tools.** A tool is
//! called when `tool_choice` demands one, or when the text names it as a word (several names: parallel
//! calls); its arguments are its required parameters, filled by type. **Embeddings.** Unit vectors of
//! `dimensions` (default 8), equal for equal input. **Directives**, words at the start of the text that
//! are not echoed:
//!
//! | directive | effect |
//! |---|---|
//! | `/slow 50ms` | waits so long before each word (`ms` or `s`) |
//! | `/fail 429` | answers with that status, 400 to 599 |
//! | `/fail garbage` | answers 200 with a page that is no JSON |
//! | `/fail cut` | breaks off half way |
//! | `/fail hang` | sends nothing more after the stream's first chunk, or nothing at all |

mod ask;
mod chat;
mod embed;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::listing::{model_object, models_list};
use crate::operation::{ClientProtocol, Endpoint, Operation};
use ask::{Directive, Failure};

/// The echo model's answer: what a server would send, with its pauses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EchoReply {
    /// The HTTP status.
    pub status: u16,
    /// The value of the header `content-type`.
    pub content_type: &'static str,
    /// What is sent, in order.
    pub steps: Vec<EchoStep>,
    /// How it ends.
    pub end: EchoEnd,
}

/// Some bytes, and how long the model waits before it sends them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EchoStep {
    /// Milliseconds to wait first.
    pub delay_ms: u64,
    /// What to send then.
    pub bytes: Bytes,
}

/// How an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EchoEnd {
    /// As it should.
    Clean,
    /// The connection breaks.
    Cut,
    /// Nothing more comes, and the connection stays open.
    Hang,
}

const JSON: &str = "application/json";

/// Answers a request as a model would.
pub fn echo(operation: &Operation, body: &[u8]) -> EchoReply {
    match operation {
        Operation::Of(Endpoint::Models) => whole(models_list(ClientProtocol::OpenAI, &["echo"])),
        Operation::Model { id } => whole(model_object(ClientProtocol::OpenAI, id)),
        Operation::Of(Endpoint::ChatCompletions) => with_json(body, chat::answer),
        Operation::Of(Endpoint::Embeddings) => with_json(body, embed::answer),
        other => {
            let message = format!("Echo has no {}", other.as_str());
            refusal(400, "invalid_request_error", &message, None)
        }
    }
}

fn with_json(body: &[u8], answer: fn(&Value) -> Result<EchoReply, BadRequest>) -> EchoReply {
    let parsed = serde_json::from_slice::<Value>(body).map_err(|error| BadRequest {
        param: None,
        message: format!("the body is not valid JSON: {error}"),
    });
    parsed
        .and_then(|request| answer(&request))
        .unwrap_or_else(|bad| refusal(400, "invalid_request_error", &bad.message, bad.param))
}

/// A request that the model does not understand.
struct BadRequest {
    param: Option<&'static str>,
    message: String,
}

fn bad_request(param: &'static str, message: &str) -> BadRequest {
    BadRequest {
        param: Some(param),
        message: format!("{param} {message}"),
    }
}

fn whole(body: impl Into<Bytes>) -> EchoReply {
    let step = EchoStep {
        delay_ms: 0,
        bytes: body.into(),
    };
    EchoReply {
        status: 200,
        content_type: JSON,
        steps: vec![step],
        end: EchoEnd::Clean,
    }
}

fn whole_json(body: &Value) -> EchoReply {
    whole(body.to_string())
}

fn refusal(status: u16, kind: &str, message: &str, param: Option<&str>) -> EchoReply {
    let code = match status {
        401 => Some("invalid_api_key"),
        429 => Some("rate_limit_exceeded"),
        _ => None,
    };
    let error = json!({"message": message, "type": kind, "param": param, "code": code});
    EchoReply {
        status,
        ..whole_json(&json!({"error": error}))
    }
}

/// The answer that a directive asks for instead of the real one, or the real one spoilt.
fn apply(directive: &Directive, is_stream: bool, reply: EchoReply) -> EchoReply {
    match directive.failure {
        None => reply,
        Some(Failure::Status(status)) => refusal(
            status,
            "echo_failure",
            &format!("echo fails with {status}, as asked"),
            None,
        ),
        Some(Failure::Garbage) => {
            let page =
                whole("<!doctype html><title>Bad gateway</title><p>This is no answer of a model.");
            EchoReply {
                content_type: "text/html",
                ..page
            }
        }
        Some(Failure::Cut) => cut(reply),
        Some(Failure::Hang) => {
            let steps = reply
                .steps
                .into_iter()
                .take(usize::from(is_stream))
                .collect();
            EchoReply {
                steps,
                end: EchoEnd::Hang,
                ..reply
            }
        }
    }
}

/// Half of the steps (one at least), the last of them torn in the middle.
fn cut(mut reply: EchoReply) -> EchoReply {
    reply.steps.truncate(reply.steps.len().div_ceil(2));
    if let Some(last) = reply.steps.last_mut() {
        last.bytes.truncate(last.bytes.len() / 2);
    }
    reply.end = EchoEnd::Cut;
    reply
}

/// A token is a word with the white space that follows it; the first takes what goes before it, too.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut start = 0;
    let mut has_word = false;
    let mut in_space = false;
    for (at, c) in text.char_indices() {
        if has_word && in_space && !c.is_whitespace() {
            words.push(&text[start..at]);
            start = at;
            has_word = false;
        }
        in_space = c.is_whitespace();
        has_word |= !in_space;
    }
    if has_word {
        words.push(&text[start..]);
    }
    words
}

#[cfg(test)]
mod tests;
