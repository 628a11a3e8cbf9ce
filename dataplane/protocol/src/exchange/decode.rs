//! A whole (not streamed) answer of a provider.

use bytes::Bytes;

use crate::anthropic;
use crate::error::{classify_in_stream, tells_error};
use crate::exchange::ReplyPlan;
use crate::fault::BadReply;
use crate::json::Object;
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
    /// Why the first answer ended, in OpenAI's words.
    pub finish_reason: Option<String>,
}

impl ReplyPlan {
    /// Decodes a whole success body. Pass-through returns the same bytes.
    pub fn decode(&self, body: Bytes) -> Result<Decoded, BadReply> {
        let object = Object::parse(&body).map_err(|error| BadReply::NotJson(error.to_string()))?;
        if tells_error(&object) {
            return Err(classify_in_stream(self.provider, &body).into());
        }
        match self.provider {
            WireProtocol::OpenAI => {
                let usage = object
                    .object("usage")
                    .map(|usage| openai::usage::read(&usage))
                    .filter(|usage| !usage.is_empty());
                let response_model = object.str("model").map(String::from);
                let finish_reason = openai::response::finish_reason(&object);
                Ok(Decoded {
                    body,
                    usage,
                    response_model,
                    finish_reason,
                })
            }
            WireProtocol::Anthropic => {
                let answer = anthropic::response::read(&object)?;
                Ok(Decoded {
                    body: openai::response::write(&answer, &self.model, self.created),
                    usage: answer.usage,
                    response_model: object.str("model").map(String::from),
                    finish_reason: answer
                        .finish
                        .as_ref()
                        .map(|f| openai::response::word(f).to_owned()),
                })
            }
        }
    }
}
