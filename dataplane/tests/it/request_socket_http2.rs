//! Realtime over HTTP/2: a session is a stream (RFC 8441).

use http::{Method, Request, StatusCode};
use http_body_util::Full;
use serde_json::json;

use super::request_gateway::soon;
use super::request_socket_parties::{Http2, RealtimeProvider, Seen, gateway_to};
use super::request_world::{KEY, PROVIDER_KEY};

#[tokio::test]
async fn sessions_are_streams_of_one_connection() {
    let mut provider = RealtimeProvider::start().await;
    let mut gateway = gateway_to(&provider, 1_000_000).await;
    let mut connection = Http2::connect(gateway.address).await;
    let mut first = connection.open(KEY).await.unwrap();
    assert_eq!(first.headers["sec-websocket-protocol"], "realtime");
    assert!(!first.headers.contains_key("sec-websocket-accept"));
    let (asked, mut one) = provider.session().await;
    assert_eq!(
        asked.headers()["authorization"],
        format!("Bearer {PROVIDER_KEY}")
    );
    assert_eq!(asked.headers()["sec-websocket-protocol"], "realtime");
    let mut second = connection.open(KEY).await.unwrap();
    let (_, mut other) = provider.session().await;
    first.socket.say(json!({"type": "response.create"})).await;
    second.socket.say(json!({"type": "session.update"})).await;
    assert_eq!(one.hear().await["type"], "response.create");
    assert_eq!(other.hear().await["type"], "session.update");
    one.respond("r", 10, 5).await;
    for _ in 0..2 {
        first.socket.hear().await;
    }
    first.socket.close(1000, "done").await;
    assert_eq!(one.end().await, Seen::Close(1000, "done".into()));
    assert_eq!(first.socket.end().await, Seen::Close(1000, "done".into()));
    let line = gateway.log_line().await;
    assert_eq!(
        (&line["status"], &line["end"]),
        (&json!(200), &json!("complete"))
    );
    assert_eq!(line["method"], "CONNECT");
    assert_eq!(
        line["tokens"],
        json!({"input": 10, "cached": 1, "output": 5})
    );
    other.say(json!({"type": "session.updated"})).await;
    assert_eq!(second.socket.hear().await["type"], "session.updated");
}

#[tokio::test]
async fn refusals_are_answers_and_the_connection_goes_on() {
    let mut provider = RealtimeProvider::start().await;
    let gateway = gateway_to(&provider, 1_000_000).await;
    let mut connection = Http2::connect(gateway.address).await;
    let refused = connection.open("sk-wrong").await.map(drop);
    assert_eq!(refused, Err(StatusCode::UNAUTHORIZED));
    connection.open(KEY).await.unwrap();
    provider.session().await;
    // A CONNECT that names no protocol asks for a tunnel to another host.
    let plain = Request::builder()
        .method(Method::CONNECT)
        .uri("tenant.test:443")
        .version(http::Version::HTTP_2)
        .body(Full::default())
        .unwrap();
    let (response, _connection) = soon(gateway.open(plain)).await;
    assert!(response.status().is_client_error());
}
