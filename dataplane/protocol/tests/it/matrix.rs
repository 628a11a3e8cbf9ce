//! What of each client protocol can be carried to each provider protocol: tried, and written to
//! `docs/protocols.md`, which must be what is tried here.
//!
//! `TURNPIKE_GOLDEN=write` writes the page anew.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use bytes::Bytes;
use serde_json::{Value, json};
use turnpike_protocol::{Endpoint, Operation, PROTOCOLS, Target, encode, scan};

/// What clients say, each with a word that must arrive.
const FEATURES: [&str; 17] = [
    "text",
    "system",
    "image by URL",
    "image as data",
    "PDF as data",
    "audio as data",
    "tool",
    "tool choice: required",
    "one call at a time",
    "three calls and results",
    "image in a result",
    "reasoning",
    "signed thinking",
    "JSON schema",
    "stop sequences",
    "top_k",
    "seed",
];

const CLIENTS: [(&str, &str); 4] = [
    ("OpenAI chat completions", "openai"),
    ("OpenAI responses", "responses"),
    ("Anthropic messages", "anthropic"),
    ("Gemini generateContent", "gemini"),
];

fn operation(client: &str) -> Operation {
    match client {
        "openai" => Operation::Of(Endpoint::ChatCompletions),
        "responses" => Operation::Of(Endpoint::Responses),
        "anthropic" => Operation::Of(Endpoint::Messages),
        _ => Operation::Gemini {
            endpoint: Endpoint::GenerateContent,
            model: "m".into(),
        },
    }
}

const SCHEMA: &str = r#"{"type":"object","properties":{"marked":{"type":"string"}}}"#;

fn schema() -> Value {
    serde_json::from_str(SCHEMA).unwrap()
}

/// The request of a client that says a feature; `None`: its protocol has no word for it.
fn request(client: &str, feature: &str) -> Option<Value> {
    let mut request = match client {
        "openai" => openai(feature)?,
        "responses" => responses(feature)?,
        "anthropic" => anthropic(feature)?,
        _ => gemini(feature)?,
    };
    if client != "gemini" {
        request["model"] = "m".into();
    }
    Some(request)
}

fn openai(feature: &str) -> Option<Value> {
    let user = |content: Value| json!({"messages": [{"role": "user", "content": content}]});
    let with = |name: &str, value: Value| {
        let mut request = user("hi".into());
        request[name] = value;
        Some(request)
    };
    let tool =
        json!([{"type": "function", "function": {"name": "marked", "parameters": schema()}}]);
    match feature {
        "text" => Some(user("marked".into())),
        "system" => Some(json!({"messages": [
            {"role": "system", "content": "marked"}, {"role": "user", "content": "hi"}]})),
        "image by URL" => Some(user(
            json!([{"type": "image_url", "image_url": {"url": "https://a.test/marked.png"}}]),
        )),
        "image as data" => Some(user(
            json!([{"type": "image_url", "image_url": {"url": "data:image/png;base64,marked=="}}]),
        )),
        "PDF as data" => Some(user(
            json!([{"type": "file", "file": {"file_data": "data:application/pdf;base64,marked==", "filename": "a.pdf"}}]),
        )),
        "audio as data" => Some(user(
            json!([{"type": "input_audio", "input_audio": {"data": "marked==", "format": "wav"}}]),
        )),
        "tool" => with("tools", tool),
        "tool choice: required" => {
            let mut request = with("tools", tool)?;
            request["tool_choice"] = "required".into();
            Some(request)
        }
        "one call at a time" => {
            let mut request = with("tools", tool)?;
            request["parallel_tool_calls"] = false.into();
            Some(request)
        }
        "three calls and results" => {
            let call = |id: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}});
            let result =
                |id: &str| json!({"role": "tool", "tool_call_id": id, "content": "marked"});
            let mut request = with(
                "tools",
                json!([{"type": "function", "function": {"name": "f"}}]),
            )?;
            request["messages"] = json!([
                {"role": "user", "content": "hi"},
                {"role": "assistant", "content": null, "tool_calls": [call("a"), call("b"), call("c")]},
                result("a"), result("b"), result("c"),
            ]);
            Some(request)
        }
        "image in a result" => {
            let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,marked=="}});
            Some(
                json!({"tools": [{"type": "function", "function": {"name": "f"}}], "messages": [
                    {"role": "user", "content": "hi"},
                    {"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
                    {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "see"}, image]},
                ]}),
            )
        }
        "reasoning" => with("reasoning_effort", "high".into()),
        "signed thinking" => {
            let block = json!({"type": "thinking", "thinking": "hm", "signature": "marked=="});
            Some(json!({"messages": [
                {"role": "user", "content": "hi"},
                {"role": "assistant", "content": "ok", "thinking_blocks": [block]},
                {"role": "user", "content": "go on"},
            ]}))
        }
        "JSON schema" => with(
            "response_format",
            json!({"type": "json_schema", "json_schema": {"name": "n", "schema": schema()}}),
        ),
        "stop sequences" => with("stop", json!(["marked"])),
        "top_k" => with("top_k", 7.into()),
        "seed" => with("seed", 7_654_321.into()),
        _ => None,
    }
}

fn responses(feature: &str) -> Option<Value> {
    let with = |name: &str, value: Value| {
        let mut request = json!({"input": "hi"});
        request[name] = value;
        Some(request)
    };
    let user = |part: Value| Some(json!({"input": [{"role": "user", "content": [part]}]}));
    let tool = json!([{"type": "function", "name": "marked", "parameters": schema()}]);
    match feature {
        "text" => with("input", "marked".into()),
        "system" => with("instructions", "marked".into()),
        "image by URL" => {
            user(json!({"type": "input_image", "image_url": "https://a.test/marked.png"}))
        }
        "image as data" => {
            user(json!({"type": "input_image", "image_url": "data:image/png;base64,marked=="}))
        }
        "PDF as data" => user(
            json!({"type": "input_file", "file_data": "data:application/pdf;base64,marked==", "filename": "a.pdf"}),
        ),
        "audio as data" => user(
            json!({"type": "input_audio", "input_audio": {"data": "marked==", "format": "wav"}}),
        ),
        "tool" => with("tools", tool),
        "tool choice: required" => {
            let mut request = with("tools", tool)?;
            request["tool_choice"] = "required".into();
            Some(request)
        }
        "one call at a time" => {
            let mut request = with("tools", tool)?;
            request["parallel_tool_calls"] = false.into();
            Some(request)
        }
        "three calls and results" => {
            let call = |id: &str| json!({"type": "function_call", "call_id": id, "name": "f", "arguments": "{}"});
            let result = |id: &str| json!({"type": "function_call_output", "call_id": id, "output": "marked"});
            let mut request = with("tools", json!([{"type": "function", "name": "f"}]))?;
            request["input"] = json!([
                {"role": "user", "content": "hi"},
                call("a"), call("b"), call("c"), result("a"), result("b"), result("c"),
            ]);
            Some(request)
        }
        "image in a result" => Some(
            json!({"tools": [{"type": "function", "name": "f"}], "input": [
                {"role": "user", "content": "hi"},
                {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "a", "output": [
                    {"type": "input_text", "text": "see"},
                    {"type": "input_image", "image_url": "data:image/png;base64,marked=="}]},
            ]}),
        ),
        "reasoning" => with("reasoning", json!({"effort": "high"})),
        "signed thinking" => Some(json!({"input": [
            {"role": "user", "content": "hi"},
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "marked=="},
            {"role": "assistant", "content": "ok"},
            {"role": "user", "content": "go on"},
        ]})),
        "JSON schema" => with(
            "text",
            json!({"format": {"type": "json_schema", "name": "n", "schema": schema()}}),
        ),
        _ => None,
    }
}

fn anthropic(feature: &str) -> Option<Value> {
    let user = |content: Value| {
        Some(json!({"max_tokens": 40_000, "messages": [{"role": "user", "content": content}]}))
    };
    let with = |name: &str, value: Value| {
        let mut request = user("hi".into())?;
        request[name] = value;
        Some(request)
    };
    let data = |kind: &str| json!({"type": "base64", "media_type": kind, "data": "marked=="});
    let tool = json!([{"name": "marked", "input_schema": schema()}]);
    match feature {
        "text" => user("marked".into()),
        "system" => with("system", "marked".into()),
        "image by URL" => user(
            json!([{"type": "image", "source": {"type": "url", "url": "https://a.test/marked.png"}}]),
        ),
        "image as data" => user(json!([{"type": "image", "source": data("image/png")}])),
        "PDF as data" => user(json!([{"type": "document", "source": data("application/pdf")}])),
        "tool" => with("tools", tool),
        "tool choice: required" => {
            let mut request = with("tools", tool)?;
            request["tool_choice"] = json!({"type": "any"});
            Some(request)
        }
        "one call at a time" => {
            let mut request = with("tools", tool)?;
            request["tool_choice"] = json!({"type": "auto", "disable_parallel_tool_use": true});
            Some(request)
        }
        "three calls and results" => {
            let call = |id: &str| json!({"type": "tool_use", "id": id, "name": "f", "input": {}});
            let result =
                |id: &str| json!({"type": "tool_result", "tool_use_id": id, "content": "marked"});
            let mut request = with(
                "tools",
                json!([{"name": "f", "input_schema": {"type": "object"}}]),
            )?;
            request["messages"] = json!([
                {"role": "user", "content": "hi"},
                {"role": "assistant", "content": [call("a"), call("b"), call("c")]},
                {"role": "user", "content": [result("a"), result("b"), result("c")]},
            ]);
            Some(request)
        }
        "image in a result" => {
            let image = json!({"type": "image", "source": data("image/png")});
            let result = json!({"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "see"}, image]});
            let tools = json!([{"name": "f", "input_schema": {"type": "object"}}]);
            let mut request = with("tools", tools)?;
            request["messages"] = json!([
                {"role": "user", "content": "hi"},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {}}]},
                {"role": "user", "content": [result]},
            ]);
            Some(request)
        }
        "reasoning" => with(
            "thinking",
            json!({"type": "enabled", "budget_tokens": 20_000}),
        ),
        "signed thinking" => with(
            "messages",
            json!([
                {"role": "user", "content": "hi"},
                {"role": "assistant", "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "marked=="}, {"type": "text", "text": "ok"}]},
                {"role": "user", "content": "go on"},
            ]),
        ),
        "JSON schema" => with(
            "output_config",
            json!({"format": {"type": "json_schema", "schema": schema()}}),
        ),
        "stop sequences" => with("stop_sequences", json!(["marked"])),
        "top_k" => with("top_k", 7.into()),
        _ => None,
    }
}

fn gemini(feature: &str) -> Option<Value> {
    let user = |part: Value| Some(json!({"contents": [{"role": "user", "parts": [part]}]}));
    let hi = || json!({"text": "hi"});
    let with = |name: &str, value: Value| {
        let mut request = user(hi())?;
        request[name] = value;
        Some(request)
    };
    let config = |name: &str, value: Value| with("generationConfig", json!({name: value}));
    let data = |kind: &str| json!({"inlineData": {"mimeType": kind, "data": "marked=="}});
    let tools =
        json!([{"functionDeclarations": [{"name": "marked", "parametersJsonSchema": schema()}]}]);
    match feature {
        "text" => user(json!({"text": "marked"})),
        "system" => with("systemInstruction", json!({"parts": [{"text": "marked"}]})),
        "image by URL" => user(
            json!({"fileData": {"mimeType": "image/png", "fileUri": "https://a.test/marked.png"}}),
        ),
        "image as data" => user(data("image/png")),
        "PDF as data" => user(data("application/pdf")),
        "audio as data" => user(data("audio/wav")),
        "tool" => with("tools", tools),
        "tool choice: required" => {
            let mut request = with("tools", tools)?;
            request["toolConfig"] = json!({"functionCallingConfig": {"mode": "ANY"}});
            Some(request)
        }
        "three calls and results" => {
            let call = || json!({"functionCall": {"name": "f", "args": {}}});
            let result =
                || json!({"functionResponse": {"name": "f", "response": {"result": "marked"}}});
            let mut request = with("tools", json!([{"functionDeclarations": [{"name": "f"}]}]))?;
            request["contents"] = json!([
                {"role": "user", "parts": [hi()]},
                {"role": "model", "parts": [call(), call(), call()]},
                {"role": "user", "parts": [result(), result(), result()]},
            ]);
            Some(request)
        }
        "reasoning" => config("thinkingConfig", json!({"thinkingBudget": 20_000})),
        "JSON schema" => with(
            "generationConfig",
            json!({
            "responseMimeType": "application/json", "responseJsonSchema": schema()}),
        ),
        "stop sequences" => config("stopSequences", json!(["marked"])),
        "top_k" => config("topK", 7.into()),
        "seed" => config("seed", 7_654_321.into()),
        _ => None,
    }
}

/// What must stand in what a provider is sent: each time that it was said.
fn arrives(feature: &str, sent: &str) -> bool {
    let count = |word: &str| sent.matches(word).count();
    match feature {
        "three calls and results" => count("marked") == 3,
        "reasoning" => ["reasoning", "thinking", "effort"]
            .iter()
            .any(|word| sent.contains(word)),
        "one call at a time" => sent.contains("parallel"),
        "tool choice: required" => {
            let lower = sent.to_lowercase();
            ["required", "\"any\""]
                .iter()
                .any(|word| lower.contains(word))
        }
        "top_k" => sent.contains("7"),
        "seed" => sent.contains("7654321"),
        _ => count("marked") >= 1,
    }
}

/// `yes`, `told` (left out, and named in `x-turnpike-dropped`), `no` (400), `same` (bytes pass), or
/// nothing where the client cannot say it.
fn cell(client: &str, feature: &str, target: &Target<'_>) -> &'static str {
    let Some(request) = request(client, feature) else {
        return "–";
    };
    let body = Bytes::from(request.to_string());
    let operation = operation(client);
    if target.natives.contains(operation.endpoint()) {
        return "same";
    }
    match encode(&operation, &scan(&body).unwrap(), &body, target) {
        Ok(out) => {
            let sent = String::from_utf8(out.body.concat()).unwrap();
            let arrived = arrives(feature, &sent);
            let told = !out.dropped.is_empty();
            assert!(arrived || told, "{client}, {feature} goes silently: {sent}");
            if arrived { "yes" } else { "told" }
        }
        Err(refused) => {
            assert!(!refused.field.is_empty(), "{client}, {feature}");
            "no"
        }
    }
}

fn page() -> String {
    let mut page = String::from(
        "# What is carried from which protocol to which\n\n\
         Where client and provider speak the same protocol the bytes pass (`same`). Elsewhere a request is \
         carried (`yes`), refused with 400 that names the member (`no`), or left out and named in the \
         answer's `x-turnpike-dropped` (`told`: what the provider could make no use of). With \
         `onUnsupported: Drop` at the provider, a `no` that the request makes sense without becomes `told`. \
         `–`: the client's protocol has no word for it. OpenAI stands for every provider that speaks its \
         chat completions; the model at Bedrock is a Claude. This page is written by a test that tries each \
         of them (`dataplane/protocol/tests/it/matrix.rs`).\n",
    );
    for (name, client) in CLIENTS {
        let heads = PROTOCOLS.map(|protocol| protocol.as_str()).join(" | ");
        write!(
            page,
            "\n## {name}\n\n| | {heads} |\n|---|{}\n",
            "---|".repeat(PROTOCOLS.len())
        )
        .unwrap();
        for feature in FEATURES {
            let cells = PROTOCOLS.map(|protocol| {
                let model = "us.anthropic.claude-sonnet-4-5-v1:0";
                cell(client, feature, &Target::new(protocol, model, 1))
            });
            writeln!(page, "| {feature} | {} |", cells.join(" | ")).unwrap();
        }
    }
    page
}

#[test]
fn the_page_tells_what_is_carried() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/protocols.md");
    let page = page();
    if std::env::var("TURNPIKE_GOLDEN").is_ok_and(|mode| mode == "write") {
        std::fs::write(&file, &page).unwrap();
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        page == found,
        "{} is out of date; TURNPIKE_GOLDEN=write writes it",
        file.display()
    );
}

/// What every client and provider must have in common.
#[test]
fn conversations_with_tools_reach_everybody() {
    let mut missing: BTreeMap<String, &str> = BTreeMap::new();
    for (_, client) in CLIENTS {
        for feature in [
            "text",
            "system",
            "image as data",
            "tool",
            "three calls and results",
            "reasoning",
        ] {
            for protocol in PROTOCOLS {
                let model = "us.anthropic.claude-sonnet-4-5-v1:0";
                let got = cell(client, feature, &Target::new(protocol, model, 1));
                if !matches!(got, "yes" | "same") {
                    missing.insert(format!("{client} → {}: {feature}", protocol.as_str()), got);
                }
            }
        }
    }
    assert!(missing.is_empty(), "{missing:?}");
}
