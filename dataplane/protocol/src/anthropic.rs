//! Anthropic's Messages, as spoken by providers and, in `client`, by clients.

pub(crate) mod client;
pub(crate) mod pass;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod stream;
pub(crate) mod usage;
