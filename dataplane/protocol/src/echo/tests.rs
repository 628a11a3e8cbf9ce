//! Rules of the echo model.

use super::*;

fn chat(request: Value) -> EchoReply {
    echo(
        &Operation::Of(Endpoint::ChatCompletions),
        request.to_string().as_bytes(),
    )
}

fn body(reply: &EchoReply) -> Value {
    let bytes: Vec<u8> = reply
        .steps
        .iter()
        .flat_map(|step| step.bytes.to_vec())
        .collect();
    serde_json::from_slice(&bytes).unwrap()
}

fn say(text: &str) -> Value {
    json!({"model": "m", "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": text}]})
}

fn with(mut request: Value, member: &str, value: Value) -> Value {
    request[member] = value;
    request
}

/// The events of a stream; `[DONE]` is a string.
fn events(reply: &EchoReply) -> Vec<Value> {
    let read = |step: &EchoStep| {
        let text = std::str::from_utf8(&step.bytes).unwrap();
        let data = text
            .strip_prefix("data: ")
            .unwrap()
            .strip_suffix("\n\n")
            .unwrap();
        serde_json::from_str(data).unwrap_or_else(|_| json!(data))
    };
    reply.steps.iter().map(read).collect()
}

#[test]
fn the_answer_is_the_last_user_message_and_a_token_is_a_word() {
    let body = body(&chat(say("  hello  brave\nworld ")));
    assert_eq!(
        body["choices"][0]["message"]["content"],
        "  hello  brave\nworld "
    );
    assert_eq!(body["choices"][0]["finish_reason"], "stop");
    assert_eq!(
        body["usage"],
        json!({"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8})
    );
}

#[test]
fn max_tokens_ends_the_answer_with_length() {
    let body = body(&chat(with(say("one two three"), "max_tokens", json!(2))));
    assert_eq!(body["choices"][0]["message"]["content"], "one two ");
    assert_eq!(body["choices"][0]["finish_reason"], "length");
    assert_eq!(body["usage"]["completion_tokens"], 2);
}

#[test]
fn a_stream_says_the_same_word_by_word_and_usage_only_when_asked() {
    let reply = chat(with(say("/slow 50ms one two"), "stream", json!(true)));
    let text: String = events(&reply)
        .iter()
        .filter_map(|e| e["choices"][0]["delta"]["content"].as_str())
        .collect();
    assert_eq!(
        (text.as_str(), reply.content_type),
        ("one two", "text/event-stream")
    );
    let delays: Vec<u64> = reply.steps.iter().map(|step| step.delay_ms).collect();
    assert_eq!(delays, [0, 50, 50, 0, 0]);
    assert!(events(&reply).iter().all(|event| event["usage"].is_null()));

    let asked = with(say("one two"), "stream", json!(true));
    let asked = with(asked, "stream_options", json!({"include_usage": true}));
    let events = events(&chat(asked));
    assert_eq!(events[events.len() - 2]["usage"]["total_tokens"], 6);
    assert_eq!(events[events.len() - 1], "[DONE]");
}

#[test]
fn tools_are_called_when_named_or_demanded() {
    let tool = |name: &str| {
        let properties = json!({"city": {"type": "string"}, "days": {"type": "integer"}, "x": {"type": "string"}});
        let parameters =
            json!({"type": "object", "properties": properties, "required": ["city", "days"]});
        json!({"type": "function", "function": {"name": name, "parameters": parameters}})
    };
    let ask = |text: &str, choice: Value| {
        let request = with(
            say(text),
            "tools",
            json!([tool("get_weather"), tool("get_time")]),
        );
        let reply = body(&chat(with(request, "tool_choice", choice)));
        let calls = reply["choices"][0]["message"]["tool_calls"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        calls
            .iter()
            .map(|call| call["function"]["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        ask("call get_weather, then get_time!", Value::Null),
        ["get_weather", "get_time"]
    );
    assert!(ask("the get_weather_now", json!("auto")).is_empty());
    assert!(ask("call get_weather", json!("none")).is_empty());
    assert_eq!(ask("hi", json!("required")), ["get_weather"]);
    assert_eq!(
        ask(
            "hi",
            json!({"type": "function", "function": {"name": "get_time"}})
        ),
        ["get_time"]
    );

    let request = with(say("get_time"), "tools", json!([tool("get_time")]));
    let reply = body(&chat(request.clone()));
    let call = &reply["choices"][0]["message"]["tool_calls"][0];
    assert_eq!(call["function"]["arguments"], r#"{"city":"city","days":1}"#);
    let mut after = request;
    after["messages"]
        .as_array_mut()
        .unwrap()
        .push(json!({"role": "tool", "tool_call_id": "a", "content": "noon"}));
    assert_eq!(
        body(&chat(after))["choices"][0]["message"]["content"],
        "noon"
    );
}

#[test]
fn failures_come_as_asked() {
    assert_eq!(chat(say("/fail 429 hi")).status, 429);
    assert_eq!(chat(say("/fail 401")).status, 401);
    assert_eq!(chat(say("/fail garbage")).content_type, "text/html");
    let stream = |text: &str| chat(with(say(text), "stream", json!(true)));
    assert_eq!(stream("/fail cut a b c d").end, EchoEnd::Cut);
    let hang = stream("/fail hang a b");
    assert_eq!((hang.end, hang.steps.len()), (EchoEnd::Hang, 1));
    assert_eq!(chat(say("/fail hang")).steps.len(), 0);
    let plain = chat(say("/fail nonsense"));
    assert_eq!(
        body(&plain)["choices"][0]["message"]["content"],
        "/fail nonsense"
    );
}

#[test]
fn embeddings_are_unit_vectors_in_either_encoding() {
    let embed = |request: Value| {
        echo(
            &Operation::Of(Endpoint::Embeddings),
            request.to_string().as_bytes(),
        )
    };
    let floats = body(&embed(json!({"model": "m", "input": ["a b", "a b", "c"]})));
    let vector = |index: usize| {
        let floats = floats["data"][index]["embedding"].as_array().unwrap();
        floats
            .iter()
            .map(|x| x.as_f64().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (
            vector(0).len(),
            vector(0) == vector(1),
            vector(0) == vector(2)
        ),
        (8, true, false)
    );
    assert!((vector(0).iter().map(|x| x * x).sum::<f64>() - 1.0).abs() < 1e-5);
    assert_eq!(floats["usage"]["prompt_tokens"], 5);

    let coded =
        json!({"model": "m", "input": [1, 2, 3], "dimensions": 3, "encoding_format": "base64"});
    let coded = body(&embed(coded));
    assert_eq!(coded["data"][0]["embedding"].as_str().unwrap().len(), 16);
    assert_eq!(coded["usage"]["prompt_tokens"], 3);
    for input in [
        json!(null),
        json!([]),
        json!(""),
        json!([""]),
        json!([1, "a"]),
        json!({}),
    ] {
        assert_eq!(
            embed(json!({"model": "m", "input": input})).status,
            400,
            "{input}"
        );
    }
}

#[test]
fn nonsense_is_a_400_in_openais_shape() {
    let deep = "[".repeat(100_000);
    for request in [
        "",
        "{",
        "[]",
        "null",
        r#"{"model":"m"}"#,
        r#"{"messages":[]}"#,
        &deep,
    ] {
        let reply = echo(
            &Operation::Of(Endpoint::ChatCompletions),
            request.as_bytes(),
        );
        assert_eq!(reply.status, 400, "{request:.20}");
        assert!(body(&reply)["error"]["message"].is_string());
    }
    assert_eq!(chat(with(say("x"), "n", json!(0))).status, 400);
}
