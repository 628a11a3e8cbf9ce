//! What a request's body must be: not too long, not too slow, one JSON object with a model.

use std::time::Duration;

use http::StatusCode;
use turnpike_protocol::{Head, HeadError};

use super::error::{RequestError, Result};
use crate::access_log::End;

/// Longest silence of a client that is still sending: slower than any line that works.
pub const STALL: Duration = Duration::from_secs(30);
/// Longest name of a model, in bytes; it stands in the log and in what is learned of models.
/// Source: Bedrock's `modelId`, the longest of any vendor.
pub(super) const MAX_MODEL: usize = 2048;

/// Refuses what is longer than a route takes.
pub fn check_size(bytes: u64, max_bytes: u64) -> Result<()> {
    if bytes <= max_bytes {
        return Ok(());
    }
    Err(RequestError::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "request_too_large",
        format!("the request body is over {max_bytes} bytes, the maxBodyBytes of this route"),
    ))
}

/// Refuses a head without a model that could be one.
pub fn check(head: &Head) -> Result<()> {
    match &head.model {
        Some(model) if model.value.len() > MAX_MODEL => Err(RequestError::bad_request(
            "invalid_model",
            format!("the name of the model is over {MAX_MODEL} bytes"),
        )
        .param("model")),
        Some(model) if !model.value.is_empty() => Ok(()),
        _ => Err(RequestError::bad_request(
            "missing_model",
            "the request names no model; set \"model\"",
        )
        .param("model")),
    }
}

/// The client has stopped sending.
pub fn stalled() -> RequestError {
    RequestError::new(
        StatusCode::REQUEST_TIMEOUT,
        "request_body_timeout",
        format!("the request body made no progress for {STALL:?}"),
    )
}

/// The client's body has no end.
pub fn broken() -> RequestError {
    RequestError::bad_request(
        "incomplete_body",
        "the request body broke off before its end",
    )
    .ended(End::ClientGone)
}

impl From<HeadError> for RequestError {
    fn from(fault: HeadError) -> Self {
        let code = match fault {
            HeadError::NotJson { .. } | HeadError::NotObject => "invalid_json",
            HeadError::Duplicate { .. } => "duplicate_member",
            HeadError::ModelTooLong { .. } => "invalid_model",
            HeadError::WrongType { .. } => "invalid_type",
        };
        let error = Self::bad_request(code, fault.to_string());
        match fault.param() {
            Some(param) => error.param(param),
            None => error,
        }
    }
}
