//! Golden files: what is sent to a vendor, and what becomes of its answers. See fixtures/README.md.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::Value;
use turnpike_protocol::{
    ClientProtocol, Endpoint, ErrorBody, Operation, ReplyPlan, Target, WireProtocol, classify,
    encode, encode_error, scan,
};

use crate::checker::{End, check};
use crate::frames;
use crate::replay::{model_of, plan, replay_every_way, stream_plan};

const CREATED: u64 = 1_790_000_000;

fn each(ending: &str, mut judge: impl FnMut(WireProtocol, &str, &[u8]) -> String) {
    let mut seen = 0;
    for (folder, protocol) in [
        ("openai", WireProtocol::OpenAI),
        ("anthropic", WireProtocol::Anthropic),
        ("gemini", WireProtocol::Gemini),
        ("cohere", WireProtocol::Cohere),
        ("bedrock", WireProtocol::Bedrock),
    ] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures")
            .join(folder);
        let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        for file in files {
            let name = file.file_name().unwrap().to_str().unwrap().to_owned();
            if let Some(stem) = name.strip_suffix(ending) {
                let got = judge(protocol, stem, &std::fs::read(&file).unwrap());
                let golden = name.strip_suffix(".json").unwrap_or(&name);
                compare(&folder.join(format!("{golden}.golden")), &got);
                seen += 1;
            }
        }
    }
    assert!(seen > 0, "no fixture ends in {ending}");
}

pub(crate) fn compare(golden: &Path, got: &str) {
    if std::env::var("TURNPIKE_GOLDEN").is_ok_and(|mode| mode == "write") {
        std::fs::write(golden, got).unwrap();
    }
    let expected = std::fs::read_to_string(golden).unwrap_or_default();
    assert_eq!(got, expected, "{}", golden.display());
}

fn operation(stem: &str) -> Operation {
    if stem.starts_with("embeddings") {
        Operation::Of(Endpoint::Embeddings)
    } else {
        Operation::Of(Endpoint::ChatCompletions)
    }
}

/// What Bedrock is asked depends on whose model it is.
fn upstream_model(protocol: WireProtocol, stem: &str) -> &'static str {
    match protocol {
        WireProtocol::Bedrock if stem.starts_with("nova") => "amazon.nova-pro-v1:0",
        WireProtocol::Bedrock => "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        _ => "up",
    }
}

/// One line where the bytes matter, spread out where only the sense does.
fn pretty(json: &[u8]) -> String {
    let value: Value = serde_json::from_slice(json).unwrap();
    serde_json::to_string_pretty(&value).unwrap()
}

#[test]
fn requests_are_sent_as_the_golden_files_say() {
    each(".request.json", |protocol, stem, body| {
        let body = Bytes::copy_from_slice(body);
        let target = Target::new(protocol, upstream_model(protocol, stem), CREATED);
        let head = scan(&body).unwrap();
        let out = encode(&operation(stem), &head, &body, &target).unwrap();
        let sent = out.body.concat();
        assert!(serde_json::from_slice::<Value>(&sent).is_ok());
        let sent = String::from_utf8(sent).unwrap();
        let mut golden = sent.trim_end().to_owned();
        write!(golden, "\n--\ndropped: {:?}\n", out.dropped).unwrap();
        golden
    });
}

#[test]
fn whole_answers_become_what_the_golden_files_say() {
    each(".reply.json", |protocol, stem, body| {
        let operation = if protocol == WireProtocol::OpenAI {
            operation(stem)
        } else {
            Operation::Of(Endpoint::ChatCompletions)
        };
        let model = model_of(protocol);
        let request =
            format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"x"}}]}}"#);
        let given = Bytes::copy_from_slice(body);
        match plan(protocol, &operation, &request).decode(given.clone()) {
            Ok(decoded) => {
                let passed =
                    decoded.body.as_ptr() == given.as_ptr() && decoded.body.len() == given.len();
                assert_eq!(
                    passed,
                    protocol == WireProtocol::OpenAI,
                    "pass-through gives the same bytes"
                );
                let body = if passed {
                    "(the same bytes)".to_owned()
                } else {
                    pretty(&decoded.body)
                };
                format!(
                    "{body}\n--\nusage: {:?}\nresponse_model: {:?}\n",
                    decoded.usage, decoded.response_model
                )
            }
            Err(bad) => format!("{bad:?}\n"),
        }
    });
}

#[test]
fn streams_become_what_the_golden_files_say_however_they_are_cut() {
    each(".reply.sse", |protocol, _, stream| told(protocol, stream));
}

#[test]
fn frames_become_what_the_golden_files_say_however_they_are_cut() {
    each(".reply.frames", |protocol, _, text| {
        told(protocol, &frames::encode(str::from_utf8(text).unwrap()))
    });
}

/// What a stream becomes, with and without the usage told.
fn told(protocol: WireProtocol, stream: &[u8]) -> String {
    let mut golden = String::new();
    for wants_usage in [true, false] {
        let plan = stream_plan(protocol, wants_usage);
        let outcome = replay_every_way(&plan, stream);
        if protocol != WireProtocol::OpenAI {
            assert_valid(&plan, stream, &outcome.client, outcome.end.is_ok());
        }
        let client = String::from_utf8(outcome.client.to_vec())
            .unwrap()
            .replace('\r', "␍");
        writeln!(golden, "== include_usage: {wants_usage}\n{client}").unwrap();
        writeln!(golden, "-- end: {:?}", outcome.end).unwrap();
        writeln!(golden, "-- committed: {}", outcome.is_committed).unwrap();
        writeln!(golden, "-- usage: {:?}", outcome.usage).unwrap();
        writeln!(golden, "-- output_bytes: {}", outcome.output_bytes).unwrap();
        writeln!(golden, "-- response_model: {:?}", outcome.response_model).unwrap();
    }
    golden
}

/// What is emitted is valid, and so is what becomes of it once the error is told in the stream.
fn assert_valid(plan: &ReplyPlan, stream: &[u8], client: &[u8], is_ok: bool) {
    assert_eq!(check(client), Ok(if is_ok { End::Done } else { End::Open }));
    if !is_ok {
        let mut reply = plan.stream();
        let _ = reply.push(Bytes::copy_from_slice(stream), &mut Vec::new());
        let told = [client, &reply.error_event(&error(502))].concat();
        assert_eq!(check(&told), Ok(End::Error));
    }
}

fn error(status: u16) -> ErrorBody {
    ErrorBody {
        status,
        kind: turnpike_protocol::ErrorKind::of_status(status),
        code: "provider_error".into(),
        message: "the provider \"failed\"".into(),
        param: None,
        request_id: "req-1".into(),
    }
}

#[test]
fn errors_are_classed_and_told_as_the_golden_files_say() {
    each(".error.json", |protocol, _, fixture| {
        let fixture: Value = serde_json::from_slice(fixture).unwrap();
        let status = fixture["status"].as_u64().unwrap() as u16;
        let fault = classify(protocol, status, fixture["body"].to_string().as_bytes());
        let body = encode_error(
            ClientProtocol::OpenAI,
            &ErrorBody {
                status: fault.client_status,
                kind: fault.kind,
                code: fault.code.clone(),
                message: fault.message.clone(),
                param: fault.param.clone(),
                request_id: "req-1".into(),
            },
        );
        format!(
            "{:?} {}\n{}\n",
            fault.class,
            fault.client_status,
            pretty(&body)
        )
    });
}
