//! The echo model speaks the protocol that it claims, and passes through the crate as a provider's
//! answer would.

use bytes::Bytes;
use serde_json::{Value, json};
use turnpike_protocol::{EchoEnd, Endpoint, Operation, StreamFault, WireProtocol, classify, echo};

use crate::checker::{End, check};
use crate::replay::{Outcome, plan, replay};

fn request(text: &str, more: Value) -> String {
    let tool = |name: &str| json!({"type": "function", "function": {"name": name}});
    let mut request = json!({
        "model": "house",
        "stream": true,
        "messages": [{"role": "user", "content": text}],
        "tools": [tool("one"), tool("two")],
    });
    request
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    request.to_string()
}

fn streamed(request: &str) -> (Outcome, EchoEnd) {
    let reply = echo(
        &Operation::Of(Endpoint::ChatCompletions),
        request.as_bytes(),
    );
    let plan = plan(
        WireProtocol::OpenAI,
        &Operation::Of(Endpoint::ChatCompletions),
        request,
    );
    let steps: Vec<&[u8]> = reply.steps.iter().map(|step| step.bytes.as_ref()).collect();
    (replay(&plan, steps), reply.end)
}

#[test]
fn every_stream_is_valid_and_tells_its_usage_only_when_asked() {
    for text in ["hello there", "", "one and two", "你好 🙂"] {
        for usage in [true, false] {
            for n in [1, 3] {
                let more = json!({"stream_options": {"include_usage": usage}, "n": n});
                let (outcome, _) = streamed(&request(text, more));
                assert_eq!(check(&outcome.client), Ok(End::Done), "{text}");
                assert!(outcome.is_committed && outcome.end.is_ok());
                assert_eq!(outcome.usage.is_some(), usage);
            }
        }
    }
}

#[test]
fn failures_are_seen_as_a_providers_would_be() {
    let (cut, end) = streamed(&request("/fail cut a b c d e", json!({})));
    assert_eq!((cut.end, end), (Err(StreamFault::Cut), EchoEnd::Cut));
    assert_eq!(check(&cut.client), Ok(End::Open));
    let (hang, end) = streamed(&request("/fail hang a", json!({})));
    assert_eq!((hang.is_committed, end), (false, EchoEnd::Hang));
    let (garbage, _) = streamed(&request("/fail garbage", json!({})));
    assert_eq!(garbage.end, Err(StreamFault::NotAnEventStream));
    for status in [401, 429, 500] {
        let reply = echo(
            &Operation::Of(Endpoint::ChatCompletions),
            request(&format!("/fail {status}"), json!({})).as_bytes(),
        );
        let fault = classify(WireProtocol::OpenAI, reply.status, &reply.steps[0].bytes);
        assert_eq!(fault.client_status, if status == 429 { 429 } else { 502 });
    }
}

#[test]
fn whole_answers_decode() {
    let whole = request("a b", json!({"stream": false}));
    let reply = echo(&Operation::Of(Endpoint::ChatCompletions), whole.as_bytes());
    let plan = plan(
        WireProtocol::OpenAI,
        &Operation::Of(Endpoint::ChatCompletions),
        &whole,
    );
    let decoded = plan.decode(Bytes::clone(&reply.steps[0].bytes)).unwrap();
    assert_eq!(decoded.usage.unwrap().total(), 4);
}
