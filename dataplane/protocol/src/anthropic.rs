//! Anthropic's Messages, as spoken by providers.

pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod stream;
pub(crate) mod usage;
