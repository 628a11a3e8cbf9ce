//! Gemini's generateContent, as spoken by clients.

mod contents;
pub(crate) mod emit;
pub(crate) mod request;
pub(crate) mod response;
