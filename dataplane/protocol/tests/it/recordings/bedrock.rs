//! Recordings of Amazon Bedrock: frames, whole answers, and the paths that they were asked for by.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use turnpike_protocol::{Endpoint, vendor};

use super::*;
use crate::frames;

/// All streams, as they came over the wire; of those whose framing was taken off, as they must have.
fn frame_streams() -> Vec<(String, Vec<u8>)> {
    let mut streams = Vec::new();
    for path in paths("bedrock") {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let bytes = std::fs::read(&path).unwrap();
        if name.ends_with(".bin") {
            streams.push((name, bytes));
        } else if name.ends_with(".chunks.txt") {
            let text = String::from_utf8(bytes).unwrap();
            let events = text.lines().filter(|line| !line.is_empty()).map(event_line);
            streams.push((name, frames::encode(&events.collect::<String>())));
        } else {
            for exchange in exchanges(&String::from_utf8_lossy(&bytes)) {
                if let Some(body) = exchange["response"]["body"]["base64"].as_str() {
                    streams.push((name.clone(), BASE64_STANDARD.decode(body).unwrap()));
                }
            }
        }
    }
    streams
}

/// `{"TYPE":PAYLOAD}` as [`frames::encode`] takes it.
fn event_line(line: &str) -> String {
    let event: serde_json::Map<String, Value> = serde_json::from_str(line).unwrap();
    let (kind, payload) = event.iter().next().unwrap();
    format!("{kind} {payload}\n")
}

/// The payloads of a stream, found by the lengths alone.
fn payloads(mut stream: &[u8]) -> Vec<Value> {
    let mut payloads = Vec::new();
    while !stream.is_empty() {
        let length =
            |at: usize| u32::from_be_bytes(stream[at..at + 4].try_into().unwrap()) as usize;
        let (total, headers) = (length(0), length(4));
        let payload = &stream[12 + headers..total - 4];
        payloads.push(serde_json::from_slice(payload).unwrap());
        stream = &stream[total..];
    }
    payloads
}

/// Input with what caches had a hand in, and output.
fn usage_of(told: &Value) -> (Option<u64>, Option<u64>) {
    let names = [
        "inputTokens",
        "cacheReadInputTokens",
        "cacheWriteInputTokens",
    ];
    let input = names.iter().filter_map(|name| told[*name].as_u64()).sum();
    (Some(input), told["outputTokens"].as_u64())
}

#[test]
fn recorded_frames_become_valid_openai_streams() {
    let mut count = 0;
    for (name, stream) in frame_streams() {
        let outcome = replay_every_way(&stream_plan(WireProtocol::Bedrock, true), &stream);
        assert_eq!(outcome.end, Ok(()), "{name}");
        assert_eq!(check(&outcome.client), Ok(End::Done), "{name}");
        let payloads = payloads(&stream);
        let pieces = |path: &str| {
            let told = payloads
                .iter()
                .filter_map(|event| event.pointer(path)?.as_str());
            told.collect::<String>()
        };
        for (member, path) in [
            ("content", "/delta/text"),
            ("reasoning_content", "/delta/reasoningContent/text"),
        ] {
            let said = texts(&outcome.client, member);
            assert_eq!(said, pieces(path), "{name}: {member}");
        }
        let told = payloads.iter().find(|event| event["usage"].is_object());
        let expected = told.map(|event| usage_of(&event["usage"]));
        let got = outcome.usage.map(|usage| (usage.input, usage.output));
        assert_eq!(got, expected, "{name}");
        count += 1;
    }
    println!("{count} streams");
}

#[test]
fn recorded_answers_of_converse_decode() {
    let mut count = 0;
    for (file, text) in files("bedrock") {
        let mut bodies: Vec<Value> = exchanges(&text)
            .into_iter()
            .map(|exchange| exchange["response"]["body"].clone())
            .collect();
        bodies.extend(serde_json::from_str::<Value>(&text));
        for body in bodies.iter().filter(|body| body["output"].is_object()) {
            let request = r#"{"model":"m","messages":[{"role":"user","content":"x"}]}"#;
            let chat = Operation::Of(Endpoint::ChatCompletions);
            let plan = plan(WireProtocol::Bedrock, &chat, request);
            let decoded = plan.decode(Bytes::from(body.to_string()));
            let decoded = decoded.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let got = decoded.usage.map(|usage| (usage.input, usage.output));
            let expected = body["usage"].is_object().then(|| usage_of(&body["usage"]));
            assert_eq!(got, expected, "{}", file.display());
            let answer: Value = serde_json::from_slice(&decoded.body).unwrap();
            let blocks = body["output"]["message"]["content"].as_array().unwrap();
            let text: String = blocks
                .iter()
                .filter_map(|block| block["text"].as_str())
                .collect();
            let message = &answer["choices"][0]["message"];
            assert_eq!(message["content"].as_str().unwrap_or_default(), text);
            let calls = blocks.iter().filter(|block| block["toolUse"].is_object());
            let written = message["tool_calls"].as_array().map_or(0, Vec::len);
            assert_eq!(written, calls.count(), "{}", file.display());
            count += 1;
        }
    }
    println!("{count} answers");
}

#[test]
fn recorded_paths_are_those_that_are_built() {
    let mut count = 0;
    for (_, text) in files("bedrock") {
        for exchange in exchanges(&text) {
            let uri = exchange["request"]["uri"].as_str().unwrap_or_default();
            let Some((_, asked)) = uri.split_once(".amazonaws.com") else {
                continue;
            };
            let (model, call) = asked["/model/".len()..].split_once('/').unwrap();
            let (endpoint, is_streaming) = match call {
                "converse" => (Endpoint::ChatCompletions, false),
                "converse-stream" => (Endpoint::ChatCompletions, true),
                _ => (Endpoint::Embeddings, false),
            };
            let model = model.replace("%3A", ":");
            let made = vendor::path(WireProtocol::Bedrock, endpoint, &model, is_streaming);
            assert_eq!(made, asked);
            count += 1;
        }
    }
    println!("{count} paths");
}
