//! One exchange with a provider: a request encoded for it, and the plan by which its answer is decoded.
//!
//! Same protocol on both sides: the bytes pass, spliced where they must change. Different protocols:
//! parsed into the message model, written anew; what cannot be carried is refused by name.

mod decode;
mod stream;

use bytes::Bytes;

use crate::anthropic;
use crate::fault::Unsupported;
use crate::head::{Head, Member};
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
    if matches!(
        operation,
        Operation::Models | Operation::Model { .. } | Operation::Realtime
    ) {
        return Err(no_such_operation(operation, target));
    }
    let (body, dropped) = match (client, target.protocol) {
        (ClientProtocol::OpenAI, WireProtocol::OpenAI) => (
            splice::apply(
                body,
                &edits(operation, head, Some(target.upstream_model)).splices,
            ),
            Vec::new(),
        ),
        (ClientProtocol::OpenAI, WireProtocol::Anthropic) if is_chat(operation) => {
            let conversation = openai::request::parse(body)?;
            let written = anthropic::request::write(&conversation, target.upstream_model)?;
            let dropped = [conversation.dropped, written.dropped].concat();
            (Pieces::from_iter([written.body]), dropped)
        }
        (ClientProtocol::OpenAI, WireProtocol::Anthropic) => {
            return Err(no_such_operation(operation, target));
        }
    };
    Ok(Outgoing {
        body,
        reply: plan(client, operation, head, target),
        dropped,
    })
}

/// Plans how to read the answer to a request of this head.
pub fn plan(
    client: ClientProtocol,
    operation: &Operation,
    head: &Head,
    target: &Target<'_>,
) -> ReplyPlan {
    ReplyPlan {
        client,
        provider: target.protocol,
        operation: operation.clone(),
        streaming: is_chat(operation) && head.is_streaming(),
        wants_usage: head.wants_usage(),
        model: match &head.model {
            Some(model) => model.value.clone(),
            None => target.upstream_model.to_owned(),
        },
        created: target.created,
    }
}

fn is_chat(operation: &Operation) -> bool {
    *operation == Operation::ChatCompletions
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

/// What must change of a request where the protocol stays, as far as its head is known.
#[derive(Debug, Clone, Default)]
pub struct Edits {
    /// The edits. One whose place has been read does not change with what comes later.
    pub splices: Vec<Splice>,
    /// Whether none will be added, whatever is still to come.
    pub are_all: bool,
}

/// Says what must change where the protocol stays: the model's name, and on streams that the usage is
/// told.
///
/// `upstream_model` of `None`: the provider takes the caller's name for it. What is missing of the
/// body is added at its end, since only there it is known to be missing.
///
/// Where `stream_options` comes before `stream`, the usage is asked for in any case: no provider takes
/// options of a stream that is none, whatever they say. A `stream_options` of `null` that comes before
/// `stream` stays if it has passed by then: the usage of that stream is an estimate.
pub fn edits(operation: &Operation, head: &Head, upstream_model: Option<&str>) -> Edits {
    let mut splices = Vec::new();
    let mut added = Vec::new();
    if let Some(model) = upstream_model {
        match (&head.model, &head.null_model) {
            (Some(asked), _) if asked.value == model => {}
            (Some(Member { span, .. }), _) | (None, Some(span)) => {
                splices.push(Splice::replace(span.clone(), json::quoted(model)));
            }
            (None, None) => {
                added.extend_from_slice(b"\"model\":");
                json::write(&mut added, model);
            }
        }
    }
    if is_chat(operation) && may_stream(head) && !head.wants_usage() {
        match ask_for_usage(head) {
            Asking::Edit(edit) => splices.push(edit),
            Asking::Add => {
                let comma: &[u8] = if added.is_empty() { b"" } else { b"," };
                added.extend_from_slice(comma);
                added.extend_from_slice(b"\"stream_options\":{\"include_usage\":true}");
            }
            Asking::Later => {}
        }
    }
    if let Some(close) = head.close
        && !added.is_empty()
    {
        if !head.is_empty {
            added.insert(0, b',');
        }
        splices.push(Splice::insert(close, added));
    }
    Edits {
        splices,
        are_all: head.is_whole() || are_all(operation, head, upstream_model),
    }
}

/// Whether what is still to come cannot ask for another edit.
fn are_all(operation: &Operation, head: &Head, upstream_model: Option<&str>) -> bool {
    let has_model = head.model.is_some() || head.null_model.is_some();
    let options = head.stream_options.as_ref();
    let has_usage = options.is_some_and(|options| options.include_usage.is_some());
    let asks = match &head.stream {
        _ if head.wants_usage() => true,
        Some(stream) => !stream.value || has_usage || head.null_stream_options.is_some(),
        None => false,
    };
    (has_model || upstream_model.is_none()) && (asks || !is_chat(operation))
}

fn may_stream(head: &Head) -> bool {
    match &head.stream {
        Some(stream) => stream.value,
        None => !head.is_whole(),
    }
}

/// How usage is turned on.
enum Asking {
    Edit(Splice),
    /// `stream_options` is missing altogether.
    Add,
    /// It is not known yet.
    Later,
}

fn ask_for_usage(head: &Head) -> Asking {
    const ASKED: &[u8] = b"\"include_usage\":true";
    let Some(options) = &head.stream_options else {
        return match &head.null_stream_options {
            Some(_) if !head.is_streaming() => Asking::Later,
            Some(null) => {
                let with = Bytes::from_static(b"{\"include_usage\":true}");
                Asking::Edit(Splice::replace(null.clone(), with))
            }
            None if head.is_whole() => Asking::Add,
            None => Asking::Later,
        };
    };
    match (&options.include_usage, options.close) {
        (Some(asked), _) => {
            let with = Bytes::from_static(b"true");
            Asking::Edit(Splice::replace(asked.span.clone(), with))
        }
        (None, Some(close)) if options.is_empty => {
            Asking::Edit(Splice::insert(close, Bytes::from_static(ASKED)))
        }
        (None, Some(close)) => Asking::Edit(Splice::insert(close, [b",", ASKED].concat())),
        (None, None) => Asking::Later,
    }
}

#[cfg(test)]
mod tests;
