//! Streams that go wrong: what the client has seen by then, and what it is told.

use bytes::Bytes;
use turnpike_protocol::{ErrorBody, ErrorKind, FaultClass, StreamFault, WireProtocol};

use crate::checker::{End, check};
use crate::frames;
use crate::replay::{Outcome, replay, replay_every_way, stream_plan};

const OPENAI: &str = include_str!("../fixtures/openai/stream.reply.sse");
const ANTHROPIC: &str = include_str!("../fixtures/anthropic/stream.reply.sse");

/// Before it is framed.
const BEDROCK: &str = include_str!("../fixtures/bedrock/stream.reply.frames");

fn error() -> ErrorBody {
    ErrorBody {
        status: 502,
        kind: ErrorKind::Api,
        code: "provider_cut".into(),
        message: "the provider closed the stream".into(),
        param: None,
        request_id: "r".into(),
    }
}

#[test]
fn a_cut_at_any_byte_is_a_cut_and_never_a_clean_end() {
    for (protocol, stream, mark) in [
        (WireProtocol::OpenAI, OPENAI, "data: [DONE]"),
        (WireProtocol::Anthropic, ANTHROPIC, "event: message_stop"),
    ] {
        let plan = stream_plan(protocol, true);
        for at in 0..stream.rfind(mark).unwrap() {
            let mut reply = plan.stream();
            let mut out = Vec::new();
            reply
                .push(Bytes::from_static(&stream.as_bytes()[..at]), &mut out)
                .unwrap();
            assert_eq!(reply.finish(&mut out), Err(StreamFault::Cut), "cut at {at}");
            let told = [out.concat(), reply.error_event(&error()).to_vec()].concat();
            assert_eq!(check(&told), Ok(End::Error), "cut at {at}");
            // A fault is final.
            let more = reply.push(Bytes::from_static(b"data: [DONE]\n\n"), &mut out);
            assert_eq!(more, Err(StreamFault::Cut));
        }
    }
}

#[test]
fn frames_end_cleanly_only_behind_the_last_of_the_content() {
    let lines: Vec<&str> = BEDROCK.lines().collect();
    let ends: Vec<usize> = (1..=lines.len())
        .map(|count| frames::encode(&lines[..count].join("\n")).len())
        .collect();
    let stop = lines
        .iter()
        .position(|line| line.starts_with("messageStop"));
    let stop = ends[stop.unwrap()];
    let stream = frames::encode(BEDROCK);
    let plan = stream_plan(WireProtocol::Bedrock, true);
    for at in 0..=stream.len() {
        let outcome = replay(&plan, [&stream[..at]]);
        // Behind the stop only the usage is missing; inside a frame the connection broke.
        let is_whole = at == stop || at == stream.len();
        let expected = if is_whole {
            Ok(())
        } else {
            Err(StreamFault::Cut)
        };
        assert_eq!(outcome.end, expected, "cut at {at}");
        let end = if is_whole { End::Done } else { End::Open };
        assert_eq!(check(&outcome.client), Ok(end), "cut at {at}");
        // The first delta commits, and not before it is whole and verified.
        assert_eq!(outcome.is_committed, at >= ends[1], "cut at {at}");
        assert_eq!(outcome.usage.is_some(), at == stream.len(), "cut at {at}");
    }
}

#[test]
fn a_flipped_bit_anywhere_in_frames_is_no_clean_end() {
    let stream = frames::encode(BEDROCK);
    let plan = stream_plan(WireProtocol::Bedrock, true);
    for at in 0..stream.len() {
        let mut broken = stream.clone();
        broken[at] ^= 0x10;
        let outcome = replay(&plan, broken.chunks(50));
        assert!(outcome.end.is_err(), "byte {at}");
        assert!(outcome.usage.is_none(), "byte {at}");
    }
}

#[test]
fn lifecycle_events_do_not_commit_and_the_first_content_does() {
    for (protocol, stream, first) in [
        (WireProtocol::OpenAI, OPENAI, "\"一\""),
        (WireProtocol::Anthropic, ANTHROPIC, "\"你\""),
    ] {
        let content = stream.find(first).unwrap();
        let event_end = content + stream[content..].find("\n\n").unwrap() + 2;
        let plan = stream_plan(protocol, true);
        let mut reply = plan.stream();
        let mut out = Vec::new();
        for at in 0..event_end {
            assert!(!reply.is_committed(), "committed before byte {at}");
            reply
                .push(
                    Bytes::copy_from_slice(&stream.as_bytes()[at..=at]),
                    &mut out,
                )
                .unwrap();
        }
        assert!(reply.is_committed());
    }
}

#[test]
fn content_and_error_in_one_chunk_are_told_in_their_order() {
    let content = r#"{"id":"a","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"x"},"finish_reason":null}]}"#;
    let stream =
        format!("data: {content}\n\ndata: {{\"error\":{{\"code\":503}}}}\n\ndata: more\n\n");
    let outcome = replay_every_way(&stream_plan(WireProtocol::OpenAI, true), stream.as_bytes());
    assert!(outcome.is_committed);
    assert_eq!(outcome.client, format!("data: {content}\n\n").as_bytes());
    assert!(matches!(outcome.end, Err(StreamFault::Provider(error)) if error.client_status == 503));
}

#[test]
fn bodies_that_are_no_event_stream_are_told_apart() {
    for protocol in [WireProtocol::OpenAI, WireProtocol::Anthropic] {
        let end = |body: &str| {
            let Outcome {
                client,
                end,
                is_committed,
                ..
            } = replay_every_way(&stream_plan(protocol, false), body.as_bytes());
            assert!(client.is_empty() && !is_committed, "{body}");
            end.unwrap_err()
        };
        assert_eq!(
            end(" <!doctype html><p>data: x</p>"),
            StreamFault::NotAnEventStream
        );
        assert_eq!(end("{\"choices\":[]}"), StreamFault::NotAnEventStream);
        assert_eq!(end("{\"torn"), StreamFault::NotAnEventStream);
        assert_eq!(end(""), StreamFault::Cut);
        assert_eq!(end("\n\n \n"), StreamFault::Cut);
        match end(r#"{"error":{"message":"full","type":"overloaded_error"}}"#) {
            StreamFault::Provider(error) => assert_eq!(error.class, FaultClass::Capacity),
            other => panic!("{other:?}"),
        }
        let endless = vec![b'{'; 100_000];
        let outcome = replay(&stream_plan(protocol, false), endless.chunks(1000));
        assert_eq!(outcome.end, Err(StreamFault::NotAnEventStream));
    }
}

fn openai_chunk(content: &str) -> String {
    format!(r#"data: {{"id":"a","choices":[{{"index":0,"delta":{{"content":"{content}"}}}}]}}"#)
        + "\n\n"
}

#[test]
fn large_events_flow_through_and_are_bounded_in_a_translation() {
    let plan = stream_plan(WireProtocol::OpenAI, false);
    let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\n";
    for size in [100_000, 3 << 20] {
        let stream = openai_chunk(&"x".repeat(size)) + usage + "data: [DONE]\n\n";
        let outcome = replay(&plan, stream.as_bytes().chunks(4096));
        assert_eq!(outcome.client, stream.replace(usage, "").as_bytes());
        assert_eq!(
            (outcome.end, outcome.usage.unwrap().input),
            (Ok(()), Some(1))
        );
    }
    let torn = openai_chunk(&"x".repeat(100_000));
    let mut reply = plan.stream();
    let mut out = Vec::new();
    reply
        .push(Bytes::from(torn).slice(..90_000), &mut out)
        .unwrap();
    assert_eq!(
        out.concat().len(),
        90_000,
        "what is over 64 KiB is not held"
    );
    assert!(reply.is_committed());
    assert!(
        reply.error_event(&error()).starts_with(b"\n\ndata: "),
        "a torn event is closed first"
    );

    let plan = stream_plan(WireProtocol::Anthropic, false);
    let piece = vec![b'x'; 1 << 20];
    let pieces = std::iter::once(&b"data: "[..]).chain(std::iter::repeat_n(piece.as_slice(), 17));
    let outcome = replay(&plan, pieces);
    assert_eq!(
        outcome.end,
        Err(StreamFault::EventTooLong { limit: 16 << 20 })
    );
}

#[test]
fn passing_events_are_slices_of_what_came() {
    let chunk = Bytes::from(openai_chunk("a") + &openai_chunk("b"));
    let mut reply = stream_plan(WireProtocol::OpenAI, false).stream();
    let mut out = Vec::new();
    reply.push(chunk.clone(), &mut out).unwrap();
    assert_eq!(out, std::slice::from_ref(&chunk));
    assert_eq!(out[0].as_ptr(), chunk.as_ptr());
}

#[test]
fn depth_and_bad_utf8_in_events_are_harmless() {
    let deep = format!(
        "{{\"choices\":{}{},\"usage\":{}",
        "[".repeat(100_000),
        "]".repeat(100_000),
        "{\"a\":".repeat(9)
    );
    for protocol in [WireProtocol::OpenAI, WireProtocol::Anthropic] {
        let mut stream = format!("data: {deep}\n\n").into_bytes();
        stream.extend_from_slice(b"data: {\"type\":\"ping\xff\",\"choices\":1}\n\ndata: \xc3\n\n");
        let outcome = replay(&stream_plan(protocol, true), stream.chunks(777));
        assert_eq!(outcome.end, Err(StreamFault::Cut));
        let plan = stream_plan(protocol, true);
        assert!(plan.decode(Bytes::from("[".repeat(100_000))).is_err());
        assert!(
            plan.decode(Bytes::from_static(b"{\"content\":[\"\xff\"]}"))
                .is_err()
                || protocol == WireProtocol::OpenAI
        );
    }
}

#[test]
fn nothing_counts_after_the_end_mark() {
    for (protocol, stream) in [
        (WireProtocol::OpenAI, OPENAI),
        (WireProtocol::Anthropic, ANTHROPIC),
    ] {
        let plan = stream_plan(protocol, true);
        let expected = replay(&plan, [stream.as_bytes()]);
        let more = format!("{stream}data: {{\"error\":{{}}}}\n\ndata: [DONE]\n\n{stream}");
        assert_eq!(replay_every_way(&plan, more.as_bytes()), expected);
    }
}

#[test]
fn every_form_of_an_error_ends_a_stream_and_none_reaches_the_client() {
    let content = openai_chunk("a");
    for error in [
        "event: error\ndata: {\"message\":\"sk-canary-0123456789\"}\n\n",
        "event:error\ndata: sk-canary-0123456789 was refused\n\n",
        "data: {\"message\":\"sk-canary-0123456789\"}\nevent: error\n\n",
        "data: {\"object\":\"error\",\"message\":\"sk-canary-0123456789\",\"code\":400}\n\n",
        "data: {\"error\":\"sk-canary-0123456789\"}\n\n",
    ] {
        for before in [String::new(), content.clone()] {
            let stream = format!("{before}{error}data: [DONE]\n\n");
            let mut out = Vec::new();
            let mut reply = stream_plan(WireProtocol::OpenAI, true).stream();
            let fault = reply.push(Bytes::from(stream), &mut out).unwrap_err();
            assert!(matches!(fault, StreamFault::Provider(_)), "{error}");
            assert!(!fault.to_string().contains("canary"), "{fault}");
            assert_eq!(out.concat(), before.as_bytes(), "{error}");
        }
    }
}
