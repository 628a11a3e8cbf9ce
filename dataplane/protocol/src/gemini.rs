//! Gemini's generateContent, as spoken by providers (Gemini, Vertex AI) and, in `client`, by clients.
//!
//! Source: ai.google.dev, "Generating content", "Function calling", "Thinking" (2026-11).

pub(crate) mod client;
pub(crate) mod embeddings;
mod finish;
pub(crate) mod pass;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod stream;
pub(crate) mod usage;
