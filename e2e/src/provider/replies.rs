//! What the scripted provider answers, as plain values: status, pieces of the body, its end.

use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use serde_json::{Value, json};

use crate::provider::{Behaviour, Received};

/// Prompt tokens of every answer; completion tokens are its words.
pub const PROMPT_TOKENS: u64 = 11;

/// An answer to be sent piece by piece.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) content_type: &'static str,
    pub(super) pieces: Vec<Bytes>,
    /// Between two pieces.
    pub(super) delay: Duration,
    pub(super) end: End,
}

/// How an answer's body ends.
#[derive(Clone, Copy)]
pub(super) enum End {
    Clean,
    /// The connection breaks.
    Cut,
    /// Nothing more comes, and the connection stays.
    Hang,
}

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";

/// Decides the answer to a request.
pub(super) fn reply(request: &Received, behaviour: &Behaviour) -> Reply {
    let whole = |content_type, body: String| Reply {
        status: StatusCode::OK,
        content_type,
        pieces: vec![body.into()],
        delay: Duration::ZERO,
        end: End::Clean,
    };
    let good = |words, delay, end| answer(request, words, delay, end);
    match behaviour {
        Behaviour::Good { chunks, delay } => good(*chunks, *delay, End::Clean),
        Behaviour::Status(status) => Reply {
            status: *status,
            ..whole(JSON, error(request, *status).to_string())
        },
        Behaviour::Garbage => whole(JSON, "%&/ not json at all".to_owned()),
        Behaviour::Html => whole("text/html", "<html><h1>Welcome</h1></html>".to_owned()),
        Behaviour::Cut { after } => good(*after, Duration::ZERO, End::Cut),
        Behaviour::HangAfter(words) => good(*words, Duration::ZERO, End::Hang),
        Behaviour::Hang => good(0, Duration::ZERO, End::Hang),
    }
}

fn answer(request: &Received, words: usize, delay: Duration, end: End) -> Reply {
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let words: Vec<String> = (0..words).map(|i| format!("word{i} ")).collect();
    let is_anthropic = request.path.ends_with("/messages");
    let is_streaming = body["stream"] == true;
    let pieces = match (is_anthropic, is_streaming) {
        _ if request.path.ends_with("/embeddings") => vec![embedding(&body).to_string()],
        (false, false) => vec![completion(&body, &words).to_string()],
        (false, true) => openai_events(&body, &words),
        (true, false) => vec![message(&body, &words).to_string()],
        (true, true) => anthropic_events(&body, &words),
    };
    let mut pieces: Vec<Bytes> = pieces.into_iter().map(Bytes::from).collect();
    match (end, is_streaming) {
        (End::Clean, _) => {}
        // What follows the words (finish, usage, end marker) never comes.
        (_, true) => pieces.truncate(words.len() + usize::from(is_anthropic) * 2),
        (_, false) => pieces = pieces.iter().map(|p| p.slice(..p.len() / 2)).collect(),
    }
    Reply {
        status: StatusCode::OK,
        content_type: if is_streaming { EVENTS } else { JSON },
        pieces,
        delay,
        end,
    }
}

fn completion(body: &Value, words: &[String]) -> Value {
    json!({
        "id": "chatcmpl-scripted", "object": "chat.completion", "created": 1_700_000_000,
        "model": body["model"],
        "choices": [{
            "index": 0, "finish_reason": "stop", "logprobs": null,
            "message": {"role": "assistant", "content": words.concat().trim_end(), "refusal": null},
        }],
        "usage": openai_usage(words),
    })
}

fn openai_usage(words: &[String]) -> Value {
    let output = words.len() as u64;
    json!({
        "prompt_tokens": PROMPT_TOKENS,
        "completion_tokens": output,
        "total_tokens": PROMPT_TOKENS + output,
    })
}

fn openai_events(body: &Value, words: &[String]) -> Vec<String> {
    let chunk = |choices: Value| {
        json!({
            "id": "chatcmpl-scripted", "object": "chat.completion.chunk",
            "created": 1_700_000_000, "model": body["model"], "choices": choices,
        })
    };
    let delta = |delta: Value, finish: Value| {
        chunk(json!([{"index": 0, "delta": delta, "finish_reason": finish}]))
    };
    let mut events: Vec<Value> = words
        .iter()
        .map(|word| delta(json!({"role": "assistant", "content": word}), Value::Null))
        .collect();
    events.push(delta(json!({}), "stop".into()));
    if body["stream_options"]["include_usage"] == true {
        let mut usage = chunk(json!([]));
        usage["usage"] = openai_usage(words);
        events.push(usage);
    }
    let data = events.iter().map(|event| format!("data: {event}\n\n"));
    data.chain(["data: [DONE]\n\n".to_owned()]).collect()
}

fn message(body: &Value, words: &[String]) -> Value {
    json!({
        "id": "msg_scripted", "type": "message", "role": "assistant", "model": body["model"],
        "content": [{"type": "text", "text": words.concat().trim_end()}],
        "stop_reason": "end_turn", "stop_sequence": null,
        "usage": {"input_tokens": PROMPT_TOKENS, "output_tokens": words.len()},
    })
}

fn anthropic_events(body: &Value, words: &[String]) -> Vec<String> {
    let mut start = message(body, &[]);
    start["content"] = json!([]);
    start["stop_reason"] = Value::Null;
    let mut events = vec![
        json!({"type": "message_start", "message": start}),
        json!({"type": "content_block_start", "index": 0,
               "content_block": {"type": "text", "text": ""}}),
    ];
    events.extend(words.iter().map(|word| {
        json!({"type": "content_block_delta", "index": 0,
               "delta": {"type": "text_delta", "text": word}})
    }));
    events.extend([
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta",
               "delta": {"stop_reason": "end_turn", "stop_sequence": null},
               "usage": {"output_tokens": words.len()}}),
        json!({"type": "message_stop"}),
    ]);
    let named = |event: &Value| {
        let name = event["type"].as_str().unwrap_or_default();
        format!("event: {name}\ndata: {event}\n\n")
    };
    events.iter().map(named).collect()
}

fn embedding(body: &Value) -> Value {
    json!({
        "object": "list", "model": body["model"],
        "data": [{"object": "embedding", "index": 0, "embedding": [0.6, 0.8]}],
        "usage": {"prompt_tokens": PROMPT_TOKENS, "total_tokens": PROMPT_TOKENS},
    })
}

/// An error as the provider's protocol has it. It quotes the caller's key, as some do.
fn error(request: &Received, status: StatusCode) -> Value {
    let key = request
        .header("authorization")
        .or(request.header("x-api-key"));
    let message = format!("scripted {status} for {}", key.unwrap_or("no key"));
    if request.path.ends_with("/messages") {
        let kind = match status.as_u16() {
            401 => "authentication_error",
            429 => "rate_limit_error",
            _ => "api_error",
        };
        json!({"type": "error", "error": {"type": kind, "message": message}})
    } else {
        json!({"error": {"message": message, "type": "scripted", "param": null, "code": null}})
    }
}
