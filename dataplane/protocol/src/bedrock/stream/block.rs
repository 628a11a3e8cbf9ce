//! One content block of a streamed answer, from its first event to its stop.

use crate::bedrock::response::is_servers_own;
use crate::json::{self, Object};
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
    Call {
        call: usize,
        has_arguments: bool,
    },
    Image {
        /// `png`, `jpeg`, …
        format: String,
    },
    /// Of no kind that we know, or the provider's own affair: its server-side tools.
    Unknown,
}

impl Block {
    /// A block that announces itself.
    pub(super) fn start(start: &Object<'_>, call: usize, emitter: &mut dyn Emit) -> Self {
        if let Some(image) = start.object("image") {
            let format = image.str("format").unwrap_or_default().into_owned();
            return Block::Image { format };
        }
        let Some(tool) = start.object("toolUse").filter(|tool| !is_servers_own(tool)) else {
            return Block::Unknown;
        };
        emitter.emit(Delta::ToolStart {
            call,
            id: &tool.str("toolUseId").unwrap_or_default(),
            name: &tool.str("name").unwrap_or_default(),
            signature: None,
        });
        Block::Call {
            call,
            has_arguments: false,
        }
    }

    /// A block that begins with a delta.
    pub(super) fn of(delta: &Object<'_>) -> Self {
        match () {
            () if delta.raw("text").is_some() => Block::Text,
            () if delta.raw("reasoningContent").is_some() => Block::Thinking {
                text: String::new(),
                signature: String::new(),
                is_kept: true,
            },
            () => Block::Unknown,
        }
    }

    pub(super) fn is_call(&self) -> bool {
        matches!(self, Block::Call { .. })
    }

    pub(super) fn delta(&mut self, delta: &Object<'_>, emitter: &mut dyn Emit) {
        match self {
            Block::Text => emitter.emit(Delta::Text(&delta.str("text").unwrap_or_default())),
            Block::Thinking {
                text,
                signature,
                is_kept,
            } => {
                let Some(reasoning) = delta.object("reasoningContent") else {
                    return;
                };
                if let Some(more) = reasoning.str("text") {
                    emitter.emit(Delta::Reasoning(&more));
                    keep(text, &more, is_kept);
                }
                if let Some(more) = reasoning.str("signature") {
                    keep(signature, &more, is_kept);
                }
                if let Some(data) = reasoning.str("redactedContent") {
                    emitter.emit(Delta::Thinking(&Thought::Redacted { data }));
                }
            }
            Block::Call {
                call,
                has_arguments,
            } => {
                let tool = delta.object("toolUse");
                let json = tool.and_then(|tool| tool.str("input")).unwrap_or_default();
                *has_arguments |= !json.is_empty();
                let call = *call;
                emitter.emit(Delta::ToolArguments { call, json: &json });
            }
            Block::Image { format } => {
                let image = delta.object("image");
                let source = image.and_then(|image| image.object("source"));
                if let Some(data) = source.and_then(|source| source.str("bytes")) {
                    emitter.emit(Delta::Image {
                        media_type: &format!("image/{format}"),
                        data: &data,
                    });
                }
            }
            Block::Unknown => self.unknown(delta, emitter),
        }
    }

    /// The text of citations comes as plain text deltas; nothing else of an unknown block is content.
    fn unknown(&self, delta: &Object<'_>, emitter: &mut dyn Emit) {
        if let Some(text) = delta.raw("text").and_then(json::string) {
            emitter.emit(Delta::Text(&text));
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
            // A call without arguments must still read as JSON on the client's side.
            Block::Call {
                call,
                has_arguments: false,
            } => emitter.emit(Delta::ToolArguments { call, json: "{}" }),
            _ => {}
        }
    }
}

fn keep(text: &mut String, more: &str, is_kept: &mut bool) {
    *is_kept &= text.len() + more.len() <= MAX_KEPT_THINKING;
    if *is_kept {
        text.push_str(more);
    }
}
