//! One exchange with a provider: a request encoded for it, and the plan by which its answer is decoded.
//!
//! Same protocol on both sides: the bytes pass, spliced where they must change. Different protocols:
//! parsed into the message model, written anew; what cannot be carried is refused by name.

mod decode;
mod stream;

use bytes::Bytes;

use crate::anthropic;
use crate::fault::Unsupported;
use crate::head::Head;
use crate::json;
use crate::openai;
use crate::operation::{ClientProtocol, Operation};
use crate::splice::{self, Pieces, Splice};
use crate::vendor::WireProtocol;

pub use decode::Decoded;
pub use stream::ReplyStream;

/// The provider that a request goes to.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// What it speaks.
    pub protocol: WireProtocol,
    /// What the model is called there.
    pub upstream_model: &'a str,
    /// Seconds since 1970; stands in translated answers, whose protocol lacks a date of its own.
    pub created: u64,
}

/// A request as the provider shall receive it.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// The body, in pieces; slices of the caller's where it passes through.
    pub body: Pieces,
    /// How to read the answer.
    pub reply: ReplyPlan,
    /// Hints that the provider has no word for and that change no answer's meaning (say,
    /// `prompt_cache_key`), for the header `x-turnpike-dropped`. Anything weightier is refused instead.
    pub dropped: Vec<String>,
}

/// What must be remembered of a request to decode its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyPlan {
    pub(crate) client: ClientProtocol,
    pub(crate) provider: WireProtocol,
    pub(crate) operation: Operation,
    pub(crate) streaming: bool,
    /// Whether the client asked for the usage chunk.
    pub(crate) wants_usage: bool,
    /// The model as the client called it; translated answers repeat it.
    pub(crate) model: String,
    pub(crate) created: u64,
}

impl ReplyPlan {
    /// Whether the answer was asked for as a stream.
    pub fn is_streaming(&self) -> bool {
        self.streaming
    }

    /// What the provider speaks, for [`crate::classify`].
    pub fn provider_protocol(&self) -> WireProtocol {
        self.provider
    }

    /// Whether the answer's bytes pass as they come.
    pub fn is_pass_through(&self) -> bool {
        match (self.client, self.provider) {
            (ClientProtocol::OpenAI, WireProtocol::OpenAI) => true,
            (ClientProtocol::OpenAI, WireProtocol::Anthropic) => false,
        }
    }
}

/// Encodes a request for a provider.
///
/// In: the operation, the head that [`crate::scan`] found in `body`, and the body itself.
/// Out: the provider's body and the plan for its answer.
/// Errors: [`Unsupported`], for the caller, when the provider's protocol has no way to say it.
pub fn encode(
    client: ClientProtocol,
    operation: &Operation,
    head: &Head,
    body: &Bytes,
    target: &Target<'_>,
) -> Result<Outgoing, Unsupported> {
    let is_chat = match operation {
        Operation::ChatCompletions => true,
        Operation::Embeddings => false,
        Operation::Models | Operation::Model { .. } | Operation::Realtime => {
            return Err(no_such_operation(operation, target));
        }
    };
    let (body, dropped) = match (client, target.protocol) {
        (ClientProtocol::OpenAI, WireProtocol::OpenAI) => (
            splice::apply(body, &edits(head, target, is_chat)),
            Vec::new(),
        ),
        (ClientProtocol::OpenAI, WireProtocol::Anthropic) if is_chat => {
            let conversation = openai::request::parse(body)?;
            let written = anthropic::request::write(&conversation, target.upstream_model)?;
            let dropped = [conversation.dropped, written.dropped].concat();
            (Pieces::from_iter([written.body]), dropped)
        }
        (ClientProtocol::OpenAI, WireProtocol::Anthropic) => {
            return Err(no_such_operation(operation, target));
        }
    };
    let reply = ReplyPlan {
        client,
        provider: target.protocol,
        operation: operation.clone(),
        streaming: is_chat && head.is_streaming(),
        wants_usage: head.wants_usage(),
        model: match &head.model {
            Some(model) => model.value.clone(),
            None => target.upstream_model.to_owned(),
        },
        created: target.created,
    };
    Ok(Outgoing {
        body,
        reply,
        dropped,
    })
}

fn no_such_operation(operation: &Operation, target: &Target<'_>) -> Unsupported {
    let message = format!(
        "the provider of this model speaks {}, which has no {}; choose another model",
        target.protocol.as_str(),
        operation.as_str()
    );
    Unsupported {
        field: "model".to_owned(),
        message,
    }
}

/// What must change where the protocol stays: the model's name, and on streams that the usage is told.
fn edits(head: &Head, target: &Target<'_>, is_chat: bool) -> Vec<Splice> {
    let mut edits = Vec::new();
    let mut inserted = Vec::new();
    match (&head.model, &head.null_model) {
        (Some(model), _) if model.value == target.upstream_model => {}
        (Some(model), _) => {
            edits.push(Splice::replace(
                model.span.clone(),
                json::quoted(target.upstream_model),
            ));
        }
        (None, Some(null)) => {
            edits.push(Splice::replace(
                null.clone(),
                json::quoted(target.upstream_model),
            ));
        }
        (None, None) => {
            inserted.extend_from_slice(b"\"model\":");
            json::write(&mut inserted, target.upstream_model);
        }
    }
    if is_chat && head.is_streaming() && !head.wants_usage() {
        match ask_for_usage(head) {
            Some(edit) => edits.push(edit),
            None => {
                let comma: &[u8] = if inserted.is_empty() { b"" } else { b"," };
                inserted.extend_from_slice(comma);
                inserted.extend_from_slice(b"\"stream_options\":{\"include_usage\":true}");
            }
        }
    }
    if !inserted.is_empty() {
        if !head.is_empty {
            inserted.push(b',');
        }
        edits.push(Splice::insert(head.object_open, inserted));
    }
    edits
}

/// The edit that turns usage on, unless `stream_options` is missing altogether.
fn ask_for_usage(head: &Head) -> Option<Splice> {
    let Some(options) = &head.stream_options else {
        let null = head.null_stream_options.clone()?;
        return Some(Splice::replace(
            null,
            Bytes::from_static(b"{\"include_usage\":true}"),
        ));
    };
    let options = &options.value;
    Some(match &options.include_usage {
        Some(asked) => Splice::replace(asked.span.clone(), Bytes::from_static(b"true")),
        None if options.is_empty => Splice::insert(
            options.object_open,
            Bytes::from_static(b"\"include_usage\":true"),
        ),
        None => Splice::insert(
            options.object_open,
            Bytes::from_static(b"\"include_usage\":true,"),
        ),
    })
}

#[cfg(test)]
mod tests;
