//! Rules of pass-through requests.

use super::*;

fn encoded(body: &str, upstream_model: &str, operation: Operation) -> (String, ReplyPlan) {
    let body = Bytes::copy_from_slice(body.as_bytes());
    let head = crate::scan(&body).unwrap();
    let target = Target::new(WireProtocol::OpenAI, upstream_model, 1);
    let out = encode(&operation, &head, &body, &target).unwrap();
    (String::from_utf8(out.body.concat()).unwrap(), out.reply)
}

fn chat(body: &str) -> String {
    encoded(body, "up", Operation::Of(Endpoint::ChatCompletions)).0
}

#[test]
fn a_request_that_needs_no_change_is_the_same_bytes() {
    let body = Bytes::from_static(
        br#"{ "n":1e0 , "model":"up", "stream":false,"x":12345678901234567890123 }"#.as_slice(),
    );
    let body = Bytes::from(String::from_utf8_lossy(&body).replace("\"n\":1e0 , ", ""));
    let head = crate::scan(&body).unwrap();
    let target = Target::new(WireProtocol::OpenAI, "up", 1);
    let out = encode(
        &Operation::Of(Endpoint::ChatCompletions),
        &head,
        &body,
        &target,
    );
    assert_eq!(out.unwrap().body.as_slice(), [body]);
}

#[test]
fn only_the_model_changes_in_a_whole_answer() {
    assert_eq!(
        chat(r#"{"a":1,"model" : "x" ,"b":[2]}"#),
        r#"{"a":1,"model" : "up" ,"b":[2]}"#
    );
    assert_eq!(chat(r#"{"model":null}"#), r#"{"model":"up"}"#);
    assert_eq!(chat("{}"), r#"{"model":"up"}"#);
    assert_eq!(chat(r#" {"a":1}"#), r#" {"a":1,"model":"up"}"#);
}

#[test]
fn streams_always_ask_for_usage() {
    for (given, sent) in [
        (
            r#"{"stream":true,"model":"up"}"#,
            r#"{"stream":true,"model":"up","stream_options":{"include_usage":true}}"#,
        ),
        (
            r#"{"stream":true}"#,
            r#"{"stream":true,"model":"up","stream_options":{"include_usage":true}}"#,
        ),
        (
            r#"{"stream":true,"model":"x","stream_options":null}"#,
            r#"{"stream":true,"model":"up","stream_options":{"include_usage":true}}"#,
        ),
        (
            r#"{"stream":true,"model":"x","stream_options":{ }}"#,
            r#"{"stream":true,"model":"up","stream_options":{ "include_usage":true}}"#,
        ),
        (
            r#"{"stream":true,"model":"x","stream_options":{"z":1}}"#,
            r#"{"stream":true,"model":"up","stream_options":{"z":1,"include_usage":true}}"#,
        ),
        (
            r#"{"stream":true,"model":"x","stream_options":{"include_usage":false}}"#,
            r#"{"stream":true,"model":"up","stream_options":{"include_usage":true}}"#,
        ),
        (
            r#"{"stream":true,"model":"x","stream_options":{"include_usage": null}}"#,
            r#"{"stream":true,"model":"up","stream_options":{"include_usage": true}}"#,
        ),
        (
            r#"{"stream":true,"model":"up","stream_options":{"include_usage":true}}"#,
            r#"{"stream":true,"model":"up","stream_options":{"include_usage":true}}"#,
        ),
    ] {
        assert_eq!(chat(given), sent);
    }
}

#[test]
fn embeddings_are_never_streamed() {
    let (sent, reply) = encoded(
        r#"{"model":"x","stream":true}"#,
        "up",
        Operation::Of(Endpoint::Embeddings),
    );
    assert_eq!(sent, r#"{"model":"up","stream":true}"#);
    assert!(!reply.is_streaming() && reply.is_pass_through());
}

#[test]
fn what_a_protocol_lacks_is_refused() {
    let body = Bytes::from_static(br#"{"model":"x","input":"a"}"#);
    let head = crate::scan(&body).unwrap();
    let target = Target::new(WireProtocol::Anthropic, "up", 1);
    let refused = encode(&Operation::Of(Endpoint::Embeddings), &head, &body, &target);
    assert_eq!(refused.unwrap_err().field, "model");
}
