//! Cohere's embeddings.

use bytes::Bytes;
use serde::Serialize;

use crate::exchange::Target;
use crate::fault::{BadReply, Losses, Unsupported};
use crate::json::{self, Object};
use crate::message::embedding::{EmbeddingAnswer, EmbeddingInput, EmbeddingRequest};
use crate::usage::Usage;

#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    texts: Vec<&'a str>,
    input_type: &'static str,
    embedding_types: [&'static str; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    output_dimension: Option<u64>,
}

/// What vectors are for, which Cohere wants to know; without a word of it, they are looked for.
pub(crate) fn input_type(task: Option<&str>) -> &'static str {
    match task {
        Some("RETRIEVAL_QUERY" | "QUESTION_ANSWERING" | "CODE_RETRIEVAL_QUERY") => "search_query",
        Some("CLASSIFICATION") => "classification",
        Some("CLUSTERING" | "SEMANTIC_SIMILARITY") => "clustering",
        _ => "search_document",
    }
}

/// Writes a request for a provider.
pub(crate) fn write(
    request: &EmbeddingRequest<'_>,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Result<Bytes, Unsupported> {
    if request.user.is_some() {
        losses.hint("user");
    }
    let mut texts = Vec::with_capacity(request.inputs.len());
    for input in &request.inputs {
        let EmbeddingInput::Text(text) = input else {
            return Err(Unsupported {
                field: "input".to_owned(),
                message: "input: the provider of this model takes text, not tokens".to_owned(),
            });
        };
        texts.push(text.as_ref());
    }
    let body = Request {
        model: target.upstream_model,
        texts,
        input_type: input_type(request.task.as_deref()),
        embedding_types: ["float"],
        output_dimension: request.dimensions,
    };
    let mut out = Vec::with_capacity(512);
    json::write(&mut out, &body);
    Ok(Bytes::from(out))
}

/// The vectors of an answer: by type, or, in older shapes, alone.
pub(crate) fn vectors(answer: &Object<'_>) -> Option<Vec<Vec<f64>>> {
    let raw = answer.raw("embeddings")?;
    match json::object(raw) {
        Some(by_type) => serde_json::from_str(by_type.raw("float")?.get()).ok(),
        None => serde_json::from_str(raw.get()).ok(),
    }
}

/// Reads a provider's answer.
pub(crate) fn read(answer: &Object<'_>) -> Result<EmbeddingAnswer, BadReply> {
    let billed = answer
        .object("meta")
        .and_then(|meta| meta.object("billed_units"));
    let input = billed.and_then(|billed| billed.u64("input_tokens"));
    Ok(EmbeddingAnswer {
        vectors: vectors(answer).ok_or(BadReply::Missing("embeddings"))?,
        usage: input.map(|input| Usage {
            input: Some(input),
            ..Usage::default()
        }),
        model: None,
    })
}
