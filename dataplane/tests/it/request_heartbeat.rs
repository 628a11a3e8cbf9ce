//! Streams of which nothing comes for long: begun with comments, and then what they would have been.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Version;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use serde_json::Value;
use tokio::sync::Semaphore;
use turnpike_snapshot::domain::{Authentication, Template};
use turnpike_snapshot::retries::Retries;
use turnpike_snapshot::rules::Rules;

use super::request_failover::{
    ALL, DONE, ERROR, HALF, ROLE, USAGE, WORDS, again, error, good, tiers, to_others,
};
use super::request_gateway::in_version;
use super::request_gateway::{TestGateway, chat, chat_stream, request, soon};
use super::request_provider::{End, FakeProvider, Script, events};
use super::request_world::{World, object, upstream};

const COMMENT: &str = ":\n\n";
const OFTEN: Duration = Duration::from_millis(40);
const VERSIONS: [Version; 2] = [Version::HTTP_11, Version::HTTP_2];
/// What a caller sees of `ROLE, WORDS, USAGE, DONE`: it did not ask for the usage.
const WHOLE: [&str; 3] = [ROLE, WORDS, DONE];

fn beating(mut world: World) -> World {
    world.route().heartbeat = Some(OFTEN);
    world
}

/// A provider that does nothing until it is let.
async fn held_back(script: Script) -> (FakeProvider, Arc<Semaphore>) {
    let leave = Arc::new(Semaphore::new(0));
    let provider = FakeProvider::start(Script::Let(leave.clone(), Box::new(script))).await;
    (provider, leave)
}

fn asked(version: Version, body: &Value) -> http::Request<Full<Bytes>> {
    in_version(request("/v1/chat/completions", body), version)
}

/// Reads until so many comments have come after what is given, and gives what came.
pub(super) async fn until_comments(body: &mut Incoming, count: usize, after: &str) -> String {
    let mut seen = String::new();
    let is_enough = |seen: &str| match seen.split_once(after) {
        Some((_, rest)) => rest.matches(COMMENT).count() >= count,
        None => false,
    };
    while !is_enough(&seen) {
        let frame = soon(body.frame()).await.expect("more comes").unwrap();
        seen.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
    }
    seen
}

/// Reads to the end, and says whether it was a clean one.
async fn rest(body: &mut Incoming) -> (String, bool) {
    let mut seen = String::new();
    loop {
        match soon(body.frame()).await {
            None => return (seen, true),
            Some(Err(_)) => return (seen, false),
            Some(Ok(frame)) => {
                seen.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
            }
        }
    }
}

fn without_comments(text: &str) -> String {
    text.replace(COMMENT, "")
}

#[tokio::test]
async fn a_silent_stream_is_begun_with_comments_and_then_passes_as_it_is() {
    for version in VERSIONS {
        let script = events([ROLE, WORDS, USAGE, DONE], End::Clean);
        let (provider, leave) = held_back(script).await;
        let world = World::with(upstream("OpenAI", &provider.url()));
        let mut gateway = TestGateway::start(beating(world)).await;
        let (response, _open) = gateway.open(asked(version, &chat_stream("x"))).await;
        let (head, mut body) = response.into_parts();
        assert_eq!(head.status, 200);
        let header = |name: &str| head.headers[name].to_str().unwrap();
        assert_eq!(header("content-type"), "text/event-stream; charset=utf-8");
        assert_eq!(header("cache-control"), "private, no-store");
        let id = header("x-request-id").to_owned();
        let silence = until_comments(&mut body, 3, "").await;
        assert_eq!(without_comments(&silence), "");
        leave.add_permits(1);
        let (text, is_clean) = rest(&mut body).await;
        assert_eq!(without_comments(&text), WHOLE.concat(), "{version:?}");
        assert!(is_clean);
        let line = gateway.log_line().await;
        assert_eq!(
            (&line["status"], &line["end"]),
            (&200.into(), &"complete".into())
        );
        assert_eq!(line["request_id"], id);
        assert_eq!(line["tokens"]["input"], 11, "{line}");
        assert_eq!(line["bytes_out"], WHOLE.concat().len());
        assert!(gateway.stop().await.is_empty());
    }
}

#[tokio::test]
async fn an_error_after_the_beginning_is_one_of_the_protocol_and_its_status_is_logged() {
    for version in VERSIONS {
        let script = error(429, "rate_limit_exceeded");
        let (provider, leave) = held_back(script).await;
        let world = World::with(upstream("OpenAI", &provider.url()));
        let mut gateway = TestGateway::start(beating(world)).await;
        let (response, _open) = gateway.open(asked(version, &chat_stream("x"))).await;
        assert_eq!(response.status(), 200);
        let mut body = response.into_body();
        until_comments(&mut body, 1, "").await;
        leave.add_permits(1);
        let (text, is_clean) = rest(&mut body).await;
        assert!(!is_clean, "{version:?}");
        let text = without_comments(&text);
        let event = text.strip_prefix("data: ").unwrap();
        let event: Value = serde_json::from_str(event.strip_suffix("\n\n").unwrap()).unwrap();
        assert_eq!(event["error"]["code"], "rate_limit_exceeded", "{event}");
        let line = gateway.log_line().await;
        assert_eq!(line["status"], 429, "{line}");
        assert_eq!(line["error"], "rate_limit_exceeded", "{line}");
        assert_eq!(line["request_id"], event["request_id"]);
        let counted = "turnpike_requests_total{operation=\"chat\",status=\"4xx\"}";
        assert_eq!(gateway.metric(counted), 1);
        assert!(gateway.stop().await.is_empty());
    }
}

#[tokio::test]
async fn a_beginning_does_not_fix_who_answers() {
    for version in VERSIONS {
        for script in [
            Script::Silent,
            // What is held of a failed attempt is never seen.
            events([ROLE], End::Hang),
        ] {
            let silent = FakeProvider::start(script).await;
            let next = good(true).await;
            let retries = Retries {
                per_attempt_timeout: OFTEN * 20,
                ..to_others(&ALL)
            };
            let world = tiers(&[silent.url(), next.url()], retries);
            let mut gateway = TestGateway::start(beating(world)).await;
            let (response, _open) = gateway.open(asked(version, &chat_stream("x"))).await;
            let mut body = response.into_body();
            let (text, is_clean) = rest(&mut body).await;
            assert!(text.starts_with(COMMENT), "{text}");
            assert_eq!(without_comments(&text), WHOLE.concat());
            assert!(is_clean);
            soon(silent.left()).await;
            let line = gateway.log_line().await;
            assert_eq!(line["provider"], "tenant/p-1", "{line}");
            assert_eq!(line["failed_attempts"], 1, "{line}");
        }
    }
}

#[tokio::test]
async fn when_all_fail_after_the_beginning_the_last_failure_is_told() {
    let first = FakeProvider::start(events([ROLE], End::Hang)).await;
    let (second, leave) = held_back(events([ROLE, ERROR], End::Clean)).await;
    let retries = Retries {
        per_attempt_timeout: OFTEN * 20,
        ..to_others(&ALL)
    };
    leave.add_permits(1);
    let world = tiers(&[first.url(), second.url()], retries);
    let mut gateway = TestGateway::start(beating(world)).await;
    let answer = gateway.chat_stream("x").await;
    assert_eq!((answer.status, answer.is_clean), (200, false));
    let (events, is_done) = answer.events();
    assert!(!is_done);
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0]["error"]["message"], "overloaded");
    let line = gateway.log_line().await;
    assert_eq!(line["status"], 429, "{line}");
    assert_eq!(line["failed_attempts"], 1, "{line}");
}

#[tokio::test]
async fn a_pause_between_attempts_is_no_silence() {
    let mut full = error(429, "rate_limit_exceeded");
    if let Script::Reply { headers, .. } = &mut full {
        headers.push(("retry-after", "1".into()));
    }
    let good = events([ROLE, WORDS, USAGE, DONE], End::Clean);
    let provider = FakeProvider::start(Script::Once(Box::new(full), Box::new(good))).await;
    let world = tiers(&[provider.url()], again(1));
    let gateway = TestGateway::start(beating(world)).await;
    let answer = gateway.chat_stream("x").await;
    assert!(answer.text().starts_with(&COMMENT.repeat(3)), "{answer:?}");
    assert_eq!(without_comments(answer.text()), WHOLE.concat());
}

#[tokio::test]
async fn comments_come_between_the_events_of_a_stream_and_never_within_one() {
    for version in VERSIONS {
        let provider = FakeProvider::start(events([ROLE, HALF], End::Hang)).await;
        let world = World::with(upstream("OpenAI", &provider.url()));
        let gateway = TestGateway::start(beating(world)).await;
        let (response, _open) = gateway.open(asked(version, &chat_stream("x"))).await;
        let text = until_comments(&mut response.into_body(), 2, HALF).await;
        assert_eq!(without_comments(&text), [ROLE, HALF].concat());
    }
    // Too long to be held, it has begun to pass.
    let long = HALF.replace("half", &"half ".repeat(80_000));
    let (begin, _) = long.split_at(long.len() - 10);
    let provider = FakeProvider::start(events([ROLE, HALF, begin], End::Hang)).await;
    let mut upstream = upstream("OpenAI", &provider.url());
    upstream.timeouts.idle = OFTEN * 10;
    let gateway = TestGateway::start(beating(World::with(upstream))).await;
    let answer = gateway.chat_stream("x").await;
    let (_, rest) = answer.text().split_once(HALF).unwrap();
    let rest = rest.trim_start_matches(COMMENT);
    let rest = rest.strip_prefix(begin).expect("the event is in one piece");
    assert!(rest.starts_with("\n\ndata: {\"error\""), "{rest}");
}

#[tokio::test]
async fn only_streams_are_begun_early_and_only_where_the_route_says_so() {
    for (heartbeat, body) in [(OFTEN, chat("x")), (Duration::ZERO, chat_stream("x"))] {
        let (provider, leave) = held_back(error(500, "internal_error")).await;
        let mut world = World::with(upstream("OpenAI", &provider.url()));
        world.route().heartbeat = Some(heartbeat);
        let gateway = TestGateway::start(world).await;
        let late = async {
            tokio::time::sleep(OFTEN * 5).await;
            leave.add_permits(1);
        };
        let asking = gateway.post("/v1/chat/completions", &body);
        let (answer, ()) = tokio::join!(asking, late);
        assert_eq!(answer.status, 502, "{heartbeat:?}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
}

#[tokio::test]
async fn a_caller_that_leaves_while_it_hears_comments_cancels_the_provider() {
    for version in VERSIONS {
        let provider = FakeProvider::start(Script::Silent).await;
        let world = World::with(upstream("OpenAI", &provider.url()));
        let mut gateway = TestGateway::start(beating(world)).await;
        let (response, open) = gateway.open(asked(version, &chat_stream("x"))).await;
        let mut body = response.into_body();
        until_comments(&mut body, 1, "").await;
        drop((body, open));
        soon(provider.left()).await;
        let line = gateway.log_line().await;
        assert_eq!(line["end"], "client_gone", "{line}");
        assert_eq!(line["status"], 499, "{line}");
        assert_eq!(line["tokens"]["estimated"], true, "{line}");
        assert!(gateway.stop().await.is_empty());
    }
}

#[tokio::test]
async fn a_large_body_is_answered_early_only_once_it_has_come() {
    let (provider, leave) = held_back(events([ROLE, WORDS, USAGE, DONE], End::Clean)).await;
    let mut world = World::with(upstream("OpenAI", &provider.url()));
    world.route().max_body_bytes = Some(8 << 20);
    let gateway = TestGateway::start(beating(world)).await;
    let mut body = chat_stream("x");
    body["user"] = "x".repeat(2 << 20).into();
    let (response, _open) = gateway.open(asked(Version::HTTP_11, &body)).await;
    let mut body = response.into_body();
    until_comments(&mut body, 2, "").await;
    leave.add_permits(1);
    let (text, is_clean) = rest(&mut body).await;
    assert_eq!(
        (&*without_comments(&text), is_clean),
        (&*WHOLE.concat(), true)
    );
}

#[tokio::test]
async fn a_template_lends_its_heartbeat() {
    let provider = FakeProvider::start(Script::Silent).await;
    let mut world = World::with(upstream("OpenAI", &provider.url()));
    let lent = Rules {
        authentication: Authentication::Required,
        allow: Vec::new(),
        rules: Vec::new(),
        max_body_bytes: 1000,
        head_bytes: None,
        heartbeat: Some(OFTEN),
        on_disconnect: None,
    };
    world.templates.push((object("plan"), lent));
    world.route().template = Some(Template::Rules(object("plan")));
    let gateway = TestGateway::start(world).await;
    let (response, _open) = gateway
        .open(asked(Version::HTTP_11, &chat_stream("x")))
        .await;
    until_comments(&mut response.into_body(), 1, "").await;
}

/// A stream of the first provider that fails, what comes of it, and whether content was among it.
fn failing(events_before: usize, fault: &str, is_one_piece: bool) -> (Script, String, bool) {
    let before = [": ping\n\n", ROLE, HALF, HALF];
    let before = &before[..events_before];
    let (last, end) = match fault {
        "cut" => ("", End::Cut),
        _ => (ERROR, End::Clean),
    };
    let mut chunks: Vec<String> = before.iter().map(|event| (*event).to_owned()).collect();
    chunks.push(last.to_owned());
    if is_one_piece {
        chunks = vec![chunks.concat()];
    }
    chunks.retain(|chunk| !chunk.is_empty());
    let script = Script::Reply {
        status: 200,
        headers: vec![("content-type", "text/event-stream".into())],
        chunks: chunks.into_iter().map(Bytes::from).collect(),
        end,
    };
    (script, before.concat(), events_before > 2)
}

#[tokio::test]
async fn every_fault_at_every_event_gives_one_stream_or_one_error() {
    for (is_begun, is_saved, is_one_piece) in
        (0..8).map(|case| (case & 1 != 0, case & 2 != 0, case & 4 != 0))
    {
        for (fault, events_before) in ["cut", "error"]
            .into_iter()
            .flat_map(|fault| (0..=4).map(move |at| (fault, at)))
        {
            let case = format!(
                "{fault} after {events_before} events, in one piece: {is_one_piece}, begun: \
                 {is_begun}, saved: {is_saved}"
            );
            let (script, seen, has_content) = failing(events_before, fault, is_one_piece);
            let (first, leave) = held_back(script).await;
            let second = match is_saved {
                true => good(true).await,
                false => FakeProvider::start(error(500, "internal_error")).await,
            };
            let mut world = tiers(&[first.url(), second.url()], to_others(&ALL));
            world.route().heartbeat = Some(if is_begun { OFTEN } else { Duration::ZERO });
            let gateway = TestGateway::start(world).await;
            if !is_begun {
                leave.add_permits(1);
            }
            let (response, _open) = gateway
                .open(asked(Version::HTTP_11, &chat_stream("x")))
                .await;
            let status = response.status().as_u16();
            let mut body = response.into_body();
            if is_begun {
                until_comments(&mut body, 1, "").await;
                leave.add_permits(1);
            }
            let (text, is_clean) = rest(&mut body).await;
            let text = without_comments(&text);
            if !has_content && is_saved {
                assert_eq!(
                    (status, is_clean, text),
                    (200, true, WHOLE.concat()),
                    "{case}"
                );
                continue;
            }
            if !has_content && !is_begun {
                assert_eq!((status, is_clean), (502, true), "{case}: {text}");
                assert!(text.starts_with("{\"error\":"), "{case}: {text}");
                continue;
            }
            // A comment of the provider passes with the content that follows it.
            let expected = if has_content { seen } else { String::new() };
            let error = text.strip_prefix(without_comments(&expected).as_str());
            let error = error.unwrap_or_else(|| panic!("{case}: {text}"));
            let error = error
                .strip_prefix("data: ")
                .and_then(|it| it.strip_suffix("\n\n"));
            let error: Value = serde_json::from_str(error.unwrap_or_default()).unwrap();
            assert!(error["error"]["code"].is_string(), "{case}: {text}");
            assert_eq!((status, is_clean), (200, false), "{case}");
        }
    }
}
