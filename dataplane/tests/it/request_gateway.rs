//! A gateway on a real port, without a controller, and clients for it.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use serde_json::Value;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use turnpike_dataplane::access_log::{AccessLog, Writer};
use turnpike_dataplane::budget::Budget;
use turnpike_dataplane::drains::Drains;
use turnpike_dataplane::listen::{Door, Drain, Listener, Terms};
use turnpike_dataplane::metrics::Metrics;
use turnpike_dataplane::quota::{
    self, Estimator, MemoryStore, QuotaCounters, QuotaSettings, Quotas,
};
use turnpike_dataplane::upstream::{Addresses, Pool};
use turnpike_dataplane::{Gateway, Store};

use super::request_world::{HOST, KEY, World};

/// Longest wait for anything; only a failing test gets there.
const PATIENCE: Duration = Duration::from_secs(20);

const DRAIN: Drain = Drain {
    delay: Duration::ZERO,
    limit: PATIENCE,
};

/// Fails the test if something does not come about.
pub(super) async fn soon<F: Future>(what: F) -> F::Output {
    tokio::time::timeout(PATIENCE, what)
        .await
        .expect("it does not come about")
}

/// A gateway that serves one world.
pub(super) struct TestGateway {
    pub(super) address: SocketAddr,
    pub(super) shared: Arc<Gateway>,
    log: mpsc::UnboundedReceiver<String>,
    writer: Writer,
    server: JoinHandle<()>,
    stop: DropGuard,
    stop_token: CancellationToken,
    counting: (CancellationToken, JoinHandle<()>),
}

/// An answer, read to its end.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// The body came to a clean end.
    pub(super) is_clean: bool,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {:?}", self.body))
    }

    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The code of an error in OpenAI's shape.
    pub(super) fn code(&self) -> String {
        self.json()["error"]["code"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The `data` of each event, without `[DONE]`, and whether that came.
    pub(super) fn events(&self) -> (Vec<Value>, bool) {
        let data = |line: &str| line.strip_prefix("data: ").map(str::to_owned);
        let mut events: Vec<String> = self.text().lines().filter_map(data).collect();
        let is_done = events.last().is_some_and(|last| last == "[DONE]");
        if is_done {
            events.pop();
        }
        let parse = |event: &String| serde_json::from_str(event).unwrap();
        (events.iter().map(parse).collect(), is_done)
    }
}

impl TestGateway {
    pub(super) async fn start(world: World) -> Self {
        Self::with_store(world.store()).await
    }

    pub(super) async fn with_store(store: Store) -> Self {
        let memory = quota::Store::Memory(MemoryStore::default());
        Self::with_counters(store, memory, Arc::default()).await
    }

    pub(super) async fn with_counters(
        store: Store,
        counters: quota::Store,
        counts: Arc<QuotaCounters>,
    ) -> Self {
        Self::with_parts(store, counters, counts, Pool::new(Addresses::Any), DRAIN).await
    }

    /// Cuts what is open so long after it was told to stop.
    pub(super) async fn draining_within(world: World, limit: Duration) -> Self {
        let memory = quota::Store::Memory(MemoryStore::default());
        let drain = Drain { limit, ..DRAIN };
        Self::with_parts(
            world.store(),
            memory,
            Arc::default(),
            Pool::new(Addresses::Any),
            drain,
        )
        .await
    }

    /// Trusts this certificate and no other.
    pub(super) async fn trusting(world: World, certificate: CertificateDer<'static>) -> Self {
        Self::trusting_behind(world, certificate, Door::default()).await
    }

    /// The same, and serves callers on such terms, with room for so many.
    pub(super) async fn trusting_behind(
        world: World,
        certificate: CertificateDer<'static>,
        door: Door,
    ) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        let memory = quota::Store::Memory(MemoryStore::default());
        let pool = Pool::with_roots(roots, Addresses::Any);
        let (store, budget) = (world.store(), Budget::default());
        Self::with_door(store, memory, Arc::default(), pool, DRAIN, door, budget).await
    }

    /// Reaches only providers at such addresses.
    pub(super) async fn guarded(world: World, addresses: Addresses) -> Self {
        let memory = quota::Store::Memory(MemoryStore::default());
        Self::with_parts(
            world.store(),
            memory,
            Arc::default(),
            Pool::new(addresses),
            DRAIN,
        )
        .await
    }

    /// Serves callers on such terms, with room for so many.
    pub(super) async fn behind(world: World, door: Door) -> Self {
        let memory = quota::Store::Memory(MemoryStore::default());
        let pool = Pool::new(Addresses::Any);
        let (store, budget) = (world.store(), Budget::default());
        Self::with_door(store, memory, Arc::default(), pool, DRAIN, door, budget).await
    }

    /// Serves what this budget has room for.
    pub(super) async fn within(world: World, budget: Budget) -> Self {
        let memory = quota::Store::Memory(MemoryStore::default());
        let (pool, door) = (Pool::new(Addresses::Any), Door::default());
        let store = world.store();
        Self::with_door(store, memory, Arc::default(), pool, DRAIN, door, budget).await
    }

    async fn with_parts(
        store: Store,
        counters: quota::Store,
        counts: Arc<QuotaCounters>,
        upstream: Pool,
        drain: Drain,
    ) -> Self {
        let (door, budget) = (Door::default(), Budget::default());
        Self::with_door(store, counters, counts, upstream, drain, door, budget).await
    }

    async fn with_door(
        store: Store,
        counters: quota::Store,
        counts: Arc<QuotaCounters>,
        upstream: Pool,
        drain: Drain,
        door: Door,
        budget: Budget,
    ) -> Self {
        let (lines, log) = mpsc::unbounded_channel();
        let (access_log, writer) = AccessLog::spawn(Lines(lines)).unwrap();
        let stop_counting = CancellationToken::new();
        let (quotas, replay) = Quotas::spawn(
            counters,
            counts.clone(),
            QuotaSettings::default(),
            stop_counting.clone(),
        );
        let lost = access_log.dropped_count();
        let metrics = Metrics::new(store.clone(), counts, lost, budget.clone());
        let metrics = Arc::new(metrics);
        let shared = Arc::new(Gateway {
            drains: Drains::new(metrics.clone()),
            metrics,
            store,
            quotas,
            estimator: Estimator::default(),
            upstream,
            budget,
            access_log,
            settling: TaskTracker::new(),
        });
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let stop = CancellationToken::new();
        Self {
            address: listener.address(),
            log,
            writer,
            server: tokio::spawn(listener.serve(shared.clone(), door, drain, stop.clone())),
            shared,
            stop_token: stop.clone(),
            stop: stop.drop_guard(),
            counting: (stop_counting, replay),
        }
    }

    /// Asks with Alice's key.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask(request(path, body)).await
    }

    /// A chat in which the user says this.
    pub(super) async fn chat(&self, text: &str) -> Answer {
        self.post("/v1/chat/completions", &chat(text)).await
    }

    /// The same, streamed.
    pub(super) async fn chat_stream(&self, text: &str) -> Answer {
        self.post("/v1/chat/completions", &chat_stream(text)).await
    }

    pub(super) async fn get(&self, path: &str, key: &str) -> Answer {
        let request = Request::get(path)
            .header("host", HOST)
            .header("authorization", format!("Bearer {key}"));
        self.ask(request.body(Full::default()).unwrap()).await
    }

    /// Asks over a connection of its own and reads the answer to its end.
    pub(super) async fn ask(&self, request: Request<Full<Bytes>>) -> Answer {
        let (response, _connection) = self.open(request).await;
        soon(read(response)).await
    }

    /// Asks, and gives the answer's head; dropping the second part hangs up, with a reset: who only
    /// ends its side of HTTP/1.1 has not left.
    pub(super) async fn open(
        &self,
        request: Request<Full<Bytes>>,
    ) -> (Response<Incoming>, AbortOnDropHandle<()>) {
        let stream = TcpStream::connect(self.address).await.unwrap();
        SockRef::from(&stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        open_on(stream, request).await
    }

    /// The next line of the access log.
    pub(super) async fn log_line(&mut self) -> Value {
        let line = soon(self.log.recv()).await.expect("the log has ended");
        serde_json::from_str(&line).unwrap()
    }

    /// The value of a metric, by its whole name with labels.
    pub(super) fn metric(&self, name: &str) -> u64 {
        let text = self.shared.metrics.encode().unwrap();
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value
            .unwrap_or_else(|| panic!("no {name} in {text}"))
            .parse()
            .unwrap()
    }

    /// Waits until every settlement so far is counted.
    pub(super) async fn settled(&self) {
        self.shared.settling.close();
        soon(self.shared.settling.wait()).await;
        self.shared.settling.reopen();
    }

    /// Tells it to stop, and goes on.
    pub(super) fn begin_to_stop(&self) {
        self.stop_token.cancel();
    }

    /// Stops, and gives the lines of the log that nobody has read.
    pub(super) async fn stop(mut self) -> Vec<String> {
        drop(self.stop);
        soon(self.server).await.unwrap();
        self.shared.settling.close();
        soon(self.shared.settling.wait()).await;
        self.counting.0.cancel();
        soon(self.counting.1).await.unwrap();
        drop(self.shared);
        self.writer.join();
        let mut lines = Vec::new();
        while let Some(line) = self.log.recv().await {
            lines.push(line);
        }
        lines
    }
}

/// Cuts callers that take nothing for a moment.
pub(super) fn impatient() -> Door {
    let terms = Terms {
        client_write: Some(Duration::from_millis(200)),
        ..Terms::default()
    };
    Door::new(terms, 100)
}

/// Asks over a connection of its own and in this version, and gives the answer's head.
pub(super) async fn open_version(
    address: SocketAddr,
    request: Request<Full<Bytes>>,
    version: Version,
) -> (Response<Incoming>, AbortOnDropHandle<()>) {
    let stream = TcpStream::connect(address).await.unwrap();
    open_on(stream, in_version(request, version)).await
}

/// The same request in another version of HTTP.
pub(super) fn in_version(
    mut request: Request<Full<Bytes>>,
    version: Version,
) -> Request<Full<Bytes>> {
    if version == Version::HTTP_2 {
        let uri = format!("http://{HOST}{}", request.uri());
        *request.uri_mut() = uri.parse().unwrap();
        request.headers_mut().remove("host");
        *request.version_mut() = version;
    }
    request
}

/// Asks over this connection, and gives the answer's head; dropping the second part hangs up.
pub(super) async fn open_on(
    stream: TcpStream,
    request: Request<Full<Bytes>>,
) -> (Response<Incoming>, AbortOnDropHandle<()>) {
    let stream = TokioIo::new(stream);
    if request.version() == Version::HTTP_2 {
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), stream)
                .await
                .unwrap();
        let connection = tokio::spawn(async move { drop(connection.await) });
        let response = soon(sender.send_request(request)).await.unwrap();
        return (response, AbortOnDropHandle::new(connection));
    }
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
    let connection = tokio::spawn(async move { drop(connection.await) });
    let response = soon(sender.send_request(request)).await.unwrap();
    (response, AbortOnDropHandle::new(connection))
}

pub(super) fn chat(text: &str) -> Value {
    serde_json::json!({"model": "m", "messages": [{"role": "user", "content": text}]})
}

pub(super) fn chat_stream(text: &str) -> Value {
    let mut body = chat(text);
    body["stream"] = true.into();
    body
}

/// A POST with Alice's key.
pub(super) fn request(path: &str, body: &Value) -> Request<Full<Bytes>> {
    Request::post(path)
        .header("host", HOST)
        .header("authorization", format!("Bearer {KEY}"))
        .header("content-type", "application/json")
        .body(Full::from(body.to_string()))
        .unwrap()
}

/// Reads an answer as far as it goes.
pub(super) async fn read(response: Response<Incoming>) -> Answer {
    let (parts, mut body) = response.into_parts();
    let mut whole = Vec::new();
    let is_clean = loop {
        match body.frame().await {
            None => break true,
            Some(Err(_)) => break false,
            Some(Ok(frame)) => whole.extend_from_slice(frame.data_ref().unwrap()),
        }
    };
    Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: whole.into(),
        is_clean,
    }
}

/// Sends each line of the log to the test; the log writes whole lines.
struct Lines(mpsc::UnboundedSender<String>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = str::from_utf8(bytes).map_err(io::Error::other)?;
        for line in text.lines() {
            self.0.send(line.to_owned()).map_err(io::Error::other)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
