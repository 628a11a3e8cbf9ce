//! OpenAI's embeddings, of clients and of providers to whom others' requests are translated.
//!
//! Source: platform.openai.com, "Create embeddings".

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::exchange::Target;
use crate::fault::{BadReply, Losses, Unsupported};
use crate::json::{self, Object};
use crate::message::embedding::{EmbeddingAnswer, EmbeddingInput, EmbeddingRequest};
use crate::openai::usage;
use crate::strict::{Members, Path, elements, unsupported};

/// How a client wants its vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Encoding {
    #[default]
    Float,
    /// Little-endian 32-bit floats.
    Base64,
}

/// The encoding that a request asks for; what is wrong with it is told by [`parse`].
pub(crate) fn encoding(body: &[u8]) -> Encoding {
    match json::pick(body, &["encoding_format"]) {
        Ok([Some(b"\"base64\"")]) => Encoding::Base64,
        _ => Encoding::Float,
    }
}

/// Reads a client's request.
pub(crate) fn parse<'a>(
    body: &'a [u8],
    losses: &mut Losses,
) -> Result<EmbeddingRequest<'a>, Unsupported> {
    let mut request = Members::parse(body)?;
    request.skip(&["model"]);
    if let Some(format) = request.string("encoding_format")?
        && !matches!(format.as_ref(), "float" | "base64")
    {
        let known = "must be \"float\" or \"base64\"";
        return Err(unsupported(Path::top("encoding_format"), known));
    }
    let raw = request.required("input")?;
    let read = EmbeddingRequest {
        inputs: inputs(raw)?,
        dimensions: request.count("dimensions")?,
        user: request.string("user")?,
        ..EmbeddingRequest::default()
    };
    request.refuse_rest(losses)?;
    Ok(read)
}

/// A text, tokens, or an array of either.
fn inputs(raw: &RawValue) -> Result<Vec<EmbeddingInput<'_>>, Unsupported> {
    let path = Path::top("input");
    if let Some(one) = input(raw) {
        return Ok(vec![one]);
    }
    let all = elements(&path, raw)?.into_iter();
    let all = all.map(|(path, raw)| {
        input(raw).ok_or_else(|| unsupported(path, "must be a text or an array of tokens"))
    });
    let all: Vec<_> = all.collect::<Result<_, _>>()?;
    match all.is_empty() {
        true => Err(unsupported(path, "must not be empty")),
        false => Ok(all),
    }
}

fn input(raw: &RawValue) -> Option<EmbeddingInput<'_>> {
    if let Some(text) = json::string(raw) {
        return Some(EmbeddingInput::Text(text));
    }
    let tokens: Vec<u64> = serde_json::from_str(raw.get()).ok()?;
    (!tokens.is_empty()).then_some(EmbeddingInput::Tokens(tokens))
}

#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    input: Vec<InputBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    encoding_format: &'static str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum InputBody<'a> {
    Text(&'a str),
    Tokens(&'a [u64]),
}

/// Writes a request for a provider.
pub(crate) fn write(
    request: &EmbeddingRequest<'_>,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Result<Bytes, Unsupported> {
    for (name, is_said) in [
        ("taskType", request.task.is_some()),
        ("title", request.title.is_some()),
    ] {
        if is_said {
            losses.give_up(unsupported(
                Path::top(name),
                "cannot be carried to the provider of this model; leave it out",
            ))?;
        }
    }
    let inputs = request.inputs.iter().map(|input| match input {
        EmbeddingInput::Text(text) => InputBody::Text(text),
        EmbeddingInput::Tokens(tokens) => InputBody::Tokens(tokens),
    });
    let body = Request {
        model: target.upstream_model,
        input: inputs.collect(),
        dimensions: request.dimensions,
        user: request.user.as_deref(),
        encoding_format: "float",
    };
    let mut out = Vec::with_capacity(512);
    json::write(&mut out, &body);
    Ok(Bytes::from(out))
}

/// Reads a provider's answer.
pub(crate) fn read(answer: &Object<'_>) -> Result<EmbeddingAnswer, BadReply> {
    let data = answer.array("data").ok_or(BadReply::Missing("data"))?;
    let mut vectors: Vec<(u64, Vec<f64>)> = Vec::with_capacity(data.len());
    for (at, raw) in data.into_iter().enumerate() {
        let one = json::object(raw).unwrap_or_default();
        let values = one.raw("embedding");
        let values = values.and_then(|raw| serde_json::from_str(raw.get()).ok());
        let values = values.ok_or(BadReply::Missing("data[].embedding"))?;
        vectors.push((one.u64("index").unwrap_or(at as u64), values));
    }
    vectors.sort_by_key(|(index, _)| *index);
    let usage = answer
        .raw("usage")
        .map(|raw| usage::read(raw.get().as_bytes()));
    Ok(EmbeddingAnswer {
        vectors: vectors.into_iter().map(|(_, vector)| vector).collect(),
        usage: usage.filter(|usage| !usage.is_empty()),
        model: answer.str("model").map(String::from),
    })
}

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<One<'a>>,
    model: &'a str,
    usage: UsageBody,
}

#[derive(Serialize)]
struct One<'a> {
    object: &'static str,
    index: usize,
    embedding: Vector<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Vector<'a> {
    Float(&'a [f64]),
    Base64(String),
}

#[derive(Serialize)]
struct UsageBody {
    prompt_tokens: u64,
    total_tokens: u64,
}

/// Writes an answer for a client. `model` is what the client called it.
pub(crate) fn write_answer(answer: &EmbeddingAnswer, model: &str, encoding: Encoding) -> Bytes {
    let data = answer
        .vectors
        .iter()
        .enumerate()
        .map(|(index, vector)| One {
            object: "embedding",
            index,
            embedding: match encoding {
                Encoding::Float => Vector::Float(vector),
                Encoding::Base64 => Vector::Base64(packed(vector)),
            },
        });
    let input = answer.usage.and_then(|usage| usage.input).unwrap_or(0);
    let list = List {
        object: "list",
        data: data.collect(),
        model,
        usage: UsageBody {
            prompt_tokens: input,
            total_tokens: input,
        },
    };
    let mut out = Vec::with_capacity(1024);
    json::write(&mut out, &list);
    Bytes::from(out)
}

fn packed(vector: &[f64]) -> String {
    let bytes: Vec<u8> = vector
        .iter()
        .flat_map(|value| (*value as f32).to_le_bytes())
        .collect();
    STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::WireProtocol;

    fn sent(body: &str) -> Result<String, Unsupported> {
        let mut losses = Losses::default();
        let request = parse(body.as_bytes(), &mut losses)?;
        let target = Target::new(WireProtocol::OpenAI, "up", 1);
        let written = write(&request, &target, &mut losses)?;
        Ok(String::from_utf8(written.to_vec()).unwrap())
    }

    #[test]
    fn texts_and_tokens_are_told_apart() {
        for (given, input) in [
            (r#""a""#, r#"["a"]"#),
            (r#"["a","b"]"#, r#"["a","b"]"#),
            ("[1,2]", "[[1,2]]"),
            ("[[1],[2]]", "[[1],[2]]"),
        ] {
            let sent = sent(&format!(
                r#"{{"model":"m","input":{given},"dimensions":3}}"#
            ))
            .unwrap();
            assert_eq!(
                sent,
                format!(
                    r#"{{"model":"up","input":{input},"dimensions":3,"encoding_format":"float"}}"#
                )
            );
        }
        for (body, field) in [
            (r#"{"input":[]}"#, "input"),
            (r#"{"input":[{}]}"#, "input[0]"),
            (r#"{"input":"a","encoding_format":"x"}"#, "encoding_format"),
            (r#"{"input":"a","truncate":true}"#, "truncate"),
            ("{}", "input"),
        ] {
            assert_eq!(sent(body).unwrap_err().field, field);
        }
    }

    #[test]
    fn vectors_keep_the_order_of_the_inputs() {
        let text = br#"{"data":[{"index":1,"embedding":[2]},{"index":0,"embedding":[0.25,-1]}],
            "usage":{"prompt_tokens":3}}"#;
        let answer = read(&Object::parse(text).unwrap()).unwrap();
        assert_eq!(answer.vectors, [vec![0.25, -1.0], vec![2.0]]);
        let written = write_answer(&answer, "m", Encoding::Base64);
        let written = String::from_utf8(written.to_vec()).unwrap();
        assert!(
            written.contains(r#""embedding":"AACAPgAAgL8=""#),
            "{written}"
        );
        assert_eq!(
            encoding(br#"{"encoding_format":"base64"}"#),
            Encoding::Base64
        );
    }
}
