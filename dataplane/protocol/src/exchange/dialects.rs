//! Which module speaks which protocol: requests and answers of conversations.

use bytes::Bytes;

use super::{ReplyPlan, Target};
use crate::anthropic;
use crate::bedrock;
use crate::cohere;
use crate::fault::{BadReply, Losses, Unsupported};
use crate::gemini;
use crate::json::Object;
use crate::message::{Answer, Conversation, Decode, Emitter};
use crate::openai;
use crate::operation::Endpoint;
use crate::responses;
use crate::vendor::WireProtocol;

/// Reads a client's request. `None`: it is no conversation.
pub(super) fn parse<'a>(
    endpoint: Endpoint,
    body: &'a [u8],
    losses: &mut Losses,
) -> Option<Result<Conversation<'a>, Unsupported>> {
    match endpoint {
        Endpoint::ChatCompletions => Some(openai::request::parse(body, losses)),
        Endpoint::Completions => Some(openai::completions::parse(body, losses)),
        Endpoint::Messages => Some(anthropic::client::request::parse(body, losses)),
        Endpoint::Responses => Some(responses::request::parse(body, losses)),
        Endpoint::GenerateContent | Endpoint::StreamGenerateContent => {
            Some(gemini::client::request::parse(body, losses))
        }
        _ => None,
    }
}

/// Writes a conversation for a provider.
pub(super) fn write(
    conversation: &Conversation<'_>,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Result<Bytes, Unsupported> {
    match target.protocol {
        WireProtocol::OpenAI => openai::chat::request::write(conversation, target, losses),
        WireProtocol::Anthropic => anthropic::request::write(conversation, target, losses),
        WireProtocol::Gemini => gemini::request::write(conversation, target, losses),
        WireProtocol::Bedrock => bedrock::request::write(conversation, target, losses),
        WireProtocol::Cohere => cohere::request::write(conversation, target, losses),
    }
}

/// Reads a provider's whole answer.
pub(super) fn read<'a>(
    protocol: WireProtocol,
    answer: &Object<'a>,
) -> Result<Answer<'a>, BadReply> {
    match protocol {
        WireProtocol::OpenAI => openai::chat::response::read(answer),
        WireProtocol::Anthropic => anthropic::response::read(answer),
        WireProtocol::Gemini => gemini::response::read(answer),
        WireProtocol::Bedrock => bedrock::response::read(answer),
        WireProtocol::Cohere => cohere::response::read(answer),
    }
}

/// Writes a whole answer for a client.
pub(super) fn write_answer(answer: &Answer<'_>, plan: &ReplyPlan) -> Bytes {
    match plan.operation.endpoint() {
        Endpoint::Messages => anthropic::client::response::write(answer, &plan.model, plan.created),
        Endpoint::GenerateContent | Endpoint::StreamGenerateContent => {
            gemini::client::response::write(answer, &plan.model)
        }
        Endpoint::Completions => openai::completions::write(answer, &plan.model, plan.created),
        Endpoint::Responses => responses::response::write(answer, &plan.model, plan.created),
        // All others that are conversations are told above.
        _ => openai::response::write(answer, &plan.model, plan.created),
    }
}

/// Reads a provider's stream.
pub(super) fn decoder(protocol: WireProtocol) -> Box<dyn Decode> {
    match protocol {
        WireProtocol::OpenAI => Box::new(openai::chat::stream::Decoder::default()),
        WireProtocol::Gemini => Box::new(gemini::stream::Decoder::default()),
        WireProtocol::Bedrock => Box::new(bedrock::stream::Decoder::default()),
        WireProtocol::Cohere => Box::new(cohere::stream::Decoder::default()),
        WireProtocol::Anthropic => Box::new(anthropic::stream::Decoder::default()),
    }
}

/// Writes a stream for a client.
pub(super) fn emitter(plan: &ReplyPlan) -> Box<dyn Emitter> {
    match plan.operation.endpoint() {
        Endpoint::Responses => Box::new(responses::emit::ResponseEmitter::new(
            &plan.model,
            plan.created,
        )),
        Endpoint::GenerateContent | Endpoint::StreamGenerateContent => {
            Box::new(gemini::client::emit::ReplyEmitter::new(&plan.model))
        }
        Endpoint::Completions => Box::new(openai::completions::TextEmitter::new(
            &plan.model,
            plan.created,
            plan.wants_usage,
        )),
        Endpoint::Messages => Box::new(anthropic::client::emit::EventEmitter::new(
            &plan.model,
            plan.created,
        )),
        // All others that are conversations are told above.
        _ => Box::new(openai::emit::ChunkEmitter::new(
            &plan.model,
            plan.created,
            plan.wants_usage,
        )),
    }
}
