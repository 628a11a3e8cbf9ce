//! Answers that are read to their end before the client sees any of it.

use std::borrow::Cow;
use std::future::poll_fn;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use turnpike_protocol::{BadReply, Decoded, ReplyPlan};

use super::clocks::Clocks;
use crate::budget::Charge;
use crate::metrics::UpstreamFault;
use crate::request::error::{RequestError, Result};
use crate::upstream::AnswerBody;

/// Longest whole answer: embeddings of a large batch are some 30 MB.
const MAX_ANSWER: usize = 64 << 20;
/// How much of an error answer is looked at.
const MAX_ERROR: usize = 64 << 10;

/// Reads a success answer to its end and decodes it.
///
/// Its first byte may come only once everything is generated, even where its head came at once; the
/// idle timeout begins with it.
pub async fn read_whole(
    mut answer: AnswerBody,
    plan: &ReplyPlan,
    clocks: &mut Clocks,
    charge: &mut Charge,
) -> Result<Decoded> {
    let (body, is_all) = collect(&mut answer, MAX_ANSWER, clocks, Some(charge)).await?;
    if !is_all {
        return Err(bad_answer(format!(
            "the provider's answer is over {MAX_ANSWER} bytes"
        )));
    }
    plan.decode(body).map_err(RequestError::from)
}

/// Reads the beginning of an error answer; one that breaks off is taken as far as it came.
pub async fn read_error(mut answer: AnswerBody, clocks: &mut Clocks) -> Bytes {
    clocks.await_next();
    match collect(&mut answer, MAX_ERROR, clocks, None).await {
        Ok((body, _)) => body,
        Err(_) => Bytes::new(),
    }
}

/// Reads up to `max` bytes, and says whether that was all.
async fn collect(
    answer: &mut AnswerBody,
    max: usize,
    clocks: &mut Clocks,
    mut charge: Option<&mut Charge>,
) -> Result<(Bytes, bool)> {
    let mut first = None;
    let mut whole = BytesMut::new();
    loop {
        let next = clocks.within(poll_fn(|cx| answer.poll_chunk(cx))).await?;
        let chunk = match next {
            None => break,
            Some(Ok(chunk)) => chunk,
            Some(Err(_)) => return Err(cut()),
        };
        clocks.await_next();
        if let Some(charge) = &mut charge {
            charge.grow(chunk.len() as u64)?;
        }
        if whole.len() + first.as_ref().map_or(0, Bytes::len) + chunk.len() > max {
            whole.extend_from_slice(&first.take().unwrap_or_default());
            whole.extend_from_slice(&chunk[..max - whole.len()]);
            return Ok((whole.freeze(), false));
        }
        // An answer in one piece, the usual case, is not copied.
        if first.is_none() && whole.is_empty() {
            first = Some(chunk);
            continue;
        }
        whole.extend_from_slice(&first.take().unwrap_or_default());
        whole.extend_from_slice(&chunk);
    }
    Ok((first.unwrap_or_else(|| whole.freeze()), true))
}

/// The provider's answer broke off before the client saw any of it.
pub(super) fn cut() -> RequestError {
    RequestError::upstream(
        UpstreamFault::Cut,
        StatusCode::BAD_GATEWAY,
        "provider_connection_lost",
        "the provider stopped in the middle of its answer; try again",
    )
}

/// The provider sent what is no answer.
pub fn bad_answer(message: impl Into<Cow<'static, str>>) -> RequestError {
    let status = StatusCode::BAD_GATEWAY;
    RequestError::upstream(
        UpstreamFault::Garbage,
        status,
        "provider_bad_answer",
        message,
    )
}

impl From<BadReply> for RequestError {
    fn from(bad: BadReply) -> Self {
        match bad {
            BadReply::Provider(said) => said.into(),
            // The parser's words may quote the answer; they are not for the client.
            BadReply::NotJson(_) => bad_answer("the provider's answer is not JSON"),
            other => bad_answer(other.to_string()),
        }
    }
}
