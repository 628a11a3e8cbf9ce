//! Rules of the events, each judged by the checker; whatever comes in whatever order is valid.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

#[path = "../../../tests/it/responses_checker.rs"]
mod checker;

use checker::{End, check};

fn emitted(deltas: Vec<Delta<'_>>) -> Vec<u8> {
    let mut emitter = ResponseEmitter::new("house", 7);
    let mut out = Vec::new();
    for delta in deltas {
        emitter.emit(delta);
        emitter.take(&mut out);
    }
    out.concat()
}

fn events(stream: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(stream).unwrap();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

/// The whole response that a valid stream ends with.
fn completed(deltas: Vec<Delta<'_>>) -> Value {
    let stream = emitted(deltas);
    assert_eq!(check(&stream), Ok(End::Done));
    events(&stream).pop().unwrap()["response"].clone()
}

fn call(call: usize, id: &'static str) -> Delta<'static> {
    Delta::ToolStart {
        call,
        id,
        name: "f",
        signature: None,
    }
}

fn arguments(call: usize, json: &'static str) -> Delta<'static> {
    Delta::ToolArguments { call, json }
}

#[test]
fn parallel_calls_may_interleave_and_bare_ones_have_an_empty_object() {
    let response = completed(vec![
        Delta::Start { id: "x" },
        call(0, "a"),
        call(1, "b"),
        arguments(1, "{\"n\""),
        arguments(0, "{\"m\":"),
        call(2, "c"),
        arguments(1, ":1}"),
        arguments(0, "2}"),
        Delta::Finish(Finish::ToolCalls),
        Delta::End { usage: None },
    ]);
    let told: Vec<(&Value, &Value)> = response["output"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (&item["call_id"], &item["arguments"]))
        .collect();
    let expected = [("a", "{\"m\":2}"), ("b", "{\"n\":1}"), ("c", "{}")];
    for ((id, arguments), expected) in told.into_iter().zip(expected) {
        assert_eq!(
            (id.as_str(), arguments.as_str()),
            (Some(expected.0), Some(expected.1))
        );
    }
}

#[test]
fn thinking_is_sealed_with_its_proof() {
    let response = completed(vec![
        Delta::Reasoning("I "),
        Delta::Reasoning("think"),
        Delta::Thinking(&Thought::Told {
            text: "I think".into(),
            signature: Some("sig".into()),
        }),
        Delta::Thinking(&Thought::Redacted {
            data: "dark".into(),
        }),
        Delta::Text("so"),
        Delta::Refusal("no"),
        Delta::End { usage: None },
    ]);
    let output = &response["output"];
    assert_eq!(
        output[0]["summary"],
        json!([{"type": "summary_text", "text": "I think"}])
    );
    assert_eq!(output[0]["encrypted_content"], "sig");
    assert_eq!(
        (&output[1]["summary"], &output[1]["encrypted_content"]),
        (&json!([]), &json!("dark"))
    );
    assert_eq!(output[2]["content"][0]["text"], "so");
    assert_eq!(output[2]["content"][1]["refusal"], "no");
}

#[test]
fn what_is_cut_short_is_incomplete() {
    for (finish, reason) in [
        (Finish::Length, "max_output_tokens"),
        (Finish::ContentFilter, "content_filter"),
    ] {
        let response = completed(vec![
            Delta::Reasoning("r"),
            Delta::Text("so"),
            Delta::Finish(finish),
            Delta::Text("late"),
            Delta::End {
                usage: Some(Usage {
                    input: Some(3),
                    output: Some(4),
                    ..Usage::default()
                }),
            },
            Delta::Text("later"),
        ]);
        assert_eq!(response["status"], "incomplete");
        assert_eq!(response["incomplete_details"]["reason"], reason);
        assert_eq!(response["output"][0]["status"], "completed");
        assert_eq!(response["output"][1]["status"], "incomplete");
        assert_eq!(response["output"][1]["content"][0]["text"], "so");
        assert_eq!(response["usage"]["total_tokens"], 7);
    }
}

#[test]
fn odds_go_with_their_text() {
    let odds = RawValue::from_string(r#"{"content":[{"token":"so","logprob":-0.1}]}"#.to_owned());
    let odds = odds.unwrap();
    let response = completed(vec![
        Delta::Start { id: "" },
        Delta::Logprobs(&odds),
        Delta::Text("so"),
        Delta::End { usage: None },
    ]);
    let part = &response["output"][0]["content"][0];
    assert_eq!(part["logprobs"], json!([{"token": "so", "logprob": -0.1}]));
    assert_eq!(response["id"], "resp_7");
}

#[test]
fn what_is_kept_is_bounded_and_the_end_says_so() {
    let piece = "x".repeat(1 << 20);
    let mut emitter = ResponseEmitter::new("house", 7);
    let mut out = Vec::new();
    for _ in 0..40 {
        emitter.emit(Delta::Text(&piece));
    }
    emitter.emit(Delta::End { usage: None });
    emitter.take(&mut out);
    let stream = out.concat();
    assert_eq!(check(&stream), Ok(End::Done));
    assert_eq!(
        events(&stream).pop().unwrap()["response"]["status"],
        "incomplete"
    );
}

#[derive(Debug, Clone)]
enum Said {
    Start,
    Text(&'static str),
    Refusal(&'static str),
    Reasoning(&'static str),
    Told(&'static str, Option<&'static str>),
    Redacted,
    Image,
    Call(usize),
    Arguments(usize, &'static str),
    Finish(Finish),
    End,
}

impl Said {
    fn emit(&self, emitter: &mut ResponseEmitter) {
        let thought;
        emitter.emit(match self {
            Said::Start => Delta::Start { id: "x" },
            Said::Text(text) => Delta::Text(text),
            Said::Refusal(text) => Delta::Refusal(text),
            Said::Reasoning(text) => Delta::Reasoning(text),
            Said::Told(text, signature) => {
                thought = Thought::Told {
                    text: (*text).into(),
                    signature: signature.map(Into::into),
                };
                Delta::Thinking(&thought)
            }
            Said::Redacted => {
                thought = Thought::Redacted { data: "d".into() };
                Delta::Thinking(&thought)
            }
            Said::Image => Delta::Image {
                media_type: "image/png",
                data: "AA==",
            },
            Said::Call(number) => call(*number, "id"),
            Said::Arguments(call, json) => arguments(*call, json),
            Said::Finish(finish) => Delta::Finish(finish.clone()),
            Said::End => Delta::End { usage: None },
        });
    }
}

fn said() -> impl Strategy<Value = Said> {
    let text = || prop::sample::select(vec!["", "a", "\"\n\u{1f600}"]);
    prop_oneof![
        Just(Said::Start),
        text().prop_map(Said::Text),
        text().prop_map(Said::Refusal),
        text().prop_map(Said::Reasoning),
        (text(), prop::sample::select(vec![None, Some("s")]))
            .prop_map(|(text, signature)| Said::Told(text, signature)),
        Just(Said::Redacted),
        Just(Said::Image),
        (0..3_usize).prop_map(Said::Call),
        (0..3_usize, text()).prop_map(|(call, json)| Said::Arguments(call, json)),
        prop::sample::select(vec![Finish::Stop, Finish::Length]).prop_map(Said::Finish),
        Just(Said::End),
    ]
}

proptest! {
    #[test]
    fn whatever_is_said_in_whatever_order_is_valid(said in prop::collection::vec(said(), 0..24)) {
        let mut emitter = ResponseEmitter::new("house", 7);
        let mut out = Vec::new();
        for said in &said {
            said.emit(&mut emitter);
        }
        let has_ended = said.iter().any(|said| matches!(said, Said::End));
        emitter.take(&mut out);
        let end = if has_ended { End::Done } else { End::Open };
        prop_assert_eq!(check(&out.concat()), Ok(end));
        prop_assert_eq!(emitter.next_sequence(), events(&out.concat()).len() as u64);
    }
}
