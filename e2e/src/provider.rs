//! A scripted model provider: a real HTTP server that speaks OpenAI's and Anthropic's protocols,
//! misbehaves as told and remembers what it was asked.

pub mod replies;

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::ports::free_address;
use crate::provider::replies::{End, Reply};

/// How the provider answers from now on.
#[derive(Debug, Clone)]
pub enum Behaviour {
    /// As a good provider does: streams of `chunks` words, `delay` between two.
    Good { chunks: usize, delay: Duration },
    /// This status with an error object; 429 with `retry-after: 7`.
    Status(StatusCode),
    /// 200 with bytes that are not JSON.
    Garbage,
    /// 200 with a web page.
    Html,
    /// A good stream whose connection breaks after that many words.
    Cut { after: usize },
    /// Takes the request and never answers.
    Hang,
    /// A good stream that falls silent after that many words.
    HangAfter(usize),
}

impl Behaviour {
    pub const GOOD: Self = Self::Good {
        chunks: 3,
        delay: Duration::ZERO,
    };
}

/// A request as the provider received it.
#[derive(Debug, Clone)]
pub struct Received {
    pub version: Version,
    pub path: String,
    pub headers: hyper::HeaderMap,
    pub body: Bytes,
}

impl Received {
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body).context("the provider got no JSON")
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// A running provider; stops when dropped.
#[derive(Debug)]
pub struct Provider {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: CancellationToken,
}

#[derive(Debug)]
struct Shared {
    behaviour: Mutex<Behaviour>,
    received: Mutex<Vec<Received>>,
    /// Answers that the other side gave up before their end.
    abandoned: watch::Sender<usize>,
}

impl Provider {
    /// Starts a good one.
    pub async fn start() -> Result<Self> {
        Self::start_at(IpAddr::from([127, 0, 0, 1])).await
    }

    /// The same at another of this machine's addresses.
    pub async fn start_at(ip: IpAddr) -> Result<Self> {
        let listener = TcpListener::bind((ip, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            behaviour: Mutex::new(Behaviour::GOOD),
            received: Mutex::default(),
            abandoned: watch::Sender::new(0),
        });
        let stop = CancellationToken::new();
        tokio::spawn(accept(listener, Arc::clone(&shared), stop.clone()));
        Ok(Self {
            address,
            shared,
            stop,
        })
    }

    /// The base URL as OpenAI's SDKs want it.
    pub fn openai_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// The base URL as Anthropic's SDKs want it.
    pub fn anthropic_url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes how it answers.
    pub fn behave(&self, behaviour: Behaviour) {
        *self.shared.behaviour.lock() = behaviour;
    }

    /// All that it was asked so far.
    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().clone()
    }

    /// The last request that it was asked.
    pub fn last(&self) -> Result<Received> {
        let received = self.shared.received.lock();
        received
            .last()
            .cloned()
            .context("the provider was asked nothing")
    }

    /// How many answers were given up before their end.
    pub fn abandoned(&self) -> usize {
        *self.shared.abandoned.borrow()
    }

    /// Waits until at least that many answers were given up before their end.
    pub async fn await_abandoned(&self, count: usize) -> Result<()> {
        let mut abandoned = self.shared.abandoned.subscribe();
        let waiting = abandoned.wait_for(|seen| *seen >= count);
        let done = tokio::time::timeout(crate::eventually::DEADLINE, waiting).await;
        ensure!(done.is_ok(), "the provider's answer was read on");
        Ok(())
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A base URL that refuses connections.
pub fn refusing_url() -> Result<String> {
    Ok(format!("http://{}/v1", free_address()?))
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            Ok((socket, _)) = listener.accept() => {
                tokio::spawn(serve(socket, Arc::clone(&shared), stop.clone()));
            }
        }
    }
}

async fn serve(socket: TcpStream, shared: Arc<Shared>, stop: CancellationToken) {
    // Only a matter of speed.
    let _ = socket.set_nodelay(true);
    let service = service_fn(|request| answer(request, Arc::clone(&shared)));
    let mut server = Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new());
    let connection = server.serve_connection(TokioIo::new(socket), service);
    tokio::select! {
        () = stop.cancelled() => {}
        // A broken connection is what half of the behaviours are about.
        _ = connection => {}
    }
}

type Body = StreamBody<BoxStream<'static, Result<Frame<Bytes>, std::io::Error>>>;

async fn answer(
    request: Request<Incoming>,
    shared: Arc<Shared>,
) -> Result<Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    // A request that breaks off is recorded as far as it came.
    let body = body.collect().await.map(|b| b.to_bytes());
    let received = Received {
        version: head.version,
        path: head.uri.path().to_owned(),
        headers: head.headers,
        body: body.unwrap_or_default(),
    };
    shared.received.lock().push(received.clone());
    let behaviour = shared.behaviour.lock().clone();
    let unfinished = Unfinished::new(shared);
    if matches!(behaviour, Behaviour::Hang) {
        futures::future::pending::<()>().await;
    }
    Ok(response(replies::reply(&received, &behaviour), unfinished))
}

fn response(reply: Reply, unfinished: Unfinished) -> Response<Body> {
    let (status, content_type) = (reply.status, reply.content_type);
    let writing = Writing {
        pieces: reply.pieces.into_iter(),
        delay: Duration::ZERO,
        pause: reply.delay,
        end: reply.end,
        unfinished,
    };
    let mut response = Response::new(StreamBody::new(stream::unfold(writing, write).boxed()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if status == StatusCode::TOO_MANY_REQUESTS {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("7"));
    }
    response
}

/// An answer being sent.
struct Writing {
    pieces: std::vec::IntoIter<Bytes>,
    /// Before the next piece: nothing before the first.
    delay: Duration,
    pause: Duration,
    end: End,
    unfinished: Unfinished,
}

async fn write(mut writing: Writing) -> Option<(Result<Frame<Bytes>, std::io::Error>, Writing)> {
    if let Some(piece) = writing.pieces.next() {
        tokio::time::sleep(writing.delay).await;
        writing.delay = writing.pause;
        return Some((Ok(Frame::data(piece)), writing));
    }
    match writing.end {
        End::Hang => futures::future::pending().await,
        End::Clean => {
            writing.unfinished.finish();
            None
        }
        End::Cut => {
            // What was written before must be on its way when the connection breaks.
            tokio::time::sleep(Duration::from_millis(50)).await;
            writing.unfinished.finish();
            writing.end = End::Clean;
            Some((Err(std::io::Error::other("cut")), writing))
        }
    }
}

/// Counts an answer as abandoned when it is dropped before it is finished.
struct Unfinished(Option<Arc<Shared>>);

impl Unfinished {
    fn new(shared: Arc<Shared>) -> Self {
        Self(Some(shared))
    }

    fn finish(&mut self) {
        self.0 = None;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(shared) = &self.0 {
            shared.abandoned.send_modify(|count| *count += 1);
        }
    }
}
