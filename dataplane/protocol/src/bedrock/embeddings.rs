//! Embeddings by InvokeModel, in the words of each family: Amazon's Titan and Cohere's Embed.
//!
//! Source: docs.aws.amazon.com, user guide, "Amazon Titan Text Embeddings", "Cohere Embed v3", "Cohere
//! Embed v4" (2026-11).

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use super::family::Family;
use crate::exchange::Target;
use crate::fault::{BadReply, Losses, Unsupported};
use crate::json::{self, Object};
use crate::message::embedding::{EmbeddingAnswer, EmbeddingInput, EmbeddingRequest};
use crate::usage::Usage;

/// Writes a request in the words of the target's model. Errors: what the model has no way to say, and
/// models whose words are not known.
pub(crate) fn write(
    request: &EmbeddingRequest<'_>,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Result<Bytes, Unsupported> {
    if request.user.is_some() {
        losses.hint("user");
    }
    if request.title.is_some() {
        losses.hint("title");
    }
    let mut body = Vec::with_capacity(256);
    match Family::of(target.upstream_model) {
        Family::TitanTextEmbeddings { version } => {
            json::write(&mut body, &titan(request, version, losses)?);
        }
        Family::CohereEmbed { version } => {
            json::write(&mut body, &cohere(request, version, losses)?);
        }
        _ => {
            let what = "its provider, Bedrock, has embeddings of Amazon Titan (text) and Cohere Embed only; \
                        choose another model";
            return Err(refusal("model", what));
        }
    }
    Ok(Bytes::from(body))
}

fn refusal(field: &str, what: &str) -> Unsupported {
    Unsupported {
        field: field.to_owned(),
        message: format!("{field}: {what}"),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Titan<'a> {
    input_text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<u64>,
}

/// Titan takes one text a call.
fn titan<'a>(
    request: &'a EmbeddingRequest<'a>,
    version: u8,
    losses: &mut Losses,
) -> Result<Titan<'a>, Unsupported> {
    let texts = texts(request)?;
    let [input_text] = texts[..] else {
        let what = format!(
            "this model embeds one text a call, and {} were given; send one at a time",
            texts.len()
        );
        return Err(refusal("input", &what));
    };
    if request.task.is_some() {
        let what = "cannot be carried to this model; leave it out";
        losses.give_up(refusal("task_type", what))?;
    }
    Ok(Titan {
        input_text,
        dimensions: dimensions(request, version >= 2, losses)?,
    })
}

#[derive(Serialize)]
struct Cohere<'a> {
    texts: Vec<&'a str>,
    input_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_dimension: Option<u64>,
}

fn cohere<'a>(
    request: &'a EmbeddingRequest<'a>,
    version: u8,
    losses: &mut Losses,
) -> Result<Cohere<'a>, Unsupported> {
    Ok(Cohere {
        texts: texts(request)?,
        input_type: input_type(request.task.as_deref(), losses)?,
        output_dimension: dimensions(request, version >= 4, losses)?,
    })
}

/// Cohere demands to be told what the vectors are for; to be stored is what they mostly are for.
fn input_type(task: Option<&str>, losses: &mut Losses) -> Result<&'static str, Unsupported> {
    const DEFAULT: &str = "search_document";
    Ok(match task {
        None | Some("RETRIEVAL_DOCUMENT") => DEFAULT,
        // Gemini's other tasks of the asking side are searches too.
        Some(
            "RETRIEVAL_QUERY" | "QUESTION_ANSWERING" | "FACT_VERIFICATION" | "CODE_RETRIEVAL_QUERY",
        ) => "search_query",
        Some("CLASSIFICATION") => "classification",
        Some("CLUSTERING") => "clustering",
        Some(other) => {
            let what = format!("{other:?} cannot be carried to this model; leave it out");
            losses.give_up(refusal("task_type", &what))?;
            DEFAULT
        }
    })
}

fn dimensions(
    request: &EmbeddingRequest<'_>,
    are_chosen: bool,
    losses: &mut Losses,
) -> Result<Option<u64>, Unsupported> {
    if are_chosen || request.dimensions.is_none() {
        return Ok(request.dimensions);
    }
    let what = "cannot be chosen for this model; leave it out";
    losses.give_up(refusal("dimensions", what))?;
    Ok(None)
}

fn texts<'a>(request: &'a EmbeddingRequest<'a>) -> Result<Vec<&'a str>, Unsupported> {
    let text = |input: &'a EmbeddingInput<'a>| match input {
        EmbeddingInput::Text(text) => Ok(text.as_ref()),
        EmbeddingInput::Tokens(_) => {
            let what = "this model takes text, not the ids of tokens";
            Err(refusal("input", what))
        }
    };
    let texts: Vec<&str> = request.inputs.iter().map(text).collect::<Result<_, _>>()?;
    match texts.is_empty() {
        true => Err(refusal("input", "must hold a text")),
        false => Ok(texts),
    }
}

/// Reads an answer: Titan's one `embedding`, Cohere's `embeddings` (a list, or an object of lists by
/// type). Cohere tells no usage here.
pub(crate) fn read(body: &Object<'_>) -> Result<EmbeddingAnswer, BadReply> {
    let vectors = match body.raw("embedding") {
        Some(vector) => numbers(vector).map(|vector| vec![vector]),
        None => body.raw("embeddings").and_then(by_cohere),
    };
    let input = body.u64("inputTextTokenCount");
    Ok(EmbeddingAnswer {
        vectors: vectors.ok_or(BadReply::Missing("embedding"))?,
        usage: input.map(|input| Usage {
            input: Some(input),
            ..Usage::default()
        }),
        model: None,
    })
}

fn by_cohere(embeddings: &RawValue) -> Option<Vec<Vec<f64>>> {
    let list = match json::object(embeddings) {
        Some(by_type) => by_type.raw("float")?,
        None => embeddings,
    };
    serde_json::from_str(list.get()).ok()
}

fn numbers(vector: &RawValue) -> Option<Vec<f64>> {
    serde_json::from_str(vector.get()).ok()
}

#[cfg(test)]
mod tests;
