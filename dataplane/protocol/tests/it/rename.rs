//! The client sees the name that it asked for, however the provider calls the model and however the
//! stream is cut.

use bytes::Bytes;
use turnpike_protocol::{Endpoint, Operation, Target, WireProtocol, encode, scan};

use crate::replay::{replay, replay_every_way};

fn plan(endpoint: Endpoint, protocol: WireProtocol) -> turnpike_protocol::ReplyPlan {
    let body = Bytes::from_static(br#"{"model":"hou\"se","stream":true,"max_tokens":1}"#);
    let head = scan(&body).unwrap();
    let mut target = Target::new(protocol, "up", 1);
    target.natives = turnpike_protocol::Endpoints::of(&[endpoint]);
    encode(&Operation::Of(endpoint), &head, &body, &target)
        .unwrap()
        .reply
}

#[test]
fn streams_are_renamed_however_they_are_cut() {
    for (endpoint, protocol, stream) in [
        (
            Endpoint::ChatCompletions,
            WireProtocol::OpenAI,
            "data: {\"model\":\"up-2\",\"choices\":[{\"delta\":{\"content\":\"\\\"model\\\":\"}}]}\n\n\
             data: {\"choices\":[],\"model\" : \"x\"}\n\ndata: {\"model\": \"up\",\"choices\":[]}\n\ndata: [DONE]\n\n",
        ),
        (
            Endpoint::Messages,
            WireProtocol::Anthropic,
            "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"up\"}}\n\n\
             event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
        ),
    ] {
        let plan = plan(endpoint, protocol);
        let outcome = replay_every_way(&plan, stream.as_bytes());
        assert_eq!(outcome.end, Ok(()));
        let expected = stream
            .replace("\"model\":\"up-2\"", "\"model\":\"hou\\\"se\"")
            .replace("\"model\":\"up\"", "\"model\":\"hou\\\"se\"")
            .replace("\"model\": \"up\"", "\"model\": \"hou\\\"se\"");
        assert_eq!(outcome.client, expected);
        assert_eq!(replay(&plan, [stream.as_bytes()]).client, expected);
    }
}

#[test]
fn whole_answers_are_renamed() {
    let given = Bytes::from_static(br#"{"choices":[],"model":"up"}"#);
    let decoded = plan(Endpoint::ChatCompletions, WireProtocol::OpenAI)
        .decode(given)
        .unwrap();
    assert_eq!(decoded.body, r#"{"choices":[],"model":"hou\"se"}"#);
    assert_eq!(decoded.response_model.as_deref(), Some("up"));
}
