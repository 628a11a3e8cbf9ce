//! The Responses API through the crate's own door: translated from a provider's stream, passed from
//! one that speaks it, and judged by OpenAI's own description where `TURNPIKE_FIXTURES` has it.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::Value;
use turnpike_protocol::{
    BadReply, Endpoint, Endpoints, ErrorBody, ErrorKind, OnUnsupported, Operation, ReplyPlan,
    StreamFault, Target, WireProtocol, encode, scan,
};

use crate::golden::compare;
use crate::replay::{Outcome, model_of, replay_every_way};
use crate::responses_checker::{End, check};

const CREATED: u64 = 1_790_000_000;
const RESPONSES: Operation = Operation::Of(Endpoint::Responses);

fn plan(protocol: WireProtocol, is_stream: bool) -> ReplyPlan {
    let model = model_of(protocol);
    let body = Bytes::from(format!(
        r#"{{"model":"{model}","stream":{is_stream},"input":"x"}}"#
    ));
    let head = scan(&body).unwrap();
    let target = target(protocol);
    encode(&RESPONSES, &head, &body, &target).unwrap().reply
}

/// The plan of a stream that is translated.
pub(crate) fn translated_plan() -> ReplyPlan {
    plan(WireProtocol::Anthropic, true)
}

/// The plan of a stream that passes.
pub(crate) fn passing_plan() -> ReplyPlan {
    plan(WireProtocol::OpenAI, true)
}

/// OpenAI itself takes responses as they are.
fn target(protocol: WireProtocol) -> Target<'static> {
    let target = Target::new(protocol, "up", CREATED);
    match protocol {
        WireProtocol::OpenAI => Target {
            natives: Endpoints::of(&[Endpoint::Responses]),
            ..target
        },
        _ => target,
    }
}

fn fixtures(folder: &str, ending: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(folder);
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .collect();
    files.sort();
    let read = |path: PathBuf| (path.clone(), std::fs::read(path).unwrap());
    files.into_iter().map(read).collect()
}

/// What OpenAI's description says every value must have, or nothing without the description.
struct Schemas(Option<Value>);

impl Schemas {
    fn load() -> Self {
        let root = std::env::var_os("TURNPIKE_FIXTURES");
        let path = root.map(|root| Path::new(&root).join("openapi/openai-subset.json"));
        let text = path.and_then(|path| std::fs::read_to_string(path).ok());
        Schemas(text.map(|text| serde_json::from_str(&text).unwrap()))
    }

    /// Panics if a value, or an item or part in it, lacks a member that the named schema requires.
    fn demand(&self, schema: &str, value: &Value) {
        let Some(description) = &self.0 else { return };
        let schema_of = |name: &str| &description["components"]["schemas"][name];
        let found = schema_of(schema);
        assert!(!found.is_null(), "{schema} is not described");
        let parts = [found]
            .into_iter()
            .chain(found["allOf"].as_array().into_iter().flatten());
        for required in parts.flat_map(|part| part["required"].as_array().into_iter().flatten()) {
            let name = required.as_str().unwrap();
            assert!(value.get(name).is_some(), "{schema} lacks {name}: {value}");
        }
    }

    fn demand_response(&self, response: &Value) {
        self.demand("Response", response);
        if let Some(usage) = response.get("usage") {
            self.demand("ResponseUsage", usage);
            for details in ["input_tokens_details", "output_tokens_details"] {
                assert!(usage[details].is_object());
            }
        }
        for item in response["output"].as_array().unwrap() {
            self.demand_item(item);
        }
    }

    fn demand_item(&self, item: &Value) {
        let schema = match item["type"].as_str() {
            Some("message") => "OutputMessage",
            Some("reasoning") => "ReasoningItem",
            Some("function_call") => "FunctionToolCall",
            other => panic!("{other:?}"),
        };
        self.demand(schema, item);
        for part in item["content"].as_array().into_iter().flatten() {
            self.demand(part_schema(part), part);
        }
    }

    fn demand_event(&self, event: &Value) {
        let schema = match event["type"].as_str().unwrap() {
            "response.created" => "ResponseCreatedEvent",
            "response.in_progress" => "ResponseInProgressEvent",
            "response.completed" => "ResponseCompletedEvent",
            "response.incomplete" => "ResponseIncompleteEvent",
            "response.output_item.added" => "ResponseOutputItemAddedEvent",
            "response.output_item.done" => "ResponseOutputItemDoneEvent",
            "response.content_part.added" => "ResponseContentPartAddedEvent",
            "response.content_part.done" => "ResponseContentPartDoneEvent",
            "response.output_text.delta" => "ResponseTextDeltaEvent",
            "response.output_text.done" => "ResponseTextDoneEvent",
            "response.function_call_arguments.delta" => "ResponseFunctionCallArgumentsDeltaEvent",
            "response.function_call_arguments.done" => "ResponseFunctionCallArgumentsDoneEvent",
            "response.reasoning_summary_part.added" => "ResponseReasoningSummaryPartAddedEvent",
            "response.reasoning_summary_part.done" => "ResponseReasoningSummaryPartDoneEvent",
            "response.reasoning_summary_text.delta" => "ResponseReasoningSummaryTextDeltaEvent",
            "response.reasoning_summary_text.done" => "ResponseReasoningSummaryTextDoneEvent",
            "error" => "ResponseErrorEvent",
            other => panic!("{other}"),
        };
        self.demand(schema, event);
        if event["response"].is_object() {
            self.demand_response(&event["response"]);
        }
        if event["item"].is_object() {
            self.demand_item(&event["item"]);
        }
        if event["part"].is_object() && event.get("content_index").is_some() {
            self.demand(part_schema(&event["part"]), &event["part"]);
        }
    }
}

fn part_schema(part: &Value) -> &'static str {
    match part["type"].as_str() {
        Some("output_text") => "OutputTextContent",
        Some("refusal") => "RefusalContent",
        other => panic!("{other:?}"),
    }
}

fn events(stream: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(stream).unwrap();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

fn error() -> ErrorBody {
    ErrorBody {
        status: 502,
        kind: ErrorKind::Api,
        code: "provider_error".into(),
        message: "the provider \"failed\"".into(),
        param: None,
        request_id: "req-1".into(),
    }
}

#[test]
fn translated_streams_are_valid_however_they_are_cut() {
    let schemas = Schemas::load();
    for (path, stream) in fixtures("anthropic", ".reply.sse") {
        let plan = plan(WireProtocol::Anthropic, true);
        let outcome = replay_every_way(&plan, &stream);
        let end = if outcome.end.is_ok() {
            End::Done
        } else {
            End::Open
        };
        assert_eq!(check(&outcome.client), Ok(end), "{}", path.display());
        let mut reply = plan.stream();
        let _ = reply.push(Bytes::copy_from_slice(&stream), &mut Vec::new());
        let mut told = outcome.client.to_vec();
        if outcome.end.is_err() {
            told.extend_from_slice(&reply.error_event(&error()));
            assert_eq!(check(&told), Ok(End::Error), "{}", path.display());
        }
        events(&told)
            .iter()
            .for_each(|event| schemas.demand_event(event));
    }
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/responses")
        .join(format!("{name}.golden"))
}

#[test]
fn requests_and_answers_are_as_the_golden_files_say() {
    for (path, body) in fixtures("responses", ".request.json") {
        let body = Bytes::from(body);
        let target = target(WireProtocol::Anthropic);
        let out = encode(&RESPONSES, &scan(&body).unwrap(), &body, &target).unwrap();
        let sent = String::from_utf8(out.body.concat()).unwrap();
        let got = format!("{sent}\n--\ndropped: {:?}\n", out.dropped);
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        compare(&golden(name.trim_end_matches(".json")), &got);
    }
    for (path, stream) in fixtures("anthropic", ".reply.sse") {
        let outcome = replay_every_way(&plan(WireProtocol::Anthropic, true), &stream);
        let client = String::from_utf8(outcome.client.to_vec()).unwrap();
        let got = format!(
            "{client}-- end: {:?}\n-- usage: {:?}\n",
            outcome.end, outcome.usage
        );
        compare(&golden(&path.file_name().unwrap().to_string_lossy()), &got);
    }
}

#[test]
fn translated_answers_have_all_that_clients_demand() {
    let schemas = Schemas::load();
    let mut count = 0;
    for (path, body) in fixtures("anthropic", ".reply.json") {
        let decoded = match plan(WireProtocol::Anthropic, false).decode(Bytes::from(body)) {
            Ok(decoded) => decoded,
            Err(_) => continue,
        };
        let response: Value = serde_json::from_slice(&decoded.body).unwrap();
        schemas.demand_response(&response);
        assert_eq!(response["model"], "house", "{}", path.display());
        count += 1;
    }
    assert!(count > 1);
}

fn passed(stream: &str) -> Outcome {
    replay_every_way(&plan(WireProtocol::OpenAI, true), stream.as_bytes())
}

const CREATED_EVENT: &str = "event: response.created\ndata: {\"type\":\"response.created\",\
    \"response\":{\"id\":\"resp_1\",\"model\":\"up-1\",\"usage\":null},\"sequence_number\":0}\n\n";
const DELTA_EVENT: &str = "event: response.output_text.delta\ndata: {\"type\":\
    \"response.output_text.delta\",\"delta\":\"Hi \\\"you\\\"\",\"sequence_number\":1}\n\n";

fn ending(kind: &str, members: &str) -> String {
    format!(
        "event: response.{kind}\ndata: {{\"type\":\"response.{kind}\",\"response\":{{{members}}},\"sequence_number\":2}}\n\n"
    )
}

#[test]
fn streams_pass_untouched_and_tell_usage_and_model() {
    const USAGE: &str = "\"usage\":{\"input_tokens\":5,\"output_tokens\":0,\
        \"input_tokens_details\":{\"cached_tokens\":2}}";
    for kind in ["completed", "incomplete"] {
        let stream = [CREATED_EVENT, DELTA_EVENT, &ending(kind, USAGE)].concat();
        let outcome = passed(&stream);
        assert_eq!((outcome.end, outcome.client), (Ok(()), Bytes::from(stream)));
        let usage = outcome.usage.unwrap();
        assert_eq!(
            (usage.input, usage.cached_input, usage.output),
            (Some(5), Some(2), Some(0))
        );
        assert_eq!(outcome.response_model.as_deref(), Some("up-1"));
        assert!(outcome.is_committed && outcome.output_bytes > 0);
    }
}

#[test]
fn a_stream_without_its_end_is_cut_and_told_with_the_next_number() {
    let stream = [CREATED_EVENT, DELTA_EVENT].concat();
    assert_eq!(passed(&stream).end, Err(StreamFault::Cut));
    assert!(!passed(CREATED_EVENT).is_committed);
    let mut reply = plan(WireProtocol::OpenAI, true).stream();
    reply.push(Bytes::from(stream), &mut Vec::new()).unwrap();
    let told = events(&reply.error_event(&error()));
    assert_eq!(told[0]["sequence_number"], 2);
}

#[test]
fn a_failure_is_an_error_only_before_content() {
    let failed = ending(
        "failed",
        "\"error\":{\"code\":\"rate_limit_exceeded\",\"message\":\"slow down\"}",
    );
    let early = passed(&[CREATED_EVENT, &failed].concat());
    assert!(matches!(early.end, Err(StreamFault::Provider(_))));
    assert_eq!(early.client.as_ref(), CREATED_EVENT.as_bytes());
    let late = [CREATED_EVENT, DELTA_EVENT, &failed].concat();
    assert_eq!(passed(&late).client, late.as_bytes());
    let error = "event: error\ndata: {\"type\":\"error\",\"code\":\"server_error\",\"message\":\"no\",\"sequence_number\":2}\n\n";
    let told = passed(&[CREATED_EVENT, DELTA_EVENT, error].concat());
    assert!(matches!(told.end, Err(StreamFault::Provider(_))));
}

#[test]
fn whole_responses_pass_unless_they_failed() {
    let whole = |body: &'static str| plan(WireProtocol::OpenAI, false).decode(Bytes::from(body));
    let decoded =
        whole(r#"{"object":"response","error":null,"model":"up-1","usage":{"output_tokens":3}}"#);
    let decoded = decoded.unwrap();
    assert_eq!(decoded.usage.and_then(|usage| usage.output), Some(3));
    assert_eq!(decoded.response_model.as_deref(), Some("up-1"));
    let failed = whole(
        r#"{"object":"response","status":"failed","error":{"code":"server_error","message":"x"}}"#,
    );
    assert!(matches!(failed, Err(BadReply::Provider(_))));
}

#[test]
fn only_the_model_changes_in_a_request_that_passes() {
    let body =
        Bytes::from_static(br#"{"model":"x","stream":true,"input":"a","max_output_tokens":7}"#);
    let head = scan(&body).unwrap();
    assert_eq!(head.max_tokens, Some(7));
    let out = encode(&RESPONSES, &head, &body, &target(WireProtocol::OpenAI)).unwrap();
    let sent = br#"{"model":"up","stream":true,"input":"a","max_output_tokens":7}"#;
    assert_eq!(out.body.concat(), sent);
    assert!(out.reply.is_streaming() && !out.reply.is_opaque());
}

#[test]
fn what_a_provider_lacks_is_refused_or_dropped() {
    let body = Bytes::from_static(
        br#"{"model":"x","input":"a","tools":[{"type":"web_search"}],"top_logprobs":2,"metadata":{"a":"b"}}"#,
    );
    let head = scan(&body).unwrap();
    let refused = encode(&RESPONSES, &head, &body, &target(WireProtocol::Anthropic));
    assert_eq!(refused.unwrap_err().field, "tools[0].type");
    let target = Target {
        on_unsupported: OnUnsupported::Drop,
        ..target(WireProtocol::Anthropic)
    };
    let out = encode(&RESPONSES, &head, &body, &target).unwrap();
    assert_eq!(out.dropped, ["tools[0].type", "logprobs", "metadata"]);
}

#[test]
fn sound_is_opaque_and_images_may_be_streamed() {
    let body = Bytes::from_static(br#"{"model":"x","stream":true}"#);
    let head = scan(&body).unwrap();
    let target = Target::new(WireProtocol::OpenAI, "up", CREATED);
    let reply = |endpoint| {
        let out = encode(&Operation::Of(endpoint), &head, &body, &target);
        out.unwrap().reply
    };
    for endpoint in [
        Endpoint::Speech,
        Endpoint::Transcriptions,
        Endpoint::Translations,
    ] {
        assert!(reply(endpoint).is_opaque() && reply(endpoint).is_streaming());
        let sound = Bytes::from_static(b"\xff\xfb\x90");
        assert_eq!(reply(endpoint).decode(sound.clone()).unwrap().body, sound);
    }
    let images = reply(Endpoint::ImageGenerations);
    assert!(images.is_streaming() && !images.is_opaque());
    let stream =
        b"data: {\"type\":\"image_generation.completed\",\"usage\":{\"output_tokens\":4}}\n\n";
    let outcome = replay_every_way(&images, stream);
    assert_eq!(outcome.end, Ok(()));
    assert_eq!(outcome.usage.and_then(|usage| usage.output), Some(4));
}

#[test]
fn recorded_streams_pass_untouched_and_tell_their_usage() {
    let Some(root) = std::env::var_os("TURNPIKE_FIXTURES") else {
        return;
    };
    let mut count = 0;
    for vendor in ["openai", "azure", "xai"] {
        for entry in std::fs::read_dir(Path::new(&root).join("wire").join(vendor)).unwrap() {
            let path = entry.unwrap().path();
            let Ok(text) = std::fs::read_to_string(&path) else {
                continue;
            };
            let is_stream = path.to_string_lossy().ends_with(".chunks.txt");
            if !is_stream
                || !text.contains("\"type\":\"response.completed\"")
                || text.len() > 200_000
            {
                continue;
            }
            let lines = text.lines().filter(|line| !line.is_empty());
            // One recording lacks its last brace: rightly a cut.
            let Ok(last) = serde_json::from_str::<Value>(lines.clone().next_back().unwrap()) else {
                continue;
            };
            let stream: String = lines
                .clone()
                .map(|line| format!("event: x\ndata: {line}\n\n"))
                .collect();
            let outcome = passed(&stream);
            assert_eq!(outcome.end, Ok(()), "{}", path.display());
            assert!(
                outcome.client == stream.as_bytes(),
                "{} is untouched",
                path.display()
            );
            let expected = last["response"]["usage"]["output_tokens"].as_u64();
            assert_eq!(
                outcome.usage.and_then(|usage| usage.output),
                expected,
                "{}",
                path.display()
            );
            assert!(outcome.response_model.is_some(), "{}", path.display());
            count += 1;
        }
    }
    assert!(count > 3);
}
