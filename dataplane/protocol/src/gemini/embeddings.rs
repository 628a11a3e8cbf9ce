//! Embeddings: embedContent and batchEmbedContents of clients, batchEmbedContents of providers.

use bytes::Bytes;
use serde::Serialize;

use crate::exchange::Target;
use crate::fault::{BadReply, Losses, Unsupported};
use crate::json::{self, Object};
use crate::message::embedding::{EmbeddingAnswer, EmbeddingInput, EmbeddingRequest};
use crate::operation::Endpoint;
use crate::strict::{Members, Path, unsupported};

/// Reads a client's request: one content, or several requests that ask for the same.
pub(crate) fn parse<'a>(
    endpoint: Endpoint,
    body: &'a [u8],
    losses: &mut Losses,
) -> Result<EmbeddingRequest<'a>, Unsupported> {
    let mut request = Members::parse(body)?.camel_case();
    let mut read = EmbeddingRequest::default();
    if endpoint == Endpoint::EmbedContent {
        one(request, &mut read, losses)?;
        return Ok(read);
    }
    for (path, raw) in request.array("requests")?.unwrap_or_default() {
        let mut this = EmbeddingRequest::default();
        let path_of = path.at("outputDimensionality");
        one(Members::open(path, raw)?.camel_case(), &mut this, losses)?;
        if !read.inputs.is_empty() && (this.dimensions != read.dimensions || this.task != read.task)
        {
            let what = "must be as in the first request, taskType as well, for this model";
            return Err(unsupported(path_of, what));
        }
        (read.dimensions, read.task) = (this.dimensions, this.task);
        read.inputs.append(&mut this.inputs);
    }
    request.refuse_rest(losses)?;
    match read.inputs.is_empty() {
        true => Err(unsupported(Path::top("requests"), "is required")),
        false => Ok(read),
    }
}

fn one<'a>(
    mut request: Members<'a>,
    read: &mut EmbeddingRequest<'a>,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    request.skip(&["model"]);
    let mut content = request.required_members("content")?;
    content.skip(&["role"]);
    let mut text = String::new();
    for (path, raw) in content.array("parts")?.unwrap_or_default() {
        text.push_str(&Members::open(path, raw)?.required_string("text")?);
    }
    read.inputs.push(EmbeddingInput::Text(text.into()));
    read.dimensions = request.count("outputDimensionality")?;
    read.task = request.string("taskType")?;
    read.title = request.string("title")?;
    request.refuse_rest(losses)
}

#[derive(Serialize)]
struct Batch<'a> {
    requests: Vec<One<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct One<'a> {
    model: &'a str,
    content: Content<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_dimensionality: Option<u64>,
}

#[derive(Serialize)]
struct Content<'a> {
    parts: [Text<'a>; 1],
}

#[derive(Serialize)]
struct Text<'a> {
    text: &'a str,
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
    let model = format!("models/{}", target.upstream_model);
    let mut requests = Vec::with_capacity(request.inputs.len());
    for input in &request.inputs {
        let EmbeddingInput::Text(text) = input else {
            return Err(Unsupported {
                field: "input".to_owned(),
                message: "input: the provider of this model takes text, not tokens".to_owned(),
            });
        };
        requests.push(One {
            model: &model,
            content: Content {
                parts: [Text { text }],
            },
            task_type: request.task.as_deref(),
            title: request.title.as_deref(),
            output_dimensionality: request.dimensions,
        });
    }
    let mut body = Vec::with_capacity(512);
    json::write(&mut body, &Batch { requests });
    Ok(Bytes::from(body))
}

/// Reads a provider's answer. Gemini counts nothing for embeddings.
pub(crate) fn read(answer: &Object<'_>) -> Result<EmbeddingAnswer, BadReply> {
    let embeddings = answer
        .array("embeddings")
        .ok_or(BadReply::Missing("embeddings"))?;
    let vectors = embeddings.into_iter().map(|raw| {
        let values = json::object(raw).and_then(|object| object.raw("values"));
        let values = values.and_then(|raw| serde_json::from_str(raw.get()).ok());
        values.ok_or(BadReply::Missing("embeddings[].values"))
    });
    Ok(EmbeddingAnswer {
        vectors: vectors.collect::<Result<_, _>>()?,
        ..EmbeddingAnswer::default()
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Told<'a> {
    Embedding(Values<'a>),
    Embeddings(Vec<Values<'a>>),
}

#[derive(Serialize)]
struct Values<'a> {
    values: &'a [f64],
}

/// Writes an answer for a client.
pub(crate) fn write_answer(answer: &EmbeddingAnswer, endpoint: Endpoint) -> Bytes {
    let values = |vector| Values { values: vector };
    let told = match (endpoint, answer.vectors.as_slice()) {
        (Endpoint::EmbedContent, [one, ..]) => Told::Embedding(values(one)),
        (_, all) => Told::Embeddings(all.iter().map(|one| values(one)).collect()),
    };
    let mut out = Vec::with_capacity(1024);
    json::write(&mut out, &told);
    Bytes::from(out)
}
