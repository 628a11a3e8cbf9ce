//! Chat completions of the echo model.

use bytes::Bytes;
use serde_json::{Value, json};

use super::ask::{Directive, prompt, text_of};
use super::{BadRequest, EchoReply, EchoStep, apply, bad_request, whole_json, words};
use crate::hash::fnv1a;

/// Answers have no date of their own: equal requests get equal bytes.
const CREATED: u64 = 1_700_000_000;
const MAX_CHOICES: u64 = 128;

/// What the model says, to be written whole or as a stream.
struct Saying<'a> {
    model: &'a str,
    id: String,
    /// The answer's tokens; empty where it calls tools.
    words: Vec<&'a str>,
    calls: Vec<Call<'a>>,
    finish: &'static str,
    input: usize,
    choices: u64,
}

struct Call<'a> {
    id: String,
    name: &'a str,
    arguments: String,
}

pub(super) fn answer(request: &Value) -> Result<EchoReply, BadRequest> {
    let model = request["model"]
        .as_str()
        .ok_or_else(|| bad_request("model", "must be a string"))?;
    let messages = request["messages"]
        .as_array()
        .filter(|messages| !messages.is_empty());
    let messages =
        messages.ok_or_else(|| bad_request("messages", "must be an array that is not empty"))?;
    let choices = match &request["n"] {
        Value::Null => 1,
        n => n
            .as_u64()
            .filter(|n| (1..=MAX_CHOICES).contains(n))
            .ok_or_else(|| bad_request("n", "must be 1 to 128"))?,
    };
    let prompt = prompt(messages);
    let (directive, text) = Directive::take(&prompt);
    let calls = if messages.last().is_some_and(|last| last["role"] == "tool") {
        Vec::new()
    } else {
        calls(request, text)
    };
    let mut said = if calls.is_empty() {
        words(text)
    } else {
        Vec::new()
    };
    let limit = request["max_completion_tokens"]
        .as_u64()
        .or(request["max_tokens"].as_u64());
    let limit = limit
        .and_then(|limit| usize::try_from(limit).ok())
        .unwrap_or(usize::MAX);
    let finish = match () {
        () if !calls.is_empty() => "tool_calls",
        () if said.len() > limit => "length",
        () => "stop",
    };
    said.truncate(limit);
    let input = messages
        .iter()
        .map(|message| words(&text_of(message)).len())
        .sum();
    let id = format!(
        "chatcmpl-echo-{:016x}",
        fnv1a(request.to_string().as_bytes())
    );
    let saying = Saying {
        model,
        id,
        words: said,
        calls,
        finish,
        input,
        choices,
    };
    let is_stream = request["stream"] == true;
    let reply = if is_stream {
        let with_usage = request["stream_options"]["include_usage"] == true;
        saying.stream(directive.delay_ms, with_usage)
    } else {
        saying.whole(directive.delay_ms)
    };
    Ok(apply(&directive, is_stream, reply))
}

/// The tools to call: those named in the text, or the one that the choice demands.
fn calls<'a>(request: &'a Value, text: &str) -> Vec<Call<'a>> {
    let tools = request["tools"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let functions = || {
        tools
            .iter()
            .map(|tool| &tool["function"])
            .filter(|f| f["name"].is_string())
    };
    let is_named = |function: &&Value| {
        let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
        text.split(|c| !is_part(c))
            .any(|word| function["name"] == *word)
    };
    let choice = &request["tool_choice"];
    let mut chosen: Vec<&Value> = match choice {
        _ if choice == "none" => Vec::new(),
        Value::Object(_) => functions()
            .filter(|f| f["name"] == choice["function"]["name"])
            .collect(),
        _ => functions().filter(is_named).collect(),
    };
    if choice == "required" && chosen.is_empty() {
        chosen.extend(functions().next());
    }
    if request["parallel_tool_calls"] == false {
        chosen.truncate(1);
    }
    let call = |(index, function): (usize, &'a Value)| Call {
        id: format!("call_echo_{index}"),
        name: function["name"].as_str().unwrap_or_default(),
        arguments: arguments(&function["parameters"]).to_string(),
    };
    chosen.into_iter().enumerate().map(call).collect()
}

/// The required parameters, each by its type; a string says its own name.
fn arguments(schema: &Value) -> Value {
    let required = schema["required"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let filled = required.iter().filter_map(Value::as_str).map(|name| {
        let property = &schema["properties"][name];
        let value = match (&property["enum"][0], property["type"].as_str()) {
            (Value::Null, Some("integer" | "number")) => json!(1),
            (Value::Null, Some("boolean")) => json!(true),
            (Value::Null, Some("array")) => json!([]),
            (Value::Null, Some("object")) => json!({}),
            (Value::Null, Some("null")) => Value::Null,
            (Value::Null, _) => json!(name),
            (first, _) => first.clone(),
        };
        (name.to_owned(), value)
    });
    Value::Object(filled.collect())
}

impl Saying<'_> {
    /// A call costs its name and its arguments, a token each.
    fn usage(&self) -> Value {
        let output = (self.words.len() + 2 * self.calls.len()) * self.choices as usize;
        json!({
            "prompt_tokens": self.input,
            "completion_tokens": output,
            "total_tokens": self.input + output,
        })
    }

    fn call_body(call: &Call<'_>) -> Value {
        json!({
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        })
    }

    fn whole(&self, delay_ms: u64) -> EchoReply {
        let mut message =
            json!({"role": "assistant", "content": self.words.concat(), "refusal": null});
        if !self.calls.is_empty() {
            message["content"] = Value::Null;
            message["tool_calls"] = self.calls.iter().map(Self::call_body).collect();
        }
        let choice = |index| json!({"index": index, "message": message, "logprobs": null, "finish_reason": self.finish});
        let mut reply = whole_json(&json!({
            "id": self.id,
            "object": "chat.completion",
            "created": CREATED,
            "model": self.model,
            "choices": (0..self.choices).map(choice).collect::<Vec<_>>(),
            "usage": self.usage(),
        }));
        reply.steps[0].delay_ms = delay_ms.saturating_mul(self.words.len() as u64);
        reply
    }

    fn stream(&self, delay_ms: u64, with_usage: bool) -> EchoReply {
        let mut steps = Vec::new();
        for index in 0..self.choices {
            let mut chunk = |delay_ms, delta: Value, finish: Value| {
                let choice = json!({"index": index, "delta": delta, "logprobs": null, "finish_reason": finish});
                steps.push(EchoStep {
                    delay_ms,
                    bytes: self.event(json!([choice]), with_usage.then_some(Value::Null)),
                });
            };
            chunk(
                0,
                json!({"role": "assistant", "content": "", "refusal": null}),
                Value::Null,
            );
            for word in &self.words {
                chunk(delay_ms, json!({"content": word}), Value::Null);
            }
            for (index, call) in self.calls.iter().enumerate() {
                let mut start = Self::call_body(call);
                start["index"] = json!(index);
                start["function"]["arguments"] = json!("");
                chunk(delay_ms, json!({"tool_calls": [start]}), Value::Null);
                let rest = json!({"index": index, "function": {"arguments": call.arguments}});
                chunk(delay_ms, json!({"tool_calls": [rest]}), Value::Null);
            }
            chunk(0, json!({}), json!(self.finish));
        }
        if with_usage {
            steps.push(EchoStep {
                delay_ms: 0,
                bytes: self.event(json!([]), Some(self.usage())),
            });
        }
        steps.push(EchoStep {
            delay_ms: 0,
            bytes: Bytes::from_static(b"data: [DONE]\n\n"),
        });
        EchoReply {
            content_type: "text/event-stream",
            steps,
            ..whole_json(&Value::Null)
        }
    }

    fn event(&self, choices: Value, usage: Option<Value>) -> Bytes {
        let mut chunk = json!({
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": CREATED,
            "model": self.model,
            "choices": choices,
        });
        if let Some(usage) = usage {
            chunk["usage"] = usage;
        }
        Bytes::from(format!("data: {chunk}\n\n"))
    }
}
