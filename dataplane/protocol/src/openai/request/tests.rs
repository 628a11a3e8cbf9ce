//! Rules of the strict reader: carried, neutral, reported or refused by name.

use serde_json::{Value, json};

use super::*;
use crate::{Target, WireProtocol};

fn read(body: &[u8]) -> Result<Conversation<'_>, Unsupported> {
    parse(body, &mut Losses::default())
}

use crate::message::{Part, Role};

fn request(member: &str, value: Value) -> String {
    let mut request = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    request[member] = value;
    request.to_string()
}

/// What of a request cannot be told to Anthropic, which has no word for many.
fn refused(body: &str) -> String {
    let target = Target::new(WireProtocol::Anthropic, "up", 1);
    let mut losses = Losses::default();
    let written = parse(body.as_bytes(), &mut losses).and_then(|conversation| {
        crate::anthropic::request::write(&conversation, &target, &mut losses)
    });
    match written {
        Err(error) => {
            assert!(error.message.contains(&error.field), "{error}");
            error.field
        }
        Ok(_) => panic!("carried: {body}"),
    }
}

#[test]
fn what_cannot_be_carried_is_refused_by_name() {
    for (member, value) in [
        ("n", json!(2)),
        ("seed", json!(1)),
        ("logprobs", json!(true)),
        ("top_logprobs", json!(3)),
        ("logit_bias", json!({"50256": -100})),
        ("frequency_penalty", json!(0.1)),
        ("presence_penalty", json!(-1)),
        ("store", json!(true)),
        ("metadata", json!({"a": "b"})),
        ("modalities", json!(["text", "audio"])),
        ("audio", json!({"voice": "x", "format": "wav"})),
        ("prediction", json!({"type": "content", "content": "x"})),
        ("web_search_options", json!({"search_context_size": "low"})),
        ("functions", json!([{"name": "f"}])),
        ("function_call", json!("auto")),
        ("verbosity", json!("low")),
        ("service_tier", json!("flex")),
        ("reasoning_effort", json!("enormous")),
        ("made_up", json!(0)),
        ("temperature", json!("hot")),
        ("max_tokens", json!(-1)),
        ("stop", json!([1])),
        ("user", json!(7)),
        ("tool_choice", json!("maybe")),
    ] {
        assert_eq!(refused(&request(member, value)), member);
    }
}

#[test]
fn refusals_point_into_the_request() {
    let message = |message: Value| {
        request(
            "messages",
            json!([{"role": "user", "content": "a"}, message]),
        )
    };
    let part = |part: Value| message(json!({"role": "user", "content": [part]}));
    let call = |function: Value| {
        message(
            json!({"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "function": function}]}),
        )
    };
    for (body, field) in [
        (
            message(json!({"role": "narrator", "content": "x"})),
            "messages[1].role",
        ),
        (message(json!({"content": "x"})), "messages[1].role"),
        (
            message(json!({"role": "user", "content": 7})),
            "messages[1].content",
        ),
        (
            message(json!({"role": "user", "content": "x", "name": "bob"})),
            "messages[1].name",
        ),
        (
            message(json!({"role": "assistant", "function_call": {"name": "f"}})),
            "messages[1].function_call",
        ),
        (
            message(json!({"role": "tool", "content": "x"})),
            "messages[1].tool_call_id",
        ),
        (message(json!("x")), "messages[1]"),
        (
            part(json!({"type": "input_audio", "input_audio": {}})),
            "messages[1].content[0].input_audio.data",
        ),
        (
            part(json!({"type": "image_url", "image_url": "x"})),
            "messages[1].content[0].image_url",
        ),
        (
            part(json!({"type": "image_url", "image_url": {"url": "data:image/tiff;base64,AA=="}})),
            "messages[1].content[0].image_url.url",
        ),
        (
            part(json!({"type": "image_url", "image_url": {"url": "ftp://x"}})),
            "messages[1].content[0].image_url.url",
        ),
        (
            part(json!({"type": "file", "file": {"file_id": "f-1"}})),
            "messages[1].content[0].file.file_data",
        ),
        (
            call(json!({"name": "f", "arguments": "{\"torn"})),
            "messages[1].tool_calls[0].function.arguments",
        ),
        (
            call(json!({"name": "f", "arguments": "[1]"})),
            "messages[1].tool_calls[0].function.arguments",
        ),
        (
            request("response_format", json!({"type": "grammar"})),
            "response_format.type",
        ),
        (
            request(
                "response_format",
                json!({"type": "json_schema", "json_schema": {"name": "n"}}),
            ),
            "response_format.json_schema.schema",
        ),
        (
            request("tools", json!([{"type": "custom", "custom": {}}])),
            "tools[0].type",
        ),
        (
            request(
                "tools",
                json!([{"type": "function", "function": {"name": "f", "parameters": 1}}]),
            ),
            "tools[0].function.parameters",
        ),
        (
            request("stream_options", json!({"odd": 1})),
            "stream_options.odd",
        ),
        (request("messages", json!([])), "messages"),
        (request("messages", Value::Null), "messages"),
        (request("messages", json!("x")), "messages"),
        (
            message(json!({"role": "assistant", "thinking_blocks": [{"type": "tool_use"}]})),
            "messages[1].thinking_blocks[0].type",
        ),
    ] {
        assert_eq!(refused(&body), field, "{body}");
    }
}

#[test]
fn neutral_values_say_nothing() {
    for (member, value) in [
        ("n", json!(1)),
        ("logprobs", json!(false)),
        ("top_logprobs", json!(0)),
        ("logit_bias", json!({})),
        ("frequency_penalty", json!(0.0)),
        ("presence_penalty", json!(0)),
        ("store", json!(false)),
        ("metadata", json!({})),
        ("functions", json!([])),
        ("modalities", json!(["text"])),
        ("verbosity", json!("medium")),
        ("response_format", json!({"type": "text"})),
        ("made_up", Value::Null),
        ("stop", json!([])),
    ] {
        let body = request(member, value);
        let mut losses = Losses::default();
        parse(body.as_bytes(), &mut losses).unwrap_or_else(|error| panic!("{error}"));
        assert!(losses.dropped.is_empty());
    }
}

#[test]
fn neighbours_of_one_role_are_one_turn_and_empty_messages_none() {
    let body = request(
        "messages",
        json!([
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": ""},
            {"role": "user", "content": [{"type": "text", "text": ""}, {"type": "text", "text": "b"}]},
            {"role": "assistant", "content": "c"},
            {"role": "user", "content": null},
        ]),
    );
    let turns = read(body.as_bytes()).unwrap().turns;
    let shape: Vec<(Role, usize)> = turns
        .iter()
        .map(|turn| (turn.role, turn.parts.len()))
        .collect();
    assert_eq!(shape, [(Role::User, 2), (Role::Assistant, 1)]);
}

#[test]
fn texts_without_escapes_are_borrowed() {
    let body = request(
        "messages",
        json!([{"role": "user", "content": [{"type": "text", "text": "plain"}]}]),
    );
    let conversation = read(body.as_bytes()).unwrap();
    let Part::Text(part) = &conversation.turns[0].parts[0] else {
        panic!()
    };
    assert!(matches!(part.text, Cow::Borrowed("plain")));
}

#[test]
fn duplicates_and_depth_are_refused_or_skipped() {
    assert_eq!(
        refused(r#"{"messages":[{"role":"user","content":"a","content":"b"}]}"#),
        "messages[0].content"
    );
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    assert_eq!(
        refused(&format!(
            r#"{{"messages":[{{"role":"user","content":{deep}}}]}}"#
        )),
        "messages[0].content[0]"
    );
    let schema = format!(
        r#"{{"messages":[{{"role":"user","content":"a"}}],"tools":[{{"type":"function","function":
           {{"name":"f","parameters":{{"a":{deep}}}}}}}]}}"#
    );
    assert!(read(schema.as_bytes()).is_ok());
    let wide: Vec<String> = (0..300).map(|i| format!("\"m{i}\":null")).collect();
    assert!(read(format!("{{{}}}", wide.join(",")).as_bytes()).is_err());
}
