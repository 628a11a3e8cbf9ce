//! Rules of requests to the Messages API that golden files do not show.

use serde_json::{Value, json};

use crate::fault::{Losses, Unsupported};
use crate::openai::request::parse;
use crate::{Target, WireProtocol};

fn sent(members: Value) -> Result<Value, Unsupported> {
    let mut request = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    request
        .as_object_mut()
        .unwrap()
        .extend(members.as_object().unwrap().clone());
    let body = request.to_string();
    let mut losses = Losses::default();
    let conversation = parse(body.as_bytes(), &mut losses)?;
    let target = Target::new(WireProtocol::Anthropic, "up", 1);
    let written = super::write(&conversation, &target, &mut losses)?;
    Ok(serde_json::from_slice(&written).unwrap())
}

fn refused(members: Value) -> String {
    sent(members).unwrap_err().field
}

#[test]
fn effort_becomes_a_budget_under_max_tokens() {
    let thinking = |effort: &str, max: Value| {
        let sent = sent(json!({"reasoning_effort": effort, "max_tokens": max})).unwrap();
        (
            sent["thinking"]["budget_tokens"].as_u64(),
            sent["max_tokens"].as_u64().unwrap(),
        )
    };
    for (effort, budget) in [
        ("low", 1024),
        ("medium", 8192),
        ("high", 16_384),
        ("xhigh", 32_768),
    ] {
        assert_eq!(thinking(effort, Value::Null), (Some(budget), budget + 4096));
        assert_eq!(
            thinking(effort, json!(2000)),
            (Some(budget.min(1999)), 2000)
        );
    }
    assert_eq!(thinking("none", Value::Null), (None, 4096));
    assert_eq!(thinking("minimal", json!(5)), (None, 5));
    assert_eq!(
        refused(json!({"reasoning_effort": "low", "max_tokens": 1024})),
        "max_completion_tokens"
    );
}

#[test]
fn what_thinking_excludes_is_refused() {
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    let with =
        |choice: &str| json!({"reasoning_effort": "low", "tools": tools, "tool_choice": choice});
    assert_eq!(refused(with("required")), "tool_choice");
    assert!(sent(with("auto")).is_ok());
    assert_eq!(
        refused(json!({"reasoning_effort": "low", "temperature": 0.2})),
        "temperature"
    );
    assert!(sent(json!({"reasoning_effort": "low", "temperature": 1})).is_ok());
    assert_eq!(refused(json!({"temperature": 1.5})), "temperature");
}

#[test]
fn tool_choices_have_their_counterparts() {
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    let choice = |choice: Value, parallel: Value| {
        let members =
            json!({"tools": tools, "tool_choice": choice, "parallel_tool_calls": parallel});
        sent(members).unwrap()["tool_choice"].clone()
    };
    let named = json!({"type": "function", "function": {"name": "f"}});
    let (null, no) = (Value::Null, json!(false));
    assert_eq!(choice(null.clone(), null.clone()), null);
    assert_eq!(choice(null.clone(), json!(true)), null);
    assert_eq!(
        choice(null.clone(), no.clone()),
        json!({"type": "auto", "disable_parallel_tool_use": true})
    );
    assert_eq!(choice(json!("none"), no.clone()), json!({"type": "none"}));
    assert_eq!(
        choice(json!("required"), null.clone()),
        json!({"type": "any"})
    );
    let one = json!({"type": "tool", "name": "f", "disable_parallel_tool_use": true});
    assert_eq!(choice(named, no), one);
    assert_eq!(refused(json!({"tool_choice": "required"})), "tool_choice");
    assert_eq!(
        sent(json!({"tool_choice": "auto"})).unwrap()["tool_choice"],
        null
    );
}

#[test]
fn system_texts_are_joined_in_order_and_keep_cache_markers() {
    let messages = |first: Value| {
        json!({"messages": [
            {"role": "system", "content": first},
            {"role": "user", "content": "hi"},
            {"role": "developer", "content": "two"},
        ]})
    };
    assert_eq!(
        sent(messages(json!("one"))).unwrap()["system"],
        "one\n\ntwo"
    );
    let marked = json!([{"type": "text", "text": "one", "cache_control": {"type": "ephemeral"}}]);
    let expected = json!([
        {"type": "text", "text": "one", "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": "two"},
    ]);
    assert_eq!(sent(messages(marked)).unwrap()["system"], expected);
}
