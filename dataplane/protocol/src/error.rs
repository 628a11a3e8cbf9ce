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

pub use classify::{FaultClass, ProviderError, classify, classify_named};
pub(crate) use classify::{classify_aws, classify_aws_bare, classify_in_stream, tells_error};

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
/// OpenAI: `{"error":{"message","type","param","code"},"request_id"}`. Anthropic:
/// `{"type":"error","error":{"type","message"},"request_id"}`. Gemini:
/// `{"error":{"code","message","status","details"}}`, code and request in the details.
pub fn encode_error(client: ClientProtocol, error: &ErrorBody) -> Bytes {
    let mut out = Vec::with_capacity(256);
    write_error(&mut out, client, error);
    Bytes::from(out)
}

/// Writes the event that ends a stream of which nothing came, in the client's protocol.
pub fn error_event(client: ClientProtocol, error: &ErrorBody) -> Bytes {
    let mut out = Vec::with_capacity(320);
    write_error_event(&mut out, client, error, 0);
    Bytes::from(out)
}

/// Appends the event that ends a stream. `sequence` is its number where the protocol numbers events.
pub(crate) fn write_error_event(
    out: &mut Vec<u8>,
    client: ClientProtocol,
    error: &ErrorBody,
    sequence: u64,
) {
    match client {
        ClientProtocol::OpenAI | ClientProtocol::Gemini => {
            out.extend_from_slice(b"data: ");
            write_error(out, client, error);
        }
        ClientProtocol::Anthropic => {
            out.extend_from_slice(b"event: error\ndata: ");
            write_error(out, client, error);
        }
        ClientProtocol::Responses => {
            out.extend_from_slice(b"event: error\ndata: ");
            json::write(out, &ResponsesEvent::new(error, sequence));
        }
    }
    out.extend_from_slice(b"\n\n");
}

fn write_error(out: &mut Vec<u8>, client: ClientProtocol, error: &ErrorBody) {
    match client {
        ClientProtocol::OpenAI | ClientProtocol::Responses => {
            json::write(out, &OpenAIError::from(error));
        }
        ClientProtocol::Anthropic => json::write(out, &AnthropicError::from(error)),
        ClientProtocol::Gemini => json::write(out, &GeminiError::from(error)),
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

#[derive(Serialize)]
struct AnthropicError<'a> {
    r#type: &'static str,
    error: AnthropicDetail<'a>,
    request_id: &'a str,
}

#[derive(Serialize)]
struct AnthropicDetail<'a> {
    r#type: &'static str,
    message: &'a str,
    /// Not Anthropic's; the same stable name as in the other shapes.
    code: &'a str,
}

impl<'a> From<&'a ErrorBody> for AnthropicError<'a> {
    fn from(error: &'a ErrorBody) -> Self {
        AnthropicError {
            r#type: "error",
            error: AnthropicDetail {
                r#type: error.kind.as_str(),
                message: &error.message,
                code: &error.code,
            },
            request_id: &error.request_id,
        }
    }
}

#[derive(Serialize)]
struct GeminiError<'a> {
    error: GeminiDetail<'a>,
}

#[derive(Serialize)]
struct GeminiDetail<'a> {
    code: u16,
    message: &'a str,
    status: &'static str,
    details: [GeminiInfo<'a>; 1],
}

/// Source: google.rpc.ErrorInfo.
#[derive(Serialize)]
struct GeminiInfo<'a> {
    #[serde(rename = "@type")]
    r#type: &'static str,
    reason: &'a str,
    domain: &'static str,
    metadata: GeminiMetadata<'a>,
}

#[derive(Serialize)]
struct GeminiMetadata<'a> {
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    param: Option<&'a str>,
}

impl<'a> From<&'a ErrorBody> for GeminiError<'a> {
    fn from(error: &'a ErrorBody) -> Self {
        let info = GeminiInfo {
            r#type: "type.googleapis.com/google.rpc.ErrorInfo",
            reason: &error.code,
            domain: "turnpike.dev",
            metadata: GeminiMetadata {
                request_id: &error.request_id,
                param: error.param.as_deref(),
            },
        };
        GeminiError {
            error: GeminiDetail {
                code: error.status,
                message: &error.message,
                status: google_status(error.status),
                details: [info],
            },
        }
    }
}

/// Source: google.rpc.Code, "HTTP Mapping".
fn google_status(status: u16) -> &'static str {
    match status {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        499 => "CANCELLED",
        501 => "UNIMPLEMENTED",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        400..=498 => "INVALID_ARGUMENT",
        _ => "INTERNAL",
    }
}

/// The `error` event of a streamed response.
#[derive(Serialize)]
struct ResponsesEvent<'a> {
    r#type: &'static str,
    code: &'a str,
    message: &'a str,
    param: Option<&'a str>,
    request_id: &'a str,
    /// Clients demand it of every event.
    sequence_number: u64,
}

impl<'a> ResponsesEvent<'a> {
    fn new(error: &'a ErrorBody, sequence_number: u64) -> Self {
        ResponsesEvent {
            r#type: "error",
            code: &error.code,
            message: &error.message,
            param: error.param.as_deref(),
            request_id: &error.request_id,
            sequence_number,
        }
    }
}
