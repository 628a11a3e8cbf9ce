//! What a request's body must be: not too long, not too slow, one JSON object or form with a model.

use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use turnpike_protocol::{BodyScanner, FormScanner, Head, HeadError, Operation, Scanner};

use super::error::{RequestError, Result};
use crate::access_log::End;

/// Longest silence of a client that is still sending: slower than any line that works.
pub const STALL: Duration = Duration::from_secs(30);
/// Longest name of a model, in bytes; it stands in the log and in what is learned of models.
/// Source: Bedrock's `modelId`, the longest of any vendor.
pub(super) const MAX_MODEL: usize = 2048;

/// What a body is written in, and whether it must name a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// The boundary between the parts of a form; `None`: one JSON object.
    boundary: Option<Box<str>>,
    /// `false`: the path names it.
    pub has_model: bool,
}

impl Form {
    /// One JSON object with a model.
    pub const JSON: Form = Form {
        boundary: None,
        has_model: true,
    };

    /// What an operation is asked for with. Errors: 400 where the headers tell of something else.
    pub fn of(operation: &Operation, headers: &HeaderMap) -> Result<Self> {
        let endpoint = operation.endpoint();
        let boundary = match endpoint.is_form() {
            false => None,
            true => {
                let kind = headers.get(CONTENT_TYPE);
                let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or("");
                Some(turnpike_protocol::boundary(kind)?.as_ref().into())
            }
        };
        Ok(Form {
            boundary,
            has_model: operation.model().is_none(),
        })
    }

    /// Starts to read such a body.
    pub fn scanner(&self) -> BodyScanner {
        match &self.boundary {
            None => BodyScanner::Json(Scanner::new()),
            Some(boundary) => BodyScanner::Form(Box::new(FormScanner::new(boundary))),
        }
    }

    /// Refuses a head without a model that could be one.
    pub fn check(&self, head: &Head) -> Result<()> {
        match self.has_model || head.model.is_some() {
            true => check(head),
            false => Ok(()),
        }
    }
}

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

fn check(head: &Head) -> Result<()> {
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
            HeadError::NotForm { .. } => "invalid_form",
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
