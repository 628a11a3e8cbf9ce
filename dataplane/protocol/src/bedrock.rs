//! Amazon Bedrock, as spoken by providers: Converse and ConverseStream for conversations, InvokeModel
//! for embeddings.
//!
//! The model stands in the path, not in the body; a stream is asked for by another path and comes as
//! binary frames. Requests are signed elsewhere.

pub(crate) mod embeddings;
mod family;
mod frame;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod stream;
mod usage;
