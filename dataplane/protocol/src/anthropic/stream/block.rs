//! One content block of a streamed message, from its start to its stop.

use serde_json::value::RawValue;

use crate::json::Object;
use crate::message::{Delta, Emit, Thought};

/// A thinking block larger than this is not kept for replay; its text still streams.
const MAX_KEPT_THINKING: usize = 1 << 20;

#[derive(Debug)]
pub(super) enum Block {
    Text,
    Thinking {
        text: String,
        signature: String,
        is_kept: bool,
    },
    Redacted(String),
    Call {
        call: usize,
        input: Option<Box<RawValue>>,
        has_arguments: bool,
    },
    /// Of no type that we know.
    Unknown,
}

impl Block {
    pub(super) fn start(content: &Object<'_>, call: usize, emitter: &mut dyn Emit) -> Self {
        let text = |name| content.str(name).unwrap_or_default();
        match content.str("type").as_deref() {
            Some("text") => {
                emitter.emit(Delta::Text(&text("text")));
                Block::Text
            }
            Some("thinking") => {
                let thinking = text("thinking");
                emitter.emit(Delta::Reasoning(&thinking));
                let signature = text("signature").into_owned();
                Block::Thinking {
                    text: thinking.into_owned(),
                    signature,
                    is_kept: true,
                }
            }
            Some("redacted_thinking") => Block::Redacted(text("data").into_owned()),
            Some("tool_use") => {
                emitter.emit(Delta::ToolStart {
                    call,
                    id: &text("id"),
                    name: &text("name"),
                    signature: None,
                });
                // Some servers send the whole input here and no deltas.
                let input = content
                    .raw("input")
                    .filter(|raw| raw.get().starts_with('{'));
                Block::Call {
                    call,
                    input: input.map(ToOwned::to_owned),
                    has_arguments: false,
                }
            }
            _ => Block::Unknown,
        }
    }

    pub(super) fn is_call(&self) -> bool {
        matches!(self, Block::Call { .. })
    }

    pub(super) fn delta(&mut self, delta: &Object<'_>, emitter: &mut dyn Emit) {
        let piece = |name| delta.str(name).unwrap_or_default();
        match (self, delta.str("type").as_deref()) {
            (Block::Text, Some("text_delta")) => emitter.emit(Delta::Text(&piece("text"))),
            (Block::Thinking { text, is_kept, .. }, Some("thinking_delta")) => {
                let more = piece("thinking");
                emitter.emit(Delta::Reasoning(&more));
                *is_kept &= text.len() + more.len() <= MAX_KEPT_THINKING;
                if *is_kept {
                    text.push_str(&more);
                }
            }
            (
                Block::Thinking {
                    signature, is_kept, ..
                },
                Some("signature_delta"),
            ) => {
                let more = piece("signature");
                *is_kept &= signature.len() + more.len() <= MAX_KEPT_THINKING;
                if *is_kept {
                    signature.push_str(&more);
                }
            }
            (
                Block::Call {
                    call,
                    has_arguments,
                    ..
                },
                Some("input_json_delta"),
            ) => {
                let json = piece("partial_json");
                *has_arguments |= !json.is_empty();
                emitter.emit(Delta::ToolArguments {
                    call: *call,
                    json: &json,
                });
            }
            _ => {}
        }
    }

    pub(super) fn stop(self, emitter: &mut dyn Emit) {
        match self {
            Block::Thinking {
                text,
                signature,
                is_kept: true,
            } if !signature.is_empty() => {
                emitter.emit(Delta::Thinking(&Thought::Told {
                    text: text.into(),
                    signature: Some(signature.into()),
                }));
            }
            Block::Redacted(data) => {
                emitter.emit(Delta::Thinking(&Thought::Redacted { data: data.into() }));
            }
            // A call without arguments must still read as JSON on the client's side.
            Block::Call {
                call,
                input,
                has_arguments: false,
            } => {
                let json = input.as_deref().map_or("{}", RawValue::get);
                emitter.emit(Delta::ToolArguments { call, json });
            }
            _ => {}
        }
    }
}
