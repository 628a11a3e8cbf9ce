//! OpenAI's wire format, as spoken by clients and by most providers.

pub(crate) mod chat;
pub(crate) mod completions;
pub(crate) mod embeddings;
pub(crate) mod emit;
pub(crate) mod media;
pub(crate) mod pass;
pub(crate) mod repair;
pub(crate) mod request;
pub(crate) mod rerank;
pub(crate) mod response;
pub(crate) mod usage;
