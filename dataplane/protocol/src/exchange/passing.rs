//! Which module looks at what passes: bodies that client and provider say in the same protocol.

use bytes::Bytes;

use super::ReplyPlan;
use super::decode::Decoded;
use super::pass::{Pass, PassThrough};
use crate::fault::BadReply;
use crate::openai;
use crate::operation::ClientProtocol;

/// Lets a stream pass.
pub(super) fn stream(plan: &ReplyPlan) -> Box<dyn Pass> {
    match plan.client {
        ClientProtocol::OpenAI => Box::new(PassThrough::new(openai::pass::Chunks {
            keep_usage_chunk: plan.wants_usage,
        })),
        _ => todo!(),
    }
}

/// Looks at a whole answer that passes.
pub(super) fn whole(plan: &ReplyPlan, body: Bytes) -> Result<Decoded, BadReply> {
    match plan.client {
        ClientProtocol::OpenAI => openai::pass::whole(plan.provider, body),
        _ => todo!(),
    }
}
