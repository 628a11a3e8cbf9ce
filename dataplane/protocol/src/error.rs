//! Errors: the shapes that clients read, and what a provider's error means.
//!
//! [`encode_error`] is the one place that writes an error body; [`classify`] the one that reads a
//! provider's. Nothing of a provider's key, address or account goes through.

mod classify;
mod redact;

use std::borrow::Cow;

use bytes::Bytes;
use serde::Serialize;

use crate::json;
use crate::operation::ClientProtocol;

pub use classify::{FaultClass, ProviderError, classify};
pub(crate) use classify::{classify_in_stream, tells_error};

/// The kind of an error, as the field `type` tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request is at fault.
    InvalidRequest,
    /// Nobody knows who is calling.
    Authentication,
    /// The caller may not.
    Permission,
    /// There is no such thing.
    NotFound,
    /// The request is too large.
    TooLarge,
    /// Too many requests or tokens.
    RateLimit,
    /// Something failed behind the gateway, or in it.
    Api,
    /// There is no room just now.
    Overloaded,
}

impl ErrorKind {
    /// The value of `type`, the same in OpenAI's and Anthropic's shapes.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorKind::InvalidRequest => "invalid_request_error",
            ErrorKind::Authentication => "authentication_error",
            ErrorKind::Permission => "permission_error",
            ErrorKind::NotFound => "not_found_error",
            ErrorKind::TooLarge => "request_too_large",
            ErrorKind::RateLimit => "rate_limit_error",
            ErrorKind::Api => "api_error",
            ErrorKind::Overloaded => "overloaded_error",
        }
    }

    /// The kind that goes with a status.
    pub fn of_status(status: u16) -> Self {
        match status {
            401 => ErrorKind::Authentication,
            403 => ErrorKind::Permission,
            404 => ErrorKind::NotFound,
            413 => ErrorKind::TooLarge,
            429 => ErrorKind::RateLimit,
            503 | 529 => ErrorKind::Overloaded,
            400..=499 => ErrorKind::InvalidRequest,
            _ => ErrorKind::Api,
        }
    }
}

/// An error as a client will see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorBody {
    /// The HTTP status; not part of the body.
    pub status: u16,
    /// What kind of error.
    pub kind: ErrorKind,
    /// A stable name that programs can rely on.
    pub code: Cow<'static, str>,
    /// What is wrong and what to do, for people.
    pub message: String,
    /// The member of the request at fault.
    pub param: Option<String>,
    /// The id of the request at this gateway.
    pub request_id: String,
}

/// Writes an error in the client's protocol.
///
/// OpenAI: `{"error":{"message","type","param","code"},"request_id"}`.
pub fn encode_error(client: ClientProtocol, error: &ErrorBody) -> Bytes {
    let mut out = Vec::with_capacity(256);
    write_error(&mut out, client, error);
    Bytes::from(out)
}

/// Writes the event that ends a stream of which nothing came, in the client's protocol.
pub fn error_event(client: ClientProtocol, error: &ErrorBody) -> Bytes {
    let mut out = Vec::with_capacity(320);
    write_error_event(&mut out, client, error);
    Bytes::from(out)
}

pub(crate) fn write_error_event(out: &mut Vec<u8>, client: ClientProtocol, error: &ErrorBody) {
    match client {
        ClientProtocol::OpenAI => {
            out.extend_from_slice(b"data: ");
            write_error(out, client, error);
            out.extend_from_slice(b"\n\n");
        }
    }
}

fn write_error(out: &mut Vec<u8>, client: ClientProtocol, error: &ErrorBody) {
    match client {
        ClientProtocol::OpenAI => json::write(out, &OpenAIError::from(error)),
    }
}

#[derive(Serialize)]
struct OpenAIError<'a> {
    error: OpenAIDetail<'a>,
    request_id: &'a str,
}

#[derive(Serialize)]
struct OpenAIDetail<'a> {
    message: &'a str,
    r#type: &'static str,
    param: Option<&'a str>,
    code: &'a str,
}

impl<'a> From<&'a ErrorBody> for OpenAIError<'a> {
    fn from(error: &'a ErrorBody) -> Self {
        let detail = OpenAIDetail {
            message: &error.message,
            r#type: error.kind.as_str(),
            param: error.param.as_deref(),
            code: &error.code,
        };
        OpenAIError {
            error: detail,
            request_id: &error.request_id,
        }
    }
}
