//! Whatever is told, in whatever order, what is written is a valid stream.

use proptest::prelude::*;

use super::*;

/// The events with their data, checked against the order that Anthropic promises.
fn check(bytes: &[u8]) -> Vec<serde_json::Value> {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let mut events = Vec::new();
    let (mut open, mut next, mut stage) = (None, 0, 0);
    for event in text.split_terminator("\n\n") {
        let (name, data) = event
            .strip_prefix("event: ")
            .unwrap()
            .split_once("\ndata: ")
            .unwrap();
        let data: serde_json::Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["type"], name);
        match name {
            "message_start" => assert_eq!(std::mem::replace(&mut stage, 1), 0),
            "content_block_start" => {
                assert_eq!((stage, open, &data["index"]), (1, None, &next.into()));
                open = Some(next);
            }
            "content_block_delta" => assert_eq!(data["index"], open.unwrap()),
            "content_block_stop" => {
                assert_eq!(data["index"], open.take().unwrap());
                next += 1;
            }
            "message_delta" => assert_eq!((std::mem::replace(&mut stage, 2), open), (1, None)),
            "message_stop" => assert_eq!(std::mem::replace(&mut stage, 3), 2),
            other => panic!("{other}"),
        }
        events.push(data);
    }
    events
}

fn emitted(deltas: impl IntoIterator<Item = Delta<'static>>) -> Vec<serde_json::Value> {
    let mut emitter = EventEmitter::new("m", 7);
    deltas.into_iter().for_each(|delta| emitter.emit(delta));
    let mut out = Vec::new();
    emitter.take(&mut out);
    check(&out.concat())
}

fn start(call: usize) -> Delta<'static> {
    Delta::ToolStart {
        call,
        id: ["a", "b", "c"][call],
        name: "f",
        signature: None,
    }
}

#[test]
fn calls_that_interleave_follow_one_another() {
    let piece = |call, json| Delta::ToolArguments { call, json };
    let events = emitted([
        Delta::Text("hm"),
        start(0),
        start(1),
        piece(0, "{\"x\""),
        piece(1, "{}"),
        start(2),
        piece(0, ":1}"),
        piece(2, "{"),
        piece(2, "}"),
        Delta::Finish(Finish::ToolCalls),
        Delta::End {
            usage: Some(Usage {
                input: Some(9),
                cached_input: Some(4),
                output: Some(3),
                ..Usage::default()
            }),
        },
    ]);
    let joined = |index: u64| -> String {
        let of = events.iter().filter(|event| event["index"] == index);
        of.filter_map(|event| event["delta"]["partial_json"].as_str())
            .collect()
    };
    assert_eq!([joined(1), joined(2), joined(3)], ["{\"x\":1}", "{}", "{}"]);
    let delta = &events[events.len() - 2];
    assert_eq!(delta["delta"]["stop_reason"], "tool_use");
    assert_eq!(delta["usage"]["input_tokens"], 5);
    assert_eq!(delta["usage"]["cache_read_input_tokens"], 4);
    assert_eq!(delta["usage"]["output_tokens"], 3);
}

#[test]
fn thinking_gets_its_signature_before_its_block_ends() {
    let thought = Thought::Told {
        text: "t".into(),
        signature: Some("s".into()),
    };
    let mut emitter = EventEmitter::new("m", 7);
    emitter.emit(Delta::Reasoning("t"));
    emitter.emit(Delta::Thinking(&thought));
    emitter.emit(Delta::Thinking(&Thought::Redacted { data: "d".into() }));
    emitter.emit(Delta::Text("x"));
    emitter.emit(Delta::End { usage: None });
    let mut out = Vec::new();
    emitter.take(&mut out);
    let events = check(&out.concat());
    let kinds: Vec<_> = events
        .iter()
        .filter_map(|event| event["content_block"]["type"].as_str())
        .collect();
    assert_eq!(kinds, ["thinking", "redacted_thinking", "text"]);
    assert_eq!(events[3]["delta"]["signature"], "s");
}

fn any_delta() -> impl Strategy<Value = Delta<'static>> {
    prop_oneof![
        Just(Delta::Start { id: "i" }),
        Just(Delta::Text("t")),
        Just(Delta::Text("")),
        Just(Delta::Refusal("r")),
        Just(Delta::Reasoning("h")),
        Just(Delta::Thinking(
            const {
                &Thought::Redacted {
                    data: std::borrow::Cow::Borrowed("d"),
                }
            }
        )),
        Just(Delta::Thinking(
            const {
                &Thought::Told {
                    text: std::borrow::Cow::Borrowed("t"),
                    signature: Some(std::borrow::Cow::Borrowed("s")),
                }
            }
        )),
        (0..3_usize).prop_map(start),
        (0..3_usize).prop_map(|call| Delta::ToolArguments { call, json: "{}" }),
        Just(Delta::StopSequence("z")),
        Just(Delta::Finish(Finish::Stop)),
        Just(Delta::End { usage: None }),
    ]
}

proptest! {
    #[test]
    fn any_order_gives_a_valid_stream(deltas in prop::collection::vec(any_delta(), 0..40)) {
        emitted(deltas);
    }
}
