//! Every way to leave, at every stage, over every pair of protocols: the provider is cancelled, there is
//! one line in the log, and the pool serves the next request as if nothing had been.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Version;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::CertificateDer;
use serde_json::json;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, oneshot};
use tokio_util::task::AbortOnDropHandle;
use turnpike_dataplane::listen::Door;
use turnpike_snapshot::quota::Amount;

use super::request_gateway::{TestGateway, chat_stream, impatient, in_version, request, soon};
use super::request_provider::{self, End, FakeProvider, Script, chat_answer, events};
use super::request_world::{World, quota, upstream};

const ROLE: &str = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\"},\"finish_reason\":null}]}\n\n";
const TEXT: &str = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"forty bytes of content, neither more nor\"},\"finish_reason\":null}]}\n\n";
const USAGE: &str = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"model\":\"m\",\"choices\":[],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":17,\"total_tokens\":28}}\n\n";

/// How a client goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    /// The connection is closed: FIN, and RST to whatever comes then.
    Close,
    /// The connection is torn down: RST.
    Reset,
    /// HTTP/2 alone: the stream is, and the connection stays.
    ResetStream,
    /// Everything stays open, and nothing is read any more: the gateway cuts it.
    StopReading,
}

/// How far the answer has come by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    BeforeHeaders,
    BeforeContent,
    MidStream,
    AfterUsage,
}

const STAGES: [Stage; 4] = [
    Stage::BeforeHeaders,
    Stage::BeforeContent,
    Stage::MidStream,
    Stage::AfterUsage,
];

impl Stage {
    /// A caller that does not read is not missed before there is more than the sockets hold.
    fn script(self, leaving: Leaving) -> Script {
        let end = match leaving {
            Leaving::StopReading => End::Flood,
            _ => End::Hang,
        };
        match self {
            Stage::BeforeHeaders if leaving == Leaving::StopReading => {
                Script::Held(Box::new(events([], end)))
            }
            Stage::BeforeHeaders => Script::Silent,
            Stage::BeforeContent => events([ROLE], end),
            Stage::MidStream => events([ROLE, TEXT], end),
            Stage::AfterUsage => events([ROLE, TEXT, USAGE], end),
        }
    }

    /// What the caller has seen of the answer by then.
    fn seen(self) -> Option<&'static str> {
        match self {
            Stage::BeforeHeaders | Stage::BeforeContent => None,
            Stage::MidStream => Some("forty bytes"),
            Stage::AfterUsage => Some("prompt_tokens"),
        }
    }
}

/// A client on a connection of its own.
struct Client {
    sender: Sender,
    is_unread: Arc<AtomicBool>,
    _connection: AbortOnDropHandle<()>,
}

/// A socket that can be left unread, for good, while it stays open.
struct Socket {
    stream: TcpStream,
    is_unread: Arc<AtomicBool>,
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_unread.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[derive(Clone)]
enum Sender {
    Http1(Arc<Mutex<http1::SendRequest<Full<Bytes>>>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Client {
    async fn connect(gateway: &TestGateway, version: Version, leaving: Leaving) -> Self {
        let stream = TcpStream::connect(gateway.address).await.unwrap();
        if leaving == Leaving::Reset {
            SockRef::from(&stream)
                .set_linger(Some(Duration::ZERO))
                .unwrap();
        }
        let is_unread = Arc::new(AtomicBool::new(false));
        let stream = TokioIo::new(Socket {
            stream,
            is_unread: is_unread.clone(),
        });
        if version == Version::HTTP_2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), stream)
                .await
                .unwrap();
            let connection = tokio::spawn(async move { drop(connection.await) });
            return Self {
                sender: Sender::Http2(sender),
                is_unread,
                _connection: AbortOnDropHandle::new(connection),
            };
        }
        let (sender, connection) = http1::handshake(stream).await.unwrap();
        let connection = tokio::spawn(async move { drop(connection.await) });
        Self {
            sender: Sender::Http1(Arc::new(sender.into())),
            is_unread,
            _connection: AbortOnDropHandle::new(connection),
        }
    }

    /// Asks, and reads until it has seen this, and for ever then.
    fn ask(&self, seen: Option<&'static str>) -> (AbortOnDropHandle<()>, oneshot::Receiver<()>) {
        let mut sender = self.sender.clone();
        let (tell, told) = oneshot::channel();
        let asking = tokio::spawn(async move {
            let mut body = chat_stream("x");
            body["stream_options"] = json!({"include_usage": true});
            let response = match &mut sender {
                Sender::Http1(sender) => {
                    sender
                        .lock()
                        .await
                        .send_request(request("/v1/chat/completions", &body))
                        .await
                }
                Sender::Http2(sender) => {
                    sender
                        .send_request(in_version(
                            request("/v1/chat/completions", &body),
                            Version::HTTP_2,
                        ))
                        .await
                }
            };
            let mut body = response.unwrap().into_body();
            let mut text = String::new();
            let mut tell = Some(tell);
            while let Some(Ok(frame)) = body.frame().await {
                text.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
                if seen.is_some_and(|seen| text.contains(seen)) {
                    tell.take().map(|tell| tell.send(()));
                }
            }
        });
        (AbortOnDropHandle::new(asking), told)
    }
}

/// A provider that does this once, and is good to all who come later.
async fn provider(
    version: Version,
    script: Script,
) -> (FakeProvider, Option<CertificateDer<'static>>) {
    let script = Script::Once(
        Box::new(script),
        Box::new(request_provider::json(200, chat_answer("hello"))),
    );
    match version {
        Version::HTTP_2 => {
            let (provider, certificate) = FakeProvider::start_tls(script).await;
            (provider, Some(certificate))
        }
        _ => (FakeProvider::start(script).await, None),
    }
}

async fn gateway_to(
    provider: &FakeProvider,
    certificate: Option<CertificateDer<'static>>,
    leaving: Leaving,
) -> TestGateway {
    // The others go by themselves.
    let door = match leaving {
        Leaving::StopReading => impatient(),
        _ => Door::default(),
    };
    let limit = quota(Amount::Tokens(1_000_000));
    match certificate {
        Some(certificate) => {
            let url = format!("https://localhost:{}/v1", provider.address.port());
            let world = World::with(upstream("OpenAI", &url)).limited(limit);
            TestGateway::trusting_behind(world, certificate, door).await
        }
        None => {
            let world = World::with(upstream("OpenAI", &provider.url())).limited(limit);
            TestGateway::behind(world, door).await
        }
    }
}

/// Gives how long it took until the provider knew.
async fn leave(leaving: Leaving, stage: Stage, client: Version, upstream: Version) -> Duration {
    let case = format!("{leaving:?} {stage:?}, {client:?} to {upstream:?}");
    let (mut provider, certificate) = provider(upstream, stage.script(leaving)).await;
    let mut gateway = gateway_to(&provider, certificate, leaving).await;
    let caller = Client::connect(&gateway, client, leaving).await;
    let (asking, told) = caller.ask(stage.seen());
    soon(provider.received()).await;
    match stage {
        Stage::BeforeHeaders => {}
        Stage::BeforeContent => soon(provider.hangs()).await,
        Stage::MidStream | Stage::AfterUsage => soon(told).await.unwrap(),
    }
    let left = Instant::now();
    let (mut asking, mut connection) = (Some(asking), Some(caller));
    match (leaving, &connection) {
        (Leaving::StopReading, Some(caller)) => {
            caller.is_unread.store(true, Ordering::Relaxed);
            provider.go_on();
        }
        (Leaving::ResetStream, _) => asking = None,
        _ => (asking, connection) = (None, None),
    }
    soon(provider.left()).await;
    let took = left.elapsed();

    let line = gateway.log_line().await;
    let end = match leaving {
        Leaving::StopReading => "timeout:clientWrite",
        _ => "client_gone",
    };
    assert_eq!(line["end"], end, "{case}: {line}");
    if stage == Stage::AfterUsage {
        let tokens = (&line["tokens"]["input"], &line["tokens"]["output"]);
        assert_eq!(tokens, (&11.into(), &17.into()), "{case}: {line}");
    }
    gateway.settled().await;
    let answer = gateway.chat("x").await;
    assert!(answer.text().contains("hello"), "{case}: {}", answer.text());
    let is_kept = upstream == Version::HTTP_2;
    assert_eq!(
        provider.connections(),
        if is_kept { 1 } else { 2 },
        "{case}"
    );
    drop((asking, connection));
    assert_eq!(
        gateway.stop().await.len(),
        1,
        "{case}: the one that came after"
    );
    took
}

#[tokio::test]
async fn whoever_leaves_however_and_whenever_cancels_the_provider_and_is_settled_once() {
    let mut slowest = (Duration::ZERO, String::new());
    for stage in STAGES {
        for client in [Version::HTTP_11, Version::HTTP_2] {
            for upstream in [Version::HTTP_11, Version::HTTP_2] {
                for leaving in [
                    Leaving::Close,
                    Leaving::Reset,
                    Leaving::ResetStream,
                    Leaving::StopReading,
                ] {
                    if leaving == Leaving::ResetStream && client == Version::HTTP_11 {
                        continue;
                    }
                    let took = leave(leaving, stage, client, upstream).await;
                    let case = format!("{leaving:?} {stage:?}, {client:?} to {upstream:?}");
                    println!("{case}: cancelled after {took:?}");
                    slowest = slowest.max((took, case));
                }
            }
        }
    }
    println!("slowest: {slowest:?}");
}
