//! Realtime: how a session is opened, and how it is refused.

use std::net::SocketAddr;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use http::Version;
use rustls::pki_types::CertificateDer;
use serde_json::json;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use turnpike_snapshot::provider::Provider;
use turnpike_snapshot::retries::{Failure, Retries};

use super::request_gateway::{TestGateway, request, soon};
use super::request_provider::{FakeProvider, Script, json as answers, localhost};
use super::request_service::{gateway_to as service_at, refusing};
use super::request_socket_parties::{
    RealtimeProvider, Seen, asking, asking_for, created, done, gateway_to, open, open_with, refused,
};
use super::request_world::{KEY, PROVIDER_KEY, World, backend, echo, model, object, upstream};

#[tokio::test]
async fn a_session_is_carried_both_ways_and_its_responses_are_counted() {
    let mut provider = RealtimeProvider::start().await;
    let mut active = upstream("OpenAI", &provider.url());
    active.models = vec![model("m", Some("org/gpt-realtime"))];
    let mut gateway = TestGateway::start(World::with(active)).await;
    let target = "/team/v1/realtime?model=m&intent=transcription&api-key=x";
    let key = format!("Bearer {KEY}");
    let headers = [
        ("authorization", key.as_str()),
        ("openai-beta", "realtime=v1"),
        ("origin", "https://page.test"),
        ("cookie", "a=b"),
        ("sec-websocket-extensions", "permessage-deflate"),
        ("x-request-id", "r-7"),
    ];
    let (mut client, answered) = open_with(&gateway, asking_for(target, &headers)).await;
    assert_eq!(answered["x-request-id"], "r-7");
    assert!(!answered.contains_key("sec-websocket-extensions"));
    let (asked, mut server) = provider.session().await;
    let path = asked.uri().path_and_query().unwrap().as_str();
    assert_eq!(
        path,
        "/v1/realtime?model=org%2Fgpt-realtime&intent=transcription"
    );
    assert_eq!(
        asked.headers()["authorization"],
        format!("Bearer {PROVIDER_KEY}")
    );
    assert_eq!(asked.headers()["openai-beta"], "realtime=v1");
    assert_eq!(asked.headers()["x-request-id"], "r-7");
    for absent in [
        "origin",
        "cookie",
        "sec-websocket-extensions",
        "sec-websocket-protocol",
    ] {
        assert!(!asked.headers().contains_key(absent), "{absent}");
    }

    client.say(json!({"type": "response.create"})).await;
    assert_eq!(server.hear().await["type"], "response.create");
    let audio = vec![7; 300_000];
    client.0.send(Message::binary(audio.clone())).await.unwrap();
    assert_eq!(
        soon(server.0.next()).await.unwrap().unwrap().into_data(),
        audio
    );
    server.0.send(Message::binary(audio.clone())).await.unwrap();
    assert_eq!(
        soon(client.0.next()).await.unwrap().unwrap().into_data(),
        audio
    );
    server.respond("r1", 100, 20).await;
    let mut spoken = done("r2", 150, 30);
    let usage = &mut spoken["response"]["usage"];
    usage["input_token_details"]["audio_tokens"] = 90.into();
    usage["output_token_details"] = json!({"text_tokens": 5, "audio_tokens": 25});
    server.say(created("r2")).await;
    server.say(spoken).await;
    for kind in ["created", "done", "created", "done"] {
        assert_eq!(client.hear().await["type"], format!("response.{kind}"));
    }
    client.close(1000, "bye").await;
    assert_eq!(server.end().await, Seen::Close(1000, "bye".into()));
    assert_eq!(client.end().await, Seen::Close(1000, "bye".into()));

    let line = gateway.log_line().await;
    assert_eq!(
        (&line["status"], &line["end"]),
        (&json!(101), &json!("complete"))
    );
    assert_eq!(line["operation"], "Realtime");
    assert_eq!(line["path"], "/team/v1/realtime");
    assert_eq!(
        line["tokens"],
        json!({"input": 250, "cached": 2, "output": 50, "audio_input": 90, "audio_output": 25})
    );
    assert_eq!(line["model"]["upstream"], "org/gpt-realtime");
    assert!(line["bytes_in"].as_u64().unwrap() > 300_000);
    assert!(line["bytes_out"].as_u64().unwrap() > 300_000);
    let requests = "turnpike_requests_total{operation=\"realtime\",status=\"2xx\"}";
    assert_eq!(gateway.metric(requests), 1);
    assert_eq!(gateway.metric("turnpike_tokens_total{kind=\"output\"}"), 50);
    assert_eq!(
        gateway.metric("turnpike_tokens_total{kind=\"audio_output\"}"),
        25
    );
    assert_eq!(gateway.metric("turnpike_requests_in_flight"), 0);
    assert!(gateway.stop().await.is_empty());
}

#[tokio::test]
async fn a_browsers_key_among_the_protocols_counts_and_goes_no_further() {
    let mut provider = RealtimeProvider::start().await;
    let gateway = gateway_to(&provider, 1_000_000).await;
    let offered = format!("realtime, openai-insecure-api-key.{KEY}, openai-beta.realtime-v1");
    let target = "/v1/realtime?model=m";
    let request = asking_for(target, &[("sec-websocket-protocol", &offered)]);
    let (_client, answered) = open_with(&gateway, request).await;
    assert_eq!(answered["sec-websocket-protocol"], "realtime");
    assert!(answered["x-ratelimit-limit-tokens"].to_str().is_ok());
    let (asked, _server) = provider.session().await;
    let seen = &asked.headers()["sec-websocket-protocol"];
    assert_eq!(seen, "realtime, openai-beta.realtime-v1");
    assert_eq!(
        asked.headers()["authorization"],
        format!("Bearer {PROVIDER_KEY}")
    );

    let wrong = [(
        "sec-websocket-protocol",
        "realtime, openai-insecure-api-key.sk-wrong",
    )];
    let (status, _, error) = refused(&gateway, asking_for(target, &wrong)).await;
    assert_eq!(
        (status, &error["error"]["code"]),
        (401, &json!("invalid_api_key"))
    );
}

#[tokio::test]
async fn what_cannot_become_a_session_is_refused_as_any_request_is() {
    let provider = RealtimeProvider::start().await;
    let mut gateway = gateway_to(&provider, 1_000_000).await;
    let plain = gateway.get("/v1/realtime?model=m", KEY).await;
    assert_eq!(
        (plain.status, plain.code()),
        (426, "upgrade_required".into())
    );
    assert_eq!(plain.header("upgrade"), Some("websocket"));
    assert_eq!(gateway.log_line().await["error"], "upgrade_required");
    let posted = gateway
        .ask(request("/v1/realtime?model=m", &json!({})))
        .await;
    assert_eq!(
        (posted.status, posted.code()),
        (405, "method_not_allowed".into())
    );

    let mut old = asking();
    old.headers_mut()
        .insert("sec-websocket-version", "8".parse().unwrap());
    let (status, headers, error) = refused(&gateway, old).await;
    assert_eq!(
        (status, &headers["sec-websocket-version"]),
        (426, &"13".parse().unwrap())
    );
    assert_eq!(error["error"]["code"], "unsupported_websocket_version");

    let key = format!("Bearer {KEY}");
    let keyed = |target| asking_for(target, &[("authorization", &key)]);
    for (request, status, code) in [
        (
            asking_for("/v1/realtime?model=m", &[]),
            401,
            "missing_api_key",
        ),
        (keyed("/v1/realtime"), 400, "missing_model"),
        (
            keyed("/v1/realtime?model=a&model=b"),
            400,
            "duplicate_member",
        ),
        (keyed("/v1/realtimes?model=m"), 404, "unknown_path"),
    ] {
        let (seen, headers, error) = refused(&gateway, request).await;
        assert_eq!((seen, &error["error"]["code"]), (status, &json!(code)));
        assert_eq!(headers["x-turnpike-error-source"], "gateway");
    }
}

#[tokio::test]
async fn providers_without_realtime_are_named() {
    for (provider, name) in [
        (echo(), "Echo"),
        (upstream("Anthropic", "http://127.0.0.1:1"), "Anthropic"),
    ] {
        let gateway = TestGateway::start(World::with(provider)).await;
        let (status, _, error) = refused(&gateway, asking()).await;
        assert_eq!(
            (status, &error["error"]["code"]),
            (400, &json!("unsupported_operation"))
        );
        assert!(
            error["error"]["message"].as_str().unwrap().contains(name),
            "{error}"
        );
    }
}

#[tokio::test]
async fn what_a_provider_says_instead_of_yes_reaches_the_caller_as_an_error() {
    let said = |code: &str| json!({"error": {"message": "no", "type": "t", "code": code}});
    for (script, status, code) in [
        (
            answers(401, said("invalid_api_key")),
            502,
            "provider_credential",
        ),
        (
            answers(429, said("rate_limit_exceeded")),
            429,
            "rate_limit_exceeded",
        ),
        (answers(400, said("bad")), 400, "bad"),
        (answers(500, said("oops")), 502, "provider_error"),
        (answers(200, json!({})), 502, "provider_bad_answer"),
    ] {
        let provider = FakeProvider::start(script).await;
        let mut gateway =
            TestGateway::start(World::with(upstream("OpenAI", &provider.url()))).await;
        let (seen, headers, error) = refused(&gateway, asking()).await;
        let line = gateway.log_line().await;
        assert_eq!(headers["x-turnpike-error-source"], "provider");
        assert_eq!((seen, &line["status"]), (status, &json!(status)), "{error}");
        assert_eq!(error["error"]["code"], code, "{error}");
        assert!(!error.to_string().contains(PROVIDER_KEY));
    }
}

#[tokio::test]
async fn another_provider_is_asked_while_none_has_agreed() {
    let mut good = RealtimeProvider::start().await;
    let down = FakeProvider::start(answers(503, json!({}))).await;
    let mut world = World::with(upstream("OpenAI", &down.url()));
    let spare = Provider::Upstream(upstream("OpenAI", &good.url()));
    world.providers.push((object("spare"), spare));
    let rule = &mut world.route().rules[0];
    rule.backends.push(backend("spare"));
    rule.backends[1].priority = 1;
    rule.retries = Retries {
        is_failover: true,
        conditions: vec![Failure::Server, Failure::Connect],
        ..Retries::default()
    };
    let mut gateway = TestGateway::start(world).await;
    let mut client = open(&gateway).await;
    let (_, mut server) = good.session().await;
    server.say(json!({"type": "session.created"})).await;
    assert_eq!(client.hear().await["type"], "session.created");
    drop(client);
    let line = gateway.log_line().await;
    assert_eq!(
        (&line["provider"], &line["failed_attempts"]),
        (&json!("tenant/spare"), &json!(1))
    );
}

#[tokio::test]
async fn a_caller_that_leaves_before_the_provider_agrees_cancels_it() {
    let provider = FakeProvider::start(Script::Silent).await;
    let mut gateway = TestGateway::start(World::with(upstream("OpenAI", &provider.url()))).await;
    let mut provider = provider;
    {
        let asking = refused(&gateway, asking());
        tokio::select! {
            _ = asking => panic!("nobody answers"),
            received = soon(provider.received()) => assert_eq!(received.method, "GET"),
        }
    }
    soon(provider.left()).await;
    assert_eq!(gateway.log_line().await["end"], "client_gone");
    assert!(gateway.stop().await.is_empty());
}

#[tokio::test]
async fn a_session_at_a_service_goes_to_an_endpoint_that_answers() {
    let mut provider = RealtimeProvider::start().await;
    let gateway = service_at(&[refusing().await, provider.address]).await;
    for _ in 0..4 {
        let mut client = open(&gateway).await;
        let (asked, mut server) = provider.session().await;
        assert_eq!(asked.headers()["host"], "vllm.tenant.svc:8000");
        server.respond("r", 1, 1).await;
        assert_eq!(client.hear().await["type"], "response.created");
    }
}

#[tokio::test]
async fn a_provider_over_tls_is_asked_in_the_first_version_of_http() {
    let mut provider = RealtimeProvider::start().await;
    let (address, certificate) = secured(provider.address).await;
    let url = format!("https://localhost:{}/v1", address.port());
    let gateway = TestGateway::trusting(World::with(upstream("OpenAI", &url)), certificate).await;
    let mut client = open(&gateway).await;
    let (asked, mut server) = provider.session().await;
    assert_eq!(asked.version(), Version::HTTP_11);
    server.say(json!({"type": "session.created"})).await;
    assert_eq!(client.hear().await["type"], "session.created");
}

/// A door over TLS for `localhost` to what is at this address.
async fn secured(behind: SocketAddr) -> (SocketAddr, CertificateDer<'static>) {
    let (acceptor, certificate) = localhost();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut outside = acceptor.accept(stream).await.unwrap();
        let mut inside = TcpStream::connect(behind).await.unwrap();
        let _ = copy_bidirectional(&mut outside, &mut inside).await;
    });
    (address, certificate)
}

#[tokio::test]
async fn a_caller_that_does_not_read_holds_up_the_provider() {
    let mut provider = RealtimeProvider::start().await;
    let gateway = gateway_to(&provider, 1_000_000).await;
    let mut client = open(&gateway).await;
    let (_, mut server) = provider.session().await;
    let piece = Message::binary(vec![7; 1 << 20]);
    let mut sent = 0;
    // What the sockets of this machine take, and no more.
    while let Ok(outcome) =
        tokio::time::timeout(Duration::from_millis(500), server.0.send(piece.clone())).await
    {
        outcome.unwrap();
        sent += 1;
        assert!(sent < 100, "{sent} MiB are held somewhere");
    }
    let reading = async {
        let mut read = 0;
        while read < sent {
            assert_eq!(client.0.next().await.unwrap().unwrap().len(), 1 << 20);
            read += 1;
        }
    };
    let sending = async { server.0.flush().await.unwrap() };
    soon(async { tokio::join!(reading, sending) }).await;
}
