//! Step 1: what a request asks for, told from its method and path.

use http::{Method, StatusCode};
use turnpike_protocol::{Endpoint, Operation, UnknownOperation};

use super::error::{RequestError, Result};

/// Refuses what an operation's query asks for and nobody here does.
///
/// Without `alt=sse` Gemini streams one JSON array, which no SDK of its asks for.
pub fn check_query(operation: &Operation, query: Option<&str>) -> Result<()> {
    let mut parameters = query.unwrap_or_default().split('&');
    match operation.endpoint() {
        Endpoint::StreamGenerateContent if !parameters.any(|one| one == "alt=sse") => {
            let message = "streams are told as server-sent events alone; add ?alt=sse";
            Err(RequestError::bad_request("unsupported_parameter", message).param("alt"))
        }
        _ => Ok(()),
    }
}

/// Recognises the operation, or says what there is.
pub fn recognise(method: &Method, path: &str) -> Result<Operation> {
    turnpike_protocol::recognise(method.as_str(), path).map_err(RequestError::from)
}

impl From<UnknownOperation> for RequestError {
    fn from(unknown: UnknownOperation) -> Self {
        match unknown {
            UnknownOperation::Path => Self::new(
                StatusCode::NOT_FOUND,
                "unknown_path",
                "there is nothing at this path; use one of OpenAI's (/v1/chat/completions, /v1/responses, /v1/embeddings, /v1/models, …), Anthropic's (/v1/messages) or Gemini's (/v1beta/models/MODEL:generateContent)",
            ),
            UnknownOperation::Method { allowed } => Self::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                format!("this path takes {allowed} only"),
            )
            .allow(allowed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unknown_is_404_and_a_wrong_method_405() {
        let code = |method: Method, path| {
            let error = recognise(&method, path).unwrap_err();
            (error.status().as_u16(), error.code().to_owned())
        };
        assert_eq!(code(Method::POST, "/v2/chat"), (404, "unknown_path".into()));
        assert_eq!(
            code(Method::GET, "/v1/chat/completions"),
            (405, "method_not_allowed".into())
        );
    }
}
