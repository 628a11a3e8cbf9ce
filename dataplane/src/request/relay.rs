//! Step 8: the provider's answer, decoded and handed to the client.
//!
//! A whole answer is read and then answered. A stream is held until its first
//! content, so that whatever fails before it becomes a real HTTP status; from
//! then on it is pulled by the client's connection, chunk by chunk, and a
//! failure ends it with an error in the client's protocol and an unclean end.
//! One that is silent for too long is begun before its content, with comments;
//! an error is one in the client's protocol then, too.

mod body;
mod clocks;
mod heartbeat;
mod held;
mod whole;

use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use http_body::Body;
use turnpike_protocol::Decoded;

pub use body::{BodyError, ResponseBody, Rest, finish};
pub use clocks::{Clocks, Interruption};
pub use heartbeat::Heartbeat;
pub use held::HeldStream;
pub use whole::{bad_answer, read_error, read_whole};

use super::error::REQUEST_ID;
use super::settle::Account;
use super::wait::Opening;
use crate::drains::TenantDrains;

/// Tells nginx and its kin to pass chunks as they come.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// A provider's answer, ready for the client.
#[expect(
    clippy::large_enum_variant,
    reason = "whole answers are common, and boxing them costs each an allocation"
)]
pub enum Answer {
    /// Complete.
    Whole(Decoded),
    /// Its first content has come, the rest is on its way.
    Stream(Box<HeldStream>),
}

/// Makes the client's answer; the account goes with its body.
pub fn respond(
    answer: Answer,
    headers: HeaderMap,
    account: Box<Account>,
) -> Response<ResponseBody> {
    match answer {
        Answer::Whole(decoded) => {
            let body = ResponseBody::whole(decoded.body, account);
            answer_of("application/json", headers, body)
        }
        Answer::Stream(held) => stream_of(headers, ResponseBody::stream(held, account)),
    }
}

/// Begins a stream of which there is nothing yet: what is left of the request's future follows.
pub fn begin(opening: Opening, rest: Rest, drains: Option<TenantDrains>) -> Response<ResponseBody> {
    let mut headers = opening.headers;
    headers.insert(REQUEST_ID, opening.id);
    stream_of(headers, ResponseBody::early(rest, opening.uptake, drains))
}

fn stream_of(mut headers: HeaderMap, body: ResponseBody) -> Response<ResponseBody> {
    headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    answer_of("text/event-stream; charset=utf-8", headers, body)
}

fn answer_of(
    content_type: &'static str,
    mut headers: HeaderMap,
    body: ResponseBody,
) -> Response<ResponseBody> {
    // What passes unread is of the type that its provider says.
    let usual = HeaderValue::from_static(content_type);
    headers.entry(CONTENT_TYPE).or_insert(usual);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    let mut response = Response::new(body);
    *response.headers_mut() = headers;
    response
}

/// Makes the answer to HEAD of one to GET: its length is told, its body left out. hyper leaves the
/// body out by itself on HTTP/1.1 only.
pub fn without_body(mut response: Response<ResponseBody>) -> Response<ResponseBody> {
    if let Some(length) = response.body().size_hint().exact() {
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    response.map(ResponseBody::omitted)
}
