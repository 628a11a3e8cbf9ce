//! A whole (not streamed) answer of a provider.

use bytes::Bytes;

use crate::anthropic;
use crate::error::{classify_in_stream, tells_error};
use crate::exchange::ReplyPlan;
use crate::fault::BadReply;
use crate::json::{self, Object};
use crate::openai;
use crate::usage::Usage;
use crate::vendor::WireProtocol;

/// An answer ready for the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// What the client gets; the provider's own bytes where they pass through.
    pub body: Bytes,
    /// What the provider says was used.
    pub usage: Option<Usage>,
    /// The model that answered, as the provider calls it.
    pub response_model: Option<String>,
}

/// What is looked at of an answer that passes; the rest is the caller's to judge.
const LOOKED_AT: [&str; 5] = ["usage", "model", "error", "type", "object"];

impl ReplyPlan {
    /// Decodes a whole success body. Pass-through returns the same bytes.
    pub fn decode(&self, body: Bytes) -> Result<Decoded, BadReply> {
        match self.provider {
            WireProtocol::OpenAI => {
                let looked_at = json::pick(&body, &LOOKED_AT).map_err(BadReply::NotJson)?;
                let [usage, model, error, kind, object] = looked_at;
                let is_error = |value| value == Some(b"\"error\"".as_slice());
                if error.is_some_and(|error| error != b"null") || is_error(kind) || is_error(object)
                {
                    return Err(classify_in_stream(self.provider, &body).into());
                }
                let usage = usage.map(openai::usage::read);
                Ok(Decoded {
                    usage: usage.filter(|usage| !usage.is_empty()),
                    response_model: model.and_then(json::text),
                    body,
                })
            }
            WireProtocol::Anthropic => {
                let object =
                    Object::parse(&body).map_err(|error| BadReply::NotJson(error.to_string()))?;
                if tells_error(&object) {
                    return Err(classify_in_stream(self.provider, &body).into());
                }
                let answer = anthropic::response::read(&object)?;
                Ok(Decoded {
                    body: openai::response::write(&answer, &self.model, self.created),
                    usage: answer.usage,
                    response_model: object.str("model").map(String::from),
                })
            }
        }
    }
}
