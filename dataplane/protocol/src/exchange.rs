//! One exchange with a provider: a request encoded for it, and the plan by which its answer is decoded.
//!
//! Same protocol on both sides: the bytes pass, spliced where they must change. Different protocols:
//! parsed into the message model, written anew; what cannot be carried is refused by name.

mod decode;
mod dialects;
mod embeddings;
pub(crate) mod events;
mod opaque;
pub(crate) mod pass;
mod passing;
mod stream;

use bytes::Bytes;

use crate::fault::{Losses, OnUnsupported, Unsupported};
use crate::head::{Head, Member};
use crate::json;
use crate::openai;
use crate::openai::embeddings::Encoding;
use crate::operation::{ClientProtocol, Endpoint, Endpoints, Operation};
use crate::splice::{self, Pieces, Splice};
use crate::vendor::{Quirks, WireProtocol};
use crate::vertex;

pub use decode::Decoded;
pub use stream::ReplyStream;

/// The provider that a request goes to.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// What it speaks.
    pub protocol: WireProtocol,
    /// The endpoints that it takes as clients send them; whatever else is translated.
    pub natives: Endpoints,
    /// What sets it apart from others that speak the same.
    pub quirks: Quirks,
    /// What becomes of what it has no word for.
    pub on_unsupported: OnUnsupported,
    /// What the model is called there.
    pub upstream_model: &'a str,
    /// Seconds since 1970; stands in translated answers, whose protocol lacks a date of its own.
    pub created: u64,
    /// Anthropic's protocol in a cloud: the version that stands in the body, in place of the model,
    /// which is in the path. `None`: the model is in the body, and the version in a header.
    pub anthropic_version: Option<&'static str>,
}

impl<'a> Target<'a> {
    /// A provider without a vendor: what its protocol has, and refusing the rest.
    pub fn new(protocol: WireProtocol, upstream_model: &'a str, created: u64) -> Self {
        Target {
            protocol,
            natives: protocol.natives(),
            quirks: Quirks::OPENAI,
            on_unsupported: OnUnsupported::Reject,
            upstream_model,
            created,
            anthropic_version: None,
        }
    }
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
    /// Whether the answer's bytes pass as they come.
    pub(crate) passes: bool,
    pub(crate) streaming: bool,
    /// Whether the answer passes without being looked at.
    pub(crate) is_opaque: bool,
    /// How translated vectors are told.
    pub(crate) encoding: Encoding,
    /// Whether the client asked for the usage chunk.
    pub(crate) wants_usage: bool,
    /// The model as the client called it; answers repeat it.
    pub(crate) model: String,
    /// Whether the provider calls it otherwise.
    pub(crate) is_renamed: bool,
    pub(crate) created: u64,
}

impl ReplyPlan {
    /// Whether the answer is handed over as it comes.
    pub fn is_streaming(&self) -> bool {
        self.streaming || self.is_opaque
    }

    /// Whether the answer may be anything, and passes as it comes: sound, a transcript, events that are
    /// no conversation. Its type is the provider's to tell.
    pub fn is_opaque(&self) -> bool {
        self.is_opaque
    }

    /// What the provider speaks, for [`crate::classify`].
    pub fn provider_protocol(&self) -> WireProtocol {
        self.provider
    }

    /// What the provider is asked for.
    pub fn upstream_endpoint(&self) -> Endpoint {
        let endpoint = self.operation.endpoint();
        let is_embedding = matches!(
            endpoint,
            Endpoint::Embeddings | Endpoint::EmbedContent | Endpoint::BatchEmbedContents
        );
        match self.provider {
            _ if self.passes => endpoint,
            WireProtocol::Gemini if is_embedding => Endpoint::BatchEmbedContents,
            _ if is_embedding => Endpoint::Embeddings,
            WireProtocol::Anthropic => Endpoint::Messages,
            WireProtocol::Gemini if self.streaming => Endpoint::StreamGenerateContent,
            WireProtocol::Gemini => Endpoint::GenerateContent,
            _ => Endpoint::ChatCompletions,
        }
    }

    /// Whether the answer's bytes pass as they come.
    pub fn is_pass_through(&self) -> bool {
        self.passes
    }
}

/// Encodes a request for a provider.
///
/// In: the operation, the head that [`crate::scan`] found in `body`, and the body itself.
/// Out: the provider's body and the plan for its answer.
/// Errors: [`Unsupported`], for the caller, when the provider's protocol has no way to say it.
pub fn encode(
    operation: &Operation,
    head: &Head,
    body: &Bytes,
    target: &Target<'_>,
) -> Result<Outgoing, Unsupported> {
    let endpoint = operation.endpoint();
    let mut losses = Losses::new(target.on_unsupported);
    let given = body;
    let body = if target.natives.contains(endpoint) {
        let asks = target.quirks.stream_options;
        let mut edits = edits(operation, head, Some(target.upstream_model), asks).splices;
        if endpoint == Endpoint::ChatCompletions {
            edits.extend(openai::repair::edits(body, &target.quirks));
        }
        splice::apply(body, &in_cloud(operation, head, body, target, edits))
    } else {
        let written = translate(operation, body, target, &mut losses)?;
        Pieces::from_iter([written])
    };
    let mut reply = plan(operation, head, target);
    if endpoint == Endpoint::Embeddings && !reply.passes {
        reply.encoding = openai::embeddings::encoding(given);
    }
    Ok(Outgoing {
        body,
        reply,
        dropped: losses.dropped,
    })
}

/// Where Anthropic's version stands in the body, `model` gives way to it.
fn in_cloud(
    operation: &Operation,
    head: &Head,
    body: &[u8],
    target: &Target<'_>,
    edits: Vec<Splice>,
) -> Vec<Splice> {
    let endpoint = operation.endpoint();
    match target.anthropic_version {
        Some(version) if target.protocol == WireProtocol::Anthropic => {
            let edit = vertex::claude_edit(endpoint, head, body, version);
            let is_renamed = endpoint == Endpoint::CountTokens;
            let kept = edits.into_iter().filter(|_| is_renamed);
            kept.chain(edit).collect()
        }
        _ => edits,
    }
}

/// Reads a request in the client's protocol and writes it in the provider's.
fn translate(
    operation: &Operation,
    body: &[u8],
    target: &Target<'_>,
    losses: &mut Losses,
) -> Result<Bytes, Unsupported> {
    let endpoint = operation.endpoint();
    if let Some(request) = embeddings::parse(endpoint, body, losses) {
        let written = embeddings::write(&request?, target, losses);
        return written.unwrap_or_else(|| Err(no_such_operation(operation, target)));
    }
    let Some(conversation) = dialects::parse(endpoint, body, losses) else {
        return Err(no_such_operation(operation, target));
    };
    let mut conversation = conversation?;
    conversation.stream |= endpoint == Endpoint::StreamGenerateContent;
    dialects::write(&conversation, target, losses)
}

/// Plans how to read the answer to a request of this head.
pub fn plan(operation: &Operation, head: &Head, target: &Target<'_>) -> ReplyPlan {
    let said = head.model.as_ref().map(|model| model.value.as_str());
    let asked = operation.model().or(said);
    ReplyPlan {
        client: operation.client_protocol(),
        provider: target.protocol,
        operation: operation.clone(),
        passes: target.natives.contains(operation.endpoint()),
        streaming: is_streaming(operation, head),
        is_opaque: is_opaque(operation, head),
        encoding: Encoding::default(),
        wants_usage: head.wants_usage(),
        model: asked.unwrap_or(target.upstream_model).to_owned(),
        is_renamed: !target.upstream_model.is_empty()
            && asked.is_some_and(|asked| asked != target.upstream_model),
        created: target.created,
    }
}

/// Whether the answer is asked for as a stream of events.
pub fn is_streaming(operation: &Operation, head: &Head) -> bool {
    match operation.endpoint() {
        Endpoint::StreamGenerateContent => true,
        Endpoint::GenerateContent => false,
        Endpoint::ImageGenerations => head.is_streaming(),
        endpoint => endpoint.is_generation() && head.is_streaming(),
    }
}

fn is_opaque(operation: &Operation, head: &Head) -> bool {
    match operation.endpoint() {
        // As text, subtitles or JSON, whichever is asked for.
        Endpoint::Speech | Endpoint::Transcriptions | Endpoint::Translations => true,
        Endpoint::ImageEdits => head.is_streaming(),
        _ => false,
    }
}

/// Whether it is asked for the usage by `stream_options`.
fn has_stream_options(operation: &Operation) -> bool {
    matches!(
        operation.endpoint(),
        Endpoint::ChatCompletions | Endpoint::Completions
    )
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
/// `asks_for_usage`: the provider takes `stream_options`. `upstream_model` of `None`: the provider takes the caller's name for it. What is missing of the
/// body is added at its end, since only there it is known to be missing.
///
/// Where `stream_options` comes before `stream`, the usage is asked for in any case: no provider takes
/// options of a stream that is none, whatever they say. A `stream_options` of `null` that comes before
/// `stream` stays if it has passed by then: the usage of that stream is an estimate.
pub fn edits(
    operation: &Operation,
    head: &Head,
    upstream_model: Option<&str>,
    asks_for_usage: bool,
) -> Edits {
    let asks_for_usage = asks_for_usage && has_stream_options(operation);
    let mut splices = Vec::new();
    let mut added = Vec::new();
    if let Some(model) = upstream_model.filter(|_| operation.model().is_none()) {
        match (&head.model, &head.null_model) {
            (Some(asked), _) if asked.value == model => {}
            (Some(Member { span, .. }), _) if operation.endpoint().is_form() => {
                let name = Bytes::copy_from_slice(model.as_bytes());
                splices.push(Splice::replace(span.clone(), name));
            }
            (Some(Member { span, .. }), _) | (None, Some(span)) => {
                splices.push(Splice::replace(span.clone(), json::quoted(model)));
            }
            // Without a name a form is refused.
            (None, None) if operation.endpoint().is_form() => {}
            (None, None) => {
                added.extend_from_slice(b"\"model\":");
                json::write(&mut added, model);
            }
        }
    }
    if asks_for_usage && may_stream(head) && !head.wants_usage() {
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
        are_all: head.is_whole() || are_all(operation, head, upstream_model, asks_for_usage),
    }
}

/// Whether what is still to come cannot ask for another edit.
fn are_all(
    operation: &Operation,
    head: &Head,
    upstream_model: Option<&str>,
    asks_for_usage: bool,
) -> bool {
    let has_model = head.model.is_some() || head.null_model.is_some();
    let options = head.stream_options.as_ref();
    let has_usage = options.is_some_and(|options| options.include_usage.is_some());
    let asks = match &head.stream {
        _ if head.wants_usage() => true,
        Some(stream) => !stream.value || has_usage || head.null_stream_options.is_some(),
        None => false,
    };
    (has_model || upstream_model.is_none() || operation.model().is_some())
        && (asks || !asks_for_usage)
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
