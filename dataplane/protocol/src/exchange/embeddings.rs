//! Which module speaks which protocol: embeddings.

use bytes::Bytes;

use super::{ReplyPlan, Target};
use crate::fault::{BadReply, Losses, Unsupported};
use crate::json::Object;
use crate::message::embedding::{EmbeddingAnswer, EmbeddingRequest};
use crate::operation::Endpoint;
use crate::vendor::WireProtocol;

/// Reads a client's request. `None`: it asks for no embeddings.
pub(super) fn parse<'a>(
    endpoint: Endpoint,
    _body: &'a [u8],
    _losses: &mut Losses,
) -> Option<Result<EmbeddingRequest<'a>, Unsupported>> {
    match endpoint {
        _ => None,
    }
}

/// Writes a request for a provider. `None`: its protocol has none.
pub(super) fn write(
    _request: &EmbeddingRequest<'_>,
    target: &Target<'_>,
    _losses: &mut Losses,
) -> Option<Result<Bytes, Unsupported>> {
    match target.protocol {
        _ => None,
    }
}

/// Reads a provider's answer.
pub(super) fn read(
    protocol: WireProtocol,
    _answer: &Object<'_>,
) -> Result<EmbeddingAnswer, BadReply> {
    match protocol {
        _ => todo!(),
    }
}

/// Writes an answer for a client.
pub(super) fn write_answer(_answer: &EmbeddingAnswer, plan: &ReplyPlan) -> Bytes {
    match plan.operation.endpoint() {
        _ => todo!(),
    }
}
