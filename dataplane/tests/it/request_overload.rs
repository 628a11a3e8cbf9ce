//! Requests that the memory budget has no room for: the newest is refused in the words of its protocol,
//! and those that are open go on.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use http::{Request, Response, Version};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::task::AbortOnDropHandle;
use turnpike_dataplane::budget::{Bounds, Budget};

use super::request_gateway::{TestGateway, chat, chat_stream, open_version, read, request, soon};
use super::request_provider::{End, FakeProvider, chat_answer, reply};
use super::request_world::{World, upstream};

const ROOM: u64 = 100_000;
/// Fits once, and not twice.
const LARGE: usize = 60_000;

const BEGIN: &str = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"begun\"},\"finish_reason\":null}]}\n\n";
const REST: &str = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" and done\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

/// A provider that begins its streams at once, and finishes nothing before it may.
struct Waiter {
    address: SocketAddr,
    /// Closed: it may.
    gate: Arc<Semaphore>,
    received: mpsc::UnboundedReceiver<()>,
    _server: AbortOnDropHandle<()>,
}

impl Waiter {
    async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let gate = Arc::new(Semaphore::new(0));
        let (record, received) = mpsc::unbounded_channel();
        let waits = gate.clone();
        let server = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (gate, record) = (waits.clone(), record.clone());
                let service =
                    service_fn(move |request| answer(request, gate.clone(), record.clone()));
                tokio::spawn(async move {
                    let server = Builder::new(TokioExecutor::new());
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self {
            address,
            gate,
            received,
            _server: AbortOnDropHandle::new(server),
        }
    }

    fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }
}

async fn answer(
    request: Request<Incoming>,
    gate: Arc<Semaphore>,
    record: mpsc::UnboundedSender<()>,
) -> Result<Response<UnsyncBoxBody<Bytes, Infallible>>, Infallible> {
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let body: Value = serde_json::from_slice(&body).unwrap();
    record.send(()).unwrap();
    let opened = async move { drop(gate.acquire().await) };
    if body["stream"] == true {
        let rest = stream::once(async {
            opened.await;
            Bytes::from_static(REST.as_bytes())
        });
        let begin = stream::once(async { Bytes::from_static(BEGIN.as_bytes()) });
        let frames = begin.chain(rest).map(|bytes| Ok(Frame::data(bytes)));
        let response = Response::builder().header("content-type", "text/event-stream");
        return Ok(response
            .body(StreamBody::new(frames).boxed_unsync())
            .unwrap());
    }
    opened.await;
    let answer = Full::from(chat_answer("hello").to_string());
    let response = Response::builder().header("content-type", "application/json");
    Ok(response.body(answer.boxed_unsync()).unwrap())
}

fn with_room() -> Budget {
    Budget::new(Bounds {
        held: Some(ROOM),
        resident: None,
    })
}

#[tokio::test]
async fn the_newest_that_does_not_fit_is_refused_and_the_open_ones_go_on() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let mut provider = Waiter::start().await;
        let world = World::with(upstream("OpenAI", &provider.url()));
        let mut gateway = TestGateway::within(world, with_room()).await;
        let ask = |body: &Value| {
            let request = request("/v1/chat/completions", body);
            open_version(gateway.address, request, version)
        };
        let (mut streaming, _streaming) = ask(&chat_stream("x")).await;
        let begun = soon(streaming.body_mut().frame()).await.unwrap().unwrap();
        assert!(begun.data_ref().unwrap().starts_with(b"data: "));
        let large = "x".repeat(LARGE);
        let older = tokio::spawn(ask(&chat(&large)));
        for _ in 0..2 {
            soon(provider.received.recv()).await.unwrap();
        }
        assert!(gateway.shared.budget.held() >= LARGE as u64, "{version:?}");

        for body in [chat(&large), chat_stream(&large)] {
            let (response, _connection) = ask(&body).await;
            let refused = read(response).await;
            assert_eq!(refused.status, 503, "{version:?}");
            assert_eq!(refused.header("retry-after"), Some("1"));
            assert_eq!(refused.header("content-type"), Some("application/json"));
            let error = &refused.json()["error"];
            assert_eq!(error["code"], "overloaded");
            assert!(error["message"].is_string() && error["type"].is_string());
        }
        assert!(provider.received.try_recv().is_err(), "nobody was asked");
        assert_eq!(gateway.metric("turnpike_memory_refusals_total"), 2);

        provider.gate.close();
        let (older, _older) = soon(older).await.unwrap();
        let older = read(older).await;
        assert!(older.status == 200 && older.text().contains("hello"));
        let streamed = read(streaming).await;
        assert!(streamed.is_clean && streamed.text().contains("[DONE]"));
        let (again, _again) = ask(&chat(&large)).await;
        assert_eq!(read(again).await.status, 200, "there is room again");

        let mut ends = Vec::new();
        for _ in 0..5 {
            let line = gateway.log_line().await;
            ends.push((line["status"].clone(), line["error"].clone()));
        }
        let overloaded = (json!(503), json!("overloaded"));
        assert_eq!(ends[..2], [overloaded.clone(), overloaded]);
        assert!(
            ends[2..]
                .iter()
                .all(|end| *end == (json!(200), Value::Null))
        );
        gateway.settled().await;
        assert_eq!(gateway.shared.budget.held(), 0);
        assert!(gateway.stop().await.is_empty());
    }
}

#[tokio::test]
async fn an_answer_that_does_not_fit_is_refused_and_settled_alone() {
    let answer = chat_answer(&"long ".repeat(ROOM as usize)).to_string();
    let script = reply(200, "application/json", [answer], End::Clean);
    let provider = FakeProvider::start(script).await;
    let world = World::with(upstream("OpenAI", &provider.url()));
    let mut gateway = TestGateway::within(world, with_room()).await;
    let answer = gateway.chat("x").await;
    assert_eq!((answer.status, &*answer.code()), (503, "overloaded"));
    assert_eq!(gateway.log_line().await["error"], "overloaded");
    gateway.settled().await;
    assert_eq!(gateway.shared.budget.held(), 0);
    assert!(gateway.stop().await.is_empty());
}
