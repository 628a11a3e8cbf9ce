//! Writes a translated answer as a stream of chat completion chunks.
//!
//! A state machine that cannot write an invalid order: the role chunk first and once, a call's
//! arguments only after its name, one finish reason, nothing but usage after it, `[DONE]` last.

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::json;
use crate::message::{Delta, Emit, Emitter, Finish};
use crate::openai::chat::request::ExtraContent;
use crate::openai::response::{ImageBody, ThoughtBody, UsageBody, extension, word};
use crate::usage::Usage;

/// Emits chunks; what it is told out of order it completes or leaves out.
#[derive(Debug)]
pub(crate) struct ChunkEmitter {
    id: String,
    model: String,
    created: u64,
    wants_usage: bool,
    state: State,
    calls: usize,
    /// The odds of the text that comes next.
    logprobs: Option<Box<RawValue>>,
    is_committed: bool,
    output_bytes: u64,
    buffer: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Fresh,
    Open,
    Finished,
    Ended,
}

impl Emit for ChunkEmitter {
    fn emit(&mut self, delta: Delta<'_>) {
        match delta {
            Delta::Start { id } => self.start(id),
            Delta::Text("") | Delta::Reasoning("") | Delta::ToolArguments { json: "", .. } => {}
            Delta::Text(text) => self.content(
                text.len(),
                DeltaBody {
                    content: Some(text),
                    ..DeltaBody::default()
                },
            ),
            Delta::Reasoning(text) => {
                let body = DeltaBody {
                    reasoning_content: Some(text),
                    ..DeltaBody::default()
                };
                self.content(text.len(), body);
            }
            Delta::Thinking(thought) => {
                let body = DeltaBody {
                    thinking_blocks: Some([ThoughtBody::from(thought)]),
                    ..DeltaBody::default()
                };
                self.content(0, body);
            }
            Delta::ToolStart {
                call,
                id,
                name,
                signature,
            } => self.tool_start(call, id, name, signature),
            Delta::ToolArguments { call, json } => self.tool_arguments(call, json),
            Delta::Refusal(text) => {
                let body = DeltaBody {
                    refusal: Some(text),
                    ..DeltaBody::default()
                };
                self.content(text.len(), body);
            }
            Delta::Image { media_type, data } => {
                let body = DeltaBody {
                    images: Some([ImageBody::new(media_type, data)]),
                    ..DeltaBody::default()
                };
                self.content(data.len(), body);
            }
            Delta::Logprobs(odds) => self.logprobs = Some(odds.to_owned()),
            Delta::Usage(_) | Delta::StopSequence(_) => {}
            Delta::Finish(finish) => self.finish(&finish),
            Delta::End { usage } => self.end(usage),
        }
    }
}

impl Emitter for ChunkEmitter {
    fn take(&mut self, out: &mut Vec<Bytes>) {
        if !self.buffer.is_empty() {
            out.push(Bytes::from(std::mem::take(&mut self.buffer)));
        }
    }

    fn is_committed(&self) -> bool {
        self.is_committed
    }

    fn output_bytes(&self) -> u64 {
        self.output_bytes
    }
}

impl ChunkEmitter {
    pub(crate) fn new(model: &str, created: u64, wants_usage: bool) -> Self {
        Self {
            id: String::new(),
            model: model.to_owned(),
            created,
            wants_usage,
            state: State::Fresh,
            calls: 0,
            logprobs: None,
            is_committed: false,
            output_bytes: 0,
            buffer: Vec::new(),
        }
    }

    fn start(&mut self, id: &str) {
        if self.state != State::Fresh {
            return;
        }
        self.id = if id.is_empty() {
            format!("chatcmpl-{}", self.created)
        } else {
            id.to_owned()
        };
        self.state = State::Open;
        let body = DeltaBody {
            role: Some("assistant"),
            content: Some(""),
            ..DeltaBody::default()
        };
        self.write_choice(body, None);
    }

    fn content(&mut self, bytes: usize, body: DeltaBody<'_>) {
        self.start("");
        if self.state == State::Open {
            self.is_committed = true;
            self.output_bytes += bytes as u64;
            self.write_choice(body, None);
        }
    }

    fn tool_start(&mut self, call: usize, id: &str, name: &str, signature: Option<&str>) {
        if call != self.calls {
            return;
        }
        self.calls += 1;
        let function = FunctionBody {
            name: Some(name),
            arguments: "",
        };
        let call = ToolCallBody {
            index: call,
            id: Some(id),
            r#type: Some("function"),
            function,
            extra_content: signature.map(ExtraContent::new),
        };
        self.content(
            name.len(),
            DeltaBody {
                tool_calls: Some([call]),
                ..DeltaBody::default()
            },
        );
    }

    fn tool_arguments(&mut self, call: usize, json: &str) {
        if call >= self.calls {
            return;
        }
        let function = FunctionBody {
            name: None,
            arguments: json,
        };
        let call = ToolCallBody {
            index: call,
            id: None,
            r#type: None,
            function,
            extra_content: None,
        };
        self.content(
            json.len(),
            DeltaBody {
                tool_calls: Some([call]),
                ..DeltaBody::default()
            },
        );
    }

    fn finish(&mut self, finish: &Finish) {
        self.start("");
        if self.state == State::Open {
            self.is_committed = true;
            self.write_choice(DeltaBody::default(), Some(finish));
            self.state = State::Finished;
        }
    }

    fn end(&mut self, usage: Option<Usage>) {
        if self.state == State::Ended {
            return;
        }
        self.finish(&Finish::Stop);
        if let Some(usage) = usage.filter(|_| self.wants_usage) {
            self.write_chunk(&[], Some(UsageBody::from(usage)));
        }
        self.buffer.extend_from_slice(b"data: [DONE]\n\n");
        self.state = State::Ended;
    }

    fn write_choice(&mut self, delta: DeltaBody<'_>, finish: Option<&Finish>) {
        let logprobs = self.logprobs.take();
        let choice = ChoiceBody {
            index: 0,
            delta,
            logprobs: logprobs.as_deref(),
            finish_reason: finish.map(word),
            x_stop_reason: finish.and_then(extension),
        };
        self.write_chunk(&[choice], None);
    }

    fn write_chunk(&mut self, choices: &[ChoiceBody<'_>], usage: Option<UsageBody>) {
        self.buffer.extend_from_slice(b"data: ");
        let chunk = ChunkBody {
            id: &self.id,
            object: "chat.completion.chunk",
            created: self.created,
            model: &self.model,
            choices,
            usage,
        };
        json::write(&mut self.buffer, &chunk);
        self.buffer.extend_from_slice(b"\n\n");
    }
}

#[derive(Serialize)]
struct ChunkBody<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: &'a [ChoiceBody<'a>],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<UsageBody>,
}

#[derive(Serialize)]
struct ChoiceBody<'a> {
    index: u32,
    delta: DeltaBody<'a>,
    logprobs: Option<&'a RawValue>,
    finish_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x_stop_reason: Option<&'a str>,
}

#[derive(Serialize, Default)]
struct DeltaBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_blocks: Option<[ThoughtBody<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    images: Option<[ImageBody; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[ToolCallBody<'a>; 1]>,
}

#[derive(Serialize)]
struct ToolCallBody<'a> {
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<&'static str>,
    function: FunctionBody<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra_content: Option<ExtraContent<'a>>,
}

#[derive(Serialize)]
struct FunctionBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    arguments: &'a str,
}

#[cfg(test)]
mod tests;
