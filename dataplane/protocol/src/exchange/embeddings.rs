//! Which module speaks which protocol: embeddings.

use bytes::Bytes;

use super::{ReplyPlan, Target};
use crate::bedrock;
use crate::cohere;
use crate::fault::{BadReply, Losses, Unsupported};
use crate::gemini;
use crate::json::Object;
use crate::message::embedding::{EmbeddingAnswer, EmbeddingRequest};
use crate::openai;
use crate::operation::Endpoint;
use crate::vendor::WireProtocol;

/// Reads a client's request. `None`: it asks for no embeddings.
pub(super) fn parse<'a>(
    endpoint: Endpoint,
    body: &'a [u8],
    losses: &mut Losses,
) -> Option<Result<EmbeddingRequest<'a>, Unsupported>> {
    match endpoint {
        Endpoint::Embeddings => Some(openai::embeddings::parse(body, losses)),
        Endpoint::EmbedContent | Endpoint::BatchEmbedContents => {
            Some(gemini::embeddings::parse(endpoint, body, losses))
        }
        _ => None,
    }
}

/// Writes a request for a provider. `None`: its protocol has none.
pub(super) fn write(
    request: &EmbeddingRequest<'_>,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Option<Result<Bytes, Unsupported>> {
    match target.protocol {
        WireProtocol::OpenAI => Some(openai::embeddings::write(request, target, losses)),
        WireProtocol::Gemini => Some(gemini::embeddings::write(request, target, losses)),
        WireProtocol::Bedrock => Some(bedrock::embeddings::write(request, target, losses)),
        WireProtocol::Cohere => Some(cohere::embeddings::write(request, target, losses)),
        WireProtocol::Anthropic => None,
    }
}

/// Reads a provider's answer.
pub(super) fn read(
    protocol: WireProtocol,
    answer: &Object<'_>,
) -> Result<EmbeddingAnswer, BadReply> {
    match protocol {
        WireProtocol::OpenAI => openai::embeddings::read(answer),
        WireProtocol::Gemini => gemini::embeddings::read(answer),
        WireProtocol::Bedrock => bedrock::embeddings::read(answer),
        WireProtocol::Cohere => cohere::embeddings::read(answer),
        // It was sent no request.
        WireProtocol::Anthropic => Err(BadReply::Missing("embeddings")),
    }
}

/// Writes an answer for a client.
pub(super) fn write_answer(answer: &EmbeddingAnswer, plan: &ReplyPlan) -> Bytes {
    match plan.operation.endpoint() {
        Endpoint::Embeddings => {
            openai::embeddings::write_answer(answer, &plan.model, plan.encoding)
        }
        endpoint => gemini::embeddings::write_answer(answer, endpoint),
    }
}
