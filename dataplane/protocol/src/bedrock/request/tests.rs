//! Rules of requests to Converse that golden files do not show.

use serde_json::{Value, json};

use crate::fault::{Losses, Unsupported};
use crate::message::{Conversation, Effort, Part, Reasoning, Role, Source, Tier, Turn};
use crate::openai::request::parse;
use crate::{OnUnsupported, Target, WireProtocol};

const CLAUDE: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
const NOVA: &str = "amazon.nova-pro-v1:0";
const LLAMA: &str = "meta.llama3-70b-instruct-v1:0";

fn written(
    model: &str,
    members: Value,
    change: impl FnOnce(&mut Conversation<'_>),
    losses: &mut Losses,
) -> Result<Value, Unsupported> {
    let mut request = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    request
        .as_object_mut()
        .unwrap()
        .extend(members.as_object().unwrap().clone());
    let body = request.to_string();
    let mut conversation = parse(body.as_bytes(), losses)?;
    change(&mut conversation);
    let target = Target::new(WireProtocol::Bedrock, model, 1);
    let written = super::write(&conversation, &target, losses)?;
    Ok(serde_json::from_slice(&written).unwrap())
}

fn sent(model: &str, members: Value) -> Result<Value, Unsupported> {
    written(model, members, |_| (), &mut Losses::default())
}

fn refused(model: &str, members: Value) -> String {
    sent(model, members).unwrap_err().field
}

/// What is sent if everything that may be dropped is, and what was.
fn lossy(
    model: &str,
    members: Value,
    change: impl FnOnce(&mut Conversation<'_>),
) -> (Value, Vec<String>) {
    let mut losses = Losses::new(OnUnsupported::Drop);
    let sent = written(model, members, change, &mut losses).unwrap();
    (sent, losses.dropped)
}

fn tools() -> Value {
    json!([{"type": "function", "function": {"name": "f"}}])
}

#[test]
fn a_plain_request_says_no_more_than_it_must() {
    let expected = json!({"messages": [{"role": "user", "content": [{"text": "hi"}]}]});
    assert_eq!(sent(CLAUDE, json!({})).unwrap(), expected);
}

#[test]
fn effort_becomes_a_budget_under_max_tokens() {
    let thinking = |effort: &str, max: Value| {
        let sent = sent(
            CLAUDE,
            json!({"reasoning_effort": effort, "max_tokens": max}),
        )
        .unwrap();
        (
            sent["additionalModelRequestFields"]["thinking"]["budget_tokens"].as_u64(),
            sent["inferenceConfig"]["maxTokens"].as_u64(),
        )
    };
    for (effort, budget) in [
        ("low", 1024),
        ("medium", 4096),
        ("high", 16_384),
        ("xhigh", 32_768),
    ] {
        let answer = Some(budget + 4096);
        assert_eq!(thinking(effort, Value::Null), (Some(budget), answer));
        let capped = (Some(budget.min(1999)), Some(2000));
        assert_eq!(thinking(effort, json!(2000)), capped);
    }
    assert_eq!(thinking("none", Value::Null), (None, None));
    assert_eq!(thinking("minimal", json!(5)), (None, Some(5)));
    let small = json!({"reasoning_effort": "low", "max_tokens": 1024});
    assert_eq!(refused(CLAUDE, small), "max_completion_tokens");
    let huge = |c: &mut Conversation<'_>| c.reasoning = Some(Reasoning::Budget(u64::MAX));
    let (sent, _) = lossy(CLAUDE, json!({}), huge);
    assert_eq!(sent["inferenceConfig"]["maxTokens"], u64::MAX);
}

#[test]
fn effort_stays_effort_where_there_are_no_budgets() {
    const NEWER: &str = "us.anthropic.claude-opus-4-8";
    let extras = |reasoning: Reasoning| {
        let change = |c: &mut Conversation<'_>| c.reasoning = Some(reasoning);
        let (sent, _) = lossy(NEWER, json!({"max_tokens": 100}), change);
        assert_eq!(sent["inferenceConfig"]["maxTokens"], 100);
        sent["additionalModelRequestFields"].clone()
    };
    let adaptive = json!({"type": "adaptive"});
    for (reasoning, effort) in [
        (Reasoning::Effort(Effort::Low), "low"),
        (Reasoning::Effort(Effort::Medium), "medium"),
        (Reasoning::Effort(Effort::High), "high"),
        (Reasoning::Effort(Effort::XHigh), "xhigh"),
        (Reasoning::Budget(0), "low"),
        (Reasoning::Budget(4096), "medium"),
        (Reasoning::Budget(u64::MAX), "high"),
    ] {
        let expected = json!({"thinking": adaptive, "output_config": {"effort": effort}});
        assert_eq!(extras(reasoning), expected, "{reasoning:?}");
    }
    assert_eq!(extras(Reasoning::Adaptive), json!({"thinking": adaptive}));
    assert_eq!(extras(Reasoning::Effort(Effort::Off)), Value::Null);
}

#[test]
fn what_thinking_excludes_is_refused() {
    let with =
        |choice: &str| json!({"reasoning_effort": "low", "tools": tools(), "tool_choice": choice});
    assert_eq!(refused(CLAUDE, with("required")), "tool_choice");
    assert!(sent(CLAUDE, with("auto")).is_ok());
    let cold = json!({"reasoning_effort": "low", "temperature": 0.2});
    assert_eq!(refused(CLAUDE, cold), "temperature");
    assert_eq!(refused(NOVA, json!({"temperature": 1.5})), "temperature");
    let effort = json!({"reasoning_effort": "low"});
    assert_eq!(refused(NOVA, effort.clone()), "reasoning_effort");
    assert_eq!(lossy(LLAMA, effort, |_| ()).1, ["reasoning_effort"]);
    assert!(sent(LLAMA, json!({"reasoning_effort": "none"})).is_ok());
}

#[test]
fn tool_choices_have_their_counterparts() {
    let config = |model: &str, choice: Value, parallel: Value| {
        let members =
            json!({"tools": tools(), "tool_choice": choice, "parallel_tool_calls": parallel});
        let sent = sent(model, members).unwrap();
        let extra = sent["additionalModelRequestFields"]["tool_choice"].clone();
        (sent["toolConfig"]["toolChoice"].clone(), extra)
    };
    let named = json!({"type": "function", "function": {"name": "f"}});
    let (null, no) = (Value::Null, json!(false));
    let plain = |choice: Value| config(NOVA, choice, json!(true)).0;
    assert_eq!(plain(null.clone()), null);
    assert_eq!(plain(json!("auto")), json!({"auto": {}}));
    assert_eq!(plain(json!("required")), json!({"any": {}}));
    assert_eq!(plain(named.clone()), json!({"tool": {"name": "f"}}));
    let one = |choice: Value| json!({"type": choice, "disable_parallel_tool_use": true});
    assert_eq!(
        config(CLAUDE, null.clone(), no.clone()),
        (null.clone(), one(json!("auto")))
    );
    assert_eq!(
        config(CLAUDE, json!("required"), no.clone()),
        (null.clone(), one(json!("any")))
    );
    let expected = json!({"type": "tool", "name": "f", "disable_parallel_tool_use": true});
    assert_eq!(config(CLAUDE, named, no), (null, expected));
    let parallel = json!({"tools": tools(), "parallel_tool_calls": false});
    assert_eq!(refused(NOVA, parallel), "parallel_tool_calls");
    assert!(sent(NOVA, json!({"parallel_tool_calls": false})).is_ok());
}

#[test]
fn no_tool_is_called_where_none_may_be() {
    let none = json!({"tools": tools(), "tool_choice": "none", "parallel_tool_calls": false});
    let sent_without = sent(CLAUDE, none).unwrap();
    assert_eq!(sent_without.get("toolConfig"), None);
    assert_eq!(sent_without.get("additionalModelRequestFields"), None);
    let calls = json!([
        {"role": "user", "content": "hi"},
        {"role": "assistant", "tool_calls":
            [{"id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}]},
        {"role": "tool", "tool_call_id": "a", "content": ""},
    ]);
    let none = json!({"messages": calls, "tools": tools(), "tool_choice": "none"});
    assert_eq!(refused(CLAUDE, none.clone()), "tool_choice");
    let (sent, dropped) = lossy(CLAUDE, none, |_| ());
    assert_eq!(dropped, ["tool_choice"]);
    assert_eq!(sent["toolConfig"]["tools"][0]["toolSpec"]["name"], "f");
    assert_eq!(refused(CLAUDE, json!({"messages": calls})), "tools");
    assert_eq!(
        refused(CLAUDE, json!({"tool_choice": "required"})),
        "tool_choice"
    );
}

#[test]
fn cache_markers_become_points_where_the_family_has_them() {
    let marker = json!({"type": "ephemeral", "ttl": "1h"});
    let messages = json!([
        {"role": "system", "content": [{"type": "text", "text": "s", "cache_control": marker}]},
        {"role": "user", "content": [{"type": "text", "text": "u", "cache_control": marker}]},
    ]);
    let members = json!({"messages": messages});
    let long = json!({"cachePoint": {"type": "default", "ttl": "1h"}});
    let short = json!({"cachePoint": {"type": "default"}});
    for (model, point, lost) in [
        (CLAUDE, Some(&long), false),
        (NOVA, Some(&short), true),
        (LLAMA, None, true),
    ] {
        let (sent, dropped) = lossy(model, members.clone(), |_| ());
        assert_eq!(sent["system"].get(1), point, "{model}");
        assert_eq!(sent["messages"][0]["content"].get(1), point, "{model}");
        assert_eq!(dropped == ["cache_control"], lost, "{model}");
    }
}

#[test]
fn markers_on_tools_and_in_results_go_behind_them() {
    let marker = serde_json::value::to_raw_value(&json!({"type": "ephemeral"})).unwrap();
    let marker: &'static serde_json::value::RawValue = Box::leak(marker);
    let text = |cache| {
        let text = "r".into();
        Part::Text(crate::message::TextPart { text, cache })
    };
    let change = |c: &mut Conversation<'_>| {
        c.tools
            .iter_mut()
            .for_each(|tool| tool.cache = Some(marker));
        c.turns.push(Turn {
            role: Role::User,
            parts: vec![Part::ToolResult {
                id: "a".into(),
                content: vec![text(Some(marker)), text(None)],
                is_error: true,
                cache: None,
            }],
        });
    };
    let (sent, dropped) = lossy(CLAUDE, json!({"tools": tools()}), change);
    let point = json!({"cachePoint": {"type": "default"}});
    let result = json!({"toolResult":
        {"toolUseId": "a", "content": [{"text": "r"}, {"text": "r"}], "status": "error"}});
    assert_eq!(sent["toolConfig"]["tools"][1], point);
    assert_eq!(
        sent["messages"][0]["content"],
        json!([{"text": "hi"}, result, point])
    );
    assert!(dropped.is_empty());
    let (sent, dropped) = lossy(NOVA, json!({"tools": tools()}), change);
    assert_eq!(sent["toolConfig"]["tools"].get(1), None);
    assert_eq!(dropped, ["cache_control"]);
    let (sent, dropped) = lossy(LLAMA, json!({"tools": tools()}), change);
    let result = &sent["messages"][0]["content"][1]["toolResult"];
    assert_eq!(result.get("status"), None);
    assert_eq!(dropped, ["is_error", "cache_control"]);
}

#[test]
fn blank_blocks_go_and_neighbours_become_one() {
    let messages = json!([
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": " \n"},
        {"role": "user", "content": "b"},
    ]);
    assert_eq!(
        sent(CLAUDE, json!({"messages": messages})).unwrap()["messages"],
        json!([{"role": "user", "content": [{"text": "a"}, {"text": "b"}]}])
    );
    let blank = json!({"messages": [{"role": "user", "content": "  "}]});
    assert_eq!(refused(CLAUDE, blank), "messages");
}

#[test]
fn content_that_is_not_bytes_is_refused_whatever_may_be_dropped() {
    let part = |part: Part<'static>| {
        let mut losses = Losses::new(OnUnsupported::Drop);
        let change = |c: &mut Conversation<'_>| c.turns[0].parts.push(part);
        written(CLAUDE, json!({}), change, &mut losses)
    };
    let image = |source| Part::Image {
        source,
        detail: None,
        cache: None,
    };
    let document = |source| Part::Document {
        source,
        title: None,
        cache: None,
    };
    let base64 = |media_type: &str| Source::Base64 {
        media_type: media_type.into(),
        data: "aQ==".into(),
    };
    for refused in [
        image(Source::Url("https://a.test/a.png".into())),
        image(Source::File("file-1".into())),
        image(base64("image/tiff")),
        document(Source::Url("https://a.test/a.pdf".into())),
        document(base64("application/zip")),
        Part::Audio {
            data: "aQ==".into(),
            format: "midi".into(),
        },
    ] {
        assert_eq!(part(refused).unwrap_err().field, "messages");
    }
    let sent = part(document(base64("text/plain"))).unwrap();
    let expected = json!({"format": "txt", "name": "document", "source": {"bytes": "aQ=="}});
    assert_eq!(sent["messages"][0]["content"][1]["document"], expected);
    let audio = Part::Audio {
        data: "aQ==".into(),
        format: "wav".into(),
    };
    let expected = json!({"format": "wav", "source": {"bytes": "aQ=="}});
    let sent = part(audio).unwrap();
    assert_eq!(sent["messages"][0]["content"][1]["audio"], expected);
}

#[test]
fn thoughts_go_back_to_claude_alone() {
    let messages = json!([
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b", "thinking_blocks": [
            {"type": "thinking", "thinking": "t", "signature": "s"},
            {"type": "thinking", "thinking": "unsigned"},
            {"type": "redacted_thinking", "data": "aQ=="}]},
        {"role": "user", "content": "c"},
    ]);
    let members = json!({"messages": messages});
    assert_eq!(
        sent(CLAUDE, members.clone()).unwrap()["messages"][1]["content"],
        json!([
            {"reasoningContent": {"reasoningText": {"text": "t", "signature": "s"}}},
            {"reasoningContent": {"redactedContent": "aQ=="}},
            {"text": "b"},
        ])
    );
    let (sent, dropped) = lossy(NOVA, members, |_| ());
    assert_eq!(sent["messages"][1]["content"], json!([{"text": "b"}]));
    assert_eq!(dropped, ["thinking", "thinking"]);
}

#[test]
fn what_converse_cannot_say_is_given_up_by_name() {
    let raw = serde_json::value::RawValue::NULL;
    let number = Some(crate::message::Number { raw, value: 0.5 });
    let change = |c: &mut Conversation<'_>| {
        c.frequency_penalty = number;
        c.presence_penalty = number;
        c.seed = Some(raw);
        c.logprobs = Some(0);
        c.top_k = Some(1);
    };
    let (_, dropped) = lossy(LLAMA, json!({"user": "u"}), change);
    let expected = [
        "frequency_penalty",
        "presence_penalty",
        "seed",
        "logprobs",
        "user",
        "top_k",
    ];
    assert_eq!(dropped, expected);
    let top_k =
        |model| lossy(model, json!({"top_k": 5}), |_| ()).0["additionalModelRequestFields"].clone();
    assert_eq!(top_k(CLAUDE), json!({"top_k": 5}));
    assert_eq!(top_k(NOVA), json!({"inferenceConfig": {"topK": 5}}));
    let object = json!({"response_format": {"type": "json_object"}});
    assert_eq!(refused(CLAUDE, object), "response_format.type");
}

#[test]
fn tiers_and_metadata_are_carried() {
    let metadata = |text: &str| {
        let raw: Box<serde_json::value::RawValue> = serde_json::from_str(text).unwrap();
        let raw: &'static _ = Box::leak(raw);
        let change = |c: &mut Conversation<'_>| {
            c.metadata = Some(raw);
            c.tier = Some(Tier::Flex);
        };
        lossy(CLAUDE, json!({}), change)
    };
    let (sent, dropped) = metadata(r#"{"team":"a b","n":"1"}"#);
    assert_eq!(sent["requestMetadata"], json!({"team": "a b", "n": "1"}));
    assert_eq!(sent["serviceTier"], json!({"type": "flex"}));
    assert!(dropped.is_empty());
    for unfit in ["[]", r#"{"a":1}"#, r#"{"":"a"}"#, r#"{"a":"é"}"#] {
        let (sent, dropped) = metadata(unfit);
        assert_eq!(sent.get("requestMetadata"), None, "{unfit}");
        assert_eq!(dropped, ["metadata"], "{unfit}");
    }
}

#[test]
fn ids_of_other_vendors_become_valid_and_stay_apart() {
    let fine = super::tool_id("tooluse_aB-9");
    assert_eq!(fine, "tooluse_aB-9");
    let long = ["x".repeat(70), "x".repeat(71)];
    let odd = ["f.get:0", "f.get.0", "", &long[0], &long[1]].map(super::tool_id);
    for (index, id) in odd.iter().enumerate() {
        assert!((1..=64).contains(&id.len()), "{id}");
        assert!(!odd[..index].contains(id), "{id}");
    }
}
