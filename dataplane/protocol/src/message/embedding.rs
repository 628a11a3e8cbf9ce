//! What asking for embeddings comes to, in no vendor's words.

use std::borrow::Cow;

use crate::usage::Usage;

/// A request for vectors.
#[derive(Debug, Default)]
pub(crate) struct EmbeddingRequest<'a> {
    pub(crate) inputs: Vec<EmbeddingInput<'a>>,
    /// How many numbers each vector shall have.
    pub(crate) dimensions: Option<u64>,
    pub(crate) user: Option<Cow<'a, str>>,
    /// What the vectors are for, in Gemini's words (`RETRIEVAL_QUERY`, `RETRIEVAL_DOCUMENT`, …).
    pub(crate) task: Option<Cow<'a, str>>,
    /// Goes with `task`.
    pub(crate) title: Option<Cow<'a, str>>,
}

/// One thing to embed.
#[derive(Debug)]
pub(crate) enum EmbeddingInput<'a> {
    Text(Cow<'a, str>),
    /// Ids of tokens, which only OpenAI's own models understand.
    Tokens(Vec<u64>),
}

/// The vectors, in the order of the inputs.
#[derive(Debug, Default)]
pub(crate) struct EmbeddingAnswer {
    pub(crate) vectors: Vec<Vec<f64>>,
    pub(crate) usage: Option<Usage>,
    /// The model that answered, as the provider calls it.
    pub(crate) model: Option<String>,
}
