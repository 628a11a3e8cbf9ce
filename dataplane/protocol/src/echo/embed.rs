//! Embeddings of the echo model: unit vectors, equal for equal input.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::ask::Directive;
use super::{BadRequest, EchoReply, apply, bad_request, whole_json, words};
use crate::hash::fnv1a;

const DEFAULT_DIMENSIONS: u64 = 8;
const MAX_DIMENSIONS: u64 = 4096;
const MAX_INPUTS: usize = 2048;

pub(super) fn answer(request: &Value) -> Result<EchoReply, BadRequest> {
    let model = request["model"]
        .as_str()
        .ok_or_else(|| bad_request("model", "must be a string"))?;
    let dimensions = match &request["dimensions"] {
        Value::Null => DEFAULT_DIMENSIONS,
        given => given
            .as_u64()
            .filter(|given| (1..=MAX_DIMENSIONS).contains(given))
            .ok_or_else(|| bad_request("dimensions", "must be 1 to 4096"))?,
    };
    let is_base64 = match request["encoding_format"].as_str() {
        None | Some("float") => false,
        Some("base64") => true,
        Some(_) => {
            return Err(bad_request(
                "encoding_format",
                "must be \"float\" or \"base64\"",
            ));
        }
    };
    let inputs = inputs(&request["input"])?;
    let directive = inputs
        .iter()
        .find_map(|input| input.as_str())
        .map(|text| Directive::take(text).0);
    let data = inputs.iter().enumerate().map(|(index, input)| {
        let vector = vector(input.to_string().as_bytes(), dimensions);
        let embedding = if is_base64 {
            base64(&vector)
        } else {
            json!(vector)
        };
        json!({"object": "embedding", "index": index, "embedding": embedding})
    });
    let tokens: usize = inputs.iter().map(|input| tokens(input)).sum();
    let reply = whole_json(&json!({
        "object": "list",
        "data": data.collect::<Vec<_>>(),
        "model": model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }));
    Ok(apply(&directive.unwrap_or_default(), false, reply))
}

/// A string, strings, one array of token numbers, or several.
fn inputs(input: &Value) -> Result<Vec<&Value>, BadRequest> {
    let is_tokens = |value: &Value| {
        value
            .as_array()
            .is_some_and(|tokens| !tokens.is_empty() && tokens.iter().all(Value::is_u64))
    };
    let inputs: Vec<&Value> = match input {
        Value::String(_) => vec![input],
        Value::Array(_) if is_tokens(input) => vec![input],
        Value::Array(many) => many.iter().collect(),
        _ => Vec::new(),
    };
    let is_fine =
        |input: &&Value| is_tokens(input) || input.as_str().is_some_and(|text| !text.is_empty());
    if inputs.is_empty() || inputs.len() > MAX_INPUTS || !inputs.iter().all(is_fine) {
        let message =
            "must be a string or an array of token numbers, or up to 2048 of them, none empty";
        return Err(bad_request("input", message));
    }
    Ok(inputs)
}

fn tokens(input: &Value) -> usize {
    match input {
        Value::String(text) => words(text).len(),
        Value::Array(tokens) => tokens.len(),
        _ => 0,
    }
}

fn vector(seed: &[u8], dimensions: u64) -> Vec<f32> {
    let seed = fnv1a(seed);
    let component = |index: u64| {
        // SplitMix64 spreads neighbouring seeds; 24 bits fill an f32's fraction.
        let mut z = seed.wrapping_add((index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    let raw: Vec<f32> = (0..dimensions).map(component).collect();
    let length = raw.iter().map(|x| x * x).sum::<f32>().sqrt();
    match length > 0.0 {
        true => raw.iter().map(|x| x / length).collect(),
        false => (0..dimensions)
            .map(|index| if index == 0 { 1.0 } else { 0.0 })
            .collect(),
    }
}

/// Little-endian 32-bit floats, as SDKs ask for by default.
fn base64(vector: &[f32]) -> Value {
    let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
    Value::String(STANDARD.encode(bytes))
}
