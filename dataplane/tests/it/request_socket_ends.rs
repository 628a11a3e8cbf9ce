//! How a Realtime session ends, whoever ends it; and what does not end it.

use std::future::poll_fn;
use std::time::Duration;

use futures::SinkExt;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use turnpike_snapshot::provider::{Halt, Halted, Provider};
use turnpike_snapshot::quota::Amount;
use turnpike_snapshot::{Name, Snapshot};

use super::request_gateway::{TestGateway, impatient, soon};
use super::request_socket_parties::{
    Http2, RealtimeProvider, Seen, Socket, created, done, gateway_to, open,
};
use super::request_world::{HOST, KEY, World, object, quota, upstream};

/// How a caller leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leave {
    Fin,
    Reset,
    ResetStream,
}

/// When it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Idle,
    AmidResponse,
    AfterUsage,
}

#[tokio::test]
async fn a_caller_that_leaves_takes_the_provider_with_it_and_is_settled_once() {
    for leave in [Leave::Fin, Leave::Reset, Leave::ResetStream] {
        for when in [When::Idle, When::AmidResponse, When::AfterUsage] {
            leaves(leave, when).await;
        }
    }
}

async fn leaves(leave: Leave, when: When) {
    let mut provider = RealtimeProvider::start().await;
    let mut gateway = gateway_to(&provider, 1_000_000).await;
    let events = match when {
        When::Idle => vec![json!({"type": "session.created"})],
        When::AmidResponse => vec![created("r")],
        When::AfterUsage => vec![created("r"), done("r", 30, 12)],
    };
    let (mut server, began) = if leave == Leave::ResetStream {
        let mut connection = Http2::connect(gateway.address).await;
        let mut stream = connection.open(KEY).await.unwrap();
        let (_, mut server) = provider.session().await;
        for event in events {
            server.say(event).await;
            stream.socket.hear().await;
        }
        let began = tokio::time::Instant::now();
        stream.reset();
        assert_eq!(server.end().await, Seen::Close(1001, String::new()));
        (server, began)
    } else {
        let mut client = open(&gateway).await;
        let (_, mut server) = provider.session().await;
        for event in events {
            server.say(event).await;
            client.hear().await;
        }
        let began = tokio::time::Instant::now();
        match leave {
            Leave::Fin => drop(client),
            _ => client.reset(),
        }
        assert_eq!(server.end().await, Seen::Close(1001, String::new()));
        (server, began)
    };
    // Half a second is promised; a busy machine may take longer.
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{leave:?} {when:?}"
    );
    assert_eq!(server.end().await, Seen::Gone);
    let line = gateway.log_line().await;
    assert_eq!(line["end"], "client_gone", "{leave:?} {when:?}");
    let tokens = match when {
        When::Idle => json!({"input": 0, "output": 0}),
        When::AmidResponse => json!({"input": 0, "output": 1024, "estimated": true}),
        When::AfterUsage => json!({"input": 30, "cached": 1, "output": 12}),
    };
    assert_eq!(line["tokens"], tokens, "{leave:?} {when:?}");
    assert!(gateway.stop().await.is_empty(), "{leave:?} {when:?}");
}

/// A provider that talks amid a response, as long as it is listened to.
async fn talk(mut server: Socket<TcpStream>) {
    let delta = "long ".repeat(4_000);
    let event = json!({"type": "response.output_text.delta", "response_id": "r", "delta": delta});
    let text = Message::text(event.to_string());
    while soon(server.0.send(text.clone())).await.is_ok() {}
}

async fn impatient_gateway(provider: &RealtimeProvider) -> TestGateway {
    let world = World::with(upstream("OpenAI", &provider.url()));
    let world = world.limited(quota(Amount::Tokens(1_000_000)));
    TestGateway::behind(world, impatient()).await
}

/// What the log says of a session that was cut amid its second response.
fn assert_cut(line: &serde_json::Value) {
    assert_eq!(line["end"], "timeout:clientWrite", "{line}");
    let tokens = json!({"input": 60, "cached": 1, "output": 1036, "estimated": true});
    assert_eq!(line["tokens"], tokens, "{line}");
}

#[tokio::test]
async fn a_caller_that_stops_reading_is_cut_and_settled_once() {
    let mut provider = RealtimeProvider::start().await;
    let mut gateway = impatient_gateway(&provider).await;
    let mut client = open(&gateway).await;
    let (_, mut server) = provider.session().await;
    server.respond("first", 30, 12).await;
    server.say(created("r")).await;
    for _ in 0..3 {
        client.hear().await;
    }
    // It still speaks.
    client.say(json!({"type": "input_text"})).await;
    talk(server).await;
    assert_cut(&gateway.log_line().await);
    assert_eq!(client.end().await, Seen::Gone);
    assert!(gateway.stop().await.is_empty());
}

#[tokio::test]
async fn of_a_connection_only_the_session_that_is_not_read_is_cut() {
    let mut provider = RealtimeProvider::start().await;
    let mut gateway = impatient_gateway(&provider).await;
    let mut connection = Http2::connect(gateway.address).await;
    let mut unread = connection.open(KEY).await.unwrap();
    let (_, mut server) = provider.session().await;
    let mut other = connection.open(KEY).await.unwrap();
    let (_, mut others) = provider.session().await;
    server.respond("first", 30, 12).await;
    server.say(created("r")).await;
    for _ in 0..3 {
        unread.socket.hear().await;
    }
    talk(server).await;
    assert_cut(&gateway.log_line().await);
    // Its stream is reset, and what it held of the connection's window is free again.
    assert_eq!(unread.socket.end().await, Seen::Gone);
    drop(unread);
    others.respond("r", 10, 5).await;
    for _ in 0..2 {
        other.socket.hear().await;
    }
    other.socket.close(1000, "").await;
    assert_eq!(others.end().await, Seen::Close(1000, String::new()));
    let line = gateway.log_line().await;
    assert_eq!(line["end"], "complete");
    assert!(gateway.stop().await.is_empty());
}

#[tokio::test]
async fn the_rest_of_a_session_that_is_over_is_not_kept_for_ever() {
    let mut provider = RealtimeProvider::start().await;
    let mut gateway = impatient_gateway(&provider).await;
    let mut connection = Http2::connect(gateway.address).await;
    let (mut send, unread) = connection.ask(KEY).await;
    let (_, mut server) = provider.session().await;
    // More than the window of the stream, and not so much that the session waits for it.
    let text = "x".repeat(70_000);
    server.say(json!({"type": "other", "text": text})).await;
    server.close(1000, "").await;
    drop(server);
    assert_eq!(gateway.log_line().await["end"], "complete");
    let reset = soon(poll_fn(|cx| send.poll_reset(cx))).await.unwrap();
    assert_eq!(reset, h2::Reason::CANCEL);
    drop((send, unread, connection));
    assert!(gateway.stop().await.is_empty());
}

#[tokio::test]
async fn a_provider_that_closes_is_heard_as_it_said_it() {
    let mut provider = RealtimeProvider::start().await;
    let mut gateway = gateway_to(&provider, 1_000_000).await;
    let mut client = open(&gateway).await;
    let (_, mut server) = provider.session().await;
    server.close(1001, "session_expired").await;
    assert_eq!(
        client.end().await,
        Seen::Close(1001, "session_expired".into())
    );
    drop(server);
    assert_eq!(gateway.log_line().await["end"], "complete");
    assert!(gateway.stop().await.is_empty());
}

#[tokio::test]
async fn a_provider_that_vanishes_is_told_by_an_error_and_a_close() {
    let mut provider = RealtimeProvider::start().await;
    let mut gateway = gateway_to(&provider, 1_000_000).await;
    let mut client = open(&gateway).await;
    let (_, server) = provider.session().await;
    server.reset();
    assert_eq!(
        client.hear().await["error"]["code"],
        "provider_connection_lost"
    );
    assert_eq!(
        client.end().await,
        Seen::Close(1011, "provider_connection_lost".into())
    );
    let line = gateway.log_line().await;
    assert_eq!(
        (&line["end"], &line["status"]),
        (&json!("provider_cut"), &json!(101))
    );
    let faults = "turnpike_upstream_faults_total{fault=\"cut\"}";
    assert_eq!(gateway.metric(faults), 1);
}

#[tokio::test]
async fn nothing_is_put_into_a_frame_that_was_cut_off() {
    let mut provider = RealtimeProvider::start().await;
    let mut gateway = gateway_to(&provider, 1_000_000).await;
    let mut client = open(&gateway).await;
    let (_, server) = provider.session().await;
    let mut stream = server.0.into_inner();
    stream.write_all(&[0x81, 100, b'x']).await.unwrap();
    drop(stream);
    assert_eq!(client.end().await, Seen::Gone);
    assert_eq!(gateway.log_line().await["end"], "provider_cut");
}

#[tokio::test]
async fn timeouts_end_a_session_and_say_so() {
    for (idle, total, name) in [(300, 60_000, "idle"), (60_000, 300, "total")] {
        let mut provider = RealtimeProvider::start().await;
        let mut active = upstream("OpenAI", &provider.url());
        active.timeouts.idle = Duration::from_millis(idle);
        active.timeouts.total = Duration::from_millis(total);
        let mut gateway = TestGateway::start(World::with(active)).await;
        let mut client = open(&gateway).await;
        let (_, mut server) = provider.session().await;
        server.say(created("r")).await;
        assert_eq!(client.hear().await["type"], "response.created");
        let error = client.hear().await;
        assert_eq!(error["error"]["code"], "provider_timeout");
        assert_eq!(
            client.end().await,
            Seen::Close(1011, "provider_timeout".into())
        );
        server.end().await;
        assert_eq!(gateway.log_line().await["end"], format!("timeout:{name}"));
    }
}

#[tokio::test]
async fn silence_between_responses_is_no_timeout() {
    let mut provider = RealtimeProvider::start().await;
    let mut active = upstream("OpenAI", &provider.url());
    active.timeouts.idle = Duration::from_millis(50);
    let gateway = TestGateway::start(World::with(active)).await;
    let mut client = open(&gateway).await;
    let (_, mut server) = provider.session().await;
    server.respond("r", 1, 1).await;
    for _ in 0..2 {
        client.hear().await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    client.say(json!({"type": "response.create"})).await;
    assert_eq!(server.hear().await["type"], "response.create");
}

/// Puts snapshots into force, as a controller would.
fn change(gateway: &TestGateway, snapshots: Vec<(Name, Snapshot)>) {
    assert!(gateway.shared.store.replace(snapshots).is_empty());
}

#[tokio::test]
async fn a_blocked_provider_ends_its_sessions_and_a_drained_one_does_not() {
    let mut provider = RealtimeProvider::start().await;
    let gateway = gateway_to(&provider, 1_000_000).await;
    let mut client = open(&gateway).await;
    let (_, mut server) = provider.session().await;
    let halted = |halt| {
        let models = Vec::new();
        let halted = Provider::Halted(Halted { halt, models });
        vec![(Name::Provider(object("main")), Snapshot::Provider(halted))]
    };
    change(&gateway, halted(Halt::Drain));
    server.respond("r", 1, 1).await;
    for _ in 0..2 {
        client.hear().await;
    }
    change(&gateway, halted(Halt::Blocked));
    assert_eq!(client.hear().await["error"]["code"], "provider_blocked");
    assert_eq!(
        client.end().await,
        Seen::Close(1011, "provider_blocked".into())
    );
    server.end().await;
}

#[tokio::test]
async fn no_change_of_configuration_closes_a_session() {
    let mut provider = RealtimeProvider::start().await;
    let mut gateway = gateway_to(&provider, 1_000_000).await;
    let mut client = open(&gateway).await;
    let mut connection = Http2::connect(gateway.address).await;
    let (_, mut server) = provider.session().await;
    let mut stream = connection.open(KEY).await.unwrap();
    let (_, mut other) = provider.session().await;
    let mut moved = upstream("OpenAI", "http://127.0.0.1:1");
    moved.keys[0].secret = "sk-another-key-0123456789".into();
    let tenant = World::with(moved.clone());
    change(
        &gateway,
        vec![
            (
                Name::Provider(object("main")),
                Snapshot::Provider(Provider::Upstream(moved)),
            ),
            (
                Name::Quota(object("quota-0")),
                Snapshot::Quota(quota(Amount::Tokens(900_000))),
            ),
            (Name::Domain(HOST.into()), {
                let mut domain = tenant.domain;
                domain.routes[0].rules[0].name = "renamed".into();
                domain.routes[0].allow =
                    Some(vec![super::request_world::grant(&["nobody"], &[], &[])]);
                Snapshot::Domain(domain)
            }),
        ],
    );
    server.respond("r1", 10, 1).await;
    other.respond("r1", 10, 1).await;
    for _ in 0..2 {
        client.hear().await;
        stream.socket.hear().await;
    }
    // Nothing is left of the tenant at all.
    let names = vec![
        Name::Domain(HOST.into()),
        Name::Consumer(object("alice")),
        Name::Provider(object("main")),
        Name::Quota(object("quota-0")),
    ];
    gateway.shared.store.withdraw(names);
    server.respond("r2", 10, 1).await;
    other.respond("r2", 10, 1).await;
    for _ in 0..2 {
        client.hear().await;
        stream.socket.hear().await;
    }
    client.close(1000, "").await;
    stream.socket.close(1000, "").await;
    assert_eq!(server.end().await, Seen::Close(1000, String::new()));
    assert_eq!(other.end().await, Seen::Close(1000, String::new()));
    for _ in 0..2 {
        let line = gateway.log_line().await;
        assert_eq!(
            line["tokens"],
            json!({"input": 20, "cached": 2, "output": 2})
        );
    }
}

#[tokio::test]
async fn sessions_run_on_while_draining_and_are_told_when_it_is_over() {
    let mut provider = RealtimeProvider::start().await;
    let world = World::with(upstream("OpenAI", &provider.url()));
    let mut gateway = TestGateway::draining_within(world, Duration::from_millis(700)).await;
    let mut client = open(&gateway).await;
    let (_, mut server) = provider.session().await;
    let mut connection = Http2::connect(gateway.address).await;
    let mut stream = connection.open(KEY).await.unwrap();
    let (_, mut other) = provider.session().await;
    gateway.begin_to_stop();
    for (one, client) in [(&mut server, &mut client)] {
        one.respond("r", 10, 1).await;
        for _ in 0..2 {
            client.hear().await;
        }
    }
    other.say(json!({"type": "session.updated"})).await;
    assert_eq!(stream.socket.hear().await["type"], "session.updated");
    let farewell = Seen::Close(1001, "going_away".into());
    assert_eq!(client.hear().await["error"]["code"], "going_away");
    assert_eq!(client.end().await, farewell);
    assert_eq!(stream.socket.hear().await["error"]["code"], "going_away");
    assert_eq!(stream.socket.end().await, farewell);
    server.end().await;
    other.end().await;
    for _ in 0..2 {
        assert_eq!(gateway.log_line().await["error"], "going_away");
    }
    assert!(soon(gateway.stop()).await.is_empty());
}
