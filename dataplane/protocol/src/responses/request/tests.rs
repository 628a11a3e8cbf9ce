//! Rules of the strict reader: carried, neutral, reported, given up or refused by name.

use serde_json::{Value, json};

use super::*;
use crate::fault::OnUnsupported;
use crate::message::{Part, Role, Source, Thought, ToolChoice};

fn request(member: &str, value: Value) -> String {
    let mut request = json!({"model": "m", "input": "hi"});
    request[member] = value;
    request.to_string()
}

fn with_item(item: Value) -> String {
    request("input", json!([{"role": "user", "content": "a"}, item]))
}

fn refused(body: &str) -> String {
    match parse(body.as_bytes(), &mut Losses::default()) {
        Err(error) => {
            assert!(error.message.contains(&error.field), "{error}");
            error.field
        }
        Ok(_) => panic!("carried: {body}"),
    }
}

#[test]
fn what_cannot_be_carried_is_refused_by_name() {
    for (member, value, field) in [
        (
            "previous_response_id",
            json!("resp_1"),
            "previous_response_id",
        ),
        ("conversation", json!("conv_1"), "conversation"),
        ("prompt", json!({"id": "p"}), "prompt"),
        ("background", json!(true), "background"),
        ("truncation", json!("auto"), "truncation"),
        ("max_tool_calls", json!(3), "max_tool_calls"),
        ("service_tier", json!("odd"), "service_tier"),
        ("metadata", json!("x"), "metadata"),
        ("made_up", json!(0), "made_up"),
        ("temperature", json!("hot"), "temperature"),
        ("max_output_tokens", json!(-1), "max_output_tokens"),
        ("include", json!([1]), "include[0]"),
        ("input", json!([]), "input"),
        ("input", json!(7), "input"),
        ("reasoning", json!({"effort": "odd"}), "reasoning.effort"),
        ("text", json!({"verbosity": "low"}), "text.verbosity"),
        (
            "text",
            json!({"format": {"type": "grammar"}}),
            "text.format.type",
        ),
        (
            "text",
            json!({"format": {"type": "json_schema"}}),
            "text.format.schema",
        ),
        ("tools", json!([{"type": "web_search"}]), "tools[0].type"),
        ("tools", json!([{"type": "function"}]), "tools[0].name"),
        ("tool_choice", json!("maybe"), "tool_choice"),
        (
            "tool_choice",
            json!({"type": "file_search"}),
            "tool_choice.type",
        ),
    ] {
        assert_eq!(refused(&request(member, value)), field);
    }
    for (item, field) in [
        (json!({"type": "item_reference", "id": "x"}), "input[1]"),
        (json!({"id": "x"}), "input[1]"),
        (json!({"content": "x"}), "input[1].role"),
        (json!({"role": "narrator", "content": "x"}), "input[1].role"),
        (
            json!({"type": "web_search_call", "id": "x"}),
            "input[1].type",
        ),
        (
            json!({"type": "function_call", "call_id": "a", "name": "f", "arguments": "[1]"}),
            "input[1].arguments",
        ),
        (
            json!({"type": "function_call_output", "output": "x"}),
            "input[1].call_id",
        ),
        (
            json!({"role": "user", "content": [{"type": "input_image"}]}),
            "input[1].content[0].image_url",
        ),
        (
            json!({"role": "user", "content": [{"type": "input_file"}]}),
            "input[1].content[0].file_data",
        ),
        (
            json!({"role": "assistant", "content": [{"type": "input_image", "image_url": "x"}]}),
            "input[1].content[0].type",
        ),
    ] {
        assert_eq!(refused(&with_item(item)), field);
    }
}

#[test]
fn neutral_values_say_nothing_and_hints_are_told() {
    for (member, value, hints) in [
        ("background", json!(false), &[][..]),
        ("store", json!(false), &[]),
        ("store", json!(true), &["store"]),
        ("truncation", json!("disabled"), &[]),
        (
            "text",
            json!({"format": {"type": "text"}, "verbosity": "medium"}),
            &[],
        ),
        ("include", json!(["reasoning.encrypted_content"]), &[]),
        (
            "include",
            json!(["file_search_call.results"]),
            &["include[0]"],
        ),
        ("reasoning", json!({"summary": "auto"}), &[]),
        ("prompt_cache_key", json!("k"), &["prompt_cache_key"]),
        ("stream_options", json!({"include_obfuscation": false}), &[]),
        (
            "stream_options",
            json!({"include_obfuscation": true}),
            &["stream_options.include_obfuscation"],
        ),
        ("tools", json!([]), &[]),
        ("made_up", Value::Null, &[]),
    ] {
        let body = request(member, value);
        let mut losses = Losses::default();
        parse(body.as_bytes(), &mut losses).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(losses.dropped, hints, "{body}");
    }
}

#[test]
fn what_may_be_dropped_is_but_what_is_remembered_is_not() {
    let mut losses = Losses::new(OnUnsupported::Drop);
    let body = request(
        "tools",
        json!([{"type": "web_search"}, {"type": "function", "name": "f"}]),
    );
    let conversation = parse(body.as_bytes(), &mut losses).unwrap();
    assert_eq!(
        (conversation.tools.len(), losses.dropped),
        (1, vec!["tools[0].type".to_owned()])
    );
    let body = request("previous_response_id", json!("x"));
    assert!(parse(body.as_bytes(), &mut Losses::new(OnUnsupported::Drop)).is_err());
}

#[test]
fn a_conversation_is_carried_in_order() {
    let body = json!({
        "model": "m", "instructions": "Be brief.", "stream": true, "max_output_tokens": 9,
        "top_logprobs": 2, "service_tier": "flex", "reasoning": {"effort": "low"},
        "tool_choice": {"type": "function", "name": "f"}, "metadata": {"a": "b"},
        "input": [
            {"role": "developer", "content": "More."},
            {"role": "user", "content": [
                {"type": "input_text", "text": "Look"},
                {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "high"},
                {"type": "input_file", "file_id": "file-1"}]},
            {"type": "reasoning", "id": "rs_1", "encrypted_content": "sig",
             "summary": [{"type": "summary_text", "text": "Hm."}]},
            {"type": "reasoning", "id": "rs_2", "encrypted_content": "dark", "summary": []},
            {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant",
             "content": [{"type": "output_text", "text": "I see", "annotations": []}]},
            {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": ""},
            {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "ok"}]}
        ]
    })
    .to_string();
    let mut losses = Losses::default();
    let read = parse(body.as_bytes(), &mut losses).unwrap();
    assert!(losses.dropped.is_empty() && read.stream);
    let system: Vec<&str> = read.system.iter().map(|part| part.text.as_ref()).collect();
    assert_eq!(system, ["Be brief.", "More."]);
    assert_eq!(
        (read.max_tokens, read.logprobs, read.tier),
        (Some(9), Some(2), Some(Tier::Flex))
    );
    assert_eq!(read.tool_choice, Some(ToolChoice::Named("f".into())));
    let shape: Vec<(Role, usize)> = read
        .turns
        .iter()
        .map(|turn| (turn.role, turn.parts.len()))
        .collect();
    assert_eq!(
        shape,
        [(Role::User, 3), (Role::Assistant, 4), (Role::User, 1)]
    );
    assert!(
        matches!(&read.turns[0].parts[2], Part::Document { source: Source::File(id), .. } if id == "file-1")
    );
    let thoughts: Vec<&Thought<'_>> = read.turns[1]
        .parts
        .iter()
        .filter_map(|part| match part {
            Part::Thinking(thought) => Some(thought),
            _ => None,
        })
        .collect();
    assert!(
        matches!(thoughts[0], Thought::Told { text, signature: Some(sig) } if text == "Hm." && sig == "sig")
    );
    assert!(matches!(thoughts[1], Thought::Redacted { data } if data == "dark"));
    assert!(
        matches!(&read.turns[1].parts[3], Part::ToolCall { arguments, .. } if arguments.get() == "{}")
    );
}
