//! Feeds a provider's stream to the crate in pieces, and gathers what came of it.

use bytes::Bytes;
use turnpike_protocol::{
    Endpoint, Operation, ReplyPlan, ReplyStream, StreamFault, Target, Usage, WireProtocol, encode,
    scan,
};

/// What a replayed stream came to. Equal however it was cut.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) client: Bytes,
    pub(crate) end: Result<(), StreamFault>,
    pub(crate) is_committed: bool,
    pub(crate) usage: Option<Usage>,
    pub(crate) output_bytes: u64,
    pub(crate) response_model: Option<String>,
}

/// A plan as a real request makes it.
pub(crate) fn plan(protocol: WireProtocol, operation: &Operation, request: &str) -> ReplyPlan {
    let body = Bytes::copy_from_slice(request.as_bytes());
    let target = Target::new(protocol, "up", 1_790_000_000);
    let head = scan(&body).unwrap();
    encode(operation, &head, &body, &target).unwrap().reply
}

/// What the client calls the model: where bytes pass, as the provider does, so that none changes.
pub(crate) fn model_of(protocol: WireProtocol) -> &'static str {
    match protocol {
        WireProtocol::OpenAI => "up",
        _ => "house",
    }
}

/// The plan of a streamed chat.
pub(crate) fn stream_plan(protocol: WireProtocol, wants_usage: bool) -> ReplyPlan {
    let model = model_of(protocol);
    let request = format!(
        r#"{{"model":"{model}","stream":true,"stream_options":{{"include_usage":{wants_usage}}},
            "messages":[{{"role":"user","content":"x"}}]}}"#
    );
    plan(
        protocol,
        &Operation::Of(Endpoint::ChatCompletions),
        &request,
    )
}

/// Replays pieces through a fresh stream.
pub(crate) fn replay<'a>(plan: &ReplyPlan, pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut stream = plan.stream();
    let mut out = Vec::new();
    let mut end = Ok(());
    for piece in pieces {
        end = stream.push(Bytes::copy_from_slice(piece), &mut out);
        if end.is_err() {
            break;
        }
    }
    if end.is_ok() {
        end = stream.finish(&mut out);
    }
    outcome(&stream, &out, end)
}

fn outcome(stream: &ReplyStream, out: &[Bytes], end: Result<(), StreamFault>) -> Outcome {
    assert!(
        out.iter().all(|piece| !piece.is_empty()),
        "an empty piece was emitted"
    );
    assert_eq!(end.is_ok(), stream.is_complete());
    Outcome {
        client: out.concat().into(),
        end,
        is_committed: stream.is_committed(),
        usage: stream.usage(),
        output_bytes: stream.output_bytes(),
        response_model: stream.response_model().map(String::from),
    }
}

/// Replays a stream whole, in pieces of a few sizes, and cut in two at every byte (of long streams: at
/// evenly spread places); all must come to the same.
pub(crate) fn replay_every_way(plan: &ReplyPlan, stream: &[u8]) -> Outcome {
    let whole = replay(plan, [stream]);
    for size in [1, 2, 3, 7, 64, 1000] {
        assert_eq!(
            replay(plan, stream.chunks(size)),
            whole,
            "in pieces of {size}"
        );
    }
    // Own fixtures are short enough for every byte; of a recording of 100 KB some 160 places are tried.
    let step = stream.len() * stream.len() / (16 << 20) + 1;
    for at in (0..=stream.len()).step_by(step) {
        let (head, tail) = stream.split_at(at);
        assert_eq!(replay(plan, [head, tail]), whole, "cut at {at}");
    }
    whole
}
