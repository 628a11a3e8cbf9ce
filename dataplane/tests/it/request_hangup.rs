//! Clients that leave: the provider is cancelled at once, the request settled once.

use std::pin::pin;

use http::Version;
use http_body_util::BodyExt;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use turnpike_snapshot::quota::Amount;

use super::request_gateway::{
    TestGateway, chat, chat_stream, impatient, in_version, open_on, request, soon,
};
use super::request_provider::{End, FakeProvider, Script, events};
use super::request_world::{World, echo, quota, upstream};

const TEXT: &str = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"forty bytes of content, neither more nor\"},\"finish_reason\":null}]}\n\n";

async fn gateway_to(provider: &FakeProvider) -> TestGateway {
    let world =
        World::with(upstream("OpenAI", &provider.url())).limited(quota(Amount::Tokens(1_000_000)));
    TestGateway::start(world).await
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_cancels_the_provider() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        for body in [chat("x"), chat_stream("x")] {
            let mut provider = FakeProvider::start(Script::Silent).await;
            let mut gateway = gateway_to(&provider).await;
            let request = in_version(request("/v1/chat/completions", &body), version);
            {
                let asking = gateway.open(request);
                tokio::select! {
                    _ = asking => panic!("nobody answers"),
                    _ = soon(provider.received()) => {}
                }
            }
            soon(provider.left()).await;
            let line = gateway.log_line().await;
            assert_eq!(line["end"], "client_gone", "{version:?}");
            assert_eq!(line["status"], 499);
            assert_eq!(line["tokens"]["estimated"], true);
            assert_eq!(line["tokens"]["output"], 0);
            assert!(gateway.stop().await.is_empty());
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_in_mid_stream_cancels_the_provider_and_is_charged_what_it_got() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let provider = FakeProvider::start(events([TEXT, TEXT], End::Hang)).await;
        let mut gateway = gateway_to(&provider).await;
        let body = chat_stream("x");
        let asked = in_version(request("/v1/chat/completions", &body), version);
        let (mut response, connection) = gateway.open(asked).await;
        let mut seen = 0;
        while seen < 2 * TEXT.len() {
            let frame = http_body_util::BodyExt::frame(&mut response)
                .await
                .unwrap()
                .unwrap();
            seen += frame.data_ref().unwrap().len();
        }
        drop(response);
        drop(connection);
        soon(provider.left()).await;
        let line = gateway.log_line().await;
        assert_eq!(line["end"], "client_gone", "{version:?}");
        assert_eq!(
            (&line["status"], &line["bytes_out"]),
            (&json!(200), &json!(seen))
        );
        let input = (body.to_string().len() as u64).div_ceil(4);
        assert_eq!(
            line["tokens"],
            json!({"input": input, "output": 20, "estimated": true})
        );
        gateway.settled().await;
        let used = input + 20;
        assert_eq!(used_tokens(&gateway).await, used, "{version:?}");
        assert_eq!(gateway.stop().await.len(), 1);
    }
}

#[tokio::test]
async fn a_client_that_stops_reading_is_cut_and_charged_once() {
    // More than the sockets on the way hold.
    let large = TEXT.replace("forty", &"long ".repeat(50_000));
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let events = events([large.as_str(); 200], End::Hang);
        let provider = FakeProvider::start(events).await;
        let world = World::with(upstream("OpenAI", &provider.url()));
        let mut gateway = TestGateway::behind(world, impatient()).await;
        let asked = in_version(request("/v1/chat/completions", &chat_stream("x")), version);
        let (response, connection) = gateway.open(asked).await;
        assert_eq!(response.status(), 200);
        soon(provider.left()).await;
        let line = gateway.log_line().await;
        assert_eq!(line["end"], "timeout:clientWrite", "{version:?}");
        assert_eq!(line["tokens"]["estimated"], true);
        drop((response, connection));
        assert!(gateway.stop().await.is_empty());
    }
}

#[tokio::test]
async fn of_a_connection_only_the_stream_that_is_not_read_is_cut() {
    let large = TEXT.replace("forty", &"long ".repeat(50_000));
    let events = events([large.as_str(); 40], End::Hang);
    let provider = FakeProvider::start(events).await;
    let world = World::with(upstream("OpenAI", &provider.url()));
    let mut gateway = TestGateway::behind(world, impatient()).await;
    let stream = TokioIo::new(TcpStream::connect(gateway.address).await.unwrap());
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream)
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    let asked = || {
        let request = request("/v1/chat/completions", &chat_stream("x"));
        in_version(request, Version::HTTP_2)
    };
    let unread = soon(sender.send_request(asked())).await.unwrap();
    assert_eq!(gateway.log_line().await["end"], "timeout:clientWrite");
    // What it has not read fills the connection's window.
    drop(unread);
    let mut read = soon(sender.send_request(asked())).await.unwrap();
    for _ in 0..3 {
        assert!(soon(read.frame()).await.unwrap().is_ok());
    }
    drop((read, sender));
    soon(connection).await.unwrap().unwrap();
    assert_eq!(gateway.log_line().await["end"], "client_gone");
    assert!(gateway.stop().await.is_empty());
}

/// What Alice's counter says, less what the request that asks reserves for itself.
async fn used_tokens(gateway: &TestGateway) -> u64 {
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "x"}], "max_tokens": 1, "stream": true});
    let reserved = (body.to_string().len() as u64).div_ceil(4) + 1;
    let (response, _connection) = gateway.open(request("/v1/chat/completions", &body)).await;
    let remaining = &response.headers()["x-ratelimit-remaining-tokens"];
    1_000_000 - remaining.to_str().unwrap().parse::<u64>().unwrap() - reserved
}

#[tokio::test]
async fn one_reset_stream_harms_no_other_on_its_connection() {
    let provider = FakeProvider::start(events([TEXT], End::Hang)).await;
    let gateway = gateway_to(&provider).await;
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(
        hyper_util::rt::TokioExecutor::new(),
        hyper_util::rt::TokioIo::new(stream),
    )
    .await
    .unwrap();
    let _connection = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(async move {
        drop(connection.await);
    }));
    let ask = || {
        in_version(
            request("/v1/chat/completions", &chat_stream("x")),
            Version::HTTP_2,
        )
    };
    let first = soon(sender.send_request(ask())).await.unwrap();
    let mut second = soon(sender.send_request(ask())).await.unwrap();
    drop(first);
    soon(provider.left()).await;
    let frame = soon(http_body_util::BodyExt::frame(&mut second))
        .await
        .unwrap()
        .unwrap();
    assert!(!frame.data_ref().unwrap().is_empty());
}

#[tokio::test]
async fn a_client_that_leaves_while_sending_its_body_is_settled_too() {
    let provider = FakeProvider::start(Script::Silent).await;
    let mut gateway = gateway_to(&provider).await;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: tenant.test\r\nx-api-key: {}\r\ncontent-length: 100\r\n\r\n{{\"mod",
        super::request_world::KEY
    );
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, head.as_bytes())
        .await
        .unwrap();
    drop(stream);
    let line = gateway.log_line().await;
    assert_eq!(line["end"], "client_gone");
    assert!(gateway.stop().await.is_empty());
}

#[tokio::test]
async fn who_waits_for_settlements_waits_for_open_requests_too() {
    let provider = FakeProvider::start(events([TEXT], End::Hang)).await;
    let gateway = gateway_to(&provider).await;
    let body = request("/v1/chat/completions", &chat_stream("x"));
    let open = gateway.open(in_version(body, Version::HTTP_2)).await;
    gateway.shared.settling.close();
    let mut settled = pin!(gateway.shared.settling.wait());
    assert!(futures::poll!(&mut settled).is_pending());
    drop(open);
    soon(settled).await;
    assert_eq!(gateway.metric("turnpike_requests_in_flight"), 0);
}

/// A request over HTTP/1.1, as bytes.
fn bytes_of(version: &str, body: &serde_json::Value) -> String {
    let (key, body) = (super::request_world::KEY, body.to_string());
    let length = body.len();
    format!(
        "POST /v1/chat/completions HTTP/{version}\r\nhost: tenant.test\r\nx-api-key: {key}\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

#[tokio::test]
async fn a_client_that_has_ended_its_side_gets_its_answer() {
    let mut gateway = TestGateway::start(World::with(echo())).await;
    let text = "/slow 300ms one two three";
    for (version, body, last) in [
        ("1.1", chat(text), "one two three"),
        ("1.1", chat_stream(text), "[DONE]"),
        ("1.0", chat(text), "one two three"),
    ] {
        let mut stream = TcpStream::connect(gateway.address).await.unwrap();
        let request = bytes_of(version, &body);
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        soon(stream.read_to_string(&mut answer)).await.unwrap();
        let whole = format!("HTTP/{version} 200");
        assert!(answer.contains(&whole) && answer.contains(last), "{answer}");
        assert_eq!(gateway.log_line().await["end"], "complete", "{answer}");
    }
    assert!(gateway.stop().await.is_empty());
}

#[tokio::test]
async fn a_client_that_leaves_without_a_reset_is_noticed_when_something_is_sent() {
    let mut gateway = TestGateway::start(World::with(echo())).await;
    let text = format!("/slow 100ms {}", "word ".repeat(10_000));
    let body = request("/v1/chat/completions", &chat_stream(&text));
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (mut response, connection) = open_on(stream, body).await;
    let frame = http_body_util::BodyExt::frame(&mut response).await;
    frame.unwrap().unwrap();
    drop((response, connection));
    assert_eq!(gateway.log_line().await["end"], "client_gone");
    assert!(gateway.stop().await.is_empty());
}

#[tokio::test]
async fn a_client_that_leaves_without_a_reset_is_asked_before_its_answer_begins() {
    let mut provider = FakeProvider::start(Script::Silent).await;
    let mut gateway = gateway_to(&provider).await;
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let request = bytes_of("1.1", &chat("x"));
    stream.write_all(request.as_bytes()).await.unwrap();
    soon(provider.received()).await;
    drop(stream);
    soon(provider.left()).await;
    assert_eq!(gateway.log_line().await["end"], "client_gone");
    assert!(gateway.stop().await.is_empty());
}
