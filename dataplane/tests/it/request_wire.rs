//! Requests as bytes on the wire: chunked bodies, `expect: 100-continue`, refusals before the body.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::request_gateway::{TestGateway, chat, soon};
use super::request_provider::{FakeProvider, chat_answer, json};
use super::request_world::{HOST, KEY, World, echo, upstream};

/// Sends these parts, and reads all that comes back until the gateway closes.
pub(super) async fn exchange(gateway: &TestGateway, parts: &[&[u8]]) -> String {
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    for part in parts {
        stream.write_all(part).await.unwrap();
        stream.flush().await.unwrap();
    }
    let mut answer = Vec::new();
    // A refusal may come with a reset, since the rest of the body is not read.
    let _ = soon(stream.read_to_end(&mut answer)).await;
    String::from_utf8(answer).unwrap()
}

fn head(key: &str, more: &str) -> String {
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {HOST}\r\nx-api-key: {key}\r\nconnection: close\r\n{more}\r\n"
    )
}

#[tokio::test]
async fn a_chunked_body_arrives_whole() {
    let mut provider = FakeProvider::start(json(200, chat_answer("x"))).await;
    let gateway = TestGateway::start(World::with(upstream("OpenAI", &provider.url()))).await;
    let body = chat(&"0123456789".repeat(50_000)).to_string();
    let mut wire = head(KEY, "transfer-encoding: chunked\r\n").into_bytes();
    for piece in body.as_bytes().chunks(7_777) {
        wire.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        wire.extend_from_slice(piece);
        wire.extend_from_slice(b"\r\n");
    }
    // Trailers are not part of the head: nobody becomes somebody else by them.
    wire.extend_from_slice(b"0\r\nx-turnpike-consumer: bob\r\n\r\n");
    let answer = exchange(&gateway, &[&wire]).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let received = provider.received().await;
    assert_eq!(received.body, body);
    // Its length was not known when it began to pass.
    assert!(!received.headers.contains_key("content-length"));
}

#[tokio::test]
async fn a_chunked_body_over_the_bound_is_413() {
    let mut world = World::with(echo());
    world.route().max_body_bytes = Some(10_000);
    let gateway = TestGateway::start(world).await;
    let mut wire = head(KEY, "transfer-encoding: chunked\r\n").into_bytes();
    wire.extend_from_slice(format!("{:x}\r\n{}\r\n", 20_000, "x".repeat(20_000)).as_bytes());
    let answer = exchange(&gateway, &[&wire]).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn a_client_that_expects_100_sends_its_body_once_it_is_welcome() {
    let gateway = TestGateway::start(World::with(echo())).await;
    let body = chat("hello there").to_string();
    let more = format!("expect: 100-continue\r\ncontent-length: {}\r\n", body.len());
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    stream.write_all(head(KEY, &more).as_bytes()).await.unwrap();
    let mut welcome = [0; 25];
    soon(stream.read_exact(&mut welcome)).await.unwrap();
    assert_eq!(&welcome, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("hello there"));
}

#[tokio::test]
async fn who_is_refused_is_told_so_before_sending_a_body() {
    let mut world = World::with(echo());
    world.route().max_body_bytes = Some(1000);
    let gateway = TestGateway::start(world).await;
    for (key, length, status) in [("sk-nobody", 500, 401), (KEY, 5000, 413)] {
        let more = format!("expect: 100-continue\r\ncontent-length: {length}\r\n");
        let answer = exchange(&gateway, &[head(key, &more).as_bytes()]).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn a_large_body_passes_unchanged() {
    let mut world_provider = FakeProvider::start(json(200, chat_answer("x"))).await;
    let mut world = World::with(upstream("OpenAI", &world_provider.url()));
    world.route().max_body_bytes = Some(32 << 20);
    let gateway = TestGateway::start(world).await;
    let text = "äöü".repeat(1_700_000);
    assert_eq!(gateway.chat(&text).await.status, 200);
    assert_eq!(
        world_provider.received().await.body,
        chat(&text).to_string()
    );
}

#[tokio::test]
async fn a_client_that_sends_a_large_body_unasked_still_reads_its_refusal() {
    let mut world = World::with(echo());
    world.route().max_body_bytes = Some(1000);
    let gateway = TestGateway::start(world).await;
    for (key, status) in [("sk-nobody", 401), (KEY, 413)] {
        let mut stream = TcpStream::connect(gateway.address).await.unwrap();
        let more = format!("content-length: {}\r\n", 5 << 20);
        stream.write_all(head(key, &more).as_bytes()).await.unwrap();
        // Like an SDK that writes all it has before it reads, and reads what came when it cannot.
        let _ = soon(stream.write_all(&vec![b'x'; 5 << 20])).await;
        let mut answer = Vec::new();
        let _ = soon(stream.read_to_end(&mut answer)).await;
        let answer = String::from_utf8(answer).unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer:?}"
        );
        assert!(answer.ends_with('}'), "{answer}");
    }
}

#[tokio::test]
async fn who_is_refused_with_an_unread_body_is_told_that_the_connection_ends() {
    let gateway = TestGateway::start(World::with(echo())).await;
    for (key, path, is_read) in [
        ("sk-nobody", "/v1/chat/completions", false),
        (KEY, "/nowhere", false),
        (KEY, "/v1/chat/completions", true),
    ] {
        let mut stream = TcpStream::connect(gateway.address).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: tenant.test\r\nx-api-key: {key}\r\ncontent-length: 2\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        if is_read {
            stream.write_all(b"{}").await.unwrap();
        }
        let mut answer = String::new();
        while !answer.ends_with('}') {
            answer.push(soon(stream.read_u8()).await.unwrap().into());
        }
        assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
        let is_told = answer.contains("connection: close\r\n");
        assert_eq!(is_told, !is_read, "{answer}");
    }
}

#[tokio::test]
async fn trailers_over_http2_are_read_over() {
    let mut provider = FakeProvider::start(json(200, chat_answer("x"))).await;
    let gateway = TestGateway::start(World::with(upstream("OpenAI", &provider.url()))).await;
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(
        hyper_util::rt::TokioExecutor::new(),
        hyper_util::rt::TokioIo::new(stream),
    )
    .await
    .unwrap();
    tokio::spawn(connection);
    let body = chat("hello").to_string();
    let mut trailers = http::HeaderMap::new();
    trailers.insert("x-turnpike-consumer", "bob".parse().unwrap());
    let frames = [
        http_body::Frame::data(bytes::Bytes::from(body.clone())),
        http_body::Frame::trailers(trailers),
    ];
    let frames = futures::stream::iter(frames.map(Ok::<_, std::convert::Infallible>));
    let request = http::Request::post(format!("http://{HOST}/v1/chat/completions"))
        .header("x-api-key", KEY)
        .header("expect", "100-continue")
        .body(http_body_util::StreamBody::new(frames))
        .unwrap();
    let answer = soon(sender.send_request(request)).await.unwrap();
    assert_eq!(answer.status(), 200);
    let received = provider.received().await;
    assert_eq!(received.body, body);
    assert!(!received.headers.contains_key("x-turnpike-consumer"));
}
