//! What becomes of each member.

use serde_json::{Value, json};

use super::*;
use crate::fault::OnUnsupported;
use crate::{Target, WireProtocol};

fn request(members: Value) -> String {
    let mut request = json!({
        "model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}],
    });
    let all = request.as_object_mut().unwrap();
    all.extend(members.as_object().unwrap().clone());
    request.to_string()
}

/// What an OpenAI provider is sent, and what was dropped.
fn sent(body: &str, on_unsupported: OnUnsupported) -> Result<(Value, Vec<String>), Unsupported> {
    let mut losses = Losses::new(on_unsupported);
    let conversation = parse(body.as_bytes(), &mut losses)?;
    let target = Target::new(WireProtocol::OpenAI, "up", 1);
    let written = crate::openai::chat::request::write(&conversation, &target, &mut losses)?;
    Ok((serde_json::from_slice(&written).unwrap(), losses.dropped))
}

#[test]
fn a_conversation_with_tools_and_pictures_is_carried() {
    let body = request(json!({
        "system": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "b"}],
        "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": true},
        "thinking": {"type": "enabled", "budget_tokens": 5000},
        "stop_sequences": ["x"], "temperature": 0.5, "metadata": {"user_id": "u"},
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "look"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA"}}]},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "t", "signature": "s"},
                {"type": "text", "text": "ok"}, {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}},
                {"type": "tool_use", "id": "c2", "name": "f", "input": {}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": "r1"},
                {"type": "tool_result", "tool_use_id": "c2", "is_error": true, "content": [
                    {"type": "text", "text": "r2"},
                    {"type": "image", "source": {"type": "url", "url": "https://a.test/b.png"}}]},
                {"type": "text", "text": "go on"}]},
        ],
    }));
    let (sent, dropped) = sent(&body, OnUnsupported::Reject).unwrap();
    assert_eq!(
        sent["messages"],
        json!([
            {"role": "system", "content": "a\n\nb"},
            {"role": "user", "content": [{"type": "text", "text": "look"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]},
            {"role": "assistant", "content": "ok", "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}},
                {"id": "c2", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "content": "r1", "tool_call_id": "c1"},
            {"role": "tool", "content": "r2", "tool_call_id": "c2"},
            {"role": "user", "content": [{"type": "text", "text": "The result of c2 has this:"},
                {"type": "image_url", "image_url": {"url": "https://a.test/b.png"}},
                {"type": "text", "text": "go on"}]},
        ])
    );
    assert_eq!(sent["tool_choice"], "required");
    assert_eq!(sent["parallel_tool_calls"], false);
    assert_eq!(sent["reasoning_effort"], "medium");
    assert_eq!((&sent["stop"], &sent["user"]), (&json!(["x"]), &json!("u")));
    assert_eq!(sent["max_completion_tokens"], 9);
    assert_eq!(
        dropped,
        ["cache_control", "thinking", "tool_result.is_error"]
    );
}

#[test]
fn what_cannot_be_carried_is_refused_by_name_or_dropped_and_told() {
    for (members, field) in [
        (
            json!({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
            "tools[0].type",
        ),
        (json!({"top_k": 3}), "top_k"),
        (json!({"container": "c"}), "container"),
        (json!({"mcp_servers": [{"url": "x"}]}), "mcp_servers"),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "search_result"}]}]}),
            "messages[0].content[1].type",
        ),
    ] {
        let body = request(members);
        assert_eq!(sent(&body, OnUnsupported::Reject).unwrap_err().field, field);
        let (_, dropped) = sent(&body, OnUnsupported::Drop).unwrap();
        assert_eq!(dropped, [field]);
    }
}

#[test]
fn what_is_wrong_is_refused_in_any_case() {
    for (members, field) in [
        (json!({"max_tokens": null}), "max_tokens"),
        (json!({"max_tokens": "9"}), "max_tokens"),
        (json!({"messages": []}), "messages"),
        (
            json!({"messages": [{"role": "tool", "content": "x"}]}),
            "messages[0].role",
        ),
        (
            json!({"messages": [{"role": "user"}]}),
            "messages[0].content",
        ),
        (
            json!({"thinking": {"type": "enabled"}}),
            "thinking.budget_tokens",
        ),
        (json!({"tool_choice": {"type": "all"}}), "tool_choice.type"),
        (json!({"system": 1}), "system"),
        (
            json!({"messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": []}]}]}),
            "messages[0].content[0].input",
        ),
    ] {
        let body = request(members);
        for policy in [OnUnsupported::Reject, OnUnsupported::Drop] {
            assert_eq!(sent(&body, policy).unwrap_err().field, field);
        }
    }
}
