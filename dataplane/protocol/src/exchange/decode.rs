//! A whole (not streamed) answer of a provider.

use bytes::Bytes;

use super::{dialects, embeddings, passing};
use crate::error::{classify_in_stream, tells_error};
use crate::exchange::ReplyPlan;
use crate::fault::BadReply;
use crate::json::Object;
use crate::operation::Endpoint;
use crate::usage::Usage;

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

impl ReplyPlan {
    /// Decodes a whole success body. Pass-through returns the same bytes.
    pub fn decode(&self, body: Bytes) -> Result<Decoded, BadReply> {
        if self.passes {
            return passing::whole(self, body);
        }
        let object = Object::parse(&body).map_err(|error| BadReply::NotJson(error.to_string()))?;
        if tells_error(&object) {
            return Err(classify_in_stream(self.provider, &body).into());
        }
        match self.operation.endpoint() {
            Endpoint::Embeddings | Endpoint::EmbedContent | Endpoint::BatchEmbedContents => {
                let answer = embeddings::read(self.provider, &object)?;
                Ok(Decoded {
                    body: embeddings::write_answer(&answer, self),
                    usage: answer.usage,
                    response_model: answer.model,
                })
            }
            _ => {
                let answer = dialects::read(self.provider, &object)?;
                Ok(Decoded {
                    body: dialects::write_answer(&answer, self),
                    usage: answer.usage,
                    response_model: answer.model.map(String::from),
                })
            }
        }
    }
}
