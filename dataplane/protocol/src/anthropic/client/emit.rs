//! Writes a translated answer as the events of a message.
//!
//! A state machine that cannot write an invalid order: `message_start` first and once; one block open
//! at a time, each from its start over its deltas to its stop; one `message_delta`; `message_stop`
//! last. Calls whose arguments come interleaved follow one another ([`InOrder`]).

use bytes::Bytes;
use serde::Serialize;

use super::response::{Block, Message, UsageBody};
use super::word;
use crate::json;
use crate::message::in_order::InOrder;
use crate::message::{Delta, Emit, Emitter, Finish, Thought};
use crate::usage::Usage;

/// Emits events; what it is told out of order it completes or leaves out.
#[derive(Debug)]
pub(crate) struct EventEmitter {
    model: String,
    created: u64,
    state: State,
    open: Open,
    /// The index of the next block.
    next: usize,
    order: InOrder,
    calls: usize,
    finish: Option<Finish>,
    stop_sequence: Option<String>,
    usage: Usage,
    is_committed: bool,
    output_bytes: u64,
    buffer: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Fresh,
    Started,
    Ended,
}

/// The block that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Nothing,
    Text,
    Thinking,
    Call(usize),
}

impl Emit for EventEmitter {
    fn emit(&mut self, delta: Delta<'_>) {
        if self.state == State::Ended {
            return;
        }
        let mut order = std::mem::take(&mut self.order);
        order.pass(delta, &mut |delta| self.write(delta));
        self.order = order;
    }
}

impl EventEmitter {
    fn write(&mut self, delta: Delta<'_>) {
        match delta {
            Delta::Start { id } => self.start(id),
            Delta::Text(text) | Delta::Refusal(text) => self.text(text),
            Delta::Reasoning(text) => self.reasoning(text),
            Delta::Thinking(thought) => self.thought(thought),
            Delta::ToolStart { call, id, name, .. } => self.call(call, id, name),
            Delta::ToolArguments { call, json } => self.arguments(call, json),
            Delta::Usage(usage) => self.usage.merge(usage),
            Delta::StopSequence(sequence) => self.stop_sequence = Some(sequence.to_owned()),
            Delta::Finish(finish) => {
                self.start("");
                self.is_committed = true;
                self.finish.get_or_insert(finish);
            }
            Delta::End { usage } => self.end(usage),
            // Anthropic's models draw nothing and tell no odds.
            Delta::Image { .. } | Delta::Logprobs(_) => {}
        }
    }
}

impl Emitter for EventEmitter {
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

impl EventEmitter {
    pub(crate) fn new(model: &str, created: u64) -> Self {
        Self {
            model: model.to_owned(),
            created,
            state: State::Fresh,
            open: Open::Nothing,
            next: 0,
            order: InOrder::default(),
            calls: 0,
            finish: None,
            stop_sequence: None,
            usage: Usage::default(),
            is_committed: false,
            output_bytes: 0,
            buffer: Vec::new(),
        }
    }

    fn start(&mut self, id: &str) {
        if self.state != State::Fresh {
            return;
        }
        self.state = State::Started;
        let made = format!("msg_{}", self.created);
        let message = Message {
            id: if id.is_empty() { &made } else { id },
            r#type: "message",
            role: "assistant",
            model: &self.model,
            content: Vec::new(),
            stop_reason: None,
            stop_sequence: None,
            usage: UsageBody::from(Usage {
                output: None,
                ..self.usage
            }),
        };
        write(
            &mut self.buffer,
            "message_start",
            &Event::MessageStart { message },
        );
    }

    fn text(&mut self, text: &str) {
        self.turn_to(Open::Text, || Block::Text { text: "" });
        self.delta(text.len(), DeltaBody::Text { text });
    }

    fn reasoning(&mut self, text: &str) {
        self.turn_to(Open::Thinking, || Block::Thinking {
            thinking: "",
            signature: "",
        });
        self.delta(text.len(), DeltaBody::Thinking { thinking: text });
    }

    /// Thinking that is whole: its text has come before.
    fn thought(&mut self, thought: &Thought<'_>) {
        match thought {
            Thought::Told { text, signature } => {
                if self.open != Open::Thinking {
                    self.reasoning(text);
                }
                if let Some(signature) = signature {
                    self.delta(0, DeltaBody::Signature { signature });
                }
                self.close();
            }
            Thought::Redacted { data } => {
                self.turn_to(Open::Nothing, || Block::RedactedThinking { data });
                self.begin(Block::RedactedThinking { data });
                self.write_stop();
            }
        }
    }

    fn call(&mut self, number: usize, id: &str, name: &str) {
        self.calls += 1;
        self.output_bytes += name.len() as u64;
        self.start("");
        self.close();
        self.begin(Block::ToolUse {
            id,
            name,
            input: empty_object(),
        });
        self.open = Open::Call(number);
    }

    fn arguments(&mut self, number: usize, json: &str) {
        if self.open == Open::Call(number) {
            let piece = DeltaBody::InputJson { partial_json: json };
            self.delta(json.len(), piece);
        }
    }

    /// Opens a block of this kind unless one is open.
    fn turn_to<'a>(&mut self, kind: Open, block: impl FnOnce() -> Block<'a>) {
        self.start("");
        if self.open == kind && kind != Open::Nothing {
            return;
        }
        self.close();
        if kind != Open::Nothing {
            self.begin(block());
            self.open = kind;
        }
    }

    fn begin(&mut self, block: Block<'_>) {
        self.is_committed |= !matches!(block, Block::Text { .. } | Block::Thinking { .. });
        let event = Event::ContentBlockStart {
            index: self.next,
            content_block: block,
        };
        write(&mut self.buffer, "content_block_start", &event);
    }

    fn delta(&mut self, bytes: usize, delta: DeltaBody<'_>) {
        self.is_committed = true;
        self.output_bytes += bytes as u64;
        let event = Event::ContentBlockDelta {
            index: self.next,
            delta,
        };
        write(&mut self.buffer, "content_block_delta", &event);
    }

    fn close(&mut self) {
        if self.open != Open::Nothing {
            self.write_stop();
            self.open = Open::Nothing;
        }
    }

    fn write_stop(&mut self) {
        let event = Event::ContentBlockStop { index: self.next };
        write(&mut self.buffer, "content_block_stop", &event);
        self.next += 1;
    }

    fn end(&mut self, usage: Option<Usage>) {
        self.start("");
        self.close();
        self.usage.merge(usage.unwrap_or_default());
        let default = match self.calls {
            0 => Finish::Stop,
            _ => Finish::ToolCalls,
        };
        let finish = self.finish.take().unwrap_or(default);
        let sequence = self.stop_sequence.take();
        let delta = StopBody {
            stop_reason: word(&finish, sequence.is_some()),
            stop_sequence: sequence.as_deref(),
        };
        let usage = UsageBody::from(self.usage);
        write(
            &mut self.buffer,
            "message_delta",
            &Event::MessageDelta { delta, usage },
        );
        write(&mut self.buffer, "message_stop", &Event::MessageStop {});
        self.is_committed = true;
        self.state = State::Ended;
    }
}

fn empty_object() -> &'static serde_json::value::RawValue {
    serde_json::from_str("{}").unwrap_or(serde_json::value::RawValue::NULL)
}

fn write(out: &mut Vec<u8>, name: &str, event: &Event<'_>) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    json::write(out, event);
    out.extend_from_slice(b"\n\n");
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event<'a> {
    MessageStart {
        message: Message<'a>,
    },
    ContentBlockStart {
        index: usize,
        content_block: Block<'a>,
    },
    ContentBlockDelta {
        index: usize,
        delta: DeltaBody<'a>,
    },
    ContentBlockStop {
        index: usize,
    },
    MessageDelta {
        delta: StopBody<'a>,
        usage: UsageBody,
    },
    MessageStop {},
}

#[derive(Serialize)]
#[serde(tag = "type")]
enum DeltaBody<'a> {
    #[serde(rename = "text_delta")]
    Text { text: &'a str },
    #[serde(rename = "thinking_delta")]
    Thinking { thinking: &'a str },
    #[serde(rename = "signature_delta")]
    Signature { signature: &'a str },
    #[serde(rename = "input_json_delta")]
    InputJson { partial_json: &'a str },
}

#[derive(Serialize)]
struct StopBody<'a> {
    stop_reason: &'a str,
    stop_sequence: Option<&'a str>,
}

#[cfg(test)]
mod tests;
