//! OpenAI's wire format, as spoken by clients and by most providers.

pub(crate) mod emit;
pub(crate) mod pass;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod usage;
