//! A provider that does as it is told, records what it was sent and notices when its caller leaves.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, Version};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, PollSemaphore, WaitForCancellationFutureOwned};
use tokio_util::task::AbortOnDropHandle;

/// What the provider does with a request.
#[derive(Clone)]
pub(super) enum Script {
    /// Answers at once.
    Reply {
        status: u16,
        headers: Vec<(&'static str, String)>,
        chunks: Vec<Bytes>,
        end: End,
    },
    /// Takes the request and never answers.
    Silent,
    /// Does so once it is let, and not before.
    Let(Arc<Semaphore>, Box<Script>),
    /// Streams some chunks at once, and the others, to a clean end, once it is let.
    Halves(Vec<Bytes>, Arc<Semaphore>, Vec<Bytes>),
    /// Does nothing before it is told to go on.
    Held(Box<Script>),
    /// The first with one request, the second with all that come later.
    Once(Box<Script>, Box<Script>),
}

/// What follows the last chunk of a reply.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Clean,
    /// The connection breaks.
    Cut,
    /// Nothing, for ever.
    Hang,
    /// Nothing before it is told to go on; then as below.
    Flood,
    /// [`FLOOD`], for ever.
    Flooding,
}

/// An event of 64 KiB in OpenAI's shape, without content.
static FLOOD: LazyLock<Bytes> = LazyLock::new(|| {
    let padding = "-".repeat(64 << 10);
    let event = serde_json::json!({"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [], "obfuscation": padding});
    format!("data: {event}\n\n").into()
});

/// A request as the provider received it.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) method: String,
    pub(super) version: Version,
    pub(super) path: String,
    /// The host and port that were asked for.
    pub(super) authority: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// The provider; it stops when dropped.
pub(super) struct FakeProvider {
    pub(super) address: SocketAddr,
    received: mpsc::UnboundedReceiver<Received>,
    left: Arc<Semaphore>,
    hangs: Arc<Semaphore>,
    go: CancellationToken,
    connections: Arc<AtomicUsize>,
    _server: AbortOnDropHandle<()>,
}

/// Answers with this JSON.
pub(super) fn json(status: u16, body: serde_json::Value) -> Script {
    reply(status, "application/json", [body.to_string()], End::Clean)
}

/// Answers with an event stream in these chunks.
pub(super) fn events<const N: usize>(chunks: [&str; N], end: End) -> Script {
    reply(200, "text/event-stream", chunks.map(str::to_owned), end)
}

pub(super) fn reply<const N: usize>(
    status: u16,
    content_type: &str,
    chunks: [String; N],
    end: End,
) -> Script {
    Script::Reply {
        status,
        headers: vec![("content-type", content_type.to_owned())],
        chunks: chunks.into_iter().map(Bytes::from).collect(),
        end,
    }
}

/// A whole chat answer in OpenAI's shape: 11 tokens in, 7 out.
pub(super) fn chat_answer(text: &str) -> serde_json::Value {
    serde_json::json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m-2026",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text},
                     "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18,
                  "prompt_tokens_details": {"cached_tokens": 4},
                  "completion_tokens_details": {"reasoning_tokens": 2}},
    })
}

/// Takes handshakes for `localhost`, and would rather speak HTTP/2 than HTTP/1.1.
pub(super) fn localhost() -> (TlsAcceptor, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()).into();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    (TlsAcceptor::from(Arc::new(config)), certificate)
}

impl FakeProvider {
    /// Starts a provider that does the same with every request.
    pub(super) async fn start(script: Script) -> Self {
        Self::start_with(script, None).await
    }

    /// Starts one that speaks HTTP/1.1 and HTTP/2 over TLS, for the name `localhost`.
    pub(super) async fn start_tls(script: Script) -> (Self, CertificateDer<'static>) {
        let (acceptor, certificate) = localhost();
        (Self::start_with(script, Some(acceptor)).await, certificate)
    }

    /// Starts one over TLS of this kind.
    pub(super) async fn start_tls_as(script: Script, config: ServerConfig) -> Self {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Self::start_with(script, Some(acceptor)).await
    }

    async fn start_with(script: Script, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (record, received) = mpsc::unbounded_channel();
        let left = Arc::new(Semaphore::new(0));
        let hangs = Arc::new(Semaphore::new(0));
        let go = CancellationToken::new();
        let role = Role {
            script: Arc::new(script),
            asked: Arc::default(),
            record,
            left: left.clone(),
            hangs: hangs.clone(),
            go: go.clone(),
        };
        let connections = Arc::default();
        let server = tokio::spawn(accept(listener, tls, role, Arc::clone(&connections)));
        Self {
            address,
            received,
            left,
            hangs,
            go,
            connections,
            _server: AbortOnDropHandle::new(server),
        }
    }

    /// The base URL, as OpenAI's SDK takes it.
    pub(super) fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// The next request that came in.
    pub(super) async fn received(&mut self) -> Received {
        self.received.recv().await.unwrap()
    }

    /// Whether no further request has come in.
    pub(super) fn is_idle(&mut self) -> bool {
        self.received.try_recv().is_err()
    }

    /// How many connections were opened to it.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Whether a caller has left before its answer's end.
    pub(super) fn has_left(&self) -> bool {
        self.left.available_permits() > 0
    }

    /// Waits until an answer has come to where it hangs.
    pub(super) async fn hangs(&self) {
        self.hangs.acquire().await.unwrap().forget();
    }

    /// Tells it to go on where it waits for that.
    pub(super) fn go_on(&self) {
        self.go.cancel();
    }

    /// Waits until a caller has left before its answer's end.
    pub(super) async fn left(&self) {
        self.left.acquire().await.unwrap().forget();
    }
}

#[derive(Clone)]
struct Role {
    script: Arc<Script>,
    asked: Arc<AtomicUsize>,
    record: mpsc::UnboundedSender<Received>,
    left: Arc<Semaphore>,
    hangs: Arc<Semaphore>,
    go: CancellationToken,
}

async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    role: Role,
    count: Arc<AtomicUsize>,
) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        count.fetch_add(1, Ordering::Relaxed);
        let role = role.clone();
        match tls.clone() {
            None => connections.spawn(role.serve(stream)),
            Some(tls) => connections.spawn(async move {
                // A caller that does not trust the certificate leaves here.
                if let Ok(stream) = tls.accept(stream).await {
                    role.serve(stream).await;
                }
            }),
        };
    }
}

impl Role {
    async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(self, stream: S) {
        let service = service_fn(|request| self.clone().play(request));
        let server = Builder::new(TokioExecutor::new());
        // A broken connection is what some scripts want.
        let _ = server.serve_connection(TokioIo::new(stream), service).await;
    }

    async fn play(self, request: Request<Incoming>) -> Result<Response<Played>, Infallible> {
        let (parts, body) = request.into_parts();
        let mut watch = Watch {
            left: self.left,
            is_done: false,
        };
        let body = body.collect().await.map(|body| body.to_bytes());
        let host = || parts.headers.get("host")?.to_str().ok().map(str::to_owned);
        let authority = parts.uri.authority().map(ToString::to_string);
        let _ = self.record.send(Received {
            authority: authority.or_else(host).unwrap_or_default(),
            method: parts.method.to_string(),
            version: parts.version,
            path: parts.uri.path().to_owned(),
            headers: parts.headers,
            body: body.unwrap_or_default(),
        });
        let is_first = self.asked.fetch_add(1, Ordering::Relaxed) == 0;
        let mut script = match &*self.script {
            Script::Once(first, _) if is_first => first,
            Script::Once(_, later) => later,
            script => script,
        };
        match script {
            Script::Let(leave, then) => {
                leave.acquire().await.unwrap().forget();
                script = then;
            }
            Script::Held(then) => {
                self.go.cancelled().await;
                script = then;
            }
            _ => {}
        }
        match script {
            Script::Silent | Script::Once(..) | Script::Let(..) | Script::Held(_) => {
                std::future::pending().await
            }
            Script::Halves(first, leave, others) => {
                let response = Response::new(Played {
                    chunks: first.clone().into_iter(),
                    end: End::Clean,
                    hangs: self.hangs,
                    go: Box::pin(self.go.cancelled_owned()),
                    watch,
                    others: Some((PollSemaphore::new(leave.clone()), others.clone())),
                });
                Ok(response)
            }
            Script::Reply {
                status,
                headers,
                chunks,
                end,
            } => {
                let is_endless = matches!(end, End::Hang | End::Flood | End::Flooding);
                watch.is_done = !is_endless && chunks.is_empty();
                let mut response = Response::new(Played {
                    chunks: chunks.clone().into_iter(),
                    end: *end,
                    hangs: self.hangs,
                    go: Box::pin(self.go.cancelled_owned()),
                    watch,
                    others: None,
                });
                *response.status_mut() = StatusCode::from_u16(*status).unwrap();
                for (name, value) in headers {
                    response.headers_mut().append(*name, value.parse().unwrap());
                }
                Ok(response)
            }
        }
    }
}

/// Tells when its holder is dropped before it is done.
struct Watch {
    left: Arc<Semaphore>,
    is_done: bool,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !self.is_done {
            self.left.add_permits(1);
        }
    }
}

struct Played {
    chunks: std::vec::IntoIter<Bytes>,
    end: End,
    hangs: Arc<Semaphore>,
    go: Pin<Box<WaitForCancellationFutureOwned>>,
    watch: Watch,
    /// What comes once it is let.
    others: Option<(PollSemaphore, Vec<Bytes>)>,
}

#[derive(Debug, thiserror::Error)]
#[error("cut, as the script says")]
struct Torn;

impl Body for Played {
    type Data = Bytes;
    type Error = Torn;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Torn>>> {
        if let Some(chunk) = self.chunks.next() {
            // Each chunk goes out by itself.
            cx.waker().wake_by_ref();
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        if let Some((leave, _)) = &mut self.others {
            if let Some(leave) = ready!(leave.poll_acquire(cx)) {
                leave.forget();
            }
            let others = self.others.take().map(|(_, others)| others);
            self.chunks = others.unwrap_or_default().into_iter();
            return self.poll_frame(cx);
        }
        match self.end {
            End::Hang => {
                self.hangs.add_permits(1);
                Poll::Pending
            }
            End::Flood => {
                if self.go.as_mut().poll(cx).is_pending() {
                    self.hangs.add_permits(1);
                    return Poll::Pending;
                }
                self.end = End::Flooding;
                self.poll_frame(cx)
            }
            End::Flooding => Poll::Ready(Some(Ok(Frame::data(FLOOD.clone())))),
            End::Clean => {
                self.watch.is_done = true;
                Poll::Ready(None)
            }
            End::Cut if !self.watch.is_done => {
                self.watch.is_done = true;
                // Lets the chunks get onto the wire first.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            End::Cut => Poll::Ready(Some(Err(Torn))),
        }
    }
}
