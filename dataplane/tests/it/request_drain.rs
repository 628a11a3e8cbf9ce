//! Callers that hang up where the route wants to know what their answers cost: they are read on.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Version;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use turnpike_dataplane::listen::{Door, Terms};
use turnpike_snapshot::domain::{Authentication, OnDisconnect, Template};
use turnpike_snapshot::quota::Amount;
use turnpike_snapshot::rules::Rules;

use super::request_failover::{ALL, DONE, HALF, ROLE, USAGE, WORDS, error, good, tiers, to_others};
use super::request_gateway::in_version;
use super::request_gateway::{TestGateway, chat, chat_stream, request, soon};
use super::request_heartbeat::until_comments;
use super::request_provider::{End, FakeProvider, Script, chat_answer, events, json};
use super::request_world::{World, object, quota, upstream};

const VERSIONS: [Version; 2] = [Version::HTTP_11, Version::HTTP_2];

fn draining(mut world: World) -> World {
    world.route().on_disconnect = Some(OnDisconnect::Drain);
    world
}

fn world_of(provider: &FakeProvider) -> World {
    let world = World::with(upstream("OpenAI", &provider.url()));
    draining(world.limited(quota(Amount::Tokens(1_000_000))))
}

fn chunks<const N: usize>(texts: [&'static str; N]) -> Vec<Bytes> {
    texts.map(|text| Bytes::from_static(text.as_bytes())).into()
}

/// A stream whose second half comes once it is let.
fn halves() -> (Script, Arc<Semaphore>) {
    let leave = Arc::new(Semaphore::new(0));
    let first = chunks([ROLE, HALF]);
    let second = chunks([WORDS, USAGE, DONE]);
    (Script::Halves(first, leave.clone(), second), leave)
}

fn held_back(script: Script) -> (Script, Arc<Semaphore>) {
    let leave = Arc::new(Semaphore::new(0));
    (Script::Let(leave.clone(), Box::new(script)), leave)
}

fn asked(version: Version, body: &Value) -> http::Request<Full<Bytes>> {
    in_version(request("/v1/chat/completions", body), version)
}

/// Asks, and hangs up once the provider has the request.
async fn leave_unanswered(
    gateway: &TestGateway,
    provider: &mut FakeProvider,
    request: http::Request<Full<Bytes>>,
) {
    tokio::select! {
        _ = gateway.open(request) => panic!("nobody answers"),
        _ = soon(provider.received()) => {}
    }
}

/// Asks for a stream, and hangs up amid it.
async fn leave_amid(gateway: &TestGateway, version: Version) {
    let (mut response, open) = gateway.open(asked(version, &chat_stream("x"))).await;
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("half an answer") {
        let frame = soon(response.frame()).await.expect("more comes").unwrap();
        seen.extend_from_slice(frame.data_ref().unwrap());
    }
    drop((response, open));
}

/// Waits until so many answers are read on.
async fn await_drains(gateway: &TestGateway, count: u64) {
    soon(async {
        while gateway.metric("turnpike_drains_open") != count {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

fn ended(gateway: &TestGateway, end: &str) -> u64 {
    gateway.metric(&format!("turnpike_drains_total{{end=\"{end}\"}}"))
}

/// What the provider said, and nothing estimated.
fn exact() -> Value {
    json!({"input": 11, "output": 7})
}

#[tokio::test]
async fn a_stream_is_read_to_its_end_and_charged_exactly() {
    for version in VERSIONS {
        let (script, leave) = halves();
        let provider = FakeProvider::start(script).await;
        let mut gateway = TestGateway::start(world_of(&provider)).await;
        leave_amid(&gateway, version).await;
        await_drains(&gateway, 1).await;
        assert!(!provider.has_left());
        leave.add_permits(1);
        let line = gateway.log_line().await;
        assert_eq!(line["end"], "client_gone", "{line}");
        assert_eq!(line["status"], 200, "{line}");
        assert_eq!(line["tokens"], exact(), "{line}");
        assert_eq!(line["bytes_out"], [ROLE, HALF].concat().len(), "{line}");
        await_drains(&gateway, 0).await;
        assert_eq!(ended(&gateway, "whole"), 1, "{version:?}");
        // Its connection was read to the end, and serves again.
        leave.add_permits(1);
        assert!(gateway.chat_stream("x").await.is_clean);
        assert_eq!(provider.connections(), 1);
        assert_eq!(gateway.stop().await.len(), 1);
    }
}

#[tokio::test]
async fn an_answer_that_had_not_begun_is_read_as_well() {
    for version in VERSIONS {
        let plain = (chat("x"), json(200, chat_answer("hi")));
        let stream = events([ROLE, WORDS, USAGE, DONE], End::Clean);
        for (body, script) in [plain, (chat_stream("x"), stream)] {
            let (script, leave) = held_back(script);
            let mut provider = FakeProvider::start(script).await;
            let mut gateway = TestGateway::start(world_of(&provider)).await;
            leave_unanswered(&gateway, &mut provider, asked(version, &body)).await;
            await_drains(&gateway, 1).await;
            leave.add_permits(1);
            let line = gateway.log_line().await;
            assert_eq!(line["end"], "client_gone", "{line}");
            assert_eq!(line["status"], 499, "{line}");
            let tokens = (&line["tokens"]["input"], &line["tokens"]["output"]);
            assert_eq!(tokens, (&json!(11), &json!(7)), "{line}");
            assert_eq!(line["tokens"]["estimated"], Value::Null, "{line}");
            assert_eq!(line["bytes_out"], 0, "{line}");
            await_drains(&gateway, 0).await;
            assert_eq!(ended(&gateway, "whole"), 1);
            assert!(!provider.has_left());
            assert!(gateway.stop().await.is_empty());
        }
    }
}

#[tokio::test]
async fn so_is_one_of_which_only_comments_were_seen() {
    for version in VERSIONS {
        let stream = events([ROLE, WORDS, USAGE, DONE], End::Clean);
        let (script, leave) = held_back(stream);
        let provider = FakeProvider::start(script).await;
        let mut world = world_of(&provider);
        world.route().heartbeat = Some(Duration::from_millis(40));
        let mut gateway = TestGateway::start(world).await;
        let (response, open) = gateway.open(asked(version, &chat_stream("x"))).await;
        let mut body = response.into_body();
        until_comments(&mut body, 1, "").await;
        drop((body, open));
        await_drains(&gateway, 1).await;
        leave.add_permits(1);
        let line = gateway.log_line().await;
        assert_eq!(
            (&line["end"], &line["status"]),
            (&json!("client_gone"), &json!(499))
        );
        assert_eq!(line["tokens"], exact(), "{line}");
        assert!(gateway.stop().await.is_empty());
    }
}

#[tokio::test]
async fn nobody_else_is_asked_for_a_caller_that_has_gone() {
    let (script, leave) = held_back(error(500, "internal_error"));
    let mut first = FakeProvider::start(script).await;
    let mut next = good(false).await;
    let world = draining(tiers(&[first.url(), next.url()], to_others(&ALL)));
    let mut gateway = TestGateway::start(world).await;
    let request = asked(Version::HTTP_11, &chat("x"));
    leave_unanswered(&gateway, &mut first, request).await;
    await_drains(&gateway, 1).await;
    leave.add_permits(1);
    let line = gateway.log_line().await;
    assert_eq!(
        (&line["end"], &line["status"]),
        (&json!("client_gone"), &json!(499))
    );
    assert_eq!(line["tokens"], Value::Null, "{line}");
    assert!(next.is_idle());
    await_drains(&gateway, 0).await;
    assert_eq!(ended(&gateway, "failed"), 1);
}

#[tokio::test]
async fn what_breaks_off_after_all_is_estimated() {
    let provider = FakeProvider::start(events([ROLE, HALF], End::Hang)).await;
    let mut upstream = upstream("OpenAI", &provider.url());
    upstream.timeouts.idle = Duration::from_millis(300);
    let mut gateway = TestGateway::start(draining(World::with(upstream))).await;
    leave_amid(&gateway, Version::HTTP_11).await;
    let line = gateway.log_line().await;
    assert_eq!(line["end"], "client_gone", "{line}");
    assert_eq!(line["tokens"]["estimated"], true, "{line}");
    await_drains(&gateway, 0).await;
    assert_eq!(ended(&gateway, "failed"), 1);
}

#[tokio::test]
async fn where_none_may_begin_the_provider_is_cancelled() {
    for version in VERSIONS {
        let mut provider = FakeProvider::start(events([ROLE, HALF], End::Hang)).await;
        let mut gateway = TestGateway::start(world_of(&provider)).await;
        gateway.shared.drains.end();
        leave_amid(&gateway, version).await;
        soon(provider.received()).await;
        soon(provider.left()).await;
        let line = gateway.log_line().await;
        assert_eq!(line["end"], "client_gone", "{line}");
        assert_eq!(line["tokens"]["estimated"], true, "{line}");
        assert_eq!(ended(&gateway, "shutdown"), 1);
        assert!(gateway.stop().await.is_empty());
    }
}

#[tokio::test]
async fn a_route_may_cancel_what_its_template_drains() {
    for (own, drains) in [(None, true), (Some(OnDisconnect::Cancel), false)] {
        let provider = FakeProvider::start(events([ROLE, HALF], End::Hang)).await;
        let mut world = World::with(upstream("OpenAI", &provider.url()));
        let lent = Rules {
            authentication: Authentication::Required,
            allow: Vec::new(),
            rules: Vec::new(),
            max_body_bytes: 1000,
            head_bytes: None,
            heartbeat: None,
            on_disconnect: Some(OnDisconnect::Drain),
        };
        world.templates.push((object("plan"), lent));
        world.route().template = Some(Template::Rules(object("plan")));
        world.route().on_disconnect = own;
        let gateway = TestGateway::start(world).await;
        leave_amid(&gateway, Version::HTTP_11).await;
        match drains {
            true => await_drains(&gateway, 1).await,
            false => soon(provider.left()).await,
        }
        assert_eq!(gateway.metric("turnpike_drains_open"), u64::from(drains));
        gateway.shared.drains.end();
    }
}

#[tokio::test]
async fn a_shutdown_waits_for_them() {
    let (script, leave) = halves();
    let provider = FakeProvider::start(script).await;
    let gateway = TestGateway::start(world_of(&provider)).await;
    leave_amid(&gateway, Version::HTTP_11).await;
    await_drains(&gateway, 1).await;
    gateway.begin_to_stop();
    let (lines, ()) = tokio::join!(gateway.stop(), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        leave.add_permits(1);
    });
    let line: Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(line["tokens"], exact(), "{line}");
}

#[tokio::test]
async fn a_shutdown_ends_them_and_what_it_cuts_with_its_limit() {
    let mut provider = FakeProvider::start(events([ROLE, HALF], End::Hang)).await;
    let limit = Duration::from_millis(200);
    let gateway = TestGateway::draining_within(world_of(&provider), limit).await;
    leave_amid(&gateway, Version::HTTP_11).await;
    await_drains(&gateway, 1).await;
    soon(provider.received()).await;
    let (_answer, _open) = gateway
        .open(asked(Version::HTTP_11, &chat_stream("x")))
        .await;
    let lines = gateway.stop().await;
    assert_eq!(lines.len(), 2);
    for line in lines {
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["tokens"]["estimated"], true, "{line}");
    }
    for _ in 0..2 {
        soon(provider.left()).await;
    }
}

#[tokio::test]
async fn a_caller_that_stops_reading_has_gone_as_well() {
    let large = HALF.replace("half", &"half ".repeat(50_000));
    let mut texts = vec![large.as_str(); 60];
    texts.extend([WORDS, USAGE, DONE]);
    let script = Script::Reply {
        status: 200,
        headers: vec![("content-type", "text/event-stream".into())],
        chunks: texts
            .into_iter()
            .map(|text| text.to_owned().into())
            .collect(),
        end: End::Clean,
    };
    let terms = Terms {
        client_write: Some(Duration::from_millis(200)),
        ..Terms::default()
    };
    for version in VERSIONS {
        let provider = FakeProvider::start(script.clone()).await;
        let door = Door::new(terms.clone(), 100);
        let mut gateway = TestGateway::behind(world_of(&provider), door).await;
        let (response, open) = gateway.open(asked(version, &chat_stream("x"))).await;
        let line = gateway.log_line().await;
        assert_eq!(line["end"], "timeout:clientWrite", "{line}");
        assert_eq!(line["tokens"], exact(), "{line}");
        drop((response, open));
    }
}

#[tokio::test]
async fn what_never_ends_is_not_read_for_ever() {
    let large = HALF.replace("half", &"half ".repeat(60_000));
    let leave = Arc::new(Semaphore::new(0));
    let others = vec![Bytes::from(large); 300];
    let first = chunks([ROLE, HALF]);
    let provider = FakeProvider::start(Script::Halves(first, leave.clone(), others)).await;
    let mut gateway = TestGateway::start(world_of(&provider)).await;
    leave_amid(&gateway, Version::HTTP_11).await;
    await_drains(&gateway, 1).await;
    leave.add_permits(1);
    soon(provider.left()).await;
    let line = gateway.log_line().await;
    assert_eq!(line["tokens"]["estimated"], true, "{line}");
    await_drains(&gateway, 0).await;
    assert_eq!(ended(&gateway, "too_long"), 1);
}
