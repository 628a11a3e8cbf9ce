//! Who comes in: forwarders, the PROXY protocol, bounds of connections, heads and bodies.

use std::time::Duration;

use http::{Request, Version};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use turnpike_dataplane::listen::{Door, Terms};

use super::request_gateway::{TestGateway, chat, request, soon};
use super::request_world::{HOST, KEY, World, echo};

const ROOM: usize = 1_000;

async fn gateway(terms: Terms) -> TestGateway {
    TestGateway::behind(World::with(echo()), Door::new(terms, ROOM)).await
}

/// A small request over HTTP/1.1, which ends its connection.
fn models() -> String {
    format!(
        "GET /v1/models HTTP/1.1\r\nhost: {HOST}\r\nx-api-key: {KEY}\r\nconnection: close\r\n\r\n"
    )
}

/// Sends bytes and reads what comes until the other side closes.
async fn exchange(gateway: &TestGateway, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    read_to_end(&mut stream).await
}

async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // It may be reset instead of closed.
    let _ = soon(stream.read_to_end(&mut answer)).await;
    String::from_utf8(answer).unwrap()
}

/// The address that the log tells of a request with these headers.
async fn remote(gateway: &mut TestGateway, headers: &[(&str, &str)]) -> Value {
    let mut asked = request("/v1/chat/completions", &chat("hello"));
    for (name, value) in headers {
        let name: http::HeaderName = name.parse().unwrap();
        asked.headers_mut().append(name, value.parse().unwrap());
    }
    assert_eq!(gateway.ask(asked).await.status, 200);
    gateway.log_line().await["remote"].take()
}

#[tokio::test]
async fn only_a_trusted_forwarder_names_the_caller() {
    let spoofed = ("x-forwarded-for", "6.6.6.6");
    let named = [spoofed, ("X-Forwarded-For", "192.0.2.1")];
    let mut open = gateway(Terms::default()).await;
    assert_eq!(remote(&mut open, &named).await, "127.0.0.1");
    for trusted in ["1", "127.0.0.0/8,::1"] {
        let terms = Terms {
            forwarders: trusted.parse().unwrap(),
            ..Terms::default()
        };
        let mut behind = gateway(terms).await;
        assert_eq!(remote(&mut behind, &[]).await, "127.0.0.1");
        assert_eq!(remote(&mut behind, &named).await, "192.0.2.1");
        let forwarded = ("forwarded", "for=\"[2001:db8::1]:80\"");
        assert_eq!(remote(&mut behind, &[forwarded]).await, "2001:db8::1");
    }
    let terms = Terms {
        forwarders: "10.0.0.0/8".parse().unwrap(),
        ..Terms::default()
    };
    assert_eq!(remote(&mut gateway(terms).await, &named).await, "127.0.0.1");
}

#[tokio::test]
async fn a_balancer_names_the_caller_before_anything_else() {
    let terms = Terms {
        proxied: ["127.0.0.0/8".parse().unwrap()].into(),
        ..Terms::default()
    };
    let mut gateway = gateway(terms).await;
    let v2 = |command: u8, family: u8, rest: &[u8]| {
        let length = [0, rest.len() as u8];
        [
            b"\r\n\r\n\0\r\nQUIT\n",
            &[command, family][..],
            &length,
            rest,
        ]
        .concat()
    };
    let from = [192, 0, 2, 7, 10, 0, 0, 1, 0, 80, 1, 187];
    for (header, remote) in [
        (
            b"PROXY TCP4 192.0.2.1 10.0.0.1 4711 80\r\n".to_vec(),
            "192.0.2.1",
        ),
        (
            b"PROXY TCP6 2001:db8::1 ::1 4711 80\r\n".to_vec(),
            "2001:db8::1",
        ),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        (v2(0x21, 0x11, &from), "192.0.2.7"),
        (v2(0x20, 0, &[]), "127.0.0.1"),
    ] {
        let bytes = [&header[..], models().as_bytes()].concat();
        let answer = exchange(&gateway, &bytes).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{header:?}: {answer}");
        assert_eq!(gateway.log_line().await["remote"], remote, "{header:?}");
    }
    assert_eq!(exchange(&gateway, models().as_bytes()).await, "");
    let refused = "turnpike_connections_refused_total{reason=\"proxy_header\"}";
    assert_eq!(gateway.metric(refused), 1);
}

#[tokio::test]
async fn who_is_no_balancer_cannot_name_the_caller() {
    let mut gateway = gateway(Terms::default()).await;
    let bytes = format!("PROXY TCP4 192.0.2.1 10.0.0.1 4711 80\r\n{}", models());
    let answer = exchange(&gateway, bytes.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    exchange(&gateway, models().as_bytes()).await;
    assert_eq!(gateway.log_line().await["remote"], "127.0.0.1");
}

#[tokio::test]
async fn an_address_has_so_many_connections_and_no_more() {
    let terms = Terms {
        connections_per_address: Some(2),
        ..Terms::default()
    };
    let gateway = gateway(terms).await;
    let mut first = TcpStream::connect(gateway.address).await.unwrap();
    let mut second = TcpStream::connect(gateway.address).await.unwrap();
    while gateway.metric("turnpike_connections") < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(exchange(&gateway, models().as_bytes()).await, "");
    let refused = "turnpike_connections_refused_total{reason=\"address\"}";
    assert_eq!(gateway.metric(refused), 1);
    for stream in [&mut first, &mut second] {
        stream.write_all(models().as_bytes()).await.unwrap();
        let answer = read_to_end(stream).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    while gateway.metric("turnpike_connections") > 0 {
        tokio::task::yield_now().await;
    }
    let answer = exchange(&gateway, models().as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_trusted_forwarder_may_have_as_many_connections_as_it_needs() {
    let terms = Terms {
        forwarders: "127.0.0.1".parse().unwrap(),
        connections_per_address: Some(1),
        ..Terms::default()
    };
    let gateway = gateway(terms).await;
    let _first = TcpStream::connect(gateway.address).await.unwrap();
    let answer = exchange(&gateway, models().as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn who_finds_no_room_waits_until_somebody_leaves() {
    let door = Door::new(Terms::default(), 1);
    let gateway = TestGateway::behind(World::with(echo()), door).await;
    let mut first = TcpStream::connect(gateway.address).await.unwrap();
    let mut second = TcpStream::connect(gateway.address).await.unwrap();
    second.write_all(models().as_bytes()).await.unwrap();
    first.write_all(models().as_bytes()).await.unwrap();
    let answer = read_to_end(&mut first).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    drop(first);
    let answer = read_to_end(&mut second).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(gateway.metric("turnpike_accept_pauses_total") > 0);
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused_in_json() {
    let gateway = gateway(Terms::default()).await;
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let asked = |count: usize, bytes: usize| {
            let uri = match version {
                Version::HTTP_2 => format!("http://{HOST}/v1/models"),
                _ => "/v1/models".to_owned(),
            };
            let mut request = Request::get(uri).version(version);
            if version < Version::HTTP_2 {
                request = request.header("host", HOST);
            }
            for number in 0..count {
                request = request.header(format!("x-{number}"), "v".repeat(bytes));
            }
            request.body(http_body_util::Full::default()).unwrap()
        };
        for (count, bytes) in [(97, 1), (1, 50_000)] {
            let answer = gateway.ask(asked(count, bytes)).await;
            assert_eq!(answer.status, 431, "{version:?}");
            assert_eq!(answer.code(), "request_headers_too_large");
        }
        // Over HTTP/1.1 a head is as long as hyper has read of it when it looks.
        let too_long = match version {
            Version::HTTP_11 => 140_000,
            _ => 70_000,
        };
        let answer = gateway.ask(asked(1, too_long)).await;
        assert_eq!(
            (answer.status, &answer.body[..]),
            (431, &b""[..]),
            "{version:?}"
        );
    }
    let refused = "turnpike_connections_refused_total{reason=\"head\"}";
    assert_eq!(
        gateway.metric(refused),
        1,
        "only HTTP/1.1 ends the connection"
    );
}

#[tokio::test]
async fn a_body_that_comes_too_slowly_is_refused_and_the_connection_closed() {
    let gateway = gateway(Terms::default()).await;
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {HOST}\r\nx-api-key: {KEY}\r\ncontent-length: 100000\r\n\r\n{{\"mod"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    while gateway.metric("turnpike_requests_in_flight") == 0 {
        tokio::task::yield_now().await;
    }
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(10)).await;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    assert!(answer.contains("request_body_timeout"), "{answer}");
    assert!(answer.contains("1024 bytes a second"), "{answer}");
    let refused = "turnpike_connections_refused_total{reason=\"slow_body\"}";
    assert_eq!(gateway.metric(refused), 1);
}
