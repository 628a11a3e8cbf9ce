//! What reading and translating costs, on one core: `cargo xtask bench protocol`.
//!
//! Each figure is the best of some rounds, since what else runs only adds to it. Allocations are
//! counted by the allocator itself.

use std::alloc::System;
use std::fmt::Write;
use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use turnpike_protocol::{
    Endpoint, Operation, ReplyPlan, Scanner, Target, WireProtocol, encode, scan,
};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const ROUNDS: usize = 15;

/// The best time of some rounds, and the allocations of one.
fn measure(mut work: impl FnMut()) -> (Duration, usize) {
    work();
    let mut best = (Duration::MAX, 0);
    for _ in 0..ROUNDS {
        let region = Region::new(ALLOCATOR);
        let begun = Instant::now();
        work();
        let took = begun.elapsed();
        let change = region.change();
        let allocations = change.allocations + change.reallocations;
        if took < best.0 {
            best = (took, allocations);
        }
    }
    best
}

fn plan(endpoint: Endpoint, protocol: WireProtocol) -> ReplyPlan {
    let body = Bytes::from_static(match endpoint {
        Endpoint::Responses => br#"{"model":"up","stream":true,"input":"x"}"#.as_slice(),
        _ => br#"{"model":"up","stream":true,"max_tokens":9,"messages":[{"role":"user","content":"x"}]}"#,
    });
    let target = Target::new(protocol, "up", 1);
    let head = scan(&body).expect("a head");
    let out = encode(&Operation::Of(endpoint), &head, &body, &target);
    out.expect("a request").reply
}

/// A stream of as many events of some 250 bytes, in reads of 16 KiB.
fn reads(begin: &str, event: &str, end: &str, count: usize) -> Vec<Bytes> {
    let whole = Bytes::from([begin, &event.repeat(count), end].concat());
    let mut reads = Vec::new();
    for at in (0..whole.len()).step_by(16 << 10) {
        reads.push(whole.slice(at..whole.len().min(at + (16 << 10))));
    }
    reads
}

fn stream(plan: &ReplyPlan, reads: &[Bytes]) {
    let mut stream = plan.stream();
    let mut out = Vec::with_capacity(64);
    for read in reads {
        let pushed = stream.push(read.clone(), &mut out);
        pushed.expect("a good stream");
        black_box(&out);
        out.clear();
    }
    assert!(stream.is_complete());
}

const OPENAI_EVENT: &str = "data: {\"id\":\"chatcmpl-AbCdEfGhIjKlMnOpQrStUvWx\",\"object\":\"chat.completion.chunk\",\"created\":1790000000,\"model\":\"up\",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_0123456789\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" hello there\"},\"finish_reason\":null}]}\n\n";
const ANTHROPIC_EVENT: &str = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"It was a bright cold day in April, and the clocks were striking thirteen; he slipped quickly through the glass doors of the building, not quickly\"}}\n\n";

fn streams(count: usize) {
    let openai = reads("", OPENAI_EVENT, "data: [DONE]\n\n", count);
    let begin = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"model\":\"up\",\"usage\":{\"input_tokens\":1}}}\n\nevent: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n";
    let end = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    let anthropic = reads(begin, ANTHROPIC_EVENT, end, count);
    for (name, endpoint, protocol, reads, event) in [
        (
            "OpenAI → OpenAI, passes",
            Endpoint::ChatCompletions,
            WireProtocol::OpenAI,
            &openai,
            OPENAI_EVENT,
        ),
        (
            "Anthropic → Anthropic, passes",
            Endpoint::Messages,
            WireProtocol::Anthropic,
            &anthropic,
            ANTHROPIC_EVENT,
        ),
        (
            "Anthropic → OpenAI",
            Endpoint::ChatCompletions,
            WireProtocol::Anthropic,
            &anthropic,
            ANTHROPIC_EVENT,
        ),
        (
            "OpenAI → Anthropic",
            Endpoint::Messages,
            WireProtocol::OpenAI,
            &openai,
            OPENAI_EVENT,
        ),
        (
            "OpenAI → Responses",
            Endpoint::Responses,
            WireProtocol::OpenAI,
            &openai,
            OPENAI_EVENT,
        ),
    ] {
        let plan = plan(endpoint, protocol);
        let (took, allocations) = measure(|| stream(&plan, reads));
        let bytes: usize = reads.iter().map(Bytes::len).sum();
        println!(
            "{name:32} {:>6.2} GB/s  {:>6.0} ns an event of {} bytes  {:.3} allocations an event",
            bytes as f64 / took.as_nanos() as f64,
            took.as_nanos() as f64 / count as f64,
            event.len(),
            allocations as f64 / count as f64,
        );
    }
}

/// A request of about this many bytes, with `model` and `stream` before or after the messages.
fn request(size: usize, text: &str, is_first: bool) -> Bytes {
    let deciding = r#""model":"gpt-4.1","stream":true"#;
    let mut messages = String::new();
    while messages.len() < size {
        let comma = if messages.is_empty() { "" } else { "," };
        write!(messages, r#"{comma}{{"role":"user","content":"{text}"}}"#).expect("memory");
    }
    Bytes::from(match is_first {
        true => format!(r#"{{{deciding},"messages":[{messages}]}}"#),
        false => format!(r#"{{"messages":[{messages}],{deciding}}}"#),
    })
}

fn heads() {
    let ascii = "The quick brown fox jumps over the lazy dog. ".repeat(20);
    let cjk = "敏捷的棕色狐狸\\n跳过\\\"懒狗\\\"。".repeat(20);
    for (name, body) in [
        (
            "head of 100 KB, ASCII, model first",
            request(100 << 10, &ascii, true),
        ),
        (
            "head of 100 KB, ASCII, model last",
            request(100 << 10, &ascii, false),
        ),
        (
            "head of 100 KB, CJK with escapes, model last",
            request(100 << 10, &cjk, false),
        ),
    ] {
        let (took, allocations) = measure(|| {
            black_box(scan(&body).expect("a head"));
        });
        println!(
            "{name:46} {:>7.1} µs  {allocations} allocations",
            took.as_nanos() as f64 / 1e3
        );
    }
    let body = request(20 << 20, &ascii, true);
    let (took, allocations) = measure(|| {
        let mut scanner = Scanner::new();
        scanner.feed(&body[..16 << 10]).expect("JSON");
        assert!(scanner.head().model.is_some() && scanner.settled() == 16 << 10);
        black_box(scanner);
    });
    println!(
        "{:46} {:>7.1} µs  {allocations} allocations, nothing of it held",
        "model of 20 MB, which comes first",
        took.as_nanos() as f64 / 1e3,
    );
}

fn tools() {
    let mut messages = String::new();
    for at in 0..1500 {
        let comma = if at == 0 { "" } else { "," };
        let arguments = format!(r#"{{\"city\":\"Paris\",\"note\":\"{}\"}}"#, "n".repeat(200));
        write!(
            messages,
            r#"{comma}{{"role":"user","content":"weather {at}"}},{{"role":"assistant","content":null,"tool_calls":[{{"id":"call_{at}","type":"function","function":{{"name":"get_weather","arguments":"{arguments}"}}}}]}},{{"role":"tool","tool_call_id":"call_{at}","content":"{}"}}"#,
            "r".repeat(200),
        )
        .expect("memory");
    }
    let tool = r#"{"type":"function","function":{"name":"get_weather","parameters":{"type":"object","properties":{"city":{"type":"string"}}}}}"#;
    let body = Bytes::from(format!(
        r#"{{"model":"m","tools":[{tool}],"messages":[{messages}]}}"#
    ));
    let head = scan(&body).expect("a head");
    for protocol in [
        WireProtocol::Anthropic,
        WireProtocol::Gemini,
        WireProtocol::Bedrock,
        WireProtocol::Cohere,
    ] {
        let target = Target::new(protocol, "up", 1);
        let (took, _) = measure(|| {
            let out = encode(
                &Operation::Of(Endpoint::ChatCompletions),
                &head,
                &body,
                &target,
            );
            black_box(out.expect("a request"));
        });
        println!(
            "request of {:.1} MB full of tools, OpenAI → {:10} {:>7.2} ms",
            body.len() as f64 / 1e6,
            protocol.as_str(),
            took.as_nanos() as f64 / 1e6,
        );
    }
}

fn main() {
    streams(40_000);
    heads();
    tools();
}
