//! Recordings of real providers, read where `TURNPIKE_FIXTURES` names their folder; they are not part of
//! this repository.

mod bedrock;

use std::io::Write;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::Value;
use turnpike_protocol::{Endpoint, Operation, Target, WireProtocol, classify, encode, scan};

use crate::checker::{End, check};
use crate::replay::{plan, replay_every_way, stream_plan};

/// The files of one vendor that are text.
fn files(vendor: &str) -> Vec<(PathBuf, String)> {
    let read = |path: PathBuf| Some((path.clone(), std::fs::read_to_string(path).ok()?));
    paths(vendor).into_iter().filter_map(read).collect()
}

/// The files of one vendor; empty, and said so, without the recordings.
fn paths(vendor: &str) -> Vec<PathBuf> {
    let Some(root) = std::env::var_os("TURNPIKE_FIXTURES") else {
        // Straight to the handle: the test runner swallows what macros print.
        let left_out = "LEFT OUT: recordings (TURNPIKE_FIXTURES names no folder)";
        let _ = writeln!(std::io::stderr(), "{left_out}: {vendor}");
        return Vec::new();
    };
    let folder = Path::new(&root).join("wire").join(vendor);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

/// All streams of a vendor, as raw bytes.
fn streams(
    vendor: &str,
    is_wanted: fn(&str) -> bool,
    frame: fn(&[&str]) -> String,
) -> Vec<(String, String)> {
    let mut streams = Vec::new();
    for (path, text) in files(vendor) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.ends_with(".chunks.txt") {
            streams.push((
                name,
                frame(
                    &text
                        .lines()
                        .filter(|line| !line.is_empty())
                        .collect::<Vec<_>>(),
                ),
            ));
        } else if name.ends_with(".sse") || text.starts_with("event:") || text.starts_with("data:")
        {
            streams.push((name, text));
        } else {
            for exchange in exchanges(&text) {
                if let Some(body) = exchange["response"]["body"].as_str() {
                    streams.push((name.clone(), body.to_owned()));
                }
            }
        }
    }
    streams.retain(|(_, stream)| is_wanted(stream) && stream.contains("data:"));
    streams
}

fn exchanges(text: &str) -> Vec<Value> {
    serde_json::from_str::<Vec<Value>>(text).unwrap_or_default()
}

fn openai_frame(chunks: &[&str]) -> String {
    let frame = |chunk: &&str| format!("data: {chunk}\n\n");
    chunks.iter().map(frame).collect::<String>() + "data: [DONE]\n\n"
}

fn anthropic_frame(chunks: &[&str]) -> String {
    chunks
        .iter()
        .map(|chunk| format!("event: x\ndata: {chunk}\n\n"))
        .collect()
}

/// The last usage of a stream, read the plain way.
fn last_usage(stream: &str) -> Option<Value> {
    let data = stream.lines().filter_map(|line| line.strip_prefix("data:"));
    let mut usages = data.filter_map(|data| {
        serde_json::from_str::<Value>(data)
            .ok()?
            .get("usage")
            .cloned()
    });
    usages.rfind(Value::is_object)
}

#[test]
fn recorded_openai_streams_pass_untouched_and_tell_their_usage() {
    let is_chat = |stream: &str| stream.contains("chat.completion.chunk");
    let mut count = 0;
    for vendor in ["openai", "deepseek"] {
        for (name, stream) in streams(vendor, is_chat, openai_frame) {
            let outcome =
                replay_every_way(&stream_plan(WireProtocol::OpenAI, true), stream.as_bytes());
            assert_eq!(outcome.end, Ok(()), "{name}");
            assert!(outcome.is_committed && outcome.output_bytes > 0, "{name}");
            assert!(outcome.client == stream.as_bytes(), "{name} is untouched");
            let expected = last_usage(&stream).map(|usage| usage["completion_tokens"].as_u64());
            assert_eq!(outcome.usage.map(|usage| usage.output), expected, "{name}");

            let stripped =
                replay_every_way(&stream_plan(WireProtocol::OpenAI, false), stream.as_bytes());
            assert_eq!(stripped.usage, outcome.usage, "{name}");
            let text = String::from_utf8(stripped.client.to_vec()).unwrap();
            let is_usage_only =
                |event: &&str| event.contains("\"choices\":[]") && event.contains("\"usage\":{");
            let expected: Vec<&str> = stream
                .split("\n\n")
                .filter(|event| !is_usage_only(event))
                .collect();
            assert!(
                text == expected.join("\n\n"),
                "{name}: only the usage chunk is left out"
            );
            count += 1;
        }
    }
    println!("{count} streams");
}

#[test]
fn recorded_anthropic_streams_become_valid_openai_streams() {
    let is_message = |stream: &str| stream.contains("message_start");
    let mut count = 0;
    for (name, stream) in streams("anthropic", is_message, anthropic_frame) {
        let outcome = replay_every_way(
            &stream_plan(WireProtocol::Anthropic, true),
            stream.as_bytes(),
        );
        let expected = if outcome.end.is_ok() {
            End::Done
        } else {
            End::Open
        };
        assert_eq!(check(&outcome.client), Ok(expected), "{name}");
        // One recording begins a second message in the midst of the first: refused, not joined.
        assert_eq!(
            outcome.end.is_err(),
            name.starts_with("spliced"),
            "{name}: {:?}",
            outcome.end
        );
        let expected = last_usage(&stream).and_then(|usage| usage["output_tokens"].as_u64());
        if outcome.end.is_ok() {
            assert_eq!(
                outcome.usage.and_then(|usage| usage.output),
                expected,
                "{name}"
            );
            assert_eq!(
                texts(&outcome.client, "content"),
                anthropic_texts(&stream),
                "{name}"
            );
        }
        count += 1;
    }
    println!("{count} streams");
}

fn texts(stream: &[u8], member: &str) -> String {
    let text = std::str::from_utf8(stream).unwrap();
    let chunks = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok());
    chunks
        .filter_map(|chunk| {
            chunk["choices"][0]["delta"][member]
                .as_str()
                .map(String::from)
        })
        .collect()
}

fn anthropic_texts(stream: &str) -> String {
    let data = stream.lines().filter_map(|line| line.strip_prefix("data:"));
    let events = data.filter_map(|data| serde_json::from_str::<Value>(data).ok());
    events
        .filter_map(|event| {
            let text = event["delta"]["text"]
                .as_str()
                .or(event["content_block"]["text"].as_str());
            text.map(String::from)
        })
        .collect()
}

#[test]
fn recorded_whole_answers_decode_and_errors_are_classed() {
    let mut count = 0;
    for (vendor, protocol) in [
        ("openai", WireProtocol::OpenAI),
        ("deepseek", WireProtocol::OpenAI),
        ("anthropic", WireProtocol::Anthropic),
    ] {
        for (path, text) in files(vendor) {
            let mut bodies: Vec<(u16, Value)> = exchanges(&text)
                .into_iter()
                .map(|exchange| {
                    let status = exchange["response"]["status"].as_u64().unwrap_or(200);
                    (status as u16, exchange["response"]["body"].clone())
                })
                .collect();
            bodies.extend(
                serde_json::from_str::<Value>(&text)
                    .ok()
                    .map(|body| (200, body)),
            );
            for (status, body) in bodies {
                let is_answer = body["object"] == "chat.completion" || body["type"] == "message";
                if status >= 400 {
                    let fault = classify(protocol, status, body.to_string().as_bytes());
                    assert!(fault.client_status >= 400 && !fault.message.is_empty());
                } else if is_answer {
                    let plan = plan(
                        protocol,
                        &Operation::Of(Endpoint::ChatCompletions),
                        "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
                    );
                    let decoded = plan.decode(Bytes::from(body.to_string()));
                    let decoded =
                        decoded.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                    assert_eq!(
                        decoded.usage.is_some(),
                        body["usage"].is_object(),
                        "{}",
                        path.display()
                    );
                    count += 1;
                }
            }
        }
    }
    println!("{count} answers");
}

#[test]
fn recorded_chat_requests_are_encoded_or_refused_by_name() {
    let (mut carried, mut refused) = (0, Vec::new());
    for vendor in ["openai", "deepseek"] {
        for (path, text) in files(vendor) {
            for exchange in exchanges(&text) {
                let uri = exchange["request"]["uri"].as_str().unwrap_or_default();
                let body = Bytes::from(exchange["request"]["body"].to_string());
                if !uri.ends_with("/chat/completions") || body.as_ref() == b"null" {
                    continue;
                }
                let head =
                    scan(&body).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                for protocol in [
                    WireProtocol::OpenAI,
                    WireProtocol::Anthropic,
                    WireProtocol::Bedrock,
                ] {
                    let target = Target::new(protocol, "up", 1);
                    match encode(
                        &Operation::Of(Endpoint::ChatCompletions),
                        &head,
                        &body,
                        &target,
                    ) {
                        Ok(_) => carried += 1,
                        Err(error) => {
                            assert_ne!(protocol, WireProtocol::OpenAI, "{error}");
                            assert!(!error.field.is_empty());
                            refused.push(error.to_string());
                        }
                    }
                }
            }
        }
    }
    println!("{carried} carried, refused: {refused:#?}");
}
