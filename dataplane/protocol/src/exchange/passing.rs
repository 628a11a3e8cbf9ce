//! Which module looks at what passes: bodies that client and provider say in the same protocol.

use bytes::Bytes;

use super::ReplyPlan;
use super::decode::Decoded;
use super::opaque::Opaque;
use super::pass::{Pass, PassThrough, Rename};
use crate::anthropic;
use crate::fault::BadReply;
use crate::gemini;
use crate::openai;
use crate::operation::{ClientProtocol, Endpoint};
use crate::responses;

/// Lets a stream pass.
pub(super) fn stream(plan: &ReplyPlan) -> Box<dyn Pass> {
    if plan.is_opaque {
        return Box::new(Opaque::default());
    }
    let rename = rename(plan);
    match plan.client {
        ClientProtocol::OpenAI if is_image(plan) => {
            Box::new(PassThrough::new(openai::media::MediaEvents, rename))
        }
        ClientProtocol::OpenAI => {
            let chunks = openai::pass::Chunks {
                keep_usage_chunk: plan.wants_usage,
            };
            Box::new(PassThrough::new(chunks, rename))
        }
        ClientProtocol::Responses => {
            Box::new(PassThrough::new(responses::pass::ResponseEvents, rename))
        }
        ClientProtocol::Anthropic => {
            Box::new(PassThrough::new(anthropic::pass::Events::default(), rename))
        }
        ClientProtocol::Gemini => {
            Box::new(PassThrough::new(gemini::pass::Replies::default(), rename))
        }
    }
}

/// Looks at a whole answer that passes.
pub(super) fn whole(plan: &ReplyPlan, body: Bytes) -> Result<Decoded, BadReply> {
    if plan.is_opaque {
        return Ok(Decoded {
            body,
            usage: None,
            response_model: None,
        });
    }
    let mut decoded = match plan.client {
        ClientProtocol::OpenAI if is_image(plan) => openai::media::whole(plan.provider, body),
        ClientProtocol::OpenAI if plan.operation.endpoint() == Endpoint::Rerank => {
            openai::rerank::whole(plan.provider, body)
        }
        ClientProtocol::OpenAI => openai::pass::whole(plan.provider, body),
        ClientProtocol::Responses => responses::pass::whole(plan.provider, body),
        ClientProtocol::Anthropic => anthropic::pass::whole(body),
        ClientProtocol::Gemini => gemini::pass::whole(body),
    }?;
    if let Some(rename) = rename(plan) {
        decoded.body = rename.whole(decoded.body);
    }
    Ok(decoded)
}

fn is_image(plan: &ReplyPlan) -> bool {
    matches!(
        plan.operation.endpoint(),
        Endpoint::ImageGenerations | Endpoint::ImageEdits | Endpoint::ImageVariations
    )
}

/// The client gets the name that it asked for, unless that is the provider's own.
fn rename(plan: &ReplyPlan) -> Option<Rename> {
    let member = match plan.client {
        ClientProtocol::Gemini => "\"modelVersion\":",
        _ => "\"model\":",
    };
    plan.is_renamed.then(|| Rename::new(member, &plan.model))
}
