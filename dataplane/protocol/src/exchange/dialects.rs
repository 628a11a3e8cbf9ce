//! Which module speaks which protocol: requests and answers of conversations.

use bytes::Bytes;

use super::{ReplyPlan, Target};
use crate::anthropic;
use crate::fault::{BadReply, Losses, Unsupported};
use crate::json::Object;
use crate::message::{Answer, Conversation, Decode, Emitter};
use crate::openai;
use crate::operation::Endpoint;
use crate::vendor::WireProtocol;

/// Reads a client's request. `None`: it is no conversation.
pub(super) fn parse<'a>(
    endpoint: Endpoint,
    body: &'a [u8],
    losses: &mut Losses,
) -> Option<Result<Conversation<'a>, Unsupported>> {
    match endpoint {
        Endpoint::ChatCompletions => Some(openai::request::parse(body, losses)),
        _ => None,
    }
}

/// Writes a conversation for a provider. `None`: its protocol has none.
pub(super) fn write(
    conversation: &Conversation<'_>,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Option<Result<Bytes, Unsupported>> {
    match target.protocol {
        WireProtocol::Anthropic => Some(anthropic::request::write(conversation, target, losses)),
        _ => None,
    }
}

/// Reads a provider's whole answer.
pub(super) fn read<'a>(
    protocol: WireProtocol,
    answer: &Object<'a>,
) -> Result<Answer<'a>, BadReply> {
    match protocol {
        WireProtocol::Anthropic => anthropic::response::read(answer),
        _ => todo!(),
    }
}

/// Writes a whole answer for a client.
pub(super) fn write_answer(answer: &Answer<'_>, plan: &ReplyPlan) -> Bytes {
    match plan.operation.endpoint() {
        Endpoint::ChatCompletions => openai::response::write(answer, &plan.model, plan.created),
        _ => todo!(),
    }
}

/// Reads a provider's stream.
pub(super) fn decoder(protocol: WireProtocol) -> Box<dyn Decode> {
    match protocol {
        WireProtocol::Anthropic => Box::new(anthropic::stream::Decoder::default()),
        _ => todo!(),
    }
}

/// Writes a stream for a client.
pub(super) fn emitter(plan: &ReplyPlan) -> Box<dyn Emitter> {
    match plan.operation.endpoint() {
        Endpoint::ChatCompletions => Box::new(openai::emit::ChunkEmitter::new(
            &plan.model,
            plan.created,
            plan.wants_usage,
        )),
        _ => todo!(),
    }
}
