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

/// What is looked at of an answer that passes.
const LOOKED_AT: [&str; 5] = ["usage", "model", "error", "type", "object"];

impl ReplyPlan {
    /// Decodes a whole success body. Pass-through returns the same bytes.
    pub fn decode(&self, body: Bytes) -> Result<Decoded, BadReply> {
        match self.provider {
            WireProtocol::OpenAI => {
                // It passes: what is not looked at needs only be JSON.
                let object = json::pick(&body, &LOOKED_AT).map_err(BadReply::NotJson)?;
                self.check(&object, &body)?;
                let usage = object
                    .object("usage")
                    .map(|usage| openai::usage::read(&usage))
                    .filter(|usage| !usage.is_empty());
                let response_model = object.str("model").map(String::from);
                Ok(Decoded {
                    body,
                    usage,
                    response_model,
                })
            }
            WireProtocol::Anthropic => {
                let object =
                    Object::parse(&body).map_err(|error| BadReply::NotJson(error.to_string()))?;
                self.check(&object, &body)?;
                let answer = anthropic::response::read(&object)?;
                Ok(Decoded {
                    body: openai::response::write(&answer, &self.model, self.created),
                    usage: answer.usage,
                    response_model: object.str("model").map(String::from),
                })
            }
        }
    }

    /// Errors: what the provider calls an error, though it called it a success.
    fn check(&self, object: &Object<'_>, body: &[u8]) -> Result<(), BadReply> {
        match tells_error(object) {
            true => Err(classify_in_stream(self.provider, body).into()),
            false => Ok(()),
        }
    }
}
