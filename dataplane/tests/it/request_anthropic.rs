//! OpenAI's SDK against a provider that speaks Anthropic's Messages: translated, tools and streams included.

use serde_json::{Value, json};

use super::request_gateway::TestGateway;
use super::request_provider::{End, FakeProvider, events, json};
use super::request_world::{PROVIDER_KEY, World, model, upstream};

fn url(provider: &FakeProvider) -> String {
    format!("http://{}", provider.address)
}

fn event(kind: &str, mut data: Value) -> String {
    data["type"] = kind.into();
    format!("event: {kind}\ndata: {data}\n\n")
}

fn opening() -> String {
    event(
        "message_start",
        json!({"message": {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "content": [],
        "stop_reason": null, "stop_sequence": null,
        "usage": {"input_tokens": 20, "cache_read_input_tokens": 5, "output_tokens": 1}}}),
    )
}

fn text(words: &str) -> String {
    [
        event(
            "content_block_start",
            json!({"index": 0, "content_block": {"type": "text", "text": ""}}),
        ),
        event(
            "content_block_delta",
            json!({"index": 0, "delta": {"type": "text_delta", "text": words}}),
        ),
        event("content_block_stop", json!({"index": 0})),
    ]
    .concat()
}

fn tool() -> String {
    let delta = |part: &str| {
        let delta = json!({"type": "input_json_delta", "partial_json": part});
        event("content_block_delta", json!({"index": 1, "delta": delta}))
    };
    let block = json!({"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}});
    [
        event(
            "content_block_start",
            json!({"index": 1, "content_block": block}),
        ),
        delta("{\"city\":"),
        delta("\"Köln\"}"),
        event("content_block_stop", json!({"index": 1})),
    ]
    .concat()
}

fn closing(stop_reason: &str) -> String {
    let delta = json!({"stop_reason": stop_reason, "stop_sequence": null});
    [
        event(
            "message_delta",
            json!({"delta": delta, "usage": {"output_tokens": 9}}),
        ),
        event("message_stop", json!({})),
    ]
    .concat()
}

async fn gateway_to(provider: &FakeProvider) -> TestGateway {
    let mut anthropic = upstream("Anthropic", &url(provider));
    anthropic.models = vec![model("m", Some("claude-x"))];
    TestGateway::start(World::with(anthropic)).await
}

fn with_tools(stream: bool) -> Value {
    json!({
        "model": "m", "stream": stream, "max_tokens": 100,
        "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "weather?"}],
        "tools": [{"type": "function", "function": {"name": "weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}],
    })
}

#[tokio::test]
async fn a_plain_answer_with_a_tool_call_is_translated_both_ways() {
    let answer = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x",
        "content": [{"type": "text", "text": "let me see"},
                    {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Köln"}}],
        "stop_reason": "tool_use", "stop_sequence": null,
        "usage": {"input_tokens": 20, "cache_read_input_tokens": 5, "output_tokens": 9},
    });
    let mut provider = FakeProvider::start(json(200, answer)).await;
    let mut gateway = gateway_to(&provider).await;
    let answer = gateway
        .post("/v1/chat/completions", &with_tools(false))
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let choice = &answer.json()["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(choice["message"]["content"], "let me see");
    let call = &choice["message"]["tool_calls"][0];
    assert_eq!(
        (&call["id"], &call["function"]["name"]),
        (&json!("toolu_1"), &json!("weather"))
    );

    let received = provider.received().await;
    assert_eq!(received.path, "/v1/messages");
    assert_eq!(received.headers["x-api-key"], PROVIDER_KEY);
    assert_eq!(received.headers["anthropic-version"], "2023-06-01");
    assert!(!received.headers.contains_key("authorization"));
    let sent: Value = serde_json::from_slice(&received.body).unwrap();
    assert_eq!(
        (&sent["model"], &sent["max_tokens"]),
        (&json!("claude-x"), &json!(100))
    );
    assert_eq!(sent["tools"][0]["name"], "weather");
    assert_eq!(sent["messages"].as_array().unwrap().len(), 1);

    let line = gateway.log_line().await;
    assert_eq!(line["protocol"], "Anthropic");
    assert_eq!(
        line["tokens"],
        json!({"input": 25, "cached": 5, "output": 9})
    );
    assert_eq!(
        line["model"],
        json!({"requested": "m", "upstream": "claude-x", "response": "claude-x"})
    );
}

#[tokio::test]
async fn a_stream_with_a_tool_call_is_translated_however_it_is_cut() {
    let whole = [opening(), text("grüß"), tool(), closing("tool_use")].concat();
    // Also in the middle of "ü".
    let middle = whole.find('ü').unwrap() + 1;
    let (head, tail) = whole.as_bytes().split_at(middle);
    let chunks = vec![
        bytes::Bytes::copy_from_slice(head),
        bytes::Bytes::copy_from_slice(tail),
    ];
    let script = super::request_provider::Script::Reply {
        status: 200,
        headers: vec![("content-type", "text/event-stream".into())],
        chunks,
        end: End::Clean,
    };
    let provider = FakeProvider::start(script).await;
    let mut gateway = gateway_to(&provider).await;
    let answer = gateway
        .post("/v1/chat/completions", &with_tools(true))
        .await;
    assert!(answer.is_clean);
    let (events, is_done) = answer.events();
    assert!(is_done);
    let join = |pointer: &str| -> String {
        events
            .iter()
            .filter_map(|event| event.pointer(pointer)?.as_str())
            .collect()
    };
    assert_eq!(join("/choices/0/delta/content"), "grüß");
    assert_eq!(
        join("/choices/0/delta/tool_calls/0/function/name"),
        "weather"
    );
    let arguments = join("/choices/0/delta/tool_calls/0/function/arguments");
    assert_eq!(arguments, r#"{"city":"Köln"}"#);
    assert_eq!(join("/choices/0/finish_reason"), "tool_calls");
    assert!(
        events
            .iter()
            .all(|event| event.get("usage").is_none_or(Value::is_null))
    );
    let line = gateway.log_line().await;
    assert_eq!(
        line["tokens"],
        json!({"input": 25, "cached": 5, "output": 9})
    );
}

#[tokio::test]
async fn faults_are_told_in_the_clients_protocol() {
    let overloaded =
        json!({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}});
    let provider = FakeProvider::start(json(529, overloaded.clone())).await;
    let gateway = gateway_to(&provider).await;
    for answer in [gateway.chat("x").await, gateway.chat_stream("x").await] {
        assert_eq!(answer.status, 429, "{answer:?}");
        assert!(answer.json()["error"]["code"].is_string());
    }

    let early = [opening(), event("error", overloaded.clone())].concat();
    let provider = FakeProvider::start(events([&early], End::Clean)).await;
    let answer = gateway_to(&provider).await.chat_stream("x").await;
    assert_eq!((answer.status, answer.is_clean), (429, true));

    for end in [End::Cut, End::Clean] {
        let cut = [opening(), text("some words")].concat();
        let provider = FakeProvider::start(events([&cut], end)).await;
        let mut gateway = gateway_to(&provider).await;
        let answer = gateway.chat_stream("x").await;
        assert_eq!((answer.status, answer.is_clean), (200, false));
        let (events, is_done) = answer.events();
        assert!(!is_done && events.last().unwrap()["error"].is_object());
        let line = gateway.log_line().await;
        assert_eq!(line["end"], "provider_cut");
        // The input was told at the start; the output's count had only begun.
        assert_eq!(line["tokens"]["input"], 25);
        assert_eq!(line["tokens"]["output"], 3);
        assert_eq!(line["tokens"]["estimated"], true);
    }
}
